/* The monotonic clock, for durations and deadlines. What time of day it is stands in store/utc.h.
 */
#pragma once

#include <stdint.h>

/* Nanoseconds since some moment before the program began; never goes back. */
int64_t lq_clock_ns(void);

/* The same in ms and in s. */
int64_t lq_clock_ms(void);
double lq_clock_s(void);
