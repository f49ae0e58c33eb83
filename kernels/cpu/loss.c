/* Cross-entropy of each token over a large vocabulary. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/vector.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Logits that are summed in fp32 before the sum goes on in double precision: a share of 1e-6 is
 * kept of a vocabulary of 10^5. */
enum { CHUNK = 1024 };

/* Sum of e^(x - most) for n <= CHUNK. */
static float sum_chunk(const float *x, int64_t n, float most)
{
    float exponentials[CHUNK];
    for (int64_t i = 0; i < n; i++) {
        exponentials[i] = lq_exp(x[i] - most);
    }
    return lq_sum(exponentials, n);
}

/* Sum of e^(x - most): between 1 and n. */
static double sum_exponentials(const float *x, int64_t n, float most)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        sum += (double)sum_chunk(x + i, n - i < CHUNK ? n - i : CHUNK, most);
    }
    return sum;
}

static void run_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_loss *op = context;
    for (int64_t token = begin; token < end; token++) {
        const float *logits = (const float *)op->logits + token * op->vocabulary;
        const int32_t target = op->targets[token];
        assert(target < op->vocabulary);
        if (target < 0) {
            op->losses[token] = 0.0F;
            continue;
        }
        const float most = lq_maximum(logits, op->vocabulary);
        const double sum = sum_exponentials(logits, op->vocabulary, most);
        op->losses[token] = (float)(log(sum) + (double)most - (double)logits[target]);
    }
}

/* An element is read before it is written, so d_logits may be the logits. */
static void run_backward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_loss *op = context;
    for (int64_t token = begin; token < end; token++) {
        const float *logits = (const float *)op->logits + token * op->vocabulary;
        float *d_logits = (float *)op->d_logits + token * op->vocabulary;
        const int32_t target = op->targets[token];
        assert(target < op->vocabulary);
        if (target < 0) {
            memset(d_logits, 0, (size_t)op->vocabulary * sizeof *d_logits);
            continue;
        }
        const float most = lq_maximum(logits, op->vocabulary);
        const double sum = sum_exponentials(logits, op->vocabulary, most);
        const float share = (float)(op->scale / sum);
        for (int64_t i = 0; i < op->vocabulary; i++) {
            d_logits[i] = share * lq_exp(logits[i] - most);
        }
        d_logits[target] -= (float)op->scale;
    }
}

enum lq_code lq_cpu_loss(struct lq_device *device, const struct lq_op_loss *op, enum lq_pass pass,
                         struct lq_error *err)
{
    (void)err;
    struct lq_op_loss copy = *op;
    const bool forward = pass == LQ_PASS_FORWARD;
    lq_parallel(device, op->tokens, 1, forward ? run_forward : run_backward, &copy);
    const double logits = (double)(op->tokens * op->vocabulary);
    lq_cpu_count(
        device, (struct lq_tally){.traffic_bytes = (forward ? 1.0 : 2.0) * logits * sizeof(float)});
    return LQ_OK;
}
