/* Prices and their providers from the database into a snapshot, and which of them are stale. */
#include "server/store/snapshot.h"
#include "server/store/utc.h"

#include <limits.h>
#include <string.h>

/* ASSUMED: half a year, after which cloud list prices have often moved; check by comparing two
 * catalogs of one provider. */
enum { STALE_AFTER_DAYS = 180 };

/* The last day a date can mean; a date that cannot be read is older than all others. */
static long last_day(const char *date)
{
    long days;
    return lq_last_day(date, &days) ? days : LONG_MIN / 2;
}

/* The newest day among the rows. A year alone may mean its December, which would make every better
 * dated row look old; so years count only where no row knows its month. */
static long newest_day(const struct lq_price *prices, size_t count)
{
    long newest = LONG_MIN / 2;
    for (int years_too = 0; years_too <= 1 && newest == LONG_MIN / 2; years_too++) {
        for (size_t i = 0; i < count; i++) {
            bool has_month = strlen(prices[i].date) > 4;
            if ((has_month || years_too) && last_day(prices[i].date) > newest) {
                newest = last_day(prices[i].date);
            }
        }
    }
    return newest;
}

bool lq_price_is_stale(const struct lq_catalog *catalog, const char *date)
{
    return last_day(date) < catalog->newest_price_day - STALE_AFTER_DAYS;
}

static enum lq_code load_rows(struct lq_loader *loader, struct lq_price *prices, size_t capacity,
                              struct lq_error *err)
{
    static const char SELECT_PRICES[] =
        "SELECT provider, region, instance_type, gpu_id, gpu_count, instance_usd_per_h,"
        " instance_spot_usd_per_h, priced_on_date, source FROM prices_in_force"
        " ORDER BY gpu_id, instance_usd_per_h / gpu_count NULLS LAST,"
        " instance_spot_usd_per_h / gpu_count NULLS LAST, provider, region, instance_type";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_PRICES, &statement, err));
    size_t count = 0;
    bool row = true;
    bool failed = false;
    while (count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        prices[count++] = (struct lq_price){
            .provider = lq_load_text(loader, statement, 0, &failed),
            .region = lq_load_text(loader, statement, 1, &failed),
            .instance_type = lq_load_text(loader, statement, 2, &failed),
            .gpu = lq_load_text(loader, statement, 3, &failed),
            .gpu_count = lq_column_count(statement, 4),
            .instance_usd_per_h = lq_column_number(statement, 5),
            .instance_spot_usd_per_h = lq_column_number(statement, 6),
            .date = lq_load_text(loader, statement, 7, &failed),
            .source = lq_load_text(loader, statement, 8, &failed),
        };
    }
    loader->snapshot->catalog.prices = prices;
    loader->snapshot->catalog.price_count = count;
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

/* One provider per name, ascending, with the date of its newest row. */
static enum lq_code load_providers(struct lq_loader *loader, struct lq_error *err)
{
    static const char SELECT_PROVIDERS[] =
        "SELECT provider, max(priced_on_date), count(*), max(is_shipped) FROM prices_in_force"
        " GROUP BY provider"
        " ORDER BY provider";
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "(SELECT DISTINCT provider FROM prices_in_force)",
                        sizeof(struct lq_provider), &list, &capacity, err));
    struct lq_provider *providers = list;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_PROVIDERS, &statement, err));
    size_t count = 0;
    bool row = true;
    bool failed = false;
    while (count < capacity) {
        /* not hashed: made of the prices, which are */
        LQ_TRY(lq_statement_step(statement, &row, err));
        if (!row) {
            break;
        }
        providers[count] = (struct lq_provider){
            .id = lq_load_text(loader, statement, 0, &failed),
            .date = lq_load_text(loader, statement, 1, &failed),
            .prices = (size_t)lq_column_count(statement, 2),
            .shipped = lq_column_count(statement, 3) != 0,
        };
        providers[count].stale =
            lq_price_is_stale(&loader->snapshot->catalog, providers[count].date);
        count++;
    }
    loader->snapshot->catalog.providers = providers;
    loader->snapshot->catalog.provider_count = count;
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

enum lq_code lq_load_prices(struct lq_loader *loader, struct lq_error *err)
{
    void *list;
    size_t capacity;
    LQ_TRY(lq_load_list(loader, "prices_in_force", sizeof(struct lq_price), &list, &capacity, err));
    struct lq_price *prices = list;
    LQ_TRY(load_rows(loader, prices, capacity, err));
    size_t count = loader->snapshot->catalog.price_count;
    struct lq_catalog *catalog = &loader->snapshot->catalog;
    catalog->newest_price_day = newest_day(prices, count);
    for (size_t i = 0; i < count; i++) {
        prices[i].stale = lq_price_is_stale(catalog, prices[i].date);
    }
    return load_providers(loader, err);
}
