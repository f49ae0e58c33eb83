/* Fibers: by hand on x86-64, where a switch costs nanoseconds, by ucontext elsewhere, where it
 * costs two system calls. Address sanitizers are told of each switch. */
#include "kernels/cuda/shim/fiber.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LQ_SHIM_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LQ_SHIM_ASAN
#endif
#ifdef LQ_SHIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

enum { FIBERS = 1024, STACK = 128 << 10 }; /* bytes of a stack; pages are taken when touched */

#if defined(__x86_64__) && !defined(LQ_SHIM_UCONTEXT)
typedef void *place; /* a stack's top, with the registers that calls keep on it */

extern "C" void lq_shim_switch(place *from, place *to);
asm(".text\n.globl lq_shim_switch\n.hidden lq_shim_switch\n.type lq_shim_switch, @function\n"
    "lq_shim_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq (%rsi), %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size lq_shim_switch, . - lq_shim_switch\n");

static void prepare(place *fiber, char *stack, void (*begin)(void))
{
    void **top = (void **)(void *)(stack + STACK);
    *--top = nullptr; /* as if called from nowhere: the stack is aligned for `begin` */
    *--top = (void *)begin;
    top -= 6;
    *fiber = top;
}
#else
#include <ucontext.h>
typedef ucontext_t place;

static void lq_shim_switch(place *from, place *to)
{
    swapcontext(from, to);
}

static void prepare(place *fiber, char *stack, void (*begin)(void))
{
    getcontext(fiber);
    fiber->uc_stack.ss_sp = stack;
    fiber->uc_stack.ss_size = STACK;
    makecontext(fiber, begin, 0);
}
#endif

static struct {
    char *stacks;
    place fiber[FIBERS];
    place caller;
    unsigned now;
    void (*entry)(unsigned number);
    const void *caller_stack; /* for sanitizers, as are the following */
    size_t caller_bytes;
    void *fake[FIBERS];
    void *caller_fake;
} fibers;

static void arrive_in_fiber(void)
{
#ifdef LQ_SHIM_ASAN
    __sanitizer_finish_switch_fiber(fibers.fake[fibers.now], &fibers.caller_stack,
                                    &fibers.caller_bytes);
#endif
}

static void go_to_caller(bool ended)
{
    const unsigned number = fibers.now;
#ifdef LQ_SHIM_ASAN
    __sanitizer_start_switch_fiber(ended ? nullptr : &fibers.fake[number], fibers.caller_stack,
                                   fibers.caller_bytes);
#else
    (void)ended;
#endif
    lq_shim_switch(&fibers.fiber[number], &fibers.caller);
}

static void begin(void)
{
    arrive_in_fiber();
    fibers.entry(fibers.now);
    go_to_caller(true);
    abort(); /* nobody enters a fiber that has ended */
}

void lq_shim_fiber_start(unsigned number, void (*entry)(unsigned number))
{
    if (fibers.stacks == nullptr) {
        void *memory = mmap(nullptr, (size_t)FIBERS * STACK, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            perror("shim: no memory for stacks");
            abort();
        }
        fibers.stacks = (char *)memory;
    }
    fibers.entry = entry;
    fibers.fake[number] = nullptr;
    prepare(&fibers.fiber[number], fibers.stacks + (size_t)number * STACK, begin);
}

void lq_shim_fiber_enter(unsigned number)
{
    fibers.now = number;
#ifdef LQ_SHIM_ASAN
    __sanitizer_start_switch_fiber(&fibers.caller_fake, fibers.stacks + (size_t)number * STACK,
                                   STACK);
#endif
    lq_shim_switch(&fibers.caller, &fibers.fiber[number]);
#ifdef LQ_SHIM_ASAN
    __sanitizer_finish_switch_fiber(fibers.caller_fake, nullptr, nullptr);
#endif
}

void lq_shim_fiber_leave(unsigned number)
{
    (void)number;
    go_to_caller(false);
    arrive_in_fiber();
}
