/* Opens one kind of layer after the other, so that only one of them must fit beside its
 * activations. What is done with the result is not decided here. */
#include "kernels/measure/measure.h"

#include "kernels/base/stop.h"
#include "kernels/layer/layer.h"
#include "kernels/measure/stopwatch.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Passes before the first one that counts: caches, threads and clocks settle. */
enum { WARM_UP = 2 };

/* Something that runs a training step: a layer, or the ends. */
struct subject {
    struct lq_training_layer *layer;
    struct lq_training_ends *ends;
    int together; /* steps that are issued back to back; 0 and 1: each by itself */
};

/* Its stages, sample by sample. */
struct stages {
    struct lq_samples forward;
    struct lq_samples backward;
    struct lq_samples optimizer;
    struct lq_samples step;
    struct lq_stretch alone; /* the last step, its passes each waited for */
};

/* Bytes of one part by use, and how many such parts the model has. */
struct part_bytes {
    double bytes[LQ_USE_COUNT];
    double count;
    bool is_ends;
};

/* The measurement under way: totals over the parts done so far. */
struct run {
    const struct lq_measure_job *job;
    struct lq_measured *out;
    struct lq_samples step; /* of the whole model, sample by sample */
    struct part_bytes parts[LQ_LAYER_KINDS_MAX + 1];
    int part_count;
};

/* A pass, or all three in turn, as something to be timed. */
static enum lq_code run_forward(const void *context, struct lq_error *err)
{
    const struct subject *s = context;
    return s->layer != NULL ? lq_layer_forward(s->layer, err) : lq_ends_forward(s->ends, err);
}

static enum lq_code run_backward(const void *context, struct lq_error *err)
{
    const struct subject *s = context;
    return s->layer != NULL ? lq_layer_backward(s->layer, err) : lq_ends_backward(s->ends, err);
}

static enum lq_code run_optimizer(const void *context, struct lq_error *err)
{
    const struct subject *s = context;
    return s->layer != NULL ? lq_layer_step(s->layer, err) : lq_ends_step(s->ends, err);
}

static enum lq_code run_step(const void *context, struct lq_error *err)
{
    LQ_TRY(run_forward(context, err));
    LQ_TRY(run_backward(context, err));
    return run_optimizer(context, err);
}

static enum lq_code time_run(struct lq_space *space, const struct subject *subject,
                             lq_work_fn *work, int times, struct lq_stretch *out,
                             struct lq_error *err)
{
    const struct lq_stopwatch watch = {
        .backend = space->backend, .device = space->device, .work = work, .context = subject};
    return lq_stopwatch_run(&watch, times, out, err);
}

/* Each pass is timed with the device idle before and after. Where it runs behind, what a step takes
 * is that of several back to back, and the passes' share of it is what they had alone. */
static enum lq_code sample(struct lq_space *space, const struct subject *subject,
                           struct stages *stages, struct lq_error *err)
{
    static lq_work_fn *const PASSES[] = {run_forward, run_backward, run_optimizer};
    struct lq_stretch pass[3];
    struct lq_stretch step = {.each_s = 0.0};
    for (int i = 0; i < 3; i++) {
        LQ_TRY(time_run(space, subject, PASSES[i], 1, &pass[i], err));
        step.each_s += pass[i].each_s;
        step.behind_s += pass[i].behind_s;
    }
    stages->alone = step;
    if (subject->together > 1) {
        LQ_TRY(time_run(space, subject, run_step, subject->together, &step, err));
    }
    const double share = subject->together > 1 ? step.each_s / stages->alone.each_s : 1.0;
    lq_samples_add(&stages->forward, share * pass[0].each_s);
    lq_samples_add(&stages->backward, share * pass[1].each_s);
    lq_samples_add(&stages->optimizer, share * pass[2].each_s);
    lq_samples_add(&stages->step, step.each_s);
    return LQ_OK;
}

/* A few steps with every operation waited for; the quickest is entered by term. */
static enum lq_code profile(struct run *run, struct lq_space *space, const struct subject *subject,
                            double count, struct lq_error *err)
{
    enum { PROFILED_STEPS = 3 };
    double best[LQ_TERM_COUNT] = {0.0};
    double least_s = HUGE_VAL;
    const struct subject alone = {.layer = subject->layer, .ends = subject->ends};
    space->timed = true;
    for (int i = 0; i < PROFILED_STEPS; i++) {
        struct stages stages = {.step = {.count = 0}};
        lq_space_restart(space);
        LQ_TRY(sample(space, &alone, &stages, err));
        if (stages.step.seconds[0] < least_s) {
            least_s = stages.step.seconds[0];
            for (int t = 0; t < LQ_TERM_COUNT; t++) {
                best[t] = 0.0;
                for (int s = 0; s < LQ_STAGE_COUNT; s++) {
                    best[t] += space->seconds[t][s];
                }
            }
        }
    }
    space->timed = false;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        run->out->term_s[t] += count * best[t];
    }
    return LQ_OK;
}

static enum lq_code sample_round(struct lq_space *space, const struct subject *subject, int count,
                                 struct stages *stages, struct lq_error *err)
{
    *stages = (struct stages){.step = {.count = 0}};
    for (int i = 0; i < count; i++) {
        if (lq_stop_asked()) {
            return lq_fail(err, LQ_EDEVICE, NULL, "interrupted");
        }
        LQ_TRY(sample(space, subject, stages, err));
    }
    return LQ_OK;
}

/* Rounds of samples until the two quickest agree and the quicker one is quiet; that one counts.
 * What else runs on a machine only ever adds time. */
static enum lq_code sample_rounds(struct run *run, struct lq_space *space, struct subject *subject,
                                  struct stages *best, struct lq_error *err)
{
    struct stages stages;
    int together = INT_MAX; /* the least that both say: a pause of the host's looks like a wait */
    for (int i = 0; i < WARM_UP; i++) {
        LQ_TRY(sample_round(space, subject, 1, &stages, err));
        const int repeats = lq_stretch_repeats(&stages.alone);
        together = repeats < together ? repeats : together;
    }
    subject->together = together;
    const int count = lq_sample_count(stages.step.seconds[0], run->job->budget_s);
    struct lq_timing quickest = {.median_s = HUGE_VAL};
    bool is_settled = false;
    for (int round = 1; round <= run->job->rounds_max && !is_settled; round++) {
        LQ_TRY(sample_round(space, subject, count, &stages, err));
        const struct lq_timing timing = lq_samples_summarize(&stages.step);
        const bool agrees = round > 1 && lq_timings_agree(&timing, &quickest);
        if (timing.median_s < quickest.median_s) {
            quickest = timing;
            *best = stages;
        }
        is_settled = agrees && !lq_timing_is_noisy(&quickest);
        run->out->rounds = round > run->out->rounds ? round : run->out->rounds;
    }
    run->out->is_noisy = run->out->is_noisy || !is_settled;
    return LQ_OK;
}

/* Adds `count` parts whose samples these are. */
static void add_part(struct run *run, const struct lq_space *space, const struct stages *stages,
                     double count, bool is_ends)
{
    struct lq_measured *out = run->out;
    out->forward_s += count * lq_samples_summarize(&stages->forward).median_s;
    out->backward_s += count * lq_samples_summarize(&stages->backward).median_s;
    out->optimizer_s += count * lq_samples_summarize(&stages->optimizer).median_s;
    /* parts have as many samples as their own pace allows: the shorter list goes round */
    const struct lq_samples before = run->step;
    const int n = before.count > stages->step.count ? before.count : stages->step.count;
    run->step.count = 0;
    for (int i = 0; i < n; i++) {
        const double sum = before.count > 0 ? before.seconds[i % before.count] : 0.0;
        lq_samples_add(&run->step, sum + count * stages->step.seconds[i % stages->step.count]);
    }
    struct part_bytes *part = &run->parts[run->part_count++];
    part->count = count;
    part->is_ends = is_ends;
    for (int u = 0; u < LQ_USE_COUNT; u++) {
        part->bytes[u] = (double)space->bytes[u];
    }
}

static enum lq_code run_part(struct run *run, struct lq_space *space, struct subject *subject,
                             double count, struct lq_error *err)
{
    struct stages stages = {.step = {.count = 0}};
    LQ_TRY(sample_rounds(run, space, subject, &stages, err));
    LQ_TRY(profile(run, space, subject, count, err));
    add_part(run, space, &stages, count, subject->ends != NULL);
    return LQ_OK;
}

/* The layer with the most experts tells where tokens went. */
static enum lq_code read_load(struct run *run, const struct lq_layer *layer,
                              struct lq_training_layer *open, struct lq_error *err)
{
    const bool larger = !run->out->has_load || layer->ffn.experts > (int64_t)run->out->load.experts;
    if (layer->ffn.kind != LQ_FFN_MOE || !larger || layer->ffn.experts > LQ_EXPERTS_MAX) {
        return LQ_OK;
    }
    run->out->has_load = true;
    return lq_layer_load(open, &run->out->load, err);
}

/* The first row of a layer's output: steps that ran into infinities took other ways than training
 * does, and their times mean nothing. fp32 is read as it is; others are checked by their exponent.
 */
static enum lq_code check_output(struct lq_space *space, const struct lq_measure_job *job,
                                 struct lq_training_layer *layer, struct lq_error *err)
{
    enum { CHECKED = 64 };
    const int64_t hidden = job->model->hidden_size;
    const size_t n = hidden < CHECKED ? (size_t)hidden : CHECKED;
    uint32_t words[CHECKED] = {0};
    const uint32_t exponent =
        space->element_bytes == 4 || job->element == LQ_ELEMENT_BF16 ? 0x7f800000U : 0x7c000000U;
    LQ_TRY(space->backend->to_host(space->device, words, lq_layer_ports(layer).y,
                                   n * space->element_bytes, err));
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits =
            space->element_bytes == 4 ? words[i] : (uint32_t)((const uint16_t *)words)[i] << 16;
        if ((bits & exponent) == exponent) {
            return lq_fail(err, LQ_EDEVICE, NULL, "the layer's output is not finite");
        }
    }
    return LQ_OK;
}

static struct lq_layer_job layer_job(const struct lq_measure_job *job)
{
    return (struct lq_layer_job){.model = job->model,
                                 .method = job->method,
                                 .checkpointing = job->checkpointing,
                                 .rows = job->batch_size,
                                 .tokens = job->tokens,
                                 .active_experts = job->active_experts,
                                 .skew = job->skew,
                                 .seed = 1};
}

static enum lq_code run_layer(struct run *run, int kind, struct lq_error *err)
{
    const struct lq_measure_job *job = run->job;
    const struct lq_layer *layer = &job->model->layers[kind];
    const struct lq_layer_job shape = layer_job(job);
    struct lq_space space;
    struct subject subject = {.layer = NULL};
    lq_space_open(&space, job->backend, job->device, job->element);
    space.uncounted = true;
    enum lq_code code = lq_layer_open(&space, &shape, kind, &subject.layer, err);
    if (code == LQ_OK) {
        code = run_part(run, &space, &subject, (double)layer->count, err);
    }
    if (code == LQ_OK) {
        code = check_output(&space, job, subject.layer, err);
    }
    if (code == LQ_OK) {
        code = read_load(run, layer, subject.layer, err);
    }
    lq_layer_close(subject.layer);
    lq_space_close(&space);
    return code;
}

static enum lq_code run_ends(struct run *run, struct lq_error *err)
{
    const struct lq_measure_job *job = run->job;
    const struct lq_layer_job shape = layer_job(job);
    struct lq_space space;
    struct subject subject = {.layer = NULL};
    lq_space_open(&space, job->backend, job->device, job->element);
    space.uncounted = true;
    enum lq_code code = lq_ends_open(&space, &shape, &subject.ends, err);
    if (code == LQ_OK) {
        code = run_part(run, &space, &subject, 1.0, err);
    }
    lq_ends_close(subject.ends);
    lq_space_close(&space);
    return code;
}

/* What the whole model holds at its fullest moment: weights, gradients and states of all parts;
 * what every layer keeps (checkpointed: its input; else its inner activations, too); and what the
 * fullest part needs beside that while it runs. */
static double peak_of(const struct run *run)
{
    const bool checkpointed = run->job->checkpointing != LQ_CHECKPOINTING_NONE;
    double fixed = 0.0;
    double kept = 0.0;
    double largest = 0.0;
    for (int i = 0; i < run->part_count; i++) {
        const struct part_bytes *p = &run->parts[i];
        const double *bytes = p->bytes;
        fixed += p->count * (bytes[LQ_USE_WEIGHT] + bytes[LQ_USE_GRADIENT] + bytes[LQ_USE_STATE]);
        double running = bytes[LQ_USE_SCRATCH];
        if (checkpointed || p->is_ends) {
            running += bytes[LQ_USE_INNER];
            kept += p->count * bytes[LQ_USE_KEPT];
        } else {
            kept += p->count * (bytes[LQ_USE_KEPT] + bytes[LQ_USE_INNER]);
        }
        largest = fmax(largest, running);
    }
    return fixed + kept + largest;
}

enum lq_code lq_measure(const struct lq_measure_job *job, struct lq_measured *out,
                        struct lq_error *err)
{
    *out = (struct lq_measured){.rounds = 1};
    struct run run = {.job = job, .out = out};
    for (int kind = 0; kind < job->model->layer_kinds; kind++) {
        LQ_TRY(run_layer(&run, kind, err));
    }
    LQ_TRY(run_ends(&run, err));
    out->step = lq_samples_summarize(&run.step);
    out->peak_bytes = peak_of(&run);
    job->backend->state(job->device, &out->state);
    return LQ_OK;
}
