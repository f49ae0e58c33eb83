/* The answer to one job. */
#pragma once

#include "core/finetune/estimate.h"
#include "core/finetune/published.h"
#include "core/finetune/suggest.h"
#include "server/json/job.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct lq_catalog;

/* One line of the cost list. Strings are borrowed, "" where there is none. */
struct lq_cost_line {
    const char *provider;
    const char *region;
    const char *instance_type;
    const char *date;
    bool stale;
    int64_t instances;
    int64_t instance_gpus;
    int64_t idle_gpus;
    double usd_per_gpu_hour;
    double cost_usd;
};

/* A line as a new object. */
json_t *lq_cost_line_encode(const struct lq_cost_line *line);

/* The codes of a set of warnings, a bit each, as a new list. */
json_t *lq_warning_codes_encode(uint32_t warnings);

/* Everything the answer is made of. Borrowed. */
struct lq_quote {
    const struct lq_job_document *document;
    const struct lq_estimate *estimate;
    const struct lq_cost_line *costs; /* cheapest first */
    size_t cost_count;
    const char *catalog_version;
    const char *prices_version;
    const struct lq_published *published; /* evidence for defaults */
    const struct lq_suggestion *suggestions;
    int suggestion_count;
};

/* The answer as a new object, members in the order of the contract. */
json_t *lq_estimate_encode(const struct lq_quote *quote);

/* The answer's `interval`: level and bounds of every quantity that has them. */
json_t *lq_quote_interval_encode(const struct lq_quote *quote);
