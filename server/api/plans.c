/* Answers plans: decode, price, one core call for each law, encode. */
#include "server/api/plans.h"

#include "core/base/units.h"
#include "server/api/lookup.h"
#include "server/api/offers.h"
#include "server/api/page.h"
#include "server/json/plan_answer.h"

#include <stdio.h>
#include <stdlib.h>

/* What one request needs at once; too large for a thread's stack. */
struct planning {
    struct lq_call *call;
    struct lq_plan_document document;
    struct lq_plan plan;
    struct lq_plan scratch;
    struct lq_plan_claims claims;
    struct lq_plan_verdict verdicts[LQ_PLAN_LAWS_MAX];
    struct lq_offer_quote offers[LQ_OFFERS_MAX];
    struct lq_plan_price_line price;
};

/* The cheapest GPU hour among the offers that count; 0 where nobody prices it. */
static double find_price(struct planning *p)
{
    const struct lq_plan_document *d = &p->document;
    const struct lq_demand demand = {d->question.serving.gpu, 1, &d->terms, true, false};
    const size_t n = lq_offers_find(&demand, p->call->catalog, LQ_SECONDS_PER_HOUR, p->offers);
    p->price = (struct lq_plan_price_line){"", "", "", false};
    double least = 0.0;
    for (size_t i = 0; i < n; i++) {
        const struct lq_offer_quote *offer = &p->offers[i];
        if (i > 0 && !(offer->cost.usd_per_gpu_h < least)) {
            continue;
        }
        least = offer->cost.usd_per_gpu_h;
        const struct lq_cost_line line = lq_offer_line(offer);
        p->price =
            (struct lq_plan_price_line){line.provider, line.instance_type, line.date, line.stale};
    }
    return least;
}

/* The plan of one of several laws in short. A law that was named must know what is asked; one that
 * has no answer here says why in its place. */
static enum lq_code judge(struct planning *p, size_t i)
{
    struct lq_plan_document *d = &p->document;
    const struct lq_law *law = d->laws[i];
    struct lq_error err = {0};
    lq_plan_document_ask(d, law);
    const struct lq_plan_question *q = &d->question;
    if (lq_plan_law_check(law, q->experts, q->expert_count, &err) != LQ_OK) {
        char at[LQ_POINTER_MAX];
        snprintf(at, sizeof at, "/laws/%zu", i);
        return lq_faults_add(p->call->faults, err.code, at, "%s", err.detail);
    }
    if (lq_plan(q, &p->scratch, &err) == LQ_OK) {
        p->verdicts[i] = lq_plan_verdict_of(law, &p->scratch);
        return LQ_OK;
    }
    p->verdicts[i] = (struct lq_plan_verdict){.law = law};
    snprintf(p->verdicts[i].choice.why, sizeof p->verdicts[i].choice.why, "%s", err.detail);
    return LQ_OK;
}

static enum lq_code judge_all(struct planning *p)
{
    enum lq_code code = LQ_OK;
    for (size_t i = 0; i < p->document.law_count; i++) {
        const enum lq_code judged = judge(p, i);
        code = code == LQ_OK ? judged : code;
    }
    return code;
}

static enum lq_code plan_shown(struct planning *p)
{
    struct lq_error err = {0};
    lq_plan_document_ask(&p->document, p->document.law);
    if (lq_plan(&p->document.question, &p->plan, &err) != LQ_OK) {
        return lq_call_fail(p->call, &err);
    }
    return LQ_OK;
}

static enum lq_code answer_decoded(struct planning *p, struct lq_reply *reply)
{
    const struct lq_catalog *catalog = p->call->catalog;
    const double usd_per_gpu_h = find_price(p);
    if (p->document.terms.provider_count > 0 && !(usd_per_gpu_h > 0.0)) {
        return lq_faults_add(p->call->faults, LQ_EUNPRICED, "/providers",
                             "none of the %zu named providers prices %s",
                             p->document.terms.provider_count,
                             p->document.question.serving.gpu->id);
    }
    LQ_TRY(lq_plan_document_price(&p->document, usd_per_gpu_h, p->call->faults));
    LQ_TRY(judge_all(p));
    LQ_TRY(plan_shown(p)); /* last: the question stays that of the law that is shown */
    const bool weighed = lq_plan_claims(&p->document.question, &p->claims);
    const struct lq_plan_quote quote = {.document = &p->document,
                                        .plan = &p->plan,
                                        .claims = weighed ? &p->claims : NULL,
                                        .verdicts = p->verdicts,
                                        .verdict_count = p->document.law_count,
                                        .scratch = &p->scratch,
                                        .price = p->price,
                                        .catalog_version = catalog->catalog_version,
                                        .prices_version = catalog->prices_version,
                                        .laws_version = catalog->laws_version};
    return lq_reply_computed(p->call, lq_plan_encode(&quote), reply);
}

enum lq_code lq_plans_post(struct lq_call *call, struct lq_reply *reply)
{
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    struct planning *p = calloc(1, sizeof *p);
    if (p == NULL) {
        json_decref(root);
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the plan");
    }
    p->call = call;
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    enum lq_code code = lq_plan_decode(root, &lookup, &p->document, call->faults);
    if (code == LQ_OK) {
        code = answer_decoded(p, reply);
    }
    lq_plan_release(&p->document);
    free(p);
    json_decref(root);
    return code;
}
