/* Groups outcomes by quantity and month and measures each group. */
#include "server/jobs/validate_outcomes.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MONTH_CHARS = 7 }; /* of "2026-11-22T..." */

/* Pairs of one group while they are collected; each array has room for all receipts. */
struct pairs {
    double *predicted;
    double *measured;
    double *scratch;
    size_t n;
    size_t within;
    double levels;
    double log_widths;
};

static bool is_told(const struct lq_receipt *receipt, int quantity)
{
    return receipt->outcome.value[quantity] > 0.0 && receipt->figure[quantity].value > 0.0;
}

static void add(struct pairs *pairs, const struct lq_receipt *receipt, int quantity)
{
    const struct lq_receipt_figure *figure = &receipt->figure[quantity];
    const double value = receipt->outcome.value[quantity];
    pairs->predicted[pairs->n] = figure->value;
    pairs->measured[pairs->n] = value;
    pairs->n++;
    pairs->within += value >= figure->low && value <= figure->high;
    pairs->levels += receipt->level;
    pairs->log_widths += log(figure->high / figure->low);
}

static struct lq_outcome_validation measure(struct pairs *pairs, int quantity)
{
    const double n = (double)pairs->n;
    return (struct lq_outcome_validation){
        .quantity = (enum lq_receipt_quantity)quantity,
        .errors = lq_errors_of(pairs->predicted, pairs->measured, pairs->n, pairs->scratch),
        .coverage = (double)pairs->within / n,
        .level = pairs->levels / n,
        .width = exp(pairs->log_widths / n)};
}

/* Measures those of `month` (NULL: all); false where there are none. */
static bool measure_group(const struct lq_receipt *receipts, size_t count, int quantity,
                          const char *month, struct pairs *pairs, struct lq_outcome_validation *out)
{
    *pairs = (struct pairs){pairs->predicted, pairs->measured, pairs->scratch, 0, 0, 0.0, 0.0};
    for (size_t i = 0; i < count; i++) {
        const bool meant =
            month == NULL || strncmp(receipts[i].outcome.recorded_at, month, MONTH_CHARS) == 0;
        if (meant && is_told(&receipts[i], quantity)) {
            add(pairs, &receipts[i], quantity);
        }
    }
    if (pairs->n == 0) {
        return false;
    }
    *out = measure(pairs, quantity);
    if (month != NULL) {
        memcpy(out->month, month, MONTH_CHARS);
    }
    return true;
}

/* How many months there are, each counted where it begins. */
static size_t count_months(const struct lq_receipt *receipts, size_t count)
{
    size_t months = count > 0;
    for (size_t i = 1; i < count; i++) {
        months += strncmp(receipts[i].outcome.recorded_at, receipts[i - 1].outcome.recorded_at,
                          MONTH_CHARS) != 0;
    }
    return months;
}

static size_t measure_all(const struct lq_receipt *receipts, size_t count, struct pairs *pairs,
                          struct lq_outcome_validation *rows)
{
    size_t n = 0;
    for (int q = 0; q < LQ_RECEIPT_QUANTITIES; q++) {
        n += measure_group(receipts, count, q, NULL, pairs, &rows[n]);
        for (size_t i = 0, end; i < count; i = end) {
            const char *month = receipts[i].outcome.recorded_at;
            for (end = i + 1;
                 end < count && strncmp(receipts[end].outcome.recorded_at, month, MONTH_CHARS) == 0;
                 end++) {
            }
            n += measure_group(&receipts[i], end - i, q, month, pairs, &rows[n]);
        }
    }
    return n;
}

enum lq_code lq_validate_outcomes(const struct lq_receipt *receipts, size_t count,
                                  struct lq_outcome_validation **rows, size_t *row_count,
                                  struct lq_error *err)
{
    *rows = NULL;
    *row_count = 0;
    if (count == 0) {
        return LQ_OK;
    }
    const size_t room = (count_months(receipts, count) + 1) * LQ_RECEIPT_QUANTITIES;
    double *numbers = calloc(3 * count, sizeof *numbers);
    *rows = calloc(room, sizeof **rows);
    if (numbers == NULL || *rows == NULL) {
        free(numbers);
        free(*rows);
        *rows = NULL;
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for the outcomes");
    }
    struct pairs pairs = {numbers, numbers + count, numbers + 2 * count, 0, 0, 0.0, 0.0};
    *row_count = measure_all(receipts, count, &pairs, *rows);
    free(numbers);
    return LQ_OK;
}
