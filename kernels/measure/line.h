/* The straight line through times of the same work at several sizes. */
#pragma once

/* seconds = latency_s + bytes / bytes_per_s. bytes_per_s is 0 where sizes do not tell it. */
struct lq_line {
    double latency_s;
    double bytes_per_s;
};

/* The line whose relative errors at `count` sizes have the least sum of squares, so that a few
 * microseconds count at the small ones and per cents at the large ones; its latency is 0 or more.
 * bytes, seconds: [count], greater than 0 and finite. All 0 without sizes. */
struct lq_line lq_line_fit(const double *bytes, const double *seconds, int count);
