/* A backend that computes nothing and only counts: what a training step would do on a device, of
 * any size and without one. */
#pragma once

#include "kernels/backend.h"

/* One device, of every element type. Memory is addresses that nothing stands at: no one but this
 * backend may be given it, and to_host answers zeros. Of grouped matmuls all groups have rows, as
 * far as there are as many. */
const struct lq_backend *lq_counting_backend(void);
