/* The tallies of kernels/backend.h from the operations' sizes alone; tests hold them against what
 * the CPU backend counts as it computes. */
#include "kernels/measure/counting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of what is allocated, in bytes. */
enum { ALIGNMENT = 64 };

struct lq_device {
    double element_bytes;
    uintptr_t next; /* the address that is taken next */
    struct lq_tally tally;
};

static enum lq_code count(struct lq_device *device, struct lq_tally work)
{
    device->tally.flop += work.flop;
    device->tally.weight_bytes += work.weight_bytes;
    device->tally.stream_bytes += work.stream_bytes;
    device->tally.traffic_bytes += work.traffic_bytes;
    device->tally.calls += 1.0;
    return LQ_OK;
}

/* Activations moved: elements, each so often. */
static enum lq_code count_traffic(struct lq_device *device, double accesses, double elements)
{
    return count(device,
                 (struct lq_tally){.traffic_bytes = accesses * elements * device->element_bytes});
}

static double by_pass(enum lq_pass pass, double forward, double backward)
{
    return pass == LQ_PASS_FORWARD ? forward : backward;
}

static enum lq_code linear(struct lq_device *device, const struct lq_op_linear *op,
                           struct lq_error *err)
{
    (void)err;
    const double tokens = (double)op->tokens;
    const double outputs = (double)op->outputs;
    const double inputs = (double)op->inputs;
    struct lq_tally work = {.flop = 2.0 * tokens * outputs * inputs};
    if (!op->adapter) {
        const double hit = fmin((double)op->groups, tokens);
        work.weight_bytes = outputs * inputs * device->element_bytes * hit;
        return count(device, work);
    }
    const double x = op->pass == LQ_LINEAR_INPUT && op->accumulate ? 2.0 : 1.0;
    const double y = op->pass == LQ_LINEAR_FORWARD && op->accumulate ? 2.0 : 1.0;
    work.traffic_bytes = tokens * (x * inputs + y * outputs) * device->element_bytes;
    return count(device, work);
}

static enum lq_code add(struct lq_device *device, const struct lq_op_add *op, struct lq_error *err)
{
    (void)err;
    return count_traffic(device, 3.0, (double)op->n);
}

static enum lq_code blocks(struct lq_device *device, const struct lq_op_blocks *op,
                           struct lq_error *err)
{
    (void)err;
    return count_traffic(device, op->accumulate ? 3.0 : 2.0,
                         (double)op->tokens * (double)op->heads * (double)op->width);
}

static enum lq_code sort(struct lq_device *device, const struct lq_op_permutation *op,
                         struct lq_error *err)
{
    (void)op;
    (void)err;
    return count(device, (struct lq_tally){.flop = 0.0});
}

static enum lq_code dequantize(struct lq_device *device, const struct lq_op_dequantization *op,
                               struct lq_error *err)
{
    (void)err;
    const double scales =
        op->absmax != NULL ? 1.0 / 64.0 + 4.0 / 16384.0 : 4.0 / 64.0; /* bytes of a weight's */
    return count(device, (struct lq_tally){.stream_bytes = (double)op->n *
                                                           (0.5 + scales + device->element_bytes)});
}

static enum lq_code adamw(struct lq_device *device, const struct lq_op_adamw *op,
                          struct lq_error *err)
{
    (void)err;
    return count(device,
                 (struct lq_tally){.stream_bytes = 7.0 * (double)op->n * device->element_bytes});
}

static enum lq_code norm(struct lq_device *device, const struct lq_op_norm *op, enum lq_pass pass,
                         struct lq_error *err)
{
    (void)err;
    return count_traffic(device, by_pass(pass, 2.0, 4.0), (double)op->tokens * (double)op->width);
}

static enum lq_code rotation(struct lq_device *device, const struct lq_op_rotation *op,
                             enum lq_pass pass, struct lq_error *err)
{
    (void)pass;
    (void)err;
    return count_traffic(device, 2.0,
                         (double)(op->rows * op->tokens) * (double)(op->heads * op->head_size));
}

/* Pairs of a query and a key it sees, of one head and row. */
static double visible_pairs(const struct lq_op_attention *op)
{
    const double tokens = (double)op->tokens;
    const double window = op->window > 0 && op->window < op->tokens ? (double)op->window : tokens;
    return window * (window + 1.0) / 2.0 + (tokens - window) * window;
}

static enum lq_code attention(struct lq_device *device, const struct lq_op_attention *op,
                              enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    const double tokens = (double)op->rows * (double)op->tokens;
    const double size = (double)op->head_size;
    const double value = (double)op->value_size;
    const double pairs = (double)op->rows * (double)op->heads * visible_pairs(op);
    const double queries = tokens * (double)op->heads * (size + value); /* q and out */
    const double keys = tokens * (double)op->kv_heads * (size + value); /* k and v */
    return count(
        device,
        (struct lq_tally){
            .flop = by_pass(pass, 2.0 * (size + value), 2.0 * (3.0 * size + 2.0 * value)) * pairs,
            .traffic_bytes = by_pass(pass, 1.0, 2.0) * (queries + keys) * device->element_bytes});
}

static enum lq_code router(struct lq_device *device, const struct lq_op_router *op,
                           enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    return count_traffic(device, by_pass(pass, 1.0, 2.0), (double)op->tokens * (double)op->experts);
}

static enum lq_code gather(struct lq_device *device, const struct lq_op_permutation *op,
                           enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    const double active = (double)op->active;
    return count_traffic(device, by_pass(pass, 2.0 * active, active + 1.0),
                         (double)op->tokens * (double)op->hidden);
}

static enum lq_code combine(struct lq_device *device, const struct lq_op_permutation *op,
                            enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    const double active = (double)op->active;
    return count_traffic(device, by_pass(pass, active + 1.0, 3.0 * active),
                         (double)op->tokens * (double)op->hidden);
}

static enum lq_code activation(struct lq_device *device, const struct lq_op_activation *op,
                               enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    const bool gated = op->kind == LQ_ACTIVATION_SWIGLU;
    return count_traffic(device, gated ? by_pass(pass, 3.0, 5.0) : by_pass(pass, 2.0, 3.0),
                         (double)op->n);
}

static enum lq_code convolution(struct lq_device *device, const struct lq_op_convolution *op,
                                enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    const double elements = (double)(op->rows * op->tokens) * (double)op->channels;
    return count(device,
                 (struct lq_tally){.flop = by_pass(pass, 2.0, 4.0) * (double)op->width * elements,
                                   .traffic_bytes =
                                       by_pass(pass, 2.0, 3.0) * elements * device->element_bytes});
}

static enum lq_code scan(struct lq_device *device, const struct lq_op_scan *op, enum lq_pass pass,
                         struct lq_error *err)
{
    (void)err;
    const double tokens = (double)(op->rows * op->tokens);
    const double states = (double)op->states;
    const double channels = (double)op->channels;
    const double moved = by_pass(pass, 3.0, 5.0) * channels + by_pass(pass, 2.0, 4.0) * states;
    return count(device,
                 (struct lq_tally){.flop = by_pass(pass, 9.0, 18.0) * states * tokens * channels,
                                   .traffic_bytes = tokens * moved * device->element_bytes});
}

static enum lq_code loss(struct lq_device *device, const struct lq_op_loss *op, enum lq_pass pass,
                         struct lq_error *err)
{
    (void)err;
    return count_traffic(device, by_pass(pass, 1.0, 2.0),
                         (double)op->tokens * (double)op->vocabulary);
}

static enum lq_code lookup(struct lq_device *device, const struct lq_op_lookup *op,
                           enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    return count_traffic(device, by_pass(pass, 2.0, 3.0), (double)op->tokens * (double)op->hidden);
}

static const char *version(void)
{
    return "none";
}

static enum lq_code list(struct lq_device_info *devices, size_t max, size_t *found,
                         struct lq_error *err)
{
    (void)err;
    *found = max < 1 ? 0 : 1;
    if (max > 0) {
        devices[0] =
            (struct lq_device_info){.name = "counting",
                                    .elements = LQ_ELEMENT_BIT(LQ_ELEMENT_COUNT) - 1,
                                    .arithmetics = LQ_ARITHMETIC_BIT(LQ_ARITHMETIC_NATIVE)};
    }
    return LQ_OK;
}

static enum lq_code open_device(size_t index, enum lq_element element, struct lq_device **device,
                                struct lq_error *err)
{
    (void)index;
    *device = calloc(1, sizeof **device);
    if (*device == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "out of host memory");
    }
    **device = (struct lq_device){.element_bytes = element == LQ_ELEMENT_F32 ? 4.0 : 2.0,
                                  .next = ALIGNMENT};
    return LQ_OK;
}

static void close_device(struct lq_device *device)
{
    free(device);
}

static void state(struct lq_device *device, struct lq_device_state *out)
{
    (void)device;
    *out = (struct lq_device_state){-1.0, -1.0, -1.0, -1.0, -1};
}

static enum lq_code allocate(struct lq_device *device, size_t bytes, void **memory,
                             struct lq_error *err)
{
    if (bytes > UINTPTR_MAX / 2 - device->next) {
        return lq_fail(err, LQ_ENOFIT, NULL, "more bytes are needed than can be addressed");
    }
    *memory = (void *)device->next;
    device->next += (bytes / ALIGNMENT + 1) * ALIGNMENT;
    return LQ_OK;
}

static void release(struct lq_device *device, void *memory)
{
    (void)device;
    (void)memory;
}

static void usage(struct lq_device *device, bool restart, size_t *now, size_t *peak)
{
    (void)restart;
    *now = *peak = device->next;
}

static enum lq_code move(struct lq_device *device, void *to, const void *from, size_t bytes,
                         struct lq_error *err)
{
    (void)device;
    (void)to;
    (void)from;
    (void)bytes;
    (void)err;
    return LQ_OK;
}

static enum lq_code to_host(struct lq_device *device, void *to, const void *from, size_t bytes,
                            struct lq_error *err)
{
    memset(to, 0, bytes);
    return move(device, to, from, bytes, err);
}

static enum lq_code zero(struct lq_device *device, void *memory, size_t bytes, struct lq_error *err)
{
    (void)memory;
    (void)err;
    return count(device, (struct lq_tally){.stream_bytes = (double)bytes});
}

static enum lq_code randomize(struct lq_device *device, void *memory, int64_t n, uint64_t seed,
                              double scale, struct lq_error *err)
{
    (void)n;
    (void)seed;
    (void)scale;
    return move(device, memory, NULL, 0, err);
}

static enum lq_code synchronize(struct lq_device *device, struct lq_error *err)
{
    return move(device, NULL, NULL, 0, err);
}

static struct lq_tally take_tally(struct lq_device *device)
{
    const struct lq_tally tally = device->tally;
    device->tally = (struct lq_tally){.flop = 0.0};
    return tally;
}

const struct lq_backend *lq_counting_backend(void)
{
    static const struct lq_backend BACKEND = {.name = "counting",
                                              .version = version,
                                              .list = list,
                                              .open = open_device,
                                              .close = close_device,
                                              .state = state,
                                              .allocate = allocate,
                                              .release = release,
                                              .usage = usage,
                                              .to_device = move,
                                              .to_host = to_host,
                                              .copy = move,
                                              .zero = zero,
                                              .randomize = randomize,
                                              .synchronize = synchronize,
                                              .tally = take_tally,
                                              .linear = linear,
                                              .add = add,
                                              .blocks = blocks,
                                              .sort = sort,
                                              .dequantize = dequantize,
                                              .adamw = adamw,
                                              .norm = norm,
                                              .rotation = rotation,
                                              .attention = attention,
                                              .router = router,
                                              .gather = gather,
                                              .combine = combine,
                                              .activation = activation,
                                              .convolution = convolution,
                                              .scan = scan,
                                              .loss = loss,
                                              .lookup = lookup};
    return &BACKEND;
}
