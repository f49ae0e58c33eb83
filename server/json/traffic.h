/* Traffic to be served, as requests spell it: means, histograms, or pairs of prompt and answer. */
#pragma once

#include "core/planning/serving.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>

/* ShareGPT's means as Yun et al. 2024 (arXiv 2404.02852, section 4.2) use them. */
#define LQ_TRAFFIC_PROMPT_TOKENS 161.0
#define LQ_TRAFFIC_OUTPUT_TOKENS 338.0

/* Decoded traffic; release it. `traffic` points into this struct or its storage: do not copy it. */
struct lq_traffic_document {
    struct lq_traffic traffic;
    struct lq_request_kind mean;   /* storage where means are given */
    struct lq_request_kind *kinds; /* storage where they are not, else NULL */
};

/* Decodes {"prompt_tokens", "output_tokens"}, each a mean or {"histogram": [[tokens, requests],
 * ...]}, or {"pairs": [[prompt_tokens, output_tokens, requests], ...]}. Two histograms are taken as
 * independent. NULL means the defaults. False with faults below `pointer`; release either way. */
bool lq_traffic_decode(const json_t *value, const char *pointer, struct lq_traffic_document *out,
                       struct lq_faults *faults);
void lq_traffic_release(struct lq_traffic_document *document);

/* Means and the longest request, as a new object. */
json_t *lq_traffic_encode(const struct lq_traffic_document *document);
