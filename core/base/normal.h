/* The standard normal distribution. */
#pragma once

/* Share of the distribution below z. */
double lq_normal_below(double z);

/* The z below which a share p of the distribution lies, 0 < p < 1, to 1e-12.
 * Newton steps on the complementary error function. */
double lq_normal_quantile(double p);
