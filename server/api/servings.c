/* Answers what serving takes: decode, one core call for each number of GPUs, offers, encode. */
#include "server/api/servings.h"

#include "server/api/lookup.h"
#include "server/api/offers.h"
#include "server/api/page.h"
#include "server/json/serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MILLION 1e6

/* A request on its way to an answer. */
struct quoting {
    const struct lq_call *call;
    struct lq_serving_document document;
    struct lq_serving_load load;
    struct lq_serving_option options[LQ_SERVING_OPTIONS_MAX];
    size_t option_count;
    struct lq_offer_quote offers[LQ_OFFERS_MAX];
    struct lq_cost_line lines[LQ_OFFERS_MAX];
};

/* The offers for a million tokens on so many devices. */
static size_t find_offers(struct quoting *q, const struct lq_serving *serving)
{
    const struct lq_demand demand = {.gpu = q->document.setup.gpu,
                                     .gpu_count = serving->gpu_count,
                                     .terms = &q->document.terms,
                                     .replicated = true};
    return lq_offers_find(&demand, q->call->catalog, MILLION / serving->tokens_per_s, q->offers);
}

static enum lq_code try_count(struct quoting *q, int64_t gpu_count, struct lq_error *err)
{
    struct lq_serving_option *option = &q->options[q->option_count++];
    *option = (struct lq_serving_option){.fits = true};
    const enum lq_code code =
        lq_serving_at(&q->load, &q->document.setup, gpu_count, &option->serving, err);
    if (code == LQ_ENOFIT) {
        option->fits = false;
        snprintf(option->detail, sizeof option->detail, "%s", err->detail);
        *err = (struct lq_error){.code = LQ_OK};
        return LQ_OK;
    }
    if (code == LQ_OK && find_offers(q, &option->serving) > 0) {
        option->usd_per_million_tokens = q->offers[0].cost.cost_usd;
    }
    return code;
}

static enum lq_code try_counts(struct quoting *q, struct lq_error *err)
{
    if (q->document.gpu_count > 0) {
        return try_count(q, q->document.gpu_count, err);
    }
    for (int64_t count = 1; count <= q->document.max_gpu_count; count *= 2) {
        LQ_TRY(try_count(q, count, err));
    }
    return LQ_OK;
}

/* The cheapest in dollars, or in GPU time where nobody prices the GPU. */
static const struct lq_serving_option *choose(const struct quoting *q)
{
    const struct lq_serving_option *best = NULL;
    for (size_t i = 0; i < q->option_count; i++) {
        const struct lq_serving_option *o = &q->options[i];
        if (!o->fits) {
            continue;
        }
        const bool priced = o->usd_per_million_tokens > 0.0;
        const double cost = priced ? o->usd_per_million_tokens : o->serving.gpu_s_per_token;
        if (best == NULL ||
            cost < (priced ? best->usd_per_million_tokens : best->serving.gpu_s_per_token)) {
            best = o;
        }
    }
    return best;
}

/* Names the missing bytes on the most devices, and what would fit. */
static enum lq_code refuse(struct quoting *q, struct lq_faults *faults)
{
    static const enum lq_quantization NARROW[] = {LQ_QUANTIZATION_INT8, LQ_QUANTIZATION_INT4};
    const struct lq_serving_document *d = &q->document;
    const struct lq_serving_option *last = &q->options[q->option_count - 1];
    const int64_t fewest = lq_serving_fewest(&q->load, &d->setup);
    char would[96] = "no number of them would hold it";
    if (fewest > 0) {
        snprintf(would, sizeof would, "%lld of them would hold it", (long long)fewest);
    }
    for (int i = 0; i < 2 && d->format.quantization == LQ_QUANTIZATION_NONE; i++) {
        struct lq_serving_format format = d->format;
        format.quantization = NARROW[i];
        lq_serving_count(&d->model, &format, d->setup.stack, &d->traffic.traffic, &q->load);
        struct lq_serving serving;
        if (lq_serving_at(&q->load, &d->setup, last->serving.gpu_count, &serving, NULL) == LQ_OK) {
            const size_t used = strlen(would);
            snprintf(would + used, sizeof would - used, ", or quantization \"%s\" on as many",
                     LQ_QUANTIZATION_NAMES[NARROW[i]]);
            break;
        }
    }
    return lq_faults_add(faults, LQ_ENOFIT,
                         d->gpu_count > 0 ? "/gpu_count" : "/max_serving_gpu_count", "%s; %s",
                         last->detail, would);
}

static json_t *answer(struct quoting *q, const struct lq_serving_option *chosen)
{
    const struct lq_catalog *catalog = q->call->catalog;
    const struct lq_serving_document *d = &q->document;
    const size_t offers = find_offers(q, &chosen->serving);
    for (size_t i = 0; i < offers; i++) {
        q->lines[i] = lq_offer_line(&q->offers[i]);
    }
    const struct lq_serving_identity identity = {.model = d->model.id,
                                                 .gpu = d->setup.gpu->id,
                                                 .stack = d->setup.stack->id,
                                                 .gpu_count = chosen->serving.gpu_count,
                                                 .format = d->format,
                                                 .concurrent_requests =
                                                     chosen->serving.concurrent_requests};
    const struct lq_serving_quote quote = {
        .document = d,
        .load = &q->load,
        .options = q->options,
        .option_count = q->option_count,
        .chosen = chosen,
        .costs = q->lines,
        .cost_count = offers,
        .basis = lq_serving_basis_of(catalog->decodes, catalog->decode_count, &identity),
        .catalog_version = catalog->catalog_version,
        .prices_version = catalog->prices_version};
    return lq_serving_encode(&quote);
}

static enum lq_code quote_decoded(struct quoting *q, struct lq_call *call, struct lq_reply *reply)
{
    struct lq_error err = {0};
    const struct lq_serving_document *d = &q->document;
    lq_serving_count(&d->model, &d->format, d->setup.stack, &d->traffic.traffic, &q->load);
    if (try_counts(q, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    const struct lq_serving_option *chosen = choose(q);
    if (chosen == NULL) {
        return refuse(q, call->faults);
    }
    if (d->terms.provider_count > 0 && !(chosen->usd_per_million_tokens > 0.0)) {
        return lq_faults_add(call->faults, LQ_EUNPRICED, "/providers",
                             "none of the %zu named providers prices %s", d->terms.provider_count,
                             d->setup.gpu->id);
    }
    return lq_reply_computed(call, answer(q, chosen), reply);
}

enum lq_code lq_servings_post(struct lq_call *call, struct lq_reply *reply)
{
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    struct quoting *q = calloc(1, sizeof *q);
    if (q == NULL) {
        json_decref(root);
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the answer");
    }
    q->call = call;
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    enum lq_code code = lq_serving_decode(root, &lookup, &q->document, call->faults);
    if (code == LQ_OK) {
        code = quote_decoded(q, call, reply);
    }
    lq_serving_release(&q->document);
    free(q);
    json_decref(root);
    return code;
}
