/* What a server answers to posted points: its receipt, its problems; and a rejected point as a line
 * of text. Where they go is not decided here. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct lq_receipt {
    size_t duplicates;
    size_t implausible;    /* stored, but left out of fits */
    char *implausible_ids; /* separated by blanks; "" for none; to be freed */
};

enum { LQ_PROBLEM_FAULTS_MAX = 16 };

/* What is wrong with one point. */
struct lq_point_fault {
    size_t point;                 /* its place in the batch, from 0 */
    char pointer[LQ_POINTER_MAX]; /* within the point: "/step_time_s" */
    char detail[LQ_DETAIL_MAX];
};

struct lq_problem {
    char detail[LQ_DETAIL_MAX]; /* "" where the answer is no problem of an llmquote-server */
    struct lq_point_fault faults[LQ_PROBLEM_FAULTS_MAX];
    size_t fault_count;
};

/* Reads the receipt for `points` points; false where it is none, or one for another number. */
bool lq_receipt_read(const char *text, size_t size, size_t points, struct lq_receipt *out);

/* Reads a problem; what it says about points of a batch of that many comes first to last. Texts
 * come without characters that steer a terminal. */
void lq_problem_read(const char *text, size_t size, size_t points, struct lq_problem *out);

/* {"pointer":...,"detail":...,"point":...} on one line; the point as it is. To be freed; NULL where
 * memory runs out. */
char *lq_rejection_print(const char *pointer, const char *detail, const char *point, size_t size);
