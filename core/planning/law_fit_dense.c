/* The objective of E + A/N^alpha + B/D^beta over whole blocks of runs: what a grid of thousands of
 * starts spends its time in. */
#include "core/base/lanes.h"
#include "core/base/vector_math.h"
#include "core/planning/law_fit_parts.h"

#include <math.h>
#include <stddef.h>

struct sums {
    lq_reals objective;
    lq_reals a;
    lq_reals b;
    lq_reals e;
    lq_reals alpha;
    lq_reals beta;
};

/* The terms of one block's losses. */
struct block {
    double size[LQ_BLOCK];   /* A / N^alpha */
    double tokens[LQ_BLOCK]; /* B / D^beta */
    double loss[LQ_BLOCK];
    double log_loss[LQ_BLOCK];
};

static void predict(const struct lq_law_fit_problem *p, size_t first, const double *c, double rest,
                    struct block *block)
{
    for (size_t i = 0; i < LQ_BLOCK; i += LQ_LANES) {
        lq_store(block->size + i, c[0] - c[3] * lq_load(p->log_n + first + i));
        lq_store(block->tokens + i, c[1] - c[4] * lq_load(p->log_d + first + i));
    }
    lq_block_exp(block->size, block->size);
    lq_block_exp(block->tokens, block->tokens);
    for (size_t i = 0; i < LQ_BLOCK; i += LQ_LANES) {
        lq_store(block->loss + i, rest + lq_load(block->size + i) + lq_load(block->tokens + i));
    }
    lq_block_log(block->loss, block->log_loss);
}

/* With c the residual r clipped at delta, Huber's loss is c (r - c/2) on either side of delta, and
 * its slope c. */
static void add_block(const struct lq_law_fit_problem *p, size_t first, const struct block *block,
                      struct sums *out)
{
    struct sums sums = *out;
    for (size_t i = 0; i < LQ_BLOCK; i += LQ_LANES) {
        const size_t at = first + i;
        const lq_reals r = lq_load(block->log_loss + i) - lq_load(p->log_value + at);
        const lq_reals slope = lq_clip(r, LQ_LAW_HUBER_DELTA);
        const lq_reals pull = lq_load(p->weights + at) * slope;
        const lq_reals share = pull / lq_load(block->loss + i);
        const lq_reals size = share * lq_load(block->size + i);
        const lq_reals tokens = share * lq_load(block->tokens + i);
        sums.objective += pull * (r - 0.5 * slope);
        sums.a += size;
        sums.b += tokens;
        sums.e += share;
        sums.alpha -= size * lq_load(p->log_n + at);
        sums.beta -= tokens * lq_load(p->log_d + at);
    }
    *out = sums;
}

static double total(lq_reals lanes)
{
    return lanes[0] + lanes[1];
}

double lq_law_fit_dense_objective(const struct lq_law_fit_problem *problem, const double *centred,
                                  double *gradient)
{
    const double rest = exp(centred[2]);
    struct sums sums = {{0.0}, {0.0}, {0.0}, {0.0}, {0.0}, {0.0}};
    struct block block;
    for (size_t first = 0; first < problem->n; first += LQ_BLOCK) {
        predict(problem, first, centred, rest, &block);
        add_block(problem, first, &block, &sums);
    }
    gradient[0] = total(sums.a);
    gradient[1] = total(sums.b);
    gradient[2] = rest * total(sums.e);
    gradient[3] = total(sums.alpha);
    gradient[4] = total(sums.beta);
    return total(sums.objective);
}
