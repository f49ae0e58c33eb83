/* Inside of matmuls: those in e4m3, the grouped kernel, and counting the groups that have rows. */
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_blas.h"

enum { LQ_GROUPS_MAX = 1024 };

/* All groups in one launch, by tensor cores: bf16 and fp16 alone. Errors: LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_linear_grouped(struct lq_device *device, const struct lq_op_linear *op,
                                           struct lq_error *err);

/* What `product`, of the device's element, has for a and b, cast to e4m3: the product is changed to
 * FP8 of copies in scratch memory. Errors: LQ_EDEVICE, LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_fp8_cast(struct lq_device *device, struct lq_product *product,
                                     struct lq_error *err);

/* Counts `bytes` for each group with rows, on the device: nobody waits for its offsets. What has
 * been counted there since the last call is what collect returns, waiting; 0 where it cannot be
 * read. Errors: LQ_EDEVICE, LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_linear_count_groups(struct lq_device *device,
                                                const struct lq_op_linear *op, double bytes,
                                                struct lq_error *err);
double lq_linear_collect(struct lq_device *device);
void lq_linear_close(struct lq_device *device);
