/* Design of the next measurement by what it would do to the belief about the step's factors. */
#include "core/finetune/suggest.h"

#include "core/finetune/interval.h"

#include <math.h>
#include <string.h>

enum { N = LQ_FACTORS_MAX, CANDIDATES = 4 };

/* A point that leaves more than this share of the interval is not worth an hour. */
static const double WORTH = 0.98;

struct candidate {
    int64_t batch_size;
    double row_tokens;
    double gradient[LQ_FACTOR_COUNT];
};

/* Standard deviation of what stays in an interval whatever the factors: with n points of its own an
 * identity's fit scatters as evidence.c says; here for points that meet the prediction. */
static double rest_log_sd(const struct lq_estimate *estimate, int added)
{
    const bool own = estimate->basis.kind == LQ_BASIS_CALIBRATED;
    const struct lq_fit fit = {.points = (own ? estimate->basis.fit->points : 0) + (size_t)added,
                               .residual_log = own ? estimate->basis.fit->residual_log : 0.0};
    return fit.points > 0 ? lq_evidence_scatter(&fit) : 0.0;
}

static double width(const struct lq_job *job, const struct lq_estimate *estimate,
                    const struct lq_belief *belief, int added)
{
    const double rest = rest_log_sd(estimate, added);
    const struct lq_basis basis = {.belief = *belief, .log_sd = rest};
    return exp(2.0 * lq_interval_z(job->confidence) * lq_basis_log_sd(&basis, &estimate->step));
}

/* The belief's covariance after a step with this gradient was measured once:
 * C - C g g' C / (g' C g + s^2). */
static void learn(struct lq_belief *belief, const double *gradient, double log_sd)
{
    double moved[N] = {0.0};
    double variance = log_sd * log_sd;
    for (int i = 0; i < belief->factors; i++) {
        for (int j = 0; j < belief->factors; j++) {
            moved[i] += belief->covariance[i * N + j] * gradient[j];
        }
        variance += gradient[i] * moved[i];
    }
    for (int i = 0; i < belief->factors; i++) {
        for (int j = 0; j < belief->factors; j++) {
            belief->covariance[i * N + j] -= moved[i] * moved[j] / variance;
        }
    }
}

static int gather(const struct lq_job *job, const struct lq_estimate *estimate,
                  struct candidate out[CANDIDATES])
{
    const int64_t most = estimate->max_batch_size > 1 ? estimate->max_batch_size : 1;
    const int64_t sizes[CANDIDATES] = {estimate->batch_size, 1, (int64_t)sqrt((double)most), most};
    int n = 0;
    for (int i = 0; i < CANDIDATES; i++) {
        bool known = false;
        for (int j = 0; j < n; j++) {
            known = known || out[j].batch_size == sizes[i];
        }
        if (known) {
            continue;
        }
        struct candidate *c = &out[n++];
        struct lq_step_time step;
        c->batch_size = sizes[i];
        c->row_tokens = lq_lengths_mean_row(job->lengths, sizes[i]);
        const struct lq_step_parts parts = lq_job_step(job, (double)sizes[i], c->row_tokens);
        lq_step_evaluate(&parts, estimate->factor, &step);
        memcpy(c->gradient, step.share, sizeof c->gradient);
    }
    return n;
}

int lq_suggest(const struct lq_job *job, const struct lq_estimate *estimate,
               struct lq_suggestion out[LQ_SUGGESTIONS_MAX])
{
    /* a single measured step scatters by 1 % about its fit */
    static const double STEP_LOG_SD = 0.01;
    struct candidate candidates[CANDIDATES];
    int n = gather(job, estimate, candidates);
    struct lq_belief belief = estimate->basis.belief;
    double now = exp(2.0 * lq_interval_z(job->confidence) *
                     lq_basis_log_sd(&estimate->basis, &estimate->step));
    int found = 0;
    while (found < LQ_SUGGESTIONS_MAX) {
        int best = -1;
        double least = 1.0 + (now - 1.0) * WORTH;
        for (int i = 0; i < n; i++) {
            struct lq_belief after = belief;
            learn(&after, candidates[i].gradient, STEP_LOG_SD);
            const double then = width(job, estimate, &after, found + 1);
            if (then < least) {
                least = then;
                best = i;
            }
        }
        if (best < 0) {
            break;
        }
        learn(&belief, candidates[best].gradient, STEP_LOG_SD);
        out[found++] = (struct lq_suggestion){.batch_size = candidates[best].batch_size,
                                              .row_tokens = candidates[best].row_tokens,
                                              .width_now = now,
                                              .width_then = least};
        now = least;
        candidates[best] = candidates[--n]; /* once is enough */
    }
    return found;
}
