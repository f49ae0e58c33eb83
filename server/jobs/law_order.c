/* Carries out orders of laws. The fit itself stands in law_fits.c. */
#include "server/jobs/law_order.h"

#include "server/json/field.h"
#include "server/store/laws.h"
#include "server/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a request may take of an HTTP thread's time. */
static const double SHORT_S = 0.1;

/* Stored decimals come back as they are. */
enum { DIGITS = 15 };

struct lq_law_order {
    struct lq_law_fits *fits;
    struct lq_store *store;
    struct lq_law law; /* to be stored: the form as it is shipped, not with this fit's bounds */
    char id[LQ_ID_MAX];
    char source[LQ_LAW_SOURCE_SIZE];
    char token_name[LQ_ID_MAX];
};

enum lq_code lq_law_order_new(const struct lq_law_document *posted,
                              struct lq_law_fit_document *document, struct lq_store *store,
                              const char *token_name, struct lq_law_order **order,
                              struct lq_error *err)
{
    struct lq_law_order *made = calloc(1, sizeof *made);
    if (made == NULL) {
        lq_law_fit_release(document);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for a fit");
    }
    made->store = store;
    made->law = posted->law;
    memcpy(made->id, posted->id, sizeof made->id);
    snprintf(made->source, sizeof made->source, "%s", posted->law.source);
    snprintf(made->token_name, sizeof made->token_name, "%s", token_name);
    made->law.id = made->id;
    made->law.source = made->source;
    const enum lq_code code = lq_law_fits_new(document, &made->fits, err);
    if (code != LQ_OK) {
        lq_law_order_free(made);
        return code;
    }
    *order = made;
    return LQ_OK;
}

void lq_law_order_free(void *order)
{
    struct lq_law_order *freed = order;
    if (freed != NULL) {
        lq_law_fits_free(freed->fits);
        free(freed);
    }
}

bool lq_law_order_is_long(const struct lq_law_order *order)
{
    return lq_law_fits_expected_s(order->fits) > SHORT_S;
}

static char *text_of(json_t *value)
{
    size_t size = 0;
    char *text = value != NULL ? lq_dump(value, DIGITS, &size) : NULL;
    json_decref(value);
    return text;
}

static enum lq_code store(const struct lq_law_order *order, const char *fit, struct lq_error *err)
{
    const struct lq_new_law new_law = {
        .law = &order->law, .fit = fit, .token_name = order->token_name};
    return lq_store_add_law(order->store, &new_law, err);
}

/* The law as it stands in the catalog now. */
static char *stored_text(const struct lq_law_order *order)
{
    const struct lq_catalog *catalog = lq_store_acquire(order->store);
    const struct lq_law_entry *entry = lq_catalog_law(catalog, order->id);
    char *text = NULL;
    if (entry != NULL) {
        const struct lq_law_record record = {entry->fit, entry->posted_by, entry->created_at};
        text = text_of(lq_law_encode(&entry->law, &record, true));
    }
    lq_store_release(order->store, catalog);
    return text;
}

enum lq_code lq_law_order_run(void *context, struct lq_control *control, char **result,
                              struct lq_error *err)
{
    struct lq_law_order *order = context;
    struct lq_law_fit_outcome outcome;
    LQ_TRY(lq_law_fits_solve(order->fits, control, &outcome, err));
    memcpy(order->law.coefficient, outcome.fit.coefficient, sizeof order->law.coefficient);
    order->law.range = outcome.fit.range;
    if (!lq_control_seal(control)) {
        return lq_fail(err, LQ_EIMPOSSIBLE, NULL, "the fit was cancelled");
    }
    char *fit = text_of(lq_law_fit_encode(&outcome));
    if (fit == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for a fit");
    }
    const enum lq_code code = store(order, fit, err);
    lq_text_free(fit);
    if (code != LQ_OK) {
        return code;
    }
    *result = stored_text(order);
    return *result != NULL ? LQ_OK
                           : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for the stored law");
}
