/* The shim itself: its 8-bit and 16-bit numbers, barriers, shuffles and orders, and that it stops a
 * program that would hang or go wrong on a device. */
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/shim/control.h"

extern "C" {
#include "tests/unit/check_main.h"
}

#include <csignal>
#include <cstring>

static unsigned log_of[1024];
static unsigned logged;

static void run(dim3 grid, dim3 block, void (*kernel)())
{
    lq_shim_launch(grid, block, 0, nullptr, [=] { kernel(); });
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
}

START_TEST(halves_are_the_nearest_ones)
{
    for (unsigned bits = 0; bits < 0x7c00; bits++) {
        const float x = __half2float({(uint16_t)bits});
        const float next = bits == 0x7bff ? 65536.0F : __half2float({(uint16_t)(bits + 1)});
        const float middle = (x + next) / 2.0F;
        const unsigned even = bits % 2 == 0 ? bits : bits + 1;
        ck_assert_uint_eq(__float2half(x).bits, bits);
        ck_assert_uint_eq(__float2half(-x).bits, bits | 0x8000U);
        ck_assert_uint_eq(__float2half(middle).bits, even);
        ck_assert_uint_eq(__float2half(nextafterf(middle, 0.0F)).bits, bits);
        ck_assert_uint_eq(__float2half(nextafterf(middle, 1e9F)).bits, bits + 1);
    }
    ck_assert_uint_eq(__float2half(HUGE_VALF).bits, 0x7c00);
    ck_assert(isnan(__half2float(__float2half(NAN))));
    ck_assert(__half2float({0x0001}) == 0x1p-24F);
    ck_assert(__half2float({0x3c00}) == 1.0F);
}
END_TEST

START_TEST(bfloats_are_the_nearest_ones)
{
    for (unsigned bits = 0; bits < 0x7f80; bits++) {
        const uint32_t low = (uint32_t)bits << 16;
        const unsigned even = bits % 2 == 0 ? bits : bits + 1;
        ck_assert_uint_eq(__float2bfloat16(lq_shim_float(low)).bits, bits);
        ck_assert_uint_eq(__float2bfloat16(lq_shim_float(low | 0x7fff)).bits, bits);
        ck_assert_uint_eq(__float2bfloat16(lq_shim_float(low | 0x8000)).bits, even);
        ck_assert_uint_eq(__float2bfloat16(lq_shim_float(low | 0x8001)).bits, bits + 1);
    }
    ck_assert(isnan(__bfloat162float(__float2bfloat16(NAN))));
    ck_assert(__bfloat162float({0xbf80}) == -1.0F);
}
END_TEST

static unsigned e4m3_of(float x)
{
    return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
}

START_TEST(numbers_of_8_bits_are_the_nearest_ones)
{
    for (unsigned bits = 0; bits < 0x7e; bits++) {
        const float x = lq_shim_of_fp8((uint8_t)bits);
        const float middle = (x + lq_shim_of_fp8((uint8_t)(bits + 1))) / 2.0F;
        const int rank = (int)(bits >> 3);
        const float digits = (float)(bits & 7U) + (rank > 0 ? 8.0F : 0.0F);
        ck_assert(x == ldexpf(digits, (rank > 0 ? rank : 1) - 10));
        ck_assert_uint_eq(e4m3_of(x), bits);
        ck_assert_uint_eq(e4m3_of(-x), bits | 0x80U);
        ck_assert_uint_eq(e4m3_of(middle), bits % 2 == 0 ? bits : bits + 1);
        ck_assert_uint_eq(e4m3_of(nextafterf(middle, 0.0F)), bits);
        ck_assert_uint_eq(e4m3_of(nextafterf(middle, 1e9F)), bits + 1);
    }
    ck_assert(lq_shim_of_fp8(0x7e) == 448.0F && lq_shim_of_fp8(0xb8) == -1.0F);
    ck_assert(isnan(lq_shim_of_fp8(0x7f)) && isnan(lq_shim_of_fp8(0xff)));
}
END_TEST

START_TEST(numbers_of_8_bits_saturate)
{
    static const float BEYOND[] = {449.0F, 464.0F, 465.0F, 1e30F, HUGE_VALF};
    for (size_t i = 0; i < sizeof BEYOND / sizeof *BEYOND; i++) {
        ck_assert_uint_eq(e4m3_of(BEYOND[i]), 0x7e);
        ck_assert_uint_eq(e4m3_of(-BEYOND[i]), 0xfe);
    }
    ck_assert_uint_eq(e4m3_of(NAN), 0x7f);
}
END_TEST

static void reduce()
{
    __shared__ float room[LQ_WARPS_MAX];
    const float sum = lq_block_sum((float)threadIdx.x, room);
    const float most = lq_block_max(-(float)threadIdx.x, room);
    const unsigned even = __ballot_sync(0xffffffffU, threadIdx.x % 2 == 0);
    const unsigned before = __shfl_up_sync(0xffffffffU, threadIdx.x, 1);
    const unsigned after = __shfl_down_sync(0xffffffffU, threadIdx.x, 1, 16);
    const unsigned third = __shfl_sync(0xffffffffU, threadIdx.x, 3, 8);
    const unsigned lane = threadIdx.x % 32;
    const bool right = sum == 4560.0F && most == 0.0F && even == 0x55555555U &&
                       before == (lane == 0 ? threadIdx.x : threadIdx.x - 1) &&
                       after == (lane % 16 == 15 ? threadIdx.x : threadIdx.x + 1) &&
                       third == threadIdx.x / 8 * 8 + 3;
    atomicAdd(&logged, right ? 1U : 0U);
}

START_TEST(threads_exchange_numbers_in_any_order)
{
    lq_shim_order((uint64_t)_i);
    run(3, 96, reduce);
    ck_assert_uint_eq(logged, 3 * 96);
}
END_TEST

static void note_order()
{
    log_of[logged++] = threadIdx.x + 64 * blockIdx.x;
}

START_TEST(orders_are_their_own_and_whole)
{
    bool seen[8 * 64] = {};
    unsigned moved = 0;
    lq_shim_order((uint64_t)_i);
    run(8, 64, note_order);
    ck_assert_uint_eq(logged, 8 * 64);
    for (unsigned i = 0; i < logged; i++) {
        ck_assert(!seen[log_of[i]]);
        seen[log_of[i]] = true;
        moved += log_of[i] != i ? 1U : 0U;
    }
    ck_assert(_i == 0 ? moved == 0 : moved > 300);
}
END_TEST

static void index_all()
{
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    log_of[block * 64 + thread]++;
}

START_TEST(every_thread_of_three_dimensions_runs_once)
{
    run(dim3(2, 3, 2), dim3(8, 4, 2), index_all);
    for (unsigned i = 0; i < 12 * 64; i++) {
        ck_assert_uint_eq(log_of[i], 1);
    }
}
END_TEST

static void early_end()
{
    if (threadIdx.x >= 40) {
        return;
    }
    __syncthreads();
    atomicAdd(&logged, 1U);
}

START_TEST(threads_that_have_ended_are_not_waited_for)
{
    lq_shim_order((uint64_t)_i);
    run(1, 64, early_end);
    ck_assert_uint_eq(logged, 40);
}
END_TEST

/* A whole warp for some threads, the block for the others: neither comes together. */
static void torn()
{
    if (threadIdx.x == 0) {
        __syncwarp();
    } else {
        __syncthreads();
    }
}

START_TEST(a_barrier_that_not_all_reach_ends_the_program)
{
    run(1, 32, torn);
}
END_TEST

static void short_mask()
{
    if (threadIdx.x < 16) {
        (void)__shfl_xor_sync(0xffffffffU, 1, 1);
    }
}

START_TEST(a_shuffle_with_threads_that_have_ended_ends_the_program)
{
    run(1, 32, short_mask);
}
END_TEST

START_TEST(impossible_launches_are_refused)
{
    const dim3 grids[] = {1, 1, dim3(0, 1), dim3(1, 70000), 1};
    const dim3 blocks[] = {2048, 33, 32, 32, 32};
    const size_t shared[] = {0, 0, 0, 0, (48 << 10) + 1};
    lq_shim_launch(grids[_i], blocks[_i], shared[_i], nullptr, [] { logged++; });
    ck_assert_int_eq(cudaGetLastError(), cudaErrorInvalidConfiguration);
    ck_assert_uint_eq(logged, 0);
}
END_TEST

static void read_shared()
{
    const float *room = (const float *)lq_shim_dynamic_shared();
    logged += isnan(room[threadIdx.x]) ? 1U : 0U;
}

START_TEST(fresh_memory_is_no_number)
{
    void *memory = nullptr;
    ck_assert_int_eq(cudaMalloc(&memory, 64), cudaSuccess);
    ck_assert(isnan(*(const float *)memory));
    ck_assert_uint_eq(lq_shim_left(), 1);
    ck_assert_int_eq(cudaFree(memory), cudaSuccess);
    ck_assert_uint_eq(lq_shim_left(), 0);
    lq_shim_launch(2, 32, 128, nullptr, [] { read_shared(); });
    ck_assert_uint_eq(logged, 64);
}
END_TEST

int main()
{
    Suite *suite = suite_create("cuda_shim");
    TCase *tests = tcase_create("cuda_shim");
    tcase_add_test(tests, halves_are_the_nearest_ones);
    tcase_add_test(tests, bfloats_are_the_nearest_ones);
    tcase_add_test(tests, numbers_of_8_bits_are_the_nearest_ones);
    tcase_add_test(tests, numbers_of_8_bits_saturate);
    tcase_add_loop_test(tests, threads_exchange_numbers_in_any_order, 0, 4);
    tcase_add_loop_test(tests, orders_are_their_own_and_whole, 0, 3);
    tcase_add_test(tests, every_thread_of_three_dimensions_runs_once);
    tcase_add_loop_test(tests, threads_that_have_ended_are_not_waited_for, 0, 3);
    tcase_add_test_raise_signal(tests, a_barrier_that_not_all_reach_ends_the_program, SIGABRT);
    tcase_add_test_raise_signal(tests, a_shuffle_with_threads_that_have_ended_ends_the_program,
                                SIGABRT);
    tcase_add_loop_test(tests, impossible_launches_are_refused, 0, 5);
    tcase_add_test(tests, fresh_memory_is_no_number);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
