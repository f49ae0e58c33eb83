/* Combinations and their order. Measuring them is measure.c's. */
#include "kernels/worker/sweep.h"

#include <stdlib.h>
#include <string.h>

double lq_sweep_work(const struct lq_sweep_item *item)
{
    const double experts = item->active_experts > 0 ? (double)item->active_experts : 1.0;
    /* 64: tokens whose work a small step's fixed costs are like */
    return (64.0 + (double)(item->batch_size * item->tokens)) * experts;
}

static int by_work(const void *a, const void *b)
{
    const struct lq_sweep_item *x = a;
    const struct lq_sweep_item *y = b;
    if (x->method != y->method) {
        return x->method < y->method ? -1 : 1;
    }
    const int64_t sides[][2] = {{x->active_experts, y->active_experts},
                                {x->batch_size * x->tokens, y->batch_size * y->tokens},
                                {x->batch_size, y->batch_size}};
    for (int i = 0; i < 3; i++) {
        if (sides[i][0] != sides[i][1]) {
            return sides[i][0] < sides[i][1] ? -1 : 1;
        }
    }
    return 0;
}

static size_t drop_doubles(struct lq_sweep_item *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || by_work(&items[kept - 1], &items[i]) != 0) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

enum lq_code lq_sweep_make(const struct lq_sweep_axes *axes,
                           struct lq_sweep_item items[LQ_SWEEP_MAX], size_t *count,
                           struct lq_error *err)
{
    const size_t all = (size_t)axes->methods.count * (size_t)axes->active_experts.count *
                       (size_t)axes->tokens.count * (size_t)axes->batch_sizes.count;
    if (all > LQ_SWEEP_MAX) {
        return lq_fail(err, LQ_EFIELD, NULL, "%zu points asked for; a sweep takes up to %d", all,
                       LQ_SWEEP_MAX);
    }
    for (size_t i = 0; i < all; i++) {
        size_t at = i;
        const size_t batch = at % (size_t)axes->batch_sizes.count;
        at /= (size_t)axes->batch_sizes.count;
        const size_t tokens = at % (size_t)axes->tokens.count;
        at /= (size_t)axes->tokens.count;
        const size_t active = at % (size_t)axes->active_experts.count;
        at /= (size_t)axes->active_experts.count;
        items[i] = (struct lq_sweep_item){.method = (enum lq_method_kind)axes->methods.value[at],
                                          .active_experts = axes->active_experts.value[active],
                                          .tokens = axes->tokens.value[tokens],
                                          .batch_size = axes->batch_sizes.value[batch]};
    }
    qsort(items, all, sizeof *items, by_work);
    *count = drop_doubles(items, all);
    return LQ_OK;
}

size_t lq_sweep_skip(struct lq_sweep_item *items, size_t count, size_t failed)
{
    const struct lq_sweep_item *f = &items[failed];
    size_t marked = 0;
    for (size_t i = 0; i < count; i++) {
        struct lq_sweep_item *item = &items[i];
        if (i > failed && !item->skipped && item->method == f->method &&
            item->active_experts >= f->active_experts && item->batch_size >= f->batch_size &&
            item->tokens >= f->tokens) {
            item->skipped = true;
            marked++;
        }
    }
    return marked;
}
