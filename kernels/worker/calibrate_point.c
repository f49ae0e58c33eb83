/* Puts what was measured where the API has a place for it, and the rest into the note. */
#include "kernels/worker/calibrate_point.h"

#include <stdio.h>
#include <time.h>

/* The name points carry; other stacks take them as evidence about the device only. */
static const char STACK[] = "llmquote-worker";

struct lq_method lq_item_method(const struct lq_calibration_plan *plan,
                                const struct lq_sweep_item *item)
{
    if (item->method == LQ_METHOD_FULL) {
        return (struct lq_method){.kind = LQ_METHOD_FULL};
    }
    return (struct lq_method){.kind = item->method,
                              .rank = plan->rank,
                              .targets = plan->targets,
                              .quantization = item->method == LQ_METHOD_QLORA
                                                  ? LQ_QUANTIZATION_NF4_DQ
                                                  : LQ_QUANTIZATION_NONE};
}

struct lq_measured_point lq_item_point(const struct lq_calibration_plan *plan,
                                       const struct lq_rig *rig, const struct lq_sweep_item *item)
{
    const struct lq_method method = lq_item_method(plan, item);
    struct lq_measured_point point = lq_measured_point_new();
    snprintf(point.model, sizeof point.model, "%s", plan->model->id);
    snprintf(point.gpu, sizeof point.gpu, "%s", plan->gpu);
    snprintf(point.stack, sizeof point.stack, "%s", STACK);
    snprintf(point.source, sizeof point.source, "%s", plan->source);
    point.gpu_count = 1;
    point.method = (int)method.kind;
    point.rank = method.rank;
    point.targets = method.targets;
    point.quantization = method.kind == LQ_METHOD_QLORA ? (int)LQ_QUANTIZATION_NF4_DQ : LQ_UNSAID;
    point.precision = (int)rig->precision;
    point.optimizer = LQ_OPTIMIZER_ADAMW;
    point.attention = LQ_ATTENTION_FLASH;
    point.checkpointing = (int)plan->checkpointing;
    point.active_experts = item->active_experts;
    point.batch_size = item->batch_size;
    point.sequence_tokens = item->tokens;
    return point;
}

static void write_time(char text[32])
{
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void write_note(const struct lq_measured *m, bool fits, char *note, size_t size)
{
    snprintf(note, size,
             "%s%smedian of %d steps, one layer of each kind and the ends scaled to the model; "
             "p95 %.6g s, spread %.1f %%, %d round%s",
             m->is_noisy ? "noisy: " : "",
             fits ? "" : "the whole model does not fit this device: ", m->step.samples,
             m->step.p95_s, 100.0 * m->step.spread, m->rounds, m->rounds == 1 ? "" : "s");
}

static size_t put_kernels(const struct lq_measured *m, struct lq_kernel_time *kernels)
{
    size_t n = 0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        if (m->term_s[t] > 0.0) {
            kernels[n++] = (struct lq_kernel_time){LQ_TERM_NAMES[t], m->term_s[t]};
        }
    }
    return n;
}

enum lq_code lq_item_write(const struct lq_calibration_plan *plan, const struct lq_rig *rig,
                           const struct lq_sweep_item *item, const struct lq_measured *m,
                           char **text, struct lq_error *err)
{
    struct lq_measured_point point = lq_item_point(plan, rig, item);
    struct lq_kernel_time kernels[LQ_TERM_COUNT];
    double tokens[LQ_EXPERTS_MAX];
    const bool fits = m->peak_bytes <= rig->info.memory_bytes;
    point.step_time_s = m->step.median_s;
    point.peak_memory_bytes = fits ? m->peak_bytes : 0.0;
    point.has_phases = true;
    point.forward_s = m->forward_s;
    point.backward_s = m->backward_s;
    point.optimizer_s = m->optimizer_s;
    point.kernels = kernels;
    point.kernel_count = put_kernels(m, kernels);
    if (m->has_load) {
        const double active = item->active_experts > 0
                                  ? (double)item->active_experts
                                  : (double)lq_model_active_experts(plan->model);
        for (size_t e = 0; e < m->load.experts; e++) {
            tokens[e] = m->load.share[e] * (double)(item->batch_size * item->tokens) * active;
        }
        point.expert_load = tokens;
        point.expert_count = m->load.experts;
    }
    point.device = &rig->info;
    point.device_state = &m->state;
    write_time(point.measured_at);
    write_note(m, fits, point.note, sizeof point.note);
    return lq_point_write(&point, text, err);
}
