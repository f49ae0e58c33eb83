/* Every kernel in other orders of threads and blocks: what it computes is the same to the bit, or
 * there is a race. */
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

/* FNV-1a, 64 bits (draft-eastlake-fnv). */
static uint64_t digest(struct lq_device *device, const void *memory, size_t bytes)
{
    const uint8_t *there = download_bytes(device, memory, bytes);
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ there[i]) * 0x100000001b3ULL;
    }
    return hash;
}

static void *input(struct lq_device *device, size_t n, uint64_t seed)
{
    return upload(device, random_floats(n, seed, 1.0), n);
}

static uint64_t norm_digest(struct lq_device *device)
{
    enum { TOKENS = 50, WIDTH = 520, N = TOKENS * WIDTH };
    const struct lq_op_norm op = {.tokens = TOKENS,
                                  .width = WIDTH,
                                  .epsilon = 1e-5,
                                  .x = input(device, N, 1),
                                  .weight = input(device, WIDTH, 2),
                                  .y = poisoned(device, N),
                                  .d_y = input(device, N, 3),
                                  .d_x = input(device, N, 4),
                                  .d_weight = input(device, WIDTH, 5)};
    OK(subject()->norm(device, &op, LQ_PASS_FORWARD, &err));
    OK(subject()->norm(device, &op, LQ_PASS_BACKWARD, &err));
    const size_t element = element_bytes(device);
    return digest(device, op.y, N * element) ^ digest(device, op.d_x, N * element) ^
           digest(device, op.d_weight, WIDTH * element);
}

static uint64_t rotation_digest(struct lq_device *device)
{
    enum { N = 40 * 3 * 70 };
    const struct lq_op_rotation op = {.rows = 2,
                                      .tokens = 20,
                                      .heads = 3,
                                      .head_size = 64,
                                      .stride = 70,
                                      .base = 10000.0,
                                      .x = input(device, N, 1)};
    OK(subject()->rotation(device, &op, LQ_PASS_FORWARD, &err));
    return digest(device, op.x, N * element_bytes(device));
}

static uint64_t convolution_digest(struct lq_device *device)
{
    enum { TOKENS = 200, CHANNELS = 40, WIDTH = 4, N = TOKENS * CHANNELS };
    const struct lq_op_convolution op = {.rows = 1,
                                         .tokens = TOKENS,
                                         .channels = CHANNELS,
                                         .width = WIDTH,
                                         .x = input(device, N, 1),
                                         .weight = input(device, CHANNELS * WIDTH, 2),
                                         .bias = input(device, CHANNELS, 3),
                                         .d_out = input(device, N, 4),
                                         .d_x = poisoned(device, N),
                                         .d_weight = input(device, CHANNELS * WIDTH, 5),
                                         .d_bias = input(device, CHANNELS, 6)};
    OK(subject()->convolution(device, &op, LQ_PASS_BACKWARD, &err));
    const size_t element = element_bytes(device);
    return digest(device, op.d_x, N * element) ^
           digest(device, op.d_weight, CHANNELS * WIDTH * element) ^
           digest(device, op.d_bias, CHANNELS * element);
}

static uint64_t loss_digest(struct lq_device *device)
{
    enum { TOKENS = 2, VOCABULARY = 20000, N = TOKENS * VOCABULARY };
    static const int32_t TARGETS[TOKENS] = {19999, 7};
    const struct lq_op_loss op = {.tokens = TOKENS,
                                  .vocabulary = VOCABULARY,
                                  .scale = 0.5,
                                  .logits = input(device, N, 1),
                                  .targets = upload_bytes(device, TARGETS, sizeof TARGETS),
                                  .losses = upload_bytes(device, TARGETS, sizeof TARGETS),
                                  .d_logits = poisoned(device, N)};
    OK(subject()->loss(device, &op, LQ_PASS_FORWARD, &err));
    OK(subject()->loss(device, &op, LQ_PASS_BACKWARD, &err));
    return digest(device, op.losses, sizeof TARGETS) ^
           digest(device, op.d_logits, N * element_bytes(device));
}

/* Few rows, so that most of them have many tokens. */
static uint64_t lookup_digest(struct lq_device *device)
{
    enum { TOKENS = 700, ROWS = 9, HIDDEN = 40 };
    int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) {
        ids[i] = i * i % 17 % ROWS;
    }
    const struct lq_op_lookup op = {.tokens = TOKENS,
                                    .vocabulary = ROWS,
                                    .hidden = HIDDEN,
                                    .ids = upload_bytes(device, ids, sizeof ids),
                                    .d_out = input(device, (size_t)TOKENS * HIDDEN, 1),
                                    .d_table = input(device, (size_t)ROWS * HIDDEN, 2)};
    OK(subject()->lookup(device, &op, LQ_PASS_BACKWARD, &err));
    return digest(device, op.d_table, ROWS * HIDDEN * element_bytes(device));
}

static uint64_t dequantization_digest(struct lq_device *device)
{
    enum { N = 9000 };
    const struct lq_op_dequantization op = {.n = N,
                                            .packed = input(device, N, 1),
                                            .scales = input(device, N, 2),
                                            .out = poisoned(device, N)};
    OK(subject()->dequantize(device, &op, &err));
    return digest(device, op.out, N * element_bytes(device));
}

static uint64_t elementwise_digest(struct lq_device *device)
{
    enum { N = 5001 };
    const struct lq_op_activation op = {.kind = LQ_ACTIVATION_SWIGLU,
                                        .n = N,
                                        .gate = input(device, N, 1),
                                        .up = input(device, N, 2),
                                        .d_out = input(device, N, 3),
                                        .d_gate = poisoned(device, N),
                                        .d_up = poisoned(device, N)};
    OK(subject()->activation(device, &op, LQ_PASS_BACKWARD, &err));
    const struct lq_op_blocks sum = {.tokens = N / 30,
                                     .heads = 3,
                                     .width = 10,
                                     .source = op.d_gate,
                                     .source_stride = 30,
                                     .source_head_stride = 10,
                                     .target = op.d_up,
                                     .target_stride = 10,
                                     .accumulate = true};
    OK(subject()->blocks(device, &sum, &err));
    return digest(device, op.d_up, N * element_bytes(device));
}

static const struct {
    const char *name;
    uint64_t (*run)(struct lq_device *device);
} OPERATIONS[] = {{"norm", norm_digest},
                  {"rotation", rotation_digest},
                  {"convolution", convolution_digest},
                  {"loss", loss_digest},
                  {"lookup", lookup_digest},
                  {"dequantization", dequantization_digest},
                  {"element by element", elementwise_digest}};
enum { OPERATION_COUNT = sizeof OPERATIONS / sizeof *OPERATIONS };

START_TEST(orders_of_threads_do_not_show)
{
    struct lq_device *device = open_device(1 + _i % VARIANTS);
    subject_order(0);
    const uint64_t want = OPERATIONS[_i / VARIANTS].run(device);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        subject_order(seed);
        ck_assert_msg(OPERATIONS[_i / VARIANTS].run(device) == want, "%s in order %d",
                      OPERATIONS[_i / VARIANTS].name, (int)seed);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_order");
    TCase *tests = tcase_create("cuda_order");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_loop_test(tests, orders_of_threads_do_not_show, 0, OPERATION_COUNT * VARIANTS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
