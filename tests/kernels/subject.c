/* Open devices of the backend under test, and tensors that go there and back. Rounding is done here
 * by arithmetic, not by bits, so that it can tell when a backend's is wrong. */
#include "tests/kernels/subject.h"

#include <math.h>
#include <string.h>

enum { DEVICES_MAX = 64, BLOCKS_MAX = 4096 };

static struct {
    struct lq_device *device;
    enum lq_element element;
} devices[DEVICES_MAX];
static size_t device_count;
static struct {
    struct lq_device *device;
    void *memory;
} blocks[BLOCKS_MAX];
static size_t block_count;

/* Binary formats of 16 bits: fraction bits, and the exponent of the smallest normal number. */
static const struct {
    int fraction;
    int least;
} FORMATS[LQ_ELEMENT_COUNT] = {[LQ_ELEMENT_BF16] = {7, -126}, [LQ_ELEMENT_F16] = {10, -14}};

struct lq_device *open_device(int variant)
{
    ck_assert_uint_lt(device_count, DEVICES_MAX);
    struct lq_device *device = NULL;
    OK(subject_open(variant, &device, &err));
    devices[device_count].device = device;
    devices[device_count++].element = subject_element(variant);
    return device;
}

void close_devices(void)
{
    while (block_count > 0) {
        block_count--;
        subject()->release(blocks[block_count].device, blocks[block_count].memory);
    }
    while (device_count > 0) {
        subject()->close(devices[--device_count].device);
    }
}

enum lq_element element_of(const struct lq_device *device)
{
    for (size_t i = 0; i < device_count; i++) {
        if (devices[i].device == device) {
            return devices[i].element;
        }
    }
    ck_abort_msg("a device that nobody opened");
}

size_t element_bytes(const struct lq_device *device)
{
    return element_of(device) == LQ_ELEMENT_F32 ? 4 : 2;
}

double within(const struct lq_device *device, double tolerance)
{
    static const double PRECISION[LQ_ELEMENT_COUNT] = {
        [LQ_ELEMENT_BF16] = 1e-2, [LQ_ELEMENT_F16] = 2e-3};
    return fmax(tolerance, PRECISION[element_of(device)]);
}

/* The distance of numbers near x. */
static double unit_of(enum lq_element element, double x)
{
    int exponent = FORMATS[element].least + 1;
    if (x != 0.0) {
        frexp(x, &exponent);
    }
    exponent = exponent - 1 < FORMATS[element].least ? FORMATS[element].least : exponent - 1;
    return ldexp(1.0, exponent - FORMATS[element].fraction);
}

static uint16_t encode(enum lq_element element, float x)
{
    const int fraction = FORMATS[element].fraction;
    const uint16_t sign = signbit(x) ? 0x8000U : 0U;
    const uint16_t infinite = (uint16_t)(0x7fffU >> fraction << fraction);
    if (isnan(x)) {
        return 0x7fffU;
    }
    const double before = fabs((double)x);
    const double size = nearbyint(before / unit_of(element, before)) * unit_of(element, before);
    if (size >= ldexp(1.0, 2 - FORMATS[element].least)) {
        return sign | infinite;
    }
    const double unit = unit_of(element, size);
    const unsigned digits = (unsigned)(size / unit);
    int exponent;
    frexp(unit, &exponent); /* unit = 2^(exponent - 1) */
    const int rank = exponent - 1 + fraction - FORMATS[element].least;
    return (uint16_t)(sign | (((unsigned)rank << fraction) + digits));
}

static float decode(enum lq_element element, uint16_t bits)
{
    const int fraction = FORMATS[element].fraction;
    const int most = 0x7fff >> fraction;
    const int rank = bits >> fraction & most;
    const int digits = bits & ((1 << fraction) - 1);
    const double sign = (bits & 0x8000U) != 0 ? -1.0 : 1.0;
    if (rank == most) {
        return digits != 0 ? (float)NAN : (float)(sign * HUGE_VAL);
    }
    const int whole = rank > 0 ? digits + (1 << fraction) : digits;
    const int power = FORMATS[element].least + (rank > 0 ? rank - 1 : 0) - fraction;
    return (float)(sign * ldexp((double)whole, power));
}

float *rounded(const struct lq_device *device, const float *x, size_t n)
{
    const enum lq_element element = element_of(device);
    float *result = copy_floats(x, n);
    for (size_t i = 0; i < n && element != LQ_ELEMENT_F32; i++) {
        result[i] = decode(element, encode(element, x[i]));
    }
    return result;
}

float *random_inputs(const struct lq_device *device, size_t n, uint64_t seed, double scale)
{
    return rounded(device, random_floats(n, seed, scale), n);
}

void *upload_bytes(struct lq_device *device, const void *bytes, size_t n)
{
    ck_assert_uint_lt(block_count, BLOCKS_MAX);
    void *memory = NULL;
    OK(subject()->allocate(device, n, &memory, &err));
    blocks[block_count].device = device;
    blocks[block_count++].memory = memory;
    OK(subject()->to_device(device, memory, bytes, n, &err));
    return memory;
}

void *download_bytes(struct lq_device *device, const void *bytes, size_t n)
{
    void *result = lend(n, 1);
    OK(subject()->to_host(device, result, bytes, n, &err));
    return result;
}

void *upload(struct lq_device *device, const float *x, size_t n)
{
    const enum lq_element element = element_of(device);
    if (element == LQ_ELEMENT_F32) {
        return upload_bytes(device, x, n * sizeof *x);
    }
    uint16_t *bits = lend(n, sizeof *bits);
    for (size_t i = 0; i < n; i++) {
        bits[i] = encode(element, x[i]);
    }
    return upload_bytes(device, bits, n * sizeof *bits);
}

float *download(struct lq_device *device, const void *x, size_t n)
{
    const enum lq_element element = element_of(device);
    if (element == LQ_ELEMENT_F32) {
        return download_bytes(device, x, n * sizeof(float));
    }
    const uint16_t *bits = download_bytes(device, x, n * sizeof *bits);
    float *result = zero_floats(n);
    for (size_t i = 0; i < n; i++) {
        result[i] = decode(element, bits[i]);
    }
    return result;
}

void *poisoned(struct lq_device *device, size_t n)
{
    return upload_bytes(device, poisoned_floats(n), n * element_bytes(device));
}

void assert_tally(struct lq_device *device, struct lq_tally want)
{
    const struct lq_tally got = subject()->tally(device);
    ck_assert_double_eq(got.flop, want.flop);
    ck_assert_double_eq(got.weight_bytes, want.weight_bytes);
    ck_assert_double_eq(got.stream_bytes, want.stream_bytes);
    ck_assert_double_eq(got.traffic_bytes, want.traffic_bytes);
    ck_assert_double_eq(got.calls, want.calls);
}
