/* Price lists of one's own, put in force, ended and read. What of them is in force reaches the
 * catalog through load_prices.c. */
#include "server/store/price_lists.h"

#include "server/store/identity.h"
#include "server/store/statement.h"
#include "server/store/store_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIST_COLUMNS                                                                               \
    "sequence_number, version_number, prices_count, provider, newest_date, layout,"                \
    " content_sha256_hex, posted_by, stored_at_utc, ended_at_utc"

static void read_list(const struct lq_statement *statement, struct lq_price_list *list)
{
    *list = (struct lq_price_list){.number = lq_column_count(statement, 0),
                                   .version = lq_column_count(statement, 1),
                                   .prices = lq_column_count(statement, 2)};
    lq_column_copy(statement, 3, list->provider, sizeof list->provider);
    lq_column_copy(statement, 4, list->date, sizeof list->date);
    lq_column_copy(statement, 5, list->layout, sizeof list->layout);
    lq_column_copy(statement, 6, list->digest, sizeof list->digest);
    lq_column_copy(statement, 7, list->posted_by, sizeof list->posted_by);
    lq_column_copy(statement, 8, list->stored_at, sizeof list->stored_at);
    lq_column_copy(statement, 9, list->ended_at, sizeof list->ended_at);
}

static enum lq_code refuse_shipped(struct lq_database *database, const char *provider,
                                   struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database,
                             "SELECT 1 FROM prices WHERE provider = ?1 AND is_shipped = 1 LIMIT 1",
                             &statement, err));
    lq_bind_text(statement, 1, provider);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    return row ? lq_fail(
                     err, LQ_ECONFLICT, NULL,
                     "the prices of \"%s\" are shipped with the catalog and read-only; choose a "
                     "provider id of your own",
                     provider)
               : LQ_OK;
}

/* The newest version, in force or not; version 0 where there is none. */
static enum lq_code find_newest(struct lq_database *database, const char *provider,
                                struct lq_price_list *list, struct lq_error *err)
{
    static const char SELECT_NEWEST[] = "SELECT " LIST_COLUMNS " FROM price_lists"
                                        " WHERE provider = ?1 ORDER BY version_number DESC LIMIT 1";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, SELECT_NEWEST, &statement, err));
    lq_bind_text(statement, 1, provider);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    *list = (struct lq_price_list){.version = 0};
    if (row) {
        read_list(statement, list);
    }
    return LQ_OK;
}

static bool is_in_force(const struct lq_price_list *list)
{
    return list->version > 0 && list->ended_at[0] == '\0';
}

static enum lq_code end_list(struct lq_database *database, const struct lq_price_list *list,
                             const char *now, struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database,
                             "UPDATE price_lists SET ended_at_utc = ?2 WHERE sequence_number = ?1",
                             &statement, err));
    lq_bind_count(statement, 1, list->number);
    lq_bind_text(statement, 2, now);
    return lq_statement_run(statement, err);
}

static enum lq_code insert_list(struct lq_database *database, struct lq_price_list *list,
                                struct lq_error *err)
{
    static const char INSERT_LIST[] =
        "INSERT INTO price_lists (provider, version_number, prices_count, newest_date, layout,"
        " content_sha256_hex, posted_by, stored_at_utc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_LIST, &statement, err));
    lq_bind_text(statement, 1, list->provider);
    lq_bind_count(statement, 2, list->version);
    lq_bind_count(statement, 3, list->prices);
    lq_bind_text(statement, 4, list->date);
    lq_bind_text(statement, 5, list->layout);
    lq_bind_text(statement, 6, list->digest);
    lq_bind_text(statement, 7, list->posted_by);
    lq_bind_text(statement, 8, list->stored_at);
    LQ_TRY(lq_statement_run(statement, err));
    return lq_database_number(database, "SELECT max(sequence_number) FROM price_lists",
                              &list->number, err);
}

static enum lq_code insert_rows(struct lq_database *database, const struct lq_price_list *list,
                                const struct lq_price *prices, struct lq_error *err)
{
    static const char INSERT_ROW[] =
        "INSERT INTO price_list_rows (list_sequence_number, row_number, region, instance_type,"
        " gpu_id, gpu_count, instance_usd_per_h, instance_spot_usd_per_h, priced_on_date, source)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_ROW, &statement, err));
    for (int64_t i = 0; i < list->prices; i++) {
        lq_bind_count(statement, 1, list->number);
        lq_bind_count(statement, 2, i);
        lq_bind_text(statement, 3, prices[i].region);
        lq_bind_text(statement, 4, prices[i].instance_type);
        lq_bind_text(statement, 5, prices[i].gpu);
        lq_bind_count(statement, 6, prices[i].gpu_count);
        lq_bind_number_or_null(statement, 7, prices[i].instance_usd_per_h);
        lq_bind_number_or_null(statement, 8, prices[i].instance_spot_usd_per_h);
        lq_bind_text(statement, 9, prices[i].date);
        lq_bind_text(statement, 10, prices[i].source);
        LQ_TRY(lq_statement_run(statement, err));
    }
    return LQ_OK;
}

static void digest_rows(const struct lq_new_price_list *list, char hex[LQ_SHA256_HEX])
{
    struct lq_sha256 sha;
    lq_sha256_start(&sha);
    for (size_t i = 0; i < list->count; i++) {
        const struct lq_price *price = &list->prices[i];
        char numbers[96];
        snprintf(numbers, sizeof numbers, "%lld %.17g %.17g", (long long)price->gpu_count,
                 price->instance_usd_per_h, price->instance_spot_usd_per_h);
        lq_sha256_add_text(&sha, price->region);
        lq_sha256_add_text(&sha, price->instance_type);
        lq_sha256_add_text(&sha, price->gpu);
        lq_sha256_add_text(&sha, numbers);
        lq_sha256_add_text(&sha, price->date);
        lq_sha256_add_text(&sha, price->source);
    }
    lq_sha256_end_hex(&sha, hex);
}

static struct lq_price_list list_of(const struct lq_new_price_list *new_list)
{
    struct lq_price_list list = {.prices = (int64_t)new_list->count};
    snprintf(list.provider, sizeof list.provider, "%s", new_list->provider);
    snprintf(list.layout, sizeof list.layout, "%s", new_list->layout);
    snprintf(list.posted_by, sizeof list.posted_by, "%s",
             new_list->token_name != NULL ? new_list->token_name : "");
    for (size_t i = 0; i < new_list->count; i++) {
        if (strcmp(new_list->prices[i].date, list.date) > 0) {
            snprintf(list.date, sizeof list.date, "%s", new_list->prices[i].date);
        }
    }
    digest_rows(new_list, list.digest);
    return list;
}

struct putting {
    const struct lq_new_price_list *list;
    struct lq_put_prices *put;
};

static enum lq_code put_list(struct lq_database *database, void *context, struct lq_effect *effect,
                             struct lq_error *err)
{
    const struct putting *putting = context;
    struct lq_put_prices *put = putting->put;
    struct lq_price_list last;
    LQ_TRY(refuse_shipped(database, putting->list->provider, err));
    LQ_TRY(find_newest(database, putting->list->provider, &last, err));
    put->created = !is_in_force(&last);
    put->unchanged = !put->created && strcmp(last.digest, put->list.digest) == 0;
    if (put->unchanged) {
        put->list = last;
        return LQ_OK;
    }
    lq_utc_text(time(NULL), put->list.stored_at);
    put->list.version = last.version + 1;
    if (!put->created) {
        LQ_TRY(end_list(database, &last, put->list.stored_at, err));
    }
    LQ_TRY(insert_list(database, &put->list, err));
    effect->catalog = true;
    return insert_rows(database, &put->list, putting->list->prices, err);
}

enum lq_code lq_store_put_prices(struct lq_store *store, const struct lq_new_price_list *list,
                                 struct lq_put_prices *put, struct lq_error *err)
{
    *put = (struct lq_put_prices){.list = list_of(list)};
    struct putting putting = {list, put};
    return lq_store_write(store, put_list, &putting, err);
}

static enum lq_code delete_list(struct lq_database *database, void *context,
                                struct lq_effect *effect, struct lq_error *err)
{
    const char *provider = context;
    struct lq_price_list last;
    LQ_TRY(refuse_shipped(database, provider, err));
    LQ_TRY(find_newest(database, provider, &last, err));
    if (!is_in_force(&last)) {
        return lq_fail(err, LQ_ENOTFOUND, NULL, "no price list of \"%s\" is in force", provider);
    }
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    effect->catalog = true;
    return end_list(database, &last, now, err);
}

enum lq_code lq_store_delete_prices(struct lq_store *store, const char *provider,
                                    struct lq_error *err)
{
    return lq_store_write(store, delete_list, (void *)(uintptr_t)provider, err);
}

static enum lq_code read_lists(struct lq_database *database, const char *provider,
                               struct lq_price_list **lists, size_t *count, struct lq_error *err)
{
    static const char SELECT_LISTS[] = "SELECT " LIST_COLUMNS " FROM price_lists"
                                       " WHERE provider = ?1 ORDER BY version_number DESC";
    struct lq_price_list newest;
    LQ_TRY(find_newest(database, provider, &newest, err));
    *count = 0;
    *lists = newest.version > 0 ? calloc((size_t)newest.version, sizeof **lists) : NULL;
    if (newest.version > 0 && *lists == NULL) {
        return lq_fail(err, LQ_ESTORE, NULL, "out of memory");
    }
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, SELECT_LISTS, &statement, err));
    lq_bind_text(statement, 1, provider);
    bool row = true;
    while (*count < (size_t)newest.version) { /* versions count up from 1: there are no more */
        LQ_TRY(lq_statement_step(statement, &row, err));
        if (!row) {
            break;
        }
        read_list(statement, &(*lists)[(*count)++]);
    }
    return LQ_OK;
}

enum lq_code lq_store_price_lists(struct lq_store *store, const char *provider,
                                  struct lq_price_list **lists, size_t *count, struct lq_error *err)
{
    struct lq_database *reader = lq_store_lock_reader(store);
    *lists = NULL;
    enum lq_code code = read_lists(reader, provider, lists, count, err);
    lq_store_unlock_reader(store);
    if (code != LQ_OK) {
        free(*lists);
        *lists = NULL;
    }
    return code;
}

static enum lq_code read_rows(struct lq_database *database, const struct lq_price_list *list,
                              struct lq_pool *pool, struct lq_price *prices, struct lq_error *err)
{
    static const char SELECT_ROWS[] =
        "SELECT region, instance_type, gpu_id, gpu_count, instance_usd_per_h,"
        " instance_spot_usd_per_h, priced_on_date, source FROM price_list_rows"
        " WHERE list_sequence_number = ?1 ORDER BY gpu_id, instance_usd_per_h / gpu_count"
        " NULLS LAST, instance_spot_usd_per_h / gpu_count NULLS LAST, region, instance_type";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, SELECT_ROWS, &statement, err));
    lq_bind_count(statement, 1, list->number);
    for (int64_t i = 0; i < list->prices; i++) {
        bool row = false;
        LQ_TRY(lq_statement_step(statement, &row, err));
        if (!row) {
            return lq_fail(err, LQ_ESTORE, NULL, "a stored price list has fewer rows than it says");
        }
        prices[i] = (struct lq_price){
            .provider = list->provider,
            .region = lq_pool_text(pool, lq_column_text(statement, 0)),
            .instance_type = lq_pool_text(pool, lq_column_text(statement, 1)),
            .gpu = lq_pool_text(pool, lq_column_text(statement, 2)),
            .gpu_count = lq_column_count(statement, 3),
            .instance_usd_per_h = lq_column_number(statement, 4),
            .instance_spot_usd_per_h = lq_column_number(statement, 5),
            .date = lq_pool_text(pool, lq_column_text(statement, 6)),
            .source = lq_pool_text(pool, lq_column_text(statement, 7)),
        };
        if (prices[i].region == NULL || prices[i].instance_type == NULL || prices[i].gpu == NULL ||
            prices[i].date == NULL || prices[i].source == NULL) {
            return lq_fail(err, LQ_ESTORE, NULL, "out of memory");
        }
    }
    return LQ_OK;
}

enum lq_code lq_store_prices_of(struct lq_store *store, const struct lq_price_list *list,
                                struct lq_pool *pool, struct lq_price **prices,
                                struct lq_error *err)
{
    *prices = lq_pool_take(pool, (size_t)list->prices, sizeof **prices);
    if (*prices == NULL) {
        return lq_fail(err, LQ_ESTORE, NULL, "out of memory");
    }
    struct lq_database *reader = lq_store_lock_reader(store);
    enum lq_code code = read_rows(reader, list, pool, *prices, err);
    lq_store_unlock_reader(store);
    return code;
}
