/* From models to a law's point: the family of models that a plan walks, and concrete shapes. */
#include "core/planning/law.h"

static double at_most(double x, double most)
{
    return x < most ? x : most;
}

double lq_family_total(const struct lq_law_family *family, double parameters, double experts)
{
    return parameters * (1.0 + (experts - 1.0) * family->expert_share);
}

double lq_family_active(const struct lq_law_family *family, double parameters, double experts)
{
    return parameters *
           (1.0 + (at_most(family->active_experts, experts) - 1.0) * family->expert_share);
}

struct lq_law_point lq_law_point_of(const struct lq_law *law, const struct lq_law_family *family,
                                    double parameters, double tokens, double experts)
{
    struct lq_law_point point = {
        .parameters = parameters,
        .tokens = tokens,
        .experts = experts,
        .active_parameters = lq_family_active(family, parameters, experts),
        .active_experts = at_most(family->active_experts, experts),
        .granularity = family->granularity,
        .shared_ratio = family->shared_ratio,
    };
    switch (law->meaning) {
    case LQ_N_TOTAL:
        point.parameters = lq_family_total(family, parameters, experts);
        break;
    case LQ_N_ACTIVE:
        point.parameters = point.active_parameters;
        break;
    case LQ_N_DENSE_EQUIVALENT:
        break;
    }
    return point;
}

/* Input embeddings and head: as stored, or as they work, where a tied matrix works in both places.
 */
static double embeddings_of(const struct lq_parameters *count, enum lq_law_embeddings embeddings,
                            bool as_they_work)
{
    if (embeddings == LQ_EMBEDDINGS_OUT) {
        return 0.0;
    }
    const bool tied = count->head == 0;
    const int64_t head = tied && as_they_work ? count->embedding : count->head;
    return (double)(count->embedding + head);
}

double lq_model_dense_equivalent(const struct lq_model *model, enum lq_law_embeddings embeddings)
{
    struct lq_model dense = *model;
    for (int i = 0; i < dense.layer_kinds; i++) {
        struct lq_ffn *ffn = &dense.layers[i].ffn;
        if (ffn->kind == LQ_FFN_MOE) {
            /* shared experts stay, as one expert of their width beside the routed one would */
            ffn->intermediate_size += ffn->shared_size;
            ffn->kind = LQ_FFN_DENSE;
            ffn->experts = 0;
            ffn->active_experts = 0;
            ffn->shared_size = 0;
            ffn->router_parameters = 0;
            ffn->shared_bias_parameters = 0;
        }
    }
    const struct lq_parameters count = lq_model_parameters(&dense, 0);
    return (double)(count.linear + count.rest) + embeddings_of(&count, embeddings, false);
}

/* The layer kind with the most routed experts; NULL for dense models. */
static const struct lq_ffn *widest_mixture(const struct lq_model *model)
{
    const struct lq_ffn *most = NULL;
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_ffn *ffn = &model->layers[i].ffn;
        if (ffn->kind == LQ_FFN_MOE && (most == NULL || ffn->experts > most->experts)) {
            most = ffn;
        }
    }
    return most;
}

static void describe_mixture(const struct lq_law *law, const struct lq_model *model,
                             struct lq_law_point *point)
{
    const struct lq_ffn *ffn = widest_mixture(model);
    if (ffn == NULL) {
        point->experts = 1.0;
        point->active_experts = 1.0;
        point->granularity = 1.0;
        return;
    }
    const double hidden_sizes = law->form->quantity == LQ_LAW_LEVERAGE ? 2.0 : 4.0;
    const double routed = (double)(ffn->active_experts * ffn->intermediate_size);
    point->experts = (double)ffn->experts;
    point->active_experts = (double)ffn->active_experts;
    point->granularity = hidden_sizes * (double)model->hidden_size / (double)ffn->intermediate_size;
    point->shared_ratio = (double)ffn->shared_size / ((double)ffn->shared_size + routed);
}

struct lq_law_point lq_law_point_of_model(const struct lq_law *law, const struct lq_model *model,
                                          double tokens)
{
    const struct lq_parameters count = lq_model_parameters(model, 0);
    const double idle = (double)(count.total - count.active);
    /* laws of activated parameters count what a token meets, as ludziejewski2025's 2 d V says */
    const double all = (double)(count.linear + count.rest) +
                       embeddings_of(&count, law->embeddings, law->meaning == LQ_N_ACTIVE);
    struct lq_law_point point = {.tokens = tokens, .active_parameters = all - idle};
    describe_mixture(law, model, &point);
    switch (law->meaning) {
    case LQ_N_TOTAL:
        point.parameters = all;
        break;
    case LQ_N_ACTIVE:
        point.parameters = point.active_parameters;
        break;
    case LQ_N_DENSE_EQUIVALENT:
        point.parameters = lq_model_dense_equivalent(model, law->embeddings);
        break;
    }
    return point;
}
