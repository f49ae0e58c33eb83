/* From status and body to a verdict. */
#include "kernels/delivery/answer.h"

#include "kernels/delivery/retry.h"

#include <stdio.h>
#include <string.h>

static void set(struct lq_verdict *verdict, enum lq_verdict_kind kind, enum lq_code code)
{
    verdict->kind = kind;
    verdict->code = code;
}

static void judge_busy(const struct lq_http_answer *answer, int64_t now_s,
                       struct lq_verdict *verdict)
{
    set(verdict, LQ_VERDICT_BUSY, LQ_EBUSY);
    if (!lq_retry_after_s(answer->retry_after, now_s, &verdict->wait_s)) {
        verdict->wait_s = -1.0;
    }
}

static void judge_status(const struct lq_http_answer *answer, int64_t now_s,
                         struct lq_verdict *verdict)
{
    const bool is_ours = verdict->problem.detail[0] != '\0';
    switch (answer->status) {
    case 400:
    case 422:
        if (is_ours) {
            set(verdict, verdict->problem.fault_count > 0 ? LQ_VERDICT_FAULTY : LQ_VERDICT_TOO_MUCH,
                LQ_EFIELD);
        }
        break;
    case 401:
        set(verdict, LQ_VERDICT_REFUSED, LQ_ETOKEN);
        break;
    case 403:
        set(verdict, LQ_VERDICT_REFUSED, LQ_ESCOPE);
        break;
    case 409:
        if (is_ours) {
            set(verdict, LQ_VERDICT_CONFLICT, LQ_ECONFLICT);
        }
        break;
    case 413: /* also of a proxy, whose limit may be lower */
        set(verdict, LQ_VERDICT_TOO_MUCH, LQ_ETOOLARGE);
        break;
    case 408:
    case 425:
    case 429:
        judge_busy(answer, now_s, verdict);
        break;
    default:
        if (answer->status >= 500) {
            judge_busy(answer, now_s, verdict);
        }
        break;
    }
}

void lq_answer_judge(const struct lq_http_answer *answer, size_t points, int64_t now_s,
                     struct lq_verdict *verdict)
{
    memset(verdict, 0, sizeof *verdict);
    verdict->wait_s = -1.0;
    set(verdict, LQ_VERDICT_STRANGE, LQ_EPEER);
    if (answer->status == 200 || answer->status == 201) {
        if (lq_receipt_read(answer->body, answer->size, points, &verdict->receipt)) {
            set(verdict, LQ_VERDICT_ACCEPTED, LQ_OK);
        }
    } else {
        lq_problem_read(answer->body, answer->size, points, &verdict->problem);
        judge_status(answer, now_s, verdict);
    }
    const char *detail = verdict->problem.detail;
    if (verdict->kind == LQ_VERDICT_STRANGE) {
        snprintf(verdict->why, sizeof verdict->why,
                 "it does not answer as an llmquote-server (status %ld, %zu bytes)", answer->status,
                 answer->size);
    } else {
        snprintf(verdict->why, sizeof verdict->why, "it answers %ld%s%.300s", answer->status,
                 detail[0] != '\0' ? ": " : "", detail);
    }
}
