/* What an answer to a posted batch asks of the worker. Doing it is not decided here. */
#pragma once

#include "kernels/delivery/http.h"
#include "kernels/document/delivery.h"

#include <stdint.h>

enum lq_verdict_kind {
    LQ_VERDICT_ACCEPTED, /* receipt */
    LQ_VERDICT_FAULTY,   /* problem names points */
    LQ_VERDICT_TOO_MUCH, /* try fewer points: too large, or no telling which is bad */
    LQ_VERDICT_CONFLICT, /* the key was used for something else */
    LQ_VERDICT_REFUSED,  /* the token */
    LQ_VERDICT_BUSY,     /* try again later */
    LQ_VERDICT_STRANGE   /* no answer of an llmquote-server */
};

struct lq_verdict {
    enum lq_verdict_kind kind;
    enum lq_code code;         /* of giving up on this answer */
    double wait_s;             /* as the server asks; negative where it does not */
    char why[LQ_DETAIL_MAX];   /* for a log */
    struct lq_receipt receipt; /* of ACCEPTED; its texts are to be freed */
    struct lq_problem problem;
};

/* Judges an answer to `points` points. now_s: Unix time, for Retry-After. */
void lq_answer_judge(const struct lq_http_answer *answer, size_t points, int64_t now_s,
                     struct lq_verdict *verdict);
