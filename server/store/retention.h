/* How long posted calibrations stay. Saved estimates have their own time, in receipts.h. */
#pragma once

#include "server/store/store.h"

/* Deletes posted calibrations that were stored more than `days` days ago by this machine's clock,
 * and refits without them; shipped ones stay for ever. Errors: LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_store_expire_calibrations(struct lq_store *store, int days,
                                                      size_t *deleted, struct lq_error *err);
