/* What a server answers to posted points: first byte and line are status and Retry-After, the rest
 * is a receipt, a problem or anything else. */
#include "kernels/delivery/answer.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const long STATUS[] = {201, 200, 400, 401, 403, 404, 409, 413, 429, 500, 503, 302};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct lq_http_answer answer = {.status = STATUS[data[0] % (sizeof STATUS / sizeof *STATUS)]};
    char *text = fuzz_text(data + 1, size - 1);
    char *body = strchr(text, '\n');
    if (body != NULL) {
        *body++ = '\0';
        snprintf(answer.retry_after, sizeof answer.retry_after, "%s", text);
        answer.body = body;
        answer.size = size - 1 - (size_t)(body - text);
        struct lq_verdict verdict = {0};
        lq_answer_judge(&answer, 3, 1780000000, &verdict);
        if (!isfinite(verdict.wait_s) || verdict.problem.fault_count > LQ_PROBLEM_FAULTS_MAX) {
            fuzz_fail("a verdict that is none");
        }
        for (size_t i = 0; i < verdict.problem.fault_count; i++) {
            if (verdict.problem.faults[i].point >= 3) {
                fuzz_fail("a fault of a point that was not sent");
            }
        }
        free(verdict.receipt.implausible_ids);
    }
    free(text);
    return 0;
}
