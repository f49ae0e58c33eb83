/* Means over a mix of requests: what a request brings, and what it holds while it runs. */
#pragma once

#include "core/planning/serving.h"

/* Sums the kinds once; the means below then cost nothing. The kinds must not change after it. */
void lq_traffic_sum(struct lq_traffic *traffic);

/* Means over requests as they arrive. */
double lq_traffic_prompt_tokens(const struct lq_traffic *traffic);
double lq_traffic_output_tokens(const struct lq_traffic *traffic);

/* Tokens that a running request holds in a cache of at most `window` tokens (0: no limit), on
 * average over its life and over the requests met running: a request is met in proportion to its
 * answer's length. p + n/2 for requests that are alike, as Yun et al. 2024 section 4.2 have it. */
double lq_traffic_held_tokens(const struct lq_traffic *traffic, double window);

/* Tokens that a prompt's token attends to, on average over all prompts' tokens. */
double lq_traffic_prompt_keys(const struct lq_traffic *traffic, double window);

/* What the longest request holds at its end. */
double lq_traffic_longest_tokens(const struct lq_traffic *traffic, double window);
