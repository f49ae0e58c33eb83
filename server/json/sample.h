/* Samples of lengths as histograms: the same distribution without the list. */
#pragma once

#include <jansson.h>

/* The job as a new value in which {"sample": [...]} under /dataset/lengths is the {"histogram":
 * [[tokens, queries], ...]} it amounts to. Everything else is shared with `job`; a sample that is
 * not a list of whole positive numbers stays as it is, to be refused by the decoder. */
json_t *lq_sample_condense(const json_t *job);
