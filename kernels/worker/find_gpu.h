/* A GPU of the catalog, for what is held against it. */
#pragma once

#include "core/arch/gpu.h"
#include "kernels/delivery/client.h"

/* Asks the server for the entry of that id, which has been checked. Errors: those of
 * lq_client_call and lq_gpu_read. */
LQ_MUST_USE enum lq_code lq_gpu_find(struct lq_client *client, const char *id, struct lq_gpu *out,
                                     struct lq_error *err);
