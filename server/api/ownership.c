/* Chooses and prices the group that serves. */
#include "server/api/ownership.h"

#include "core/base/units.h"
#include "server/api/offers.h"
#include "server/store/catalog.h"

#include <stdlib.h>

struct finding {
    const struct lq_ownership_document *document;
    const struct lq_catalog *catalog;
    struct lq_serving_load load;
    struct lq_offer_quote offers[LQ_OFFERS_MAX];
    double best_usd; /* per month or per request; 0: none yet */
    bool fits;
};

/* Considers one number of GPUs. */
static enum lq_code try_count(struct finding *f, int64_t gpu_count,
                              const struct lq_ownership *common, struct lq_ownership_answer *out,
                              struct lq_error *err)
{
    const struct lq_serving_document *d = &f->document->serving;
    struct lq_serving serving;
    struct lq_error refusal = {.code = LQ_OK};
    const enum lq_code code = lq_serving_at(&f->load, &d->setup, gpu_count, &serving, &refusal);
    if (code == LQ_ENOFIT) {
        return LQ_OK;
    }
    if (code != LQ_OK) {
        return lq_fail(err, code, "/serving", "%s", refusal.detail);
    }
    f->fits = true;
    const double month_s = LQ_HOURS_PER_MONTH * LQ_SECONDS_PER_HOUR;
    const struct lq_demand demand = {
        .gpu = d->setup.gpu, .gpu_count = gpu_count, .terms = &d->terms, .replicated = true};
    if (lq_offers_find(&demand, f->catalog, month_s, f->offers) == 0) {
        return LQ_OK;
    }
    struct lq_ownership own = *common;
    own.group_usd_per_month = f->offers[0].cost.cost_usd;
    own.group_requests_per_month =
        f->document->utilisation * serving.tokens_per_s / f->load.output_tokens * month_s;
    own.serving_log_sd = lq_serving_log_sd(d->setup.stack, serving.concurrent_requests);
    const double usd = own.requests_per_month > 0.0
                           ? lq_own_groups(&own) * own.group_usd_per_month
                           : own.group_usd_per_month / own.group_requests_per_month;
    if (f->best_usd > 0.0 && usd >= f->best_usd) {
        return LQ_OK;
    }
    f->best_usd = usd;
    out->ownership = own;
    out->gpu_count = gpu_count;
    out->tokens_per_s = serving.tokens_per_s;
    out->concurrent_requests = serving.concurrent_requests;
    out->line = lq_offer_line(&f->offers[0]);
    return LQ_OK;
}

static enum lq_code find(struct finding *f, const struct lq_ownership *common,
                         struct lq_ownership_answer *out, struct lq_error *err)
{
    const struct lq_serving_document *d = &f->document->serving;
    if (d->gpu_count > 0) {
        LQ_TRY(try_count(f, d->gpu_count, common, out, err));
    }
    for (int64_t n = 1; d->gpu_count == 0 && n <= d->max_gpu_count; n *= 2) {
        LQ_TRY(try_count(f, n, common, out, err));
    }
    if (!f->fits) {
        return lq_fail(err, LQ_ENOFIT, "/serving/gpu",
                       "no allowed number of %s holds %s to serve it; POST /v1/servings says how "
                       "many bytes are missing",
                       d->setup.gpu->id, d->model.id);
    }
    if (!(f->best_usd > 0.0)) {
        return lq_fail(err, LQ_EUNPRICED, "/serving/gpu", "nobody that counts prices %s",
                       d->setup.gpu->id);
    }
    return LQ_OK;
}

enum lq_code lq_ownership_find(const struct lq_ownership_document *document,
                               const struct lq_catalog *catalog, double tuning_usd,
                               double tuning_log_sd, struct lq_ownership_answer *out,
                               struct lq_error *err)
{
    struct finding *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for serving");
    }
    const struct lq_serving_document *d = &document->serving;
    f->document = document;
    f->catalog = catalog;
    lq_serving_count(&d->model, &d->format, d->setup.stack, &d->traffic.traffic, &f->load);
    const struct lq_ownership common = {.tuning_usd = tuning_usd,
                                        .tuning_log_sd = tuning_log_sd,
                                        .api_usd_per_request =
                                            f->load.prompt_tokens * document->usd_per_input_token +
                                            f->load.output_tokens * document->usd_per_output_token,
                                        .requests_per_month = document->requests_per_month};
    *out = (struct lq_ownership_answer){.document = document,
                                        .confidence = d->confidence,
                                        .prompt_tokens = f->load.prompt_tokens,
                                        .output_tokens = f->load.output_tokens};
    const enum lq_code code = find(f, &common, out, err);
    free(f);
    return code;
}
