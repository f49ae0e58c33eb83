/* A measured step as a point. */
#pragma once

#include "kernels/document/point.h"
#include "kernels/worker/calibrate.h"

/* The job of an item: identity and rows, nothing measured yet. */
struct lq_measured_point lq_item_point(const struct lq_calibration_plan *plan,
                                       const struct lq_rig *rig, const struct lq_sweep_item *item);

/* The method of an item. */
struct lq_method lq_item_method(const struct lq_calibration_plan *plan,
                                const struct lq_sweep_item *item);

/* The point's text (free with free()), with everything that was measured. Errors: LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_item_write(const struct lq_calibration_plan *plan,
                                       const struct lq_rig *rig, const struct lq_sweep_item *item,
                                       const struct lq_measured *measured, char **text,
                                       struct lq_error *err);
