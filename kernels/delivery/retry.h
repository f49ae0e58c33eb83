/* How long to wait before the next attempt. Pure: time and randomness come in as arguments. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LQ_BACKOFF_FIRST_S 0.5
#define LQ_BACKOFF_MOST_S 60.0
/* The longest wait that a server is granted by Retry-After. */
#define LQ_RETRY_AFTER_MOST_S 600.0

/* Exponential back-off with full jitter: uniform between 0 and the smaller of 60 s and
 * 0.5 s * 2^failures. failures: those in a row before this wait, >= 0; chance: 0 <= chance < 1.
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015-03-04. */
double lq_retry_backoff_s(int failures, double chance);

/* Reads a Retry-After header (RFC 9110, 10.2.3): seconds, or a date in any of the three forms of
 * section 5.6.7. The wait, 0..LQ_RETRY_AFTER_MOST_S, goes to *wait_s. now_s: Unix time.
 * Returns false where the header is neither. */
bool lq_retry_after_s(const char *header, int64_t now_s, double *wait_s);
