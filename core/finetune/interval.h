/* Intervals: how far a quantity may be off, from the spread of its logarithm. */
#pragma once

/* Half-width in standard deviations of a central interval of a normal with the given level,
 * 0 < level < 1. */
double lq_interval_z(double level);

/* value / exp(z * log_sd) and value * exp(z * log_sd). */
void lq_interval_around(double value, double log_sd, double z, double bounds[2]);
