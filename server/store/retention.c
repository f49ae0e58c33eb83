/* Deletes calibrations whose time is over, and the answers to batches. When that is done is up to
 * main. */
#include "server/store/retention.h"

#include "server/store/rows.h"
#include "server/store/store_private.h"
#include "server/store/utc.h"

#include <time.h>

enum { DAY_S = 24 * 3600 };

/* Points whose time is over. */
struct expiry {
    char before[LQ_UTC_MAX];
    size_t deleted;
};

/* Nobody repeats a batch after so long; were it repeated, its points would come back as new ones.
 */
static enum lq_code forget_answers(struct lq_database *database, const struct expiry *expiry,
                                   struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "DELETE FROM receipts WHERE stored_at_utc < ?1", &statement,
                             err));
    lq_bind_text(statement, 1, expiry->before);
    return lq_statement_run(statement, err);
}

static enum lq_code expire(struct lq_database *database, void *context, struct lq_effect *effect,
                           struct lq_error *err)
{
    /* By when they came, which is this machine's word, not by when they claim to be measured. */
    static const char DELETE_OLD[] =
        "DELETE FROM calibrations WHERE NOT is_shipped AND stored_at_utc < ?1";
    struct expiry *expiry = context;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, DELETE_OLD, &statement, err));
    lq_bind_text(statement, 1, expiry->before);
    LQ_TRY(lq_statement_run(statement, err));
    expiry->deleted = (size_t)lq_database_changes(database);
    effect->deleted = (int64_t)expiry->deleted;
    LQ_TRY(forget_answers(database, expiry, err));
    return expiry->deleted > 0 ? lq_settings_sweep(database, err) : LQ_OK;
}

enum lq_code lq_store_expire_calibrations(struct lq_store *store, int days, size_t *deleted,
                                          struct lq_error *err)
{
    struct expiry expiry = {.deleted = 0};
    lq_utc_text(time(NULL) - (time_t)days * DAY_S, expiry.before);
    LQ_TRY(lq_store_write(store, expire, &expiry, err));
    *deleted = expiry.deleted;
    return LQ_OK;
}
