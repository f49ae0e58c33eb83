/* Posted points that are far off what everything else says. */
#pragma once

#include "core/finetune/fit.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>

/* Marks posted, unconfirmed points that the fits of the step time, made with them, miss clearly:
 * only they can be outliers, so where there is none nothing is fitted twice. Returns how many. */
size_t lq_outliers_suspect(const struct lq_catalog *catalog, const struct lq_fit *fits,
                           size_t fit_count);

/* Takes the mark off those that the fits made without all of them meet. Returns how many. */
size_t lq_outliers_clear(const struct lq_catalog *catalog, const struct lq_fit *fits,
                         size_t fit_count);
