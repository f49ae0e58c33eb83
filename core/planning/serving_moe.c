/* Counts the load of a model that is only planned. How long it takes is serving.c's business. */
#include "core/planning/serving_moe.h"

#include "core/planning/serving_traffic.h"

#include <math.h>
#include <string.h>

/* LLaMA-7B: arXiv 2302.13971, Table 2 (2023). */
#define LLAMA_7B_PARAMETERS 6.738e9
#define LLAMA_7B_LAYERS 32.0
#define LLAMA_7B_HIDDEN 4096.0

/* Share of the dense parameters that is replicated; none where one expert is all there is. */
static double routed_share(const struct lq_moe_shape *shape)
{
    return shape->experts > 1.0 ? shape->mlp_share * shape->moe_layer_share : 0.0;
}

double lq_moe_total_parameters(const struct lq_moe_shape *shape)
{
    return (1.0 + (shape->experts - 1.0) * routed_share(shape)) * shape->parameters;
}

double lq_moe_active_parameters(const struct lq_moe_shape *shape)
{
    return (1.0 + (shape->active_experts - 1.0) * routed_share(shape)) * shape->parameters;
}

static enum lq_code check_range(double value, double min, double max, const char *pointer,
                                struct lq_error *err)
{
    if (value >= min && value <= max) {
        return LQ_OK;
    }
    return lq_fail(err, LQ_EFIELD, pointer, "must be %g..%g, got %g", min, max, value);
}

static enum lq_code check(const struct lq_moe_shape *shape, struct lq_error *err)
{
    LQ_TRY(check_range(shape->parameters, 1e3, 1e16, "/parameters", err));
    LQ_TRY(check_range(shape->experts, 1.0, 65536.0, "/experts", err));
    if (shape->experts > 1.0) {
        LQ_TRY(check_range(shape->active_experts, 1.0, shape->experts, "/active_experts", err));
    }
    LQ_TRY(check_range(shape->mlp_share, 0.0, 1.0, "/mlp_share", err));
    return check_range(shape->moe_layer_share, 0.0, 1.0, "/moe_layer_share", err);
}

static void count_weights(const struct lq_moe_shape *shape, double weight_bytes,
                          struct lq_serving_load *out)
{
    const double routed = routed_share(shape);
    out->stored_bytes = lq_moe_total_parameters(shape) * weight_bytes;
    out->matrix_bytes = (1.0 - routed) * shape->parameters * weight_bytes;
    if (routed > 0.0) {
        out->experts[out->expert_kinds++] =
            (struct lq_serving_experts){.layers = out->layers * shape->moe_layer_share,
                                        .experts = shape->experts,
                                        .active = shape->active_experts,
                                        .bytes = routed * shape->parameters * weight_bytes};
    }
}

enum lq_code lq_serving_count_moe(const struct lq_moe_shape *shape,
                                  const struct lq_serving_format *format,
                                  const struct lq_serving_stack *stack,
                                  const struct lq_traffic *traffic, struct lq_serving_load *out,
                                  struct lq_error *err)
{
    LQ_TRY(check(shape, err));
    memset(out, 0, sizeof *out);
    const double scale = cbrt(shape->parameters / LLAMA_7B_PARAMETERS);
    const double hidden = LLAMA_7B_HIDDEN * scale;
    out->layers = LLAMA_7B_LAYERS * scale;
    count_weights(shape, lq_serving_weight_bytes(format, stack), out);
    out->hidden_bytes = hidden * lq_precision_bytes(format->precision);
    out->cache_kinds = 1;
    out->cache[0] = (struct lq_serving_cache){
        .token_bytes = 2.0 * hidden * out->layers * lq_kv_precision_bytes(format->kv_precision),
        .shards = (double)INFINITY,
        .mean_tokens = lq_traffic_held_tokens(traffic, 0.0),
        .longest_tokens = lq_traffic_longest_tokens(traffic, 0.0)};
    /* scores: a multiply-add with a key and one with a value for each element of the width */
    const double score_flop = 4.0 * hidden * out->layers;
    const double flop = 2.0 * lq_moe_active_parameters(shape);
    out->prompt_flop = flop + score_flop * lq_traffic_prompt_keys(traffic, 0.0);
    out->answer_flop = flop + score_flop * out->cache[0].mean_tokens;
    out->prompt_tokens = lq_traffic_prompt_tokens(traffic);
    out->output_tokens = lq_traffic_output_tokens(traffic);
    out->weight_class = lq_weight_class_of(format->precision, format->quantization);
    out->rate = lq_serving_rate(format);
    out->fractional = true;
    return LQ_OK;
}
