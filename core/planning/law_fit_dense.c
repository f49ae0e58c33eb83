/* The objective of E + A/N^alpha + B/D^beta over whole blocks of runs: what a grid of thousands of
 * starts spends its time in. */
#include "core/base/vector_math.h"
#include "core/planning/law_fit_parts.h"

#include <math.h>
#include <stddef.h>

/* Partial sums in lanes, so that an addition need not wait for the one before it. */
enum { LANES = 4 };

struct sums {
    double objective[LANES];
    double a[LANES];
    double b[LANES];
    double e[LANES];
    double alpha[LANES];
    double beta[LANES];
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
    for (size_t i = 0; i < LQ_BLOCK; i++) {
        block->size[i] = c[0] - c[3] * p->log_n[first + i];
        block->tokens[i] = c[1] - c[4] * p->log_d[first + i];
    }
    lq_block_exp(block->size, block->size);
    lq_block_exp(block->tokens, block->tokens);
    for (size_t i = 0; i < LQ_BLOCK; i++) {
        block->loss[i] = rest + block->size[i] + block->tokens[i];
    }
    lq_block_log(block->loss, block->log_loss);
}

/* c = clip(r): Huber's loss is c (r - c/2) on either side of delta, and its slope c. */
static inline double clip(double r)
{
    const double low = r < -LQ_LAW_HUBER_DELTA ? -LQ_LAW_HUBER_DELTA : r;
    return low > LQ_LAW_HUBER_DELTA ? LQ_LAW_HUBER_DELTA : low;
}

static void add_block(const struct lq_law_fit_problem *p, size_t first, const struct block *block,
                      struct sums *sums)
{
    for (size_t i = 0; i < LQ_BLOCK; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++) {
            const size_t at = first + i + lane;
            const double r = block->log_loss[i + lane] - p->log_value[at];
            const double slope = clip(r);
            const double pull = p->weights[at] * slope;
            const double share = pull / block->loss[i + lane];
            const double size = share * block->size[i + lane];
            const double tokens = share * block->tokens[i + lane];
            sums->objective[lane] += pull * (r - 0.5 * slope);
            sums->a[lane] += size;
            sums->b[lane] += tokens;
            sums->e[lane] += share;
            sums->alpha[lane] -= size * p->log_n[at];
            sums->beta[lane] -= tokens * p->log_d[at];
        }
    }
}

static double total(const double lanes[LANES])
{
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

double lq_law_fit_dense_objective(const struct lq_law_fit_problem *problem, const double *centred,
                                  double *gradient)
{
    const double rest = exp(centred[2]);
    struct sums sums = {{0}, {0}, {0}, {0}, {0}, {0}};
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
