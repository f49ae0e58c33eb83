/* Turns counted work into seconds with a stack's efficiencies, and fits those seconds to what was
 * measured. The counting is work.c's, the constants are efficiency.c's. */
#include "core/finetune/step_time.h"

#include <stddef.h>

const char *const LQ_BOUND_NAMES[] = {"compute", "memory", "overhead", "network", NULL};

static double rate_or(double rate, double fallback_rate, bool *fallback)
{
    if (rate > 0.0) {
        return rate;
    }
    *fallback = true;
    return fallback_rate;
}

double lq_peak_flop_per_s(const struct lq_gpu *gpu, enum lq_precision precision, bool *fallback)
{
    *fallback = false;
    const double fp16 = gpu->fp16_flop_per_s;
    switch (precision) {
    case LQ_PRECISION_BF16:
    case LQ_PRECISION_FP16:
        return rate_or(fp16, gpu->fp32_flop_per_s, fallback);
    case LQ_PRECISION_FP32:
        /* PyTorch's default since 1.12 (2022): no TF32 in matmuls */
        return rate_or(gpu->fp32_flop_per_s, fp16, fallback);
    case LQ_PRECISION_FP8:
        return rate_or(gpu->fp8_flop_per_s, fp16 > 0.0 ? fp16 : gpu->fp32_flop_per_s, fallback);
    }
    return fp16;
}

static double calls_s(const struct lq_work *work, const struct lq_stack *stack)
{
    return work->linear_calls * stack->linear_call_s + work->lora_calls * stack->lora_call_s +
           work->quantized_calls * stack->quantized_call_s +
           work->expert_calls * stack->expert_call_s;
}

static double all_reduce_s(const struct lq_step_device *device)
{
    if (device->gpu_count < 2) {
        return 0.0;
    }
    const double n = (double)device->gpu_count;
    const double one_way = device->gpu->interconnect_bytes_per_s / 2.0;
    return 2.0 * (n - 1.0) / n * device->gradient_bytes / one_way;
}

struct lq_step_time lq_step_prior(const struct lq_work_table *work,
                                  const struct lq_step_device *device)
{
    bool fallback = false;
    const struct lq_stack *stack = device->stack;
    const double flop_per_s =
        lq_peak_flop_per_s(device->gpu, device->precision, &fallback) * stack->matmul_efficiency;
    const double bytes_per_s =
        device->gpu->memory_bandwidth_bytes_per_s * stack->bandwidth_efficiency;
    double keys = device->row_tokens;
    if (device->window_tokens > 0 && keys > (double)device->window_tokens) {
        keys = (double)device->window_tokens;
    }
    struct lq_step_time step = {.total = {0}};
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            const struct lq_work *w = &work->term[t][s];
            struct lq_step_coefficients *c = &step.term[t][s];
            c->fixed_s = w->weight_bytes / bytes_per_s + calls_s(w, stack);
            c->token_s = (w->token_flop + w->score_flop * keys) / flop_per_s;
            c->expert_token_s = w->expert_token_flop / flop_per_s;
        }
    }
    const double per_micro_batch = 1.0 / (double)device->accumulation_steps;
    step.term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER].fixed_s *= per_micro_batch;
    step.term[LQ_TERM_ALL_REDUCE][LQ_STAGE_OPTIMIZER].fixed_s =
        all_reduce_s(device) * per_micro_batch;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            step.total.fixed_s += step.term[t][s].fixed_s;
            step.total.token_s += step.term[t][s].token_s;
            step.total.expert_token_s += step.term[t][s].expert_token_s;
        }
    }
    return step;
}

static double ratio(double target, double total)
{
    return total > 0.0 ? target / total : 0.0;
}

void lq_step_scale(struct lq_step_time *step, const struct lq_step_coefficients *target)
{
    const double fixed = ratio(target->fixed_s, step->total.fixed_s);
    const double token = ratio(target->token_s, step->total.token_s);
    const double expert = ratio(target->expert_token_s, step->total.expert_token_s);
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            step->term[t][s].fixed_s *= fixed;
            step->term[t][s].token_s *= token;
            step->term[t][s].expert_token_s *= expert;
        }
    }
    step->total = *target;
}

double lq_step_seconds(const struct lq_step_coefficients *c, double tokens, double active_experts)
{
    return c->fixed_s + (c->token_s + active_experts * c->expert_token_s) * tokens;
}

enum lq_bound lq_step_bound(enum lq_term term, const struct lq_step_coefficients *c, double tokens,
                            double active_experts)
{
    if (term == LQ_TERM_OVERHEAD || term == LQ_TERM_EXPERT_OVERHEAD) {
        return LQ_BOUND_OVERHEAD;
    }
    if (term == LQ_TERM_ALL_REDUCE) {
        return LQ_BOUND_NETWORK;
    }
    const double per_token_s = (c->token_s + active_experts * c->expert_token_s) * tokens;
    return per_token_s > c->fixed_s ? LQ_BOUND_COMPUTE : LQ_BOUND_MEMORY;
}
