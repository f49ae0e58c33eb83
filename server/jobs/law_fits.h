/* One fit of a scaling law: a grid of descents over all threads, the best of them, and what it is
 * worth. Where runs come from and where the law goes stands elsewhere. */
#pragma once

#include "core/base/error.h"
#include "server/jobs/control.h"
#include "server/json/law_fit.h"

struct lq_law_fits;

/* Checks the runs and lays them out; takes over what `document` holds, also where this fails.
 * `*fits` is new. Errors: those of lq_law_fit_prepare, LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_law_fits_new(struct lq_law_fit_document *document,
                                         struct lq_law_fits **fits, struct lq_error *err);
void lq_law_fits_free(struct lq_law_fits *fits);

/* About how long one thread would work on it, in seconds. */
double lq_law_fits_expected_s(const struct lq_law_fits *fits);

/* Fits. The same document gives the same outcome, however many threads there are. `control` may be
 * NULL: then on this thread alone. Errors: LQ_EFIT (no start settled, or the best is no law),
 * LQ_EINTERNAL; LQ_EIMPOSSIBLE where it was cancelled. */
LQ_MUST_USE enum lq_code lq_law_fits_solve(struct lq_law_fits *fits, struct lq_control *control,
                                           struct lq_law_fit_outcome *outcome,
                                           struct lq_error *err);
