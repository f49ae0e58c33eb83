/* The data a job is tuned on: how many queries of which lengths, cut and padded how. */
#pragma once

#include "server/json/faults.h"
#include "server/json/lengths.h"

#include <jansson.h>
#include <stdbool.h>

/* A decoded data set; release `lengths` with lq_lengths_release. */
struct lq_dataset_document {
    struct lq_lengths_document lengths; /* prepared with the cut-off and padding */
    double queries;                     /* > 0: as asked, else what the lengths tell */
};

/* Decodes {"queries", "lengths", "cutoff_tokens", "padding", "padding_multiple"} standing at
 * `pointer`; padding defaults to longest, its multiple to 8, queries to those of the distribution.
 * Every bad field is reported. Safe to release after a failure. */
bool lq_dataset_decode(const json_t *value, const char *pointer, const struct lq_lookup *lookup,
                       struct lq_dataset_document *out, struct lq_faults *faults);
