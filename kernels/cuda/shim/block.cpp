/* Runs a grid on the calling thread: blocks one after the other, each thread of a block as a fiber
 * that runs until it meets a barrier or its end. Switching stacks is in fiber.cpp. */
#include "kernels/cuda/shim/control.h"
#include "kernels/cuda/shim/fiber.h"
#include "kernels/cuda/shim/launch.h"
#include "kernels/cuda/shim/thread.h"

#include <stdio.h>
#include <stdlib.h>

enum { THREADS_MAX = 1024, LANES = 32 };

dim3 threadIdx;
dim3 blockIdx;
dim3 blockDim;
dim3 gridDim;

enum wait { READY, AT_BARRIER, AT_MEETING, ENDED };

struct thread {
    enum wait wait;
    unsigned mask; /* of lanes that it meets */
    void *brought;
    dim3 index;
};

static struct {
    thread threads[THREADS_MAX];
    unsigned order[THREADS_MAX];
    unsigned count;
    unsigned live;
    unsigned arrived; /* at the block's barrier */
    unsigned now;     /* the thread that runs */
    lq_shim_body *body;
    const void *context;
    void *shared;
    uint64_t seed;
    uint64_t state; /* of the order's random numbers */
} run;

void lq_shim_order(uint64_t seed)
{
    run.seed = seed;
    run.state = seed;
}

void *lq_shim_dynamic_shared(void)
{
    return run.shared;
}

/* splitmix64 (S. Vigna, prng.di.unimi.it/splitmix64.c, public domain). */
static uint64_t draw(void)
{
    uint64_t z = (run.state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static void shuffle_order(void)
{
    for (unsigned i = run.count; run.seed != 0 && i > 1; i--) {
        const unsigned j = (unsigned)(draw() % i);
        const unsigned kept = run.order[i - 1];
        run.order[i - 1] = run.order[j];
        run.order[j] = kept;
    }
}

[[noreturn]] static void die(const char *why)
{
    fprintf(stderr, "shim: %s (block %u, %u, %u; thread %u)\n", why, blockIdx.x, blockIdx.y,
            blockIdx.z, run.now);
    abort();
}

/* Lets others run until somebody has made this thread ready. */
static void wait_as(enum wait wait)
{
    run.threads[run.now].wait = wait;
    lq_shim_fiber_leave(run.now);
}

static void open_barrier(void)
{
    for (unsigned i = 0; i < run.count; i++) {
        if (run.threads[i].wait == AT_BARRIER) {
            run.threads[i].wait = READY;
        }
    }
    run.arrived = 0;
}

void __syncthreads(void)
{
    if (++run.arrived == run.live) {
        open_barrier();
        return;
    }
    wait_as(AT_BARRIER);
}

/* Whether all lanes of the mask, the running one among them, are here for the same meeting. */
static bool complete(unsigned mask, thread *warp)
{
    for (unsigned lane = 0; lane < LANES; lane++) {
        if ((mask >> lane & 1U) == 0) {
            continue;
        }
        if (warp[lane].wait == ENDED) {
            die("a lane of the mask has ended");
        }
        if (&warp[lane] != &run.threads[run.now] &&
            (warp[lane].wait != AT_MEETING || warp[lane].mask != mask)) {
            return false;
        }
    }
    return true;
}

void lq_shim_meet(unsigned mask, void *mine, lq_shim_meeting *meet)
{
    thread *self = &run.threads[run.now];
    thread *warp = &run.threads[run.now / LANES * LANES];
    if ((mask >> run.now % LANES & 1U) == 0) {
        die("a lane that is not of its mask");
    }
    self->mask = mask;
    self->brought = mine;
    if (!complete(mask, warp)) {
        wait_as(AT_MEETING);
        return;
    }
    void *brought[LANES] = {nullptr};
    for (unsigned lane = 0; lane < LANES; lane++) {
        if ((mask >> lane & 1U) != 0) {
            brought[lane] = warp[lane].brought;
            warp[lane].wait = READY;
        }
    }
    if (meet != nullptr) {
        meet(brought);
    }
}

void lq_shim_exchange_all(void *const brought[32])
{
    for (unsigned lane = 0; lane < LANES; lane++) {
        lq_shim_exchange *exchange = (lq_shim_exchange *)brought[lane];
        if (exchange == nullptr) {
            continue;
        }
        const lq_shim_exchange *source = (const lq_shim_exchange *)brought[exchange->source];
        if (source == nullptr) {
            die("a shuffle from outside of its mask");
        }
        exchange->result = source->value;
    }
}

void lq_shim_vote_all(void *const brought[32])
{
    uint64_t votes = 0;
    for (unsigned lane = 0; lane < LANES; lane++) {
        const lq_shim_exchange *exchange = (const lq_shim_exchange *)brought[lane];
        votes |= exchange == nullptr ? 0 : exchange->value << lane;
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        if (brought[lane] != nullptr) {
            ((lq_shim_exchange *)brought[lane])->result = votes;
        }
    }
}

static void run_thread(unsigned number)
{
    run.body(run.context);
    run.threads[number].wait = ENDED;
    run.live--;
    if (run.arrived > 0 && run.arrived == run.live) {
        open_barrier(); /* who has ended is not waited for */
    }
}

static void prepare_block(void)
{
    for (unsigned i = 0; i < run.count; i++) {
        thread *t = &run.threads[i];
        t->wait = READY;
        t->index = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y);
        run.order[i] = i;
        lq_shim_fiber_start(i, run_thread);
    }
    run.live = run.count;
    run.arrived = 0;
}

static bool enter_if_ready(unsigned number)
{
    if (run.threads[number].wait != READY) {
        return false;
    }
    run.now = number;
    threadIdx = run.threads[number].index;
    lq_shim_fiber_enter(number);
    return true;
}

/* All threads by turns: none gets further than one barrier or shuffle ahead of another. */
static bool go_together(void)
{
    bool moved = false;
    for (unsigned i = 0; i < run.count; i++) {
        moved = enter_if_ready(run.order[i]) || moved;
    }
    return moved;
}

/* Warp after warp, each until nothing but the block's barrier stops it: how far one may get ahead
 * of the others. */
static bool go_by_warps(void)
{
    bool moved = false;
    for (unsigned i = 0; i < run.count; i++) {
        const unsigned first = run.order[i] / LANES * LANES;
        const unsigned turned = (unsigned)(draw() % LANES);
        bool again = run.order[i] == first;
        while (again) {
            again = false;
            for (unsigned lane = 0; lane < LANES; lane++) {
                again = enter_if_ready(first + (lane ^ turned)) || again;
            }
            moved = again || moved;
        }
    }
    return moved;
}

static void run_block(void)
{
    prepare_block();
    while (run.live > 0) {
        shuffle_order();
        const bool by_warps = run.seed != 0 && draw() % 2 == 0;
        if (!(by_warps ? go_by_warps() : go_together())) {
            die("threads wait for some that do not come");
        }
    }
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void lq_shim_run_blocks(dim3 grid, dim3 block, size_t shared_bytes, lq_shim_body *body,
                        const void *context)
{
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    uint64_t step = 1;
    while (run.seed != 0 && blocks > 2 && (step == 1 || common_divisor(step, blocks) != 1)) {
        step = 1 + draw() % (blocks - 1);
    }
    run.count = block.x * block.y * block.z;
    run.body = body;
    run.context = context;
    gridDim = grid;
    blockDim = block;
    run.shared = nullptr;
    if (posix_memalign(&run.shared, 128, shared_bytes > 0 ? shared_bytes : 1) != 0) {
        die("no memory for a block");
    }
    for (uint64_t i = 0; i < blocks; i++) {
        const uint64_t number = i * step % blocks;
        blockIdx = dim3((unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                        (unsigned)(number / grid.x / grid.y));
        memset(run.shared, 0xff, shared_bytes);
        run_block();
    }
    free(run.shared);
    run.shared = nullptr;
}
