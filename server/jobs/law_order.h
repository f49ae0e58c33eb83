/* A law that somebody ordered by its runs: fitted, then stored under its name. */
#pragma once

#include "core/base/error.h"
#include "server/jobs/law_fits.h"

struct lq_store;

struct lq_law_order;

/* Takes over what `document` holds. posted: for name and source, copied · token_name: copied ·
 * store: borrowed for as long as the order lives. `*order` is new. Errors: those of
 * lq_law_fits_new. */
LQ_MUST_USE enum lq_code lq_law_order_new(const struct lq_law_document *posted,
                                          struct lq_law_fit_document *document,
                                          struct lq_store *store, const char *token_name,
                                          struct lq_law_order **order, struct lq_error *err);
/* Fits struct lq_task. NULL is fine. */
void lq_law_order_free(void *order);

/* Whether it is worth a job: longer than a request may take an HTTP thread. */
bool lq_law_order_is_long(const struct lq_law_order *order);

/* Fits the law and stores it. `*result` is the stored law as JSON (new). Fits struct lq_task;
 * `control` may be NULL. Errors: those of lq_law_fits_solve and lq_store_add_law. */
LQ_MUST_USE enum lq_code lq_law_order_run(void *order, struct lq_control *control, char **result,
                                          struct lq_error *err);
