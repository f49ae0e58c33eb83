/* Makes core's question of a decoded request: dollars become FLOPs, a law brings its family. */
#include "core/base/units.h"
#include "server/json/member.h"
#include "server/json/plan.h"

#include <math.h>

/* The set-up behind the figures of Yun et al. 2024 (arXiv 2404.02852). */
static const double DEFAULT_EXPERTS[] = {1, 2, 4, 8, 16, 32, 64};
enum { DEFAULT_EXPERT_COUNT = sizeof DEFAULT_EXPERTS / sizeof DEFAULT_EXPERTS[0] };
static const double DEFAULT_BASE = 4.0;

void lq_plan_document_take(struct lq_plan_document *document, const struct lq_model *model)
{
    const double experts = (double)lq_model_experts(model);
    const double dense = lq_model_dense_equivalent(model, LQ_EMBEDDINGS_IN);
    const double total = (double)lq_model_parameters(model, 0).total;
    double layers = 0.0;
    double mixed = 0.0;
    for (int i = 0; i < model->layer_kinds; i++) {
        const double count = (double)model->layers[i].count;
        layers += count;
        mixed += model->layers[i].ffn.kind == LQ_FFN_MOE ? count : 0.0;
    }
    document->active_experts = (double)lq_model_active_experts(model);
    document->moe_layer_share = mixed / layers;
    document->mlp_share =
        fmin((total - dense) / (dense * (experts - 1.0)) / document->moe_layer_share, 1.0);
}

enum lq_code lq_plan_document_price(struct lq_plan_document *document, double usd_per_gpu_h,
                                    struct lq_faults *faults)
{
    struct lq_plan_question *q = &document->question;
    document->usd_per_gpu_h = usd_per_gpu_h;
    if (document->budget_usd > 0.0) {
        if (!(usd_per_gpu_h > 0.0)) {
            return lq_faults_add(faults, LQ_EUNPRICED, "/budget_usd",
                                 "nobody prices %s: give usd_per_gpu_hour, or budget_flop",
                                 q->serving.gpu->id);
        }
        const double gpu_s = document->budget_usd / usd_per_gpu_h * LQ_SECONDS_PER_HOUR;
        q->budget_flop = gpu_s * q->train_flop_per_s;
        q->total_gpu_s = q->served_tokens > 0.0 ? gpu_s : 0.0;
        if (!(q->budget_flop >= LQ_PLAN_BUDGET_MIN && q->budget_flop <= LQ_PLAN_BUDGET_MAX)) {
            return lq_faults_add(faults, LQ_EFIELD, "/budget_usd",
                                 "pays for %.3g FLOPs on %s; plans are made for %g to %g",
                                 q->budget_flop, q->serving.gpu->id, LQ_PLAN_BUDGET_MIN,
                                 LQ_PLAN_BUDGET_MAX);
        }
    }
    if (document->deadline_s > 0.0 && document->training_gpu_count > 0) {
        const double gpu_s = document->deadline_s * (double)document->training_gpu_count;
        const double most = gpu_s * q->train_flop_per_s;
        document->deadline_binds = most < q->budget_flop;
        q->budget_flop = fmin(q->budget_flop, most);
        if (q->budget_flop < LQ_PLAN_BUDGET_MIN) {
            return lq_faults_add(faults, LQ_EFIELD, "/deadline_s",
                                 "leaves %.3g FLOPs on %lld GPUs; plans are made for %g or more",
                                 most, (long long)document->training_gpu_count, LQ_PLAN_BUDGET_MIN);
        }
    }
    return LQ_OK;
}

/* The law's own family; a law of which only the product of the shares is known has every layer
 * mixed. */
static void set_family(struct lq_plan_document *document, const struct lq_law *law)
{
    struct lq_plan_question *q = &document->question;
    const bool paper =
        fabs(law->family.expert_share - LQ_MOE_MLP_SHARE * LQ_MOE_LAYER_SHARE) < 1e-9;
    document->family = law->family;
    q->moe_layer_share = document->moe_layer_share >= 0.0 ? document->moe_layer_share
                         : paper                          ? LQ_MOE_LAYER_SHARE
                                                          : 1.0;
    q->mlp_share = document->mlp_share >= 0.0 ? document->mlp_share
                   : paper                    ? LQ_MOE_MLP_SHARE
                                              : law->family.expert_share;
    if (document->mlp_share >= 0.0 || document->moe_layer_share >= 0.0) {
        document->family.expert_share = q->mlp_share * q->moe_layer_share;
    }
    if (document->active_experts > 0.0) {
        document->family.active_experts = document->active_experts;
    } else if (!(document->family.active_experts >= 1.0)) {
        document->family.active_experts = LQ_MOE_ACTIVE_EXPERTS;
    }
    q->family = &document->family;
}

void lq_plan_document_ask(struct lq_plan_document *document, const struct lq_law *law)
{
    struct lq_plan_question *q = &document->question;
    const bool fixed = !lq_law_knows_experts(law);
    q->law = law;
    set_family(document, law);
    q->experts = document->expert_count > 0 ? document->experts : DEFAULT_EXPERTS;
    q->expert_count = document->expert_count > 0 ? document->expert_count : DEFAULT_EXPERT_COUNT;
    q->base_experts = document->base_experts > 0.0 ? document->base_experts : DEFAULT_BASE;
    if (fixed && document->expert_count == 0) {
        q->experts = &law->experts_fixed;
        q->expert_count = 1;
    }
    if (fixed && !(document->base_experts > 0.0)) {
        q->base_experts = law->experts_fixed;
    }
}

json_t *lq_plan_document_encode(const struct lq_plan_document *d)
{
    const struct lq_plan_question *q = &d->question;
    json_t *o = json_object();
    json_object_set_new(o, "base_experts", json_integer((json_int_t)q->base_experts));
    json_object_set_new(o, "active_experts", json_integer((json_int_t)d->family.active_experts));
    json_object_set_new(o, "mlp_share", json_real(q->mlp_share));
    json_object_set_new(o, "moe_layer_share", json_real(q->moe_layer_share));
    json_object_set_new(o, "budget_usd", lq_number_or_null(d->budget_usd));
    json_object_set_new(o, "utilisation", json_real(d->utilisation));
    json_object_set_new(o, "precision", json_string(LQ_PRECISION_NAMES[q->format.precision]));
    json_object_set_new(o, "stack", json_string(q->serving.stack->id));
    json_object_set_new(o, "traffic", lq_traffic_encode(&d->traffic));
    json_object_set_new(o, "max_concurrent_requests",
                        json_integer(q->serving.max_concurrent_requests));
    json_object_set_new(o, "max_serving_gpu_count", json_integer(q->max_serving_gpu_count));
    lq_terms_encode(&d->terms, o);
    json_object_set_new(o, "served_tokens", json_real(q->served_tokens));
    json_object_set_new(o, "required_loss", lq_number_or_null(q->required_loss));
    json_object_set_new(o, "max_total_parameters", lq_number_or_null(q->max_total_parameters));
    json_object_set_new(o, "max_training_tokens", lq_number_or_null(q->max_training_tokens));
    json_object_set_new(o, "deadline_s", lq_number_or_null(d->deadline_s));
    json_object_set_new(o, "training_gpu_count",
                        d->training_gpu_count > 0 ? json_integer(d->training_gpu_count)
                                                  : json_null());
    json_object_set_new(o, "bounded_cost_search",
                        json_string("bisected on the monotone envelope of the serving cost, which "
                                    "can jump where more GPUs are needed"));
    return o;
}
