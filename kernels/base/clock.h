/* The monotonic clock, for durations and patience. */
#pragma once

/* Seconds since some moment before the program began; never goes back. */
double lq_clock_s(void);
