/* Where a command gets its model from: the catalog, or a file. */
#pragma once

#include "core/arch/model.h"
#include "kernels/delivery/client.h"

/* Borrowed texts; NULL for what was not said. Either id or file is set. */
struct lq_model_source {
    const char *id;     /* in the catalog */
    const char *config; /* a config.json to be put there under the id first */
    const char *file;   /* the model as GET /v1/models/ID answered it: no server is asked */
};

/* Errors: LQ_EFILE, LQ_ESYNTAX, LQ_EFIELD (the file), and those of lq_client_call. */
LQ_MUST_USE enum lq_code lq_model_find(struct lq_client *client,
                                       const struct lq_model_source *source, struct lq_model *model,
                                       struct lq_error *err);

/* Whether a layer of the model has so many routed experts to be active; 0: its own number.
 * Errors: LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_model_check_active(const struct lq_model *model, int64_t active,
                                               struct lq_error *err);
