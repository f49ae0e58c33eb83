/* Encodes what the paper's claims come to, and what several laws say of one budget. */
#include "core/planning/plan_claims.h"

#include "server/json/plan_answer.h"

static void set_ratio(json_t *object, const char *name, bool known, double value)
{
    json_object_set_new(object, name, known ? json_real(value) : json_null());
}

static json_t *serving_row(const struct lq_plan_document *document, const struct lq_claim_row *row)
{
    static const char *const NAMES[] = {"serving_usd_per_million_tokens",
                                        "serving_usd_per_million_tokens_uncapped"};
    static const char *const TIMES[] = {"serving_gpu_s_per_million_tokens",
                                        "serving_gpu_s_per_million_tokens_uncapped"};
    json_t *o = json_object();
    json_object_set_new(o, "experts", json_integer((json_int_t)row->experts));
    set_ratio(o, "parameters", row->reaches, row->at.parameters);
    for (int s = 0; s < LQ_CLAIM_SETTINGS; s++) {
        const double gpu_s = 1e6 * row->gpu_s_per_token[s];
        const double usd = gpu_s / 3600.0 * document->usd_per_gpu_h;
        set_ratio(o, TIMES[s], gpu_s > 0.0, gpu_s);
        set_ratio(o, NAMES[s], usd > 0.0, usd);
    }
    return o;
}

static json_t *training_row(const struct lq_claim_row *row)
{
    json_t *o = json_object();
    json_object_set_new(o, "experts", json_integer((json_int_t)row->experts));
    set_ratio(o, "budget_ratio", row->reaches, row->budget_ratio);
    return o;
}

static json_t *shrink_row(const struct lq_claim_row *row)
{
    json_t *o = json_object();
    json_object_set_new(o, "experts", json_integer((json_int_t)row->experts));
    set_ratio(o, "shrink_ratio", row->shrinks, row->shrink_ratio);
    set_ratio(o, "serving_cost_ratio", row->shrunk_cost_ratio[0] > 0.0, row->shrunk_cost_ratio[0]);
    set_ratio(o, "serving_cost_ratio_uncapped", row->shrunk_cost_ratio[1] > 0.0,
              row->shrunk_cost_ratio[1]);
    return o;
}

static json_t *row_encode(const struct lq_plan_quote *quote, int kind,
                          const struct lq_claim_row *row)
{
    switch ((enum lq_plan_claim_kind)kind) {
    case LQ_CLAIM_FEW_SERVE_CHEAPEST:
        return serving_row(quote->document, row);
    case LQ_CLAIM_FEW_COST_TO_TRAIN:
        return training_row(row);
    case LQ_CLAIM_SMALL_OVERTRAINED:
    case LQ_CLAIM_COUNT:
        break;
    }
    return shrink_row(row);
}

static json_t *claim_encode(const struct lq_plan_quote *quote, int kind)
{
    const struct lq_plan_claim *claim = &quote->claims->claims[kind];
    const struct lq_plan_question *q = &quote->document->question;
    json_t *o = json_object();
    json_object_set_new(o, "claim", json_string(LQ_PLAN_CLAIM_NAMES[kind]));
    json_object_set_new(o, "holds", json_boolean(claim->holds[0]));
    json_object_set_new(o, "holds_uncapped", json_boolean(claim->holds[1]));
    json_object_set_new(o, "detail", json_string(claim->detail));
    json_object_set_new(o, "law", json_string(q->law->id));
    json_object_set_new(o, "status", json_string(LQ_LAW_STATUS_NAMES[q->law->status]));
    json_object_set_new(o, "budget_flop", json_real(q->budget_flop));
    json_object_set_new(o, "max_concurrent_requests",
                        json_integer(q->serving.max_concurrent_requests));
    json_t *rows = json_array();
    for (int i = 0; i < LQ_CLAIM_ROWS; i++) {
        json_array_append_new(rows, row_encode(quote, kind, &quote->claims->rows[i]));
    }
    json_object_set_new(o, "numbers", rows);
    return o;
}

json_t *lq_plan_claims_encode(const struct lq_plan_quote *quote)
{
    json_t *list = json_array();
    for (int kind = 0; quote->claims != NULL && kind < LQ_CLAIM_COUNT; kind++) {
        json_array_append_new(list, claim_encode(quote, kind));
    }
    return list;
}

json_t *lq_plan_verdicts_encode(const struct lq_plan_quote *quote)
{
    json_t *list = json_array();
    for (size_t i = 0; i < quote->verdict_count; i++) {
        const struct lq_plan_verdict *v = &quote->verdicts[i];
        json_t *o = json_object();
        json_object_set_new(o, "law", json_string(v->law->id));
        json_object_set_new(o, "status", json_string(LQ_LAW_STATUS_NAMES[v->law->status]));
        json_object_set_new(o, "recommendation",
                            lq_plan_choice_encode(quote->document, &v->choice));
        set_ratio(o, "shrink_ratio", v->shrink_ratio > 0.0, v->shrink_ratio);
        set_ratio(o, "base_loss_optimal_parameters", v->optimal_parameters > 0.0,
                  v->optimal_parameters);
        json_array_append_new(list, o);
    }
    return list;
}

/* null where nothing was ranged over */
static json_t *range_encode(const double range[2])
{
    if (!(range[1] > 0.0)) {
        return json_null();
    }
    json_t *list = json_array();
    json_array_append_new(list, json_real(range[0]));
    json_array_append_new(list, json_real(range[1]));
    return list;
}

json_t *lq_plan_consensus_encode(const struct lq_plan_quote *quote)
{
    struct lq_plan_consensus c;
    lq_plan_agree(quote->verdicts, quote->verdict_count, &c);
    json_t *o = json_object();
    json_object_set_new(o, "experts",
                        c.experts > 0.0 ? json_integer((json_int_t)c.experts) : json_null());
    json_object_set_new(o, "agreeing", json_integer((json_int_t)c.agreeing));
    json_object_set_new(o, "voters", json_integer((json_int_t)c.voters));
    json_object_set_new(o, "laws", json_integer((json_int_t)c.laws));
    json_t *spread = json_object();
    json_object_set_new(spread, "experts", range_encode(c.experts_range));
    json_object_set_new(spread, "parameters", range_encode(c.parameters_range));
    json_object_set_new(spread, "tokens", range_encode(c.tokens_range));
    json_object_set_new(spread, "base_loss_optimal_parameters", range_encode(c.optimal_range));
    json_object_set_new(o, "spread", spread);
    json_object_set_new(o, "robust", json_string(c.robust));
    return o;
}
