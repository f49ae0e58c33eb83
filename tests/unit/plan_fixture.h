/* A question for plans: the set-up of Yun et al. 2024 at 5.15e21 FLOPs, base 4. */
#pragma once

#include "core/planning/plan.h"

/* Asks a law about E = 1, 2, 4, ... 64 on A100-40GB-SXM with a plain roofline, 256 requests at
 * most, up to 8 GPUs. The law must exist; everything in the result is static. */
struct lq_plan_question plan_question(const char *law);
