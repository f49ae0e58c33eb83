/* Takes a price list in: all of it, or nothing. */
#include "server/api/price_lists.h"

#include "server/api/lookup.h"
#include "server/api/page.h"
#include "server/json/price.h"
#include "server/store/price_lists.h"
#include "server/store/store.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* What a cost line calls the rate that came with a request. */
static const char REQUEST[] = "request";
static const char OWN_SOURCE[] = "own";

enum {
    DATE_SIZE = sizeof "2026-07-20",
    EASTERNMOST_S = 14 * 3600 /* UTC+14, the first to see a day */
};

static void today_text(char date[DATE_SIZE], int ahead_s)
{
    char utc[LQ_UTC_MAX];
    lq_utc_text(time(NULL) + ahead_s, utc);
    snprintf(date, DATE_SIZE, "%.10s", utc);
}

/* A date of a price must be one, and no day that is nowhere on Earth yet: what is stale is measured
 * from the newest. */
static bool is_past_date(const char *date, const char *latest)
{
    long day;
    return lq_last_day(date, &day) && strncmp(date, latest, strlen(date)) <= 0;
}

static void refuse_date(struct lq_call *call, const char *pointer, const char *date)
{
    lq_faults_add(call->faults, LQ_EFIELD, pointer,
                  "must be a date up to today like 2026-07-20, 2026-07 or 2026, got \"%.40s\"",
                  date);
}

static void check_dates(struct lq_call *call, const struct lq_price_sheet *sheet)
{
    char latest[DATE_SIZE];
    today_text(latest, EASTERNMOST_S);
    if (!is_past_date(sheet->date, latest)) {
        refuse_date(call, "/price_date", sheet->date);
    }
    for (size_t i = 0; i < sheet->count; i++) {
        const struct lq_price_row *row = &sheet->rows[i];
        if (row->date != sheet->date && !is_past_date(row->date, latest)) {
            char pointer[LQ_POINTER_MAX];
            lq_price_pointer(sheet, row, lq_price_date_member(sheet), pointer);
            refuse_date(call, pointer, row->date);
        }
    }
}

static json_t *put_encode(const struct lq_put_prices *put, const struct lq_price_sheet *sheet)
{
    json_t *object = json_object();
    json_object_set_new(object, "provider", json_string(put->list.provider));
    json_object_set_new(object, "currency", json_string("USD"));
    json_object_set_new(object, "unchanged", json_boolean(put->unchanged));
    json_object_set_new(object, "list", lq_price_list_encode(&put->list));
    json_object_set_new(object, "skipped",
                        sheet->layout == LQ_PRICES_SKYPILOT ? lq_price_skips_encode(&sheet->skips)
                                                            : json_null());
    return object;
}

static void fill(const struct lq_price_sheet *sheet, struct lq_price *prices)
{
    for (size_t i = 0; i < sheet->count; i++) {
        const struct lq_price_row *row = &sheet->rows[i];
        prices[i] = (struct lq_price){.region = row->region,
                                      .instance_type = row->instance_type,
                                      .gpu = row->gpu,
                                      .gpu_count = row->gpu_count,
                                      .instance_usd_per_h = row->usd_per_h,
                                      .instance_spot_usd_per_h = row->spot_usd_per_h,
                                      .date = row->date,
                                      .source = row->source};
    }
}

static enum lq_code store(struct lq_call *call, const char *id, const struct lq_price_sheet *sheet,
                          struct lq_reply *reply)
{
    struct lq_price *prices = calloc(sheet->count, sizeof *prices);
    if (prices == NULL) {
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the prices");
    }
    fill(sheet, prices);
    const struct lq_new_price_list list = {.provider = id,
                                           .layout = LQ_PRICE_LAYOUT_NAMES[sheet->layout],
                                           .token_name = call->request->token_name,
                                           .prices = prices,
                                           .count = sheet->count};
    struct lq_put_prices put;
    struct lq_error err = {0};
    enum lq_code code = lq_store_put_prices(call->store, &list, &put, &err);
    free(prices);
    if (code != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    snprintf(reply->location, sizeof reply->location, "/v1/prices/%s", id);
    return lq_reply_json(call, put_encode(&put, sheet), put.created ? 201 : 200, reply);
}

static bool is_csv(const struct lq_call *call)
{
    const char *type = call->request->content_type;
    return type != NULL && strncasecmp(type, "text/csv", 8) == 0;
}

/* Query parameters that say of a CSV file what a JSON document says itself. */
static enum lq_code check_query(struct lq_call *call)
{
    static const char *const OF_CSV[] = {"price_date", "source", NULL};
    static const char *const OF_JSON[] = {NULL};
    return lq_query_check(call, is_csv(call) ? OF_CSV : OF_JSON);
}

static enum lq_code check_id(struct lq_call *call, char id[LQ_ID_MAX])
{
    LQ_TRY(lq_path_id(call, id));
    for (char *c = id; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    const struct lq_provider *provider = lq_catalog_provider(call->catalog, id);
    if (provider != NULL && provider->shipped) { /* the store would say so, after all the work */
        return lq_faults_add(call->faults, LQ_ECONFLICT, NULL,
                             "the prices of \"%s\" are shipped with the catalog and read-only; "
                             "choose a provider id of your own",
                             id);
    }
    if (strcmp(id, REQUEST) == 0) {
        return lq_faults_add(call->faults, LQ_ECONFLICT, NULL,
                             "\"%s\" is what costs at a request's own rate name; take another id",
                             id);
    }
    return LQ_OK;
}

/* Every fault of the rows and of their dates. */
static enum lq_code decode(struct lq_call *call, const char *id, struct lq_price_sheet *sheet)
{
    const struct lq_request *request = call->request;
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    char today[DATE_SIZE];
    today_text(today, 0);
    const char *date = lq_query_get(request, "price_date");
    const char *source = lq_query_get(request, "source");
    if (source != NULL && (source[0] == '\0' || strlen(source) >= LQ_PRICE_TEXT_MAX)) {
        lq_faults_add(call->faults, LQ_EFIELD, "/source", "must have 1..%d bytes, got %zu",
                      LQ_PRICE_TEXT_MAX - 1, strlen(source));
    }
    if (date != NULL && strlen(date) >= LQ_PRICE_DATE_MAX) {
        refuse_date(call, "/price_date", date);
        date = NULL;
    }
    const struct lq_price_terms terms = {.provider = id,
                                         .date = date != NULL ? date : today,
                                         .source = source != NULL ? source : OWN_SOURCE,
                                         .lookup = &lookup};
    enum lq_code code =
        is_csv(call)
            ? lq_price_decode_csv(request->body, request->body_size, &terms, sheet, call->faults)
            : lq_price_decode_json(request->body, request->body_size, &terms, sheet, call->faults);
    if (sheet->count > 0) {
        check_dates(call, sheet);
    }
    return call->faults->count > 0 ? call->faults->items[0].code : code;
}

enum lq_code lq_price_lists_put(struct lq_call *call, struct lq_reply *reply)
{
    char id[LQ_ID_MAX];
    LQ_TRY(check_query(call));
    LQ_TRY(check_id(call, id));
    struct lq_price_sheet sheet;
    enum lq_code code = decode(call, id, &sheet);
    if (code == LQ_OK) {
        code = store(call, id, &sheet, reply);
    }
    lq_price_sheet_release(&sheet);
    return code;
}
