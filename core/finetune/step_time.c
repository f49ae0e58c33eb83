/* Turns counted work into seconds. The counting is work.c's, the constants are efficiency.c's; what
 * factors make of the seconds is step_evaluate.c's. */
#include "core/finetune/step_time.h"

#include "core/finetune/device.h"

#include <math.h>
#include <stddef.h>

/* Rates of one device under one stack. */
struct rates {
    double matmul_flop_per_s;
    double score_flop_per_s; /* never in 8 bit */
    double scan_flop_per_s;
    double bytes_per_s;
    double dequantized_bytes_per_s;
};

static struct rates rates_of(const struct lq_step_device *device)
{
    bool fallback = false;
    const struct lq_gpu *gpu = device->gpu;
    const struct lq_stack *stack = device->stack;
    const enum lq_precision precision = device->training->precision;
    const double achievable = lq_achievable_share(gpu, precision);
    const enum lq_precision wide = precision == LQ_PRECISION_FP8 ? LQ_PRECISION_BF16 : precision;
    return (struct rates){
        .matmul_flop_per_s =
            lq_peak_flop_per_s(gpu, precision, &fallback) * achievable * stack->matmul_efficiency,
        .score_flop_per_s = lq_peak_flop_per_s(gpu, wide, &fallback) * lq_attention_share(gpu),
        .scan_flop_per_s = lq_scan_flop_per_s(gpu),
        .bytes_per_s = gpu->memory_bandwidth_bytes_per_s * stack->bandwidth_efficiency,
        .dequantized_bytes_per_s =
            gpu->memory_bandwidth_bytes_per_s * stack->dequantization_efficiency,
    };
}

/* Twice the scores computed per query of one layer: causal kernels skip what a query does not see
 * (t of the tokens up to the t-th, at most the window); eager attention masks after computing all.
 */
static double keys_seen(const struct lq_mixer *mixer, enum lq_attention attention, double keys)
{
    if (attention == LQ_ATTENTION_EAGER) {
        return keys;
    }
    const double window = (double)mixer->window_tokens;
    if (window > 0.0 && window < keys) {
        return 2.0 * window - window * (window - 1.0) / keys;
    }
    return keys + 1.0;
}

/* Layers of one kind are summed already, so that this is a weighted mean of the kinds' own. */
static double mean_keys(const struct lq_step_device *device, double keys)
{
    const struct lq_model *model = device->model;
    double layers = 0.0;
    double sum = 0.0;
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_mixer *mixer = &model->layers[i].mixer;
        if (mixer->kind == LQ_MIXER_ATTENTION || mixer->kind == LQ_MIXER_MLA) {
            layers += (double)model->layers[i].count;
            sum += (double)model->layers[i].count *
                   keys_seen(mixer, device->training->attention, keys);
        }
    }
    return layers > 0.0 ? sum / layers : 0.0;
}

/* 64: a matrix multiplication is cut into tiles of 128 rows, of which the last is half full on
 * average. Xia et al. 2024, Fig. 6, A40: the w's of an expert with 32, 320 and 1,024 tokens take
 * 233, 503 and 1,277 us, by their FLOPs and operands 201, 421 and 1,208, with half a tile more 227,
 * 489 and 1,281; with whole tiles (1,280 tokens) nothing is missing. */
static const double TILE_EXCESS_TOKENS = 64.0;

/* What routed experts do differs from what their tokens alone would. */
struct routing {
    double hit;     /* share of the experts that a micro-batch hits: what is fixed comes so often */
    double busiest; /* tokens of the fullest device over an even share */
    double excess;  /* rows that matmuls compute and that hold no token, over an even share */
};

static double hit_share(const struct lq_step_device *device, const struct lq_step_shape *shape)
{
    const int64_t experts = lq_model_experts(device->model);
    if (experts < 1) {
        return 1.0;
    }
    /* the tokens of all ranks of the expert group meet at this rank's experts */
    const double tokens = shape->tokens * (double)device->layout->expert;
    return lq_expert_load_hit(device->expert_load, experts, tokens, shape->active_experts) /
           (double)experts;
}

static double flop_per_s(const struct rates *rates, enum lq_term term)
{
    if (term == LQ_TERM_ATTENTION_SCORES) {
        return rates->score_flop_per_s;
    }
    return term == LQ_TERM_MAMBA_SCAN ? rates->scan_flop_per_s : rates->matmul_flop_per_s;
}

static struct lq_step_cell count_cell(const struct lq_work *w, const struct rates *rates,
                                      const struct lq_step_shape *shape, double keys,
                                      enum lq_term term)
{
    const double tokens = shape->tokens;
    const bool dequantized =
        term == LQ_TERM_DEQUANTIZATION || term == LQ_TERM_EXPERT_DEQUANTIZATION;
    const double flop = tokens * (w->token_flop + w->score_flop * keys) +
                        tokens * shape->active_experts * w->expert_token_flop;
    const double bytes = tokens * (w->token_bytes + w->score_bytes * keys) +
                         tokens * shape->active_experts * w->expert_token_bytes;
    return (struct lq_step_cell){
        .compute_s = flop / flop_per_s(rates, term),
        .flop = flop,
        .bytes = bytes + w->weight_bytes + w->stream_bytes,
        .operands_s = w->weight_bytes / rates->bytes_per_s,
        .stream_s =
            w->stream_bytes / (dequantized ? rates->dequantized_bytes_per_s : rates->bytes_per_s) +
            w->latency_s,
        .traffic_s = bytes / rates->bytes_per_s,
    };
}

/* Uneven experts: a kernel per expert is bound by its own tokens or by its weights, so that the
 * same tokens take longer unevenly. Two halves of the experts, one standard deviation above and
 * below the mean, stand for the distribution. */
static double uneven_operands_s(const struct lq_step_device *device, double compute_s,
                                double operands_s)
{
    const struct lq_expert_load *load = device->expert_load;
    if (load == NULL || !(operands_s > 0.0)) {
        return operands_s;
    }
    const double experts = (double)lq_model_experts(device->model);
    const double deviation = fmin(sqrt(load->variance) / 100.0 * experts, 1.0);
    const double busy = hypot(compute_s * (1.0 + deviation), operands_s);
    const double idle = hypot(compute_s * (1.0 - deviation), operands_s);
    const double uneven = 0.5 * (busy + idle);
    return sqrt(uneven * uneven - compute_s * compute_s);
}

static struct routing routing_of(const struct lq_step_device *device,
                                 const struct lq_step_shape *shape)
{
    const int64_t experts = lq_model_experts(device->model);
    struct routing routing = {
        .hit = hit_share(device, shape),
        .busiest = lq_expert_load_peak(device->expert_load, experts, device->layout->expert)};
    const double routed = shape->tokens * (double)device->layout->expert * shape->active_experts;
    if (routed > 0.0) {
        routing.excess = TILE_EXCESS_TOKENS * routing.hit * (double)experts / routed;
    }
    return routing;
}

static void count_routed(const struct lq_step_device *device, const struct lq_work *w,
                         const struct routing *routing, enum lq_term term,
                         struct lq_step_cell *cell)
{
    const double fixed_bytes = w->weight_bytes + w->stream_bytes;
    cell->compute_s *= routing->busiest + (term == LQ_TERM_EXPERT_MATMUL ? routing->excess : 0.0);
    cell->traffic_s *= routing->busiest;
    cell->operands_s *= routing->hit;
    cell->stream_s *= routing->hit;
    cell->call_s *= routing->hit;
    cell->flop *= routing->busiest;
    cell->bytes = (cell->bytes - fixed_bytes) * routing->busiest + fixed_bytes * routing->hit;
    if (term == LQ_TERM_EXPERT_MATMUL) {
        cell->operands_s = uneven_operands_s(device, cell->compute_s, cell->operands_s);
    }
}

struct lq_step_parts lq_step_count(const struct lq_work_table *work,
                                   const struct lq_step_device *device,
                                   const struct lq_step_shape *shape)
{
    const struct rates rates = rates_of(device);
    const double keys = mean_keys(device, shape->keys);
    const struct routing routing = routing_of(device, shape);
    bool fallback = false;
    struct lq_step_parts parts = {
        .peak_flop_per_s = lq_peak_flop_per_s(device->gpu, device->training->precision, &fallback),
        .bytes_per_s = device->gpu->memory_bandwidth_bytes_per_s,
        .pipeline_stretch = 1.0,
        .accumulation_steps = (double)device->training->accumulation_steps};
    for (int t = 0; t < LQ_TERM_ALL_REDUCE; t++) {
        const enum lq_term term = (enum lq_term)t;
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            const struct lq_work *w = &work->term[t][s];
            struct lq_step_cell *cell = &parts.cell[t][s];
            *cell = count_cell(w, &rates, shape, keys, term);
            cell->call_s = w->calls * device->stack->call_s;
            if (lq_term_is_routed(term)) {
                count_routed(device, w, &routing, term, cell);
            }
        }
    }
    parts.cell[LQ_TERM_INPUT][LQ_STAGE_FORWARD].call_s = shape->rows * device->stack->input_row_s;
    return parts;
}
