/* The roofline of serving: memory, passes, and the number of devices. Loads are counted in
 * serving_model.c and serving_moe.c, constants stand in serving_stack.c. */
#include "core/planning/serving.h"
#include "core/finetune/device.h"

#include <math.h>
#include <stdio.h>

const char *const LQ_KV_PRECISION_NAMES[] = {
    [LQ_KV_BF16] = "bf16", [LQ_KV_FP16] = "fp16", [LQ_KV_FP32] = "fp32",
    [LQ_KV_FP8] = "fp8",   [LQ_KV_INT8] = "int8", NULL};

/* Devices that lq_serving_fewest tries at most. */
enum { GPU_COUNT_MAX = 1024 };

double lq_kv_precision_bytes(enum lq_kv_precision precision)
{
    switch (precision) {
    case LQ_KV_BF16:
    case LQ_KV_FP16:
        return 2.0;
    case LQ_KV_FP32:
        return 4.0;
    case LQ_KV_FP8:
    case LQ_KV_INT8:
        return 1.0;
    }
    return 2.0;
}

double lq_serving_weight_bytes(const struct lq_serving_format *format,
                               const struct lq_serving_stack *stack)
{
    if (format->quantization == LQ_QUANTIZATION_INT4) {
        return stack->int4_bytes;
    }
    if (format->quantization != LQ_QUANTIZATION_NONE) {
        return lq_quantization_bytes(format->quantization);
    }
    return format->precision == LQ_PRECISION_FP8 ? 1.0 : lq_precision_bytes(format->precision);
}

enum lq_precision lq_serving_rate(const struct lq_serving_format *format)
{
    const bool unpacked = format->quantization != LQ_QUANTIZATION_NONE;
    return unpacked && format->precision == LQ_PRECISION_FP8 ? LQ_PRECISION_BF16
                                                             : format->precision;
}

/* Memory of the fullest device. */
struct room {
    double weights_bytes;
    double mean_bytes;    /* cache of a mean running request */
    double longest_bytes; /* cache of the longest request at its end */
    double usable_bytes;
};

static double cache_bytes(const struct lq_serving_cache *cache, double tokens)
{
    return cache->token_bytes * tokens + cache->state_bytes;
}

static double weights_per_device(const struct lq_serving_load *load, bool expert_parallel,
                                 double devices)
{
    if (!expert_parallel) {
        return load->stored_bytes / devices;
    }
    double experts = 0.0;
    double fullest = 0.0;
    for (size_t i = 0; i < load->expert_kinds; i++) {
        const struct lq_serving_experts *e = &load->experts[i];
        experts += e->experts * e->bytes;
        fullest += ceil(e->experts / devices) * e->bytes;
    }
    return (load->stored_bytes - experts) / devices + fullest;
}

static struct room measure(const struct lq_serving_load *load, const struct lq_serving_setup *setup,
                           double devices)
{
    struct room room = {.weights_bytes = weights_per_device(load, setup->expert_parallel, devices),
                        .usable_bytes = setup->stack->usable_memory * setup->gpu->memory_bytes};
    for (size_t i = 0; i < load->cache_kinds; i++) {
        const struct lq_serving_cache *c = &load->cache[i];
        /* devices that take turns hold whole layers, so nothing is held twice */
        const double split = setup->stack->devices_take_turns ? devices : fmin(devices, c->shards);
        room.mean_bytes += cache_bytes(c, c->mean_tokens) / split;
        room.longest_bytes += cache_bytes(c, c->longest_tokens) / split;
    }
    return room;
}

/* Requests that fit: mean ones, and the rest of one that is at its longest. */
static double fitting_requests(const struct room *room)
{
    const double reserve = room->longest_bytes - room->mean_bytes;
    const double free_bytes = room->usable_bytes - room->weights_bytes - reserve;
    return room->mean_bytes > 0.0 ? free_bytes / room->mean_bytes
                                  : (free_bytes > 0.0 ? (double)INFINITY : 0.0);
}

static enum lq_code admit(const struct lq_serving_load *load, const struct lq_serving_setup *setup,
                          const struct room *room, struct lq_serving *out, struct lq_error *err)
{
    const double most = (double)setup->max_concurrent_requests;
    double fitting = fitting_requests(room);
    if (!(fitting >= 1.0)) {
        return lq_fail(err, LQ_ENOFIT, "/gpu_count",
                       "weights (%.0f bytes) and one longest request (%.0f) per device exceed the "
                       "usable %.0f of %s by %.0f bytes on %lld of them",
                       room->weights_bytes, room->longest_bytes, room->usable_bytes, setup->gpu->id,
                       room->weights_bytes + room->longest_bytes - room->usable_bytes,
                       (long long)out->gpu_count);
    }
    if (!load->fractional) {
        fitting = floor(fitting);
    }
    out->memory_limits = fitting < most;
    out->concurrent_requests = fmin(fitting, most);
    out->weights_bytes = room->weights_bytes;
    out->request_bytes = room->mean_bytes;
    out->cache_bytes = room->mean_bytes * out->concurrent_requests;
    out->usable_bytes = room->usable_bytes;
    return LQ_OK;
}

/* Rates of the devices together, with the stack's efficiencies. */
struct rates {
    double devices;            /* that work at once */
    double matrix_bytes_per_s; /* of one device */
    double plain_bytes_per_s;  /* of one device */
    double flop_per_s;         /* of one device */
    double link_bytes_per_s;   /* one direction of one device */
};

/* One direction. Without an interconnect in the catalog, 16 lanes of PCIe: 16, 32, 64 GB/s and
 * direction for generations 3, 4, 5 (PCI-SIG's rates, 2010-2019). */
static double link_of(const struct lq_gpu *gpu, bool *is_pcie)
{
    *is_pcie = !(gpu->interconnect_bytes_per_s > 0.0);
    if (!*is_pcie) {
        return gpu->interconnect_bytes_per_s / 2.0;
    }
    const int64_t generation = gpu->pcie_generation > 0 ? gpu->pcie_generation : 3;
    return 2e9 * pow(2.0, (double)generation);
}

static struct rates find_rates(const struct lq_serving_load *load,
                               const struct lq_serving_setup *setup, struct lq_serving *out)
{
    const struct lq_serving_stack *stack = setup->stack;
    const double bandwidth = setup->gpu->memory_bandwidth_bytes_per_s;
    struct rates rates = {
        .devices = stack->devices_take_turns ? 1.0 : (double)out->gpu_count,
        .matrix_bytes_per_s = bandwidth * stack->bandwidth_efficiency[load->weight_class],
        .plain_bytes_per_s = bandwidth * stack->bandwidth_efficiency[LQ_WEIGHTS_16BIT],
        .flop_per_s = lq_peak_flop_per_s(setup->gpu, load->rate, &out->rate_is_fallback) *
                      stack->compute_efficiency};
    if (rates.devices > 1.0 && stack->link_efficiency > 0.0) {
        rates.link_bytes_per_s = link_of(setup->gpu, &out->link_is_pcie) * stack->link_efficiency;
        out->link_bytes_per_s = rates.link_bytes_per_s;
    }
    return rates;
}

/* Experts of one layer that `tokens` tokens visit. */
static double distinct_experts(const struct lq_serving_experts *e, double tokens)
{
    if (e->active >= e->experts) {
        return e->experts;
    }
    return e->experts * -expm1(tokens * log1p(-e->active / e->experts));
}

/* Bytes of matrices that one device reads for `tokens` tokens. */
static double matrix_bytes(const struct lq_serving_load *load, bool expert_parallel, double devices,
                           double tokens)
{
    double bytes = load->matrix_bytes / devices;
    for (size_t i = 0; i < load->expert_kinds; i++) {
        const struct lq_serving_experts *e = &load->experts[i];
        const double visited = distinct_experts(e, tokens);
        /* an expert is not divided: while few are visited, one device has a whole one to read */
        const double share =
            expert_parallel ? fmax(visited / devices, fmin(visited, 1.0)) : visited / devices;
        bytes += share * e->bytes;
    }
    return bytes;
}

/* Communication of one pass: a ring all-reduce moves 2 (G-1)/G of its bytes through each link; a
 * dispatch or a combination sends (G-1)/G of a device's tokens, once for each active expert. */
static double network_s(const struct lq_serving_load *load, const struct lq_serving_setup *setup,
                        const struct rates *rates, double tokens)
{
    if (!(rates->link_bytes_per_s > 0.0)) {
        return 0.0;
    }
    const double elsewhere = (rates->devices - 1.0) / rates->devices;
    const double token_s = load->hidden_bytes * elsewhere / rates->link_bytes_per_s;
    const double start_s = setup->stack->collective_s;
    const double reduce_s = start_s + 2.0 * tokens * token_s;
    double seconds = 2.0 * load->layers * reduce_s;
    for (size_t i = 0; setup->expert_parallel && i < load->expert_kinds; i++) {
        const struct lq_serving_experts *e = &load->experts[i];
        const double exchange_s = start_s + e->active * tokens / rates->devices * token_s;
        seconds += e->layers * (2.0 * exchange_s - reduce_s);
    }
    return seconds;
}

/* One pass through the layers. */
struct pass {
    double tokens;
    double flop;
    double cache_bytes; /* read by one device */
};

/* Adds `times` such passes to the seconds by what bounds them; returns the seconds of one. */
static double run(const struct lq_serving_load *load, const struct lq_serving_setup *setup,
                  const struct rates *rates, const struct pass *pass, double times,
                  double bound_s[4])
{
    const struct lq_serving_stack *stack = setup->stack;
    const double memory_s =
        matrix_bytes(load, setup->expert_parallel, rates->devices, pass->tokens) /
            rates->matrix_bytes_per_s +
        (load->plain_bytes / rates->devices + pass->cache_bytes) / rates->plain_bytes_per_s;
    const double compute_s = pass->flop / rates->devices / rates->flop_per_s;
    const double link_s = network_s(load, setup, rates, pass->tokens);
    const double work_s = fmax(memory_s, compute_s);
    const double launch_s = load->layers * stack->layer_s;
    const double host_s = load->layers * stack->host_layer_s;
    const double waiting_s = fmax(0.0, host_s - (work_s + link_s + launch_s));
    const double fixed_s = stack->iteration_s + launch_s + waiting_s;
    bound_s[compute_s > memory_s ? LQ_BOUND_COMPUTE : LQ_BOUND_MEMORY] += times * work_s;
    bound_s[LQ_BOUND_NETWORK] += times * link_s;
    bound_s[LQ_BOUND_OVERHEAD] += times * fixed_s;
    return work_s + link_s + fixed_s;
}

/* The passes of one iteration: one that generates, and the prompts of the requests that take the
 * place of those that ended. Less than one prompt per iteration is one prompt now and then. */
static void iterate(const struct lq_serving_load *load, const struct lq_serving_setup *setup,
                    const struct rates *rates, struct lq_serving *out)
{
    const double running = out->concurrent_requests;
    /* devices that take turns read each other's share of the cache one after the other */
    const double turns = setup->stack->devices_take_turns ? (double)out->gpu_count : 1.0;
    const struct pass decode = {running, running * load->answer_flop, out->cache_bytes * turns};
    out->decode_s = run(load, setup, rates, &decode, 1.0, out->bound_s);
    const double arriving = running / load->output_tokens;
    const double together = fmax(arriving, 1.0);
    const struct pass prompts = {
        together * load->prompt_tokens,
        together * (load->prompt_tokens * load->prompt_flop + load->head_flop), 0.0};
    const double times = fmin(arriving, 1.0);
    out->prompt_s = times * run(load, setup, rates, &prompts, times, out->bound_s);
    double alone_s[4] = {0};
    const struct pass alone = {load->prompt_tokens,
                               load->prompt_tokens * load->prompt_flop + load->head_flop, 0.0};
    out->prompt_latency_s = run(load, setup, rates, &alone, 1.0, alone_s);
}

enum lq_code lq_serving_at(const struct lq_serving_load *load, const struct lq_serving_setup *setup,
                           int64_t gpu_count, struct lq_serving *out, struct lq_error *err)
{
    *out = (struct lq_serving){.gpu_count = gpu_count};
    const struct room room = measure(load, setup, (double)gpu_count);
    LQ_TRY(admit(load, setup, &room, out, err));
    const struct rates rates = find_rates(load, setup, out);
    iterate(load, setup, &rates, out);
    out->iteration_s = out->decode_s + out->prompt_s;
    out->tokens_per_s = out->concurrent_requests / out->iteration_s;
    out->gpu_s_per_token = (double)gpu_count / out->tokens_per_s;
    for (int i = 0; i < 4; i++) {
        out->bound = out->bound_s[i] > out->bound_s[out->bound] ? (enum lq_bound)i : out->bound;
    }
    if (!isfinite(out->gpu_s_per_token) || !(out->gpu_s_per_token > 0.0)) {
        return lq_fail(err, LQ_ENUMBER, "/gpu",
                       "%s lacks a rate: the time of a token is not finite", setup->gpu->id);
    }
    return LQ_OK;
}

int64_t lq_serving_fewest(const struct lq_serving_load *load, const struct lq_serving_setup *setup)
{
    for (int64_t devices = 1; devices <= GPU_COUNT_MAX; devices *= 2) {
        const struct room room = measure(load, setup, (double)devices);
        if (fitting_requests(&room) >= 1.0) {
            return devices;
        }
    }
    return 0;
}

static enum lq_code refuse(const struct lq_serving_load *load, const struct lq_serving_setup *setup,
                           int64_t gpu_count, struct lq_error *err)
{
    const struct room room = measure(load, setup, (double)gpu_count);
    const int64_t fewest = lq_serving_fewest(load, setup);
    char would[64] = "no number of them holds it";
    if (fewest > 0) {
        snprintf(would, sizeof would, "%lld of them would hold it", (long long)fewest);
    }
    return lq_fail(err, LQ_ENOFIT, "/max_serving_gpu_count",
                   "on %lld of %s, the most allowed, each lacks %.0f bytes for the weights and one "
                   "longest request (usable are %.0f); %s",
                   (long long)gpu_count, setup->gpu->id,
                   room.weights_bytes + room.longest_bytes - room.usable_bytes, room.usable_bytes,
                   would);
}

enum lq_code lq_serving_best(const struct lq_serving_load *load,
                             const struct lq_serving_setup *setup, int64_t max_gpu_count,
                             struct lq_serving *out, struct lq_error *err)
{
    out->gpu_count = 0;
    int64_t devices = 1;
    for (;; devices *= 2) {
        const struct room room = measure(load, setup, (double)devices);
        if (fitting_requests(&room) >= 1.0) {
            struct lq_serving at;
            LQ_TRY(lq_serving_at(load, setup, devices, &at, err));
            if (out->gpu_count == 0 || at.gpu_s_per_token < out->gpu_s_per_token) {
                *out = at;
            }
        }
        if (devices > max_gpu_count / 2) {
            break;
        }
    }
    return out->gpu_count > 0 ? LQ_OK : refuse(load, setup, devices, err);
}

double lq_serving_log_sd(const struct lq_serving_stack *stack, double concurrent_requests)
{
    return concurrent_requests > 1.0 ? LQ_SERVING_BATCHED_LOG_SD : stack->single_log_sd;
}
