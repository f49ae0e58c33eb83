/* Price lists: whatever is put, a list that is taken is sound and one that is refused says why; and
 * a list written as CSV or JSON comes back as it was. */
#include "server/api/lookup.h"
#include "server/json/price.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DAMAGE_CASES = 4000, TRIP_CASES = 500, ROWS = 12, TEXT_MAX = 8192, STREAM = 60 };

static const struct lq_catalog *catalog;

/* One offer as it is written. */
struct offer {
    const char *gpu;
    int64_t gpu_count;
    double usd_per_h;
    double spot_usd_per_h;
};

static size_t random_offers(struct offer offers[ROWS])
{
    const size_t count = (size_t)random_between(1, ROWS);
    for (size_t i = 0; i < count; i++) {
        const bool spot_only = random_flag();
        offers[i] = (struct offer){
            .gpu = catalog->gpus[random_between(0, (int64_t)catalog->gpu_count - 1)].gpu.id,
            .gpu_count = random_between(1, 16),
            .usd_per_h = spot_only ? 0.0 : exp(10.0 * random_share() - 5.0),
            .spot_usd_per_h = spot_only || random_flag() ? exp(10.0 * random_share() - 5.0) : 0.0};
    }
    return count;
}

/* Rows differ by their instance type, which is their number. */
static size_t write_csv(const struct offer *offers, size_t count, char text[TEXT_MAX])
{
    const char *line_end = random_flag() ? "\r\n" : "\n";
    size_t used = (size_t)snprintf(
        text, TEXT_MAX, "%sgpu,gpu_count,instance_type,price_usd_hour,spot_price_usd_hour%s",
        random_flag() ? "\xEF\xBB\xBF" : "", line_end);
    for (size_t i = 0; i < count; i++) {
        const char *quote = random_flag() ? "\"" : "";
        used += (size_t)snprintf(text + used, TEXT_MAX - used, "%s%s%s,%lld,%02zu,%.17g,%.17g%s",
                                 quote, offers[i].gpu, quote, (long long)offers[i].gpu_count, i,
                                 offers[i].usd_per_h, offers[i].spot_usd_per_h, line_end);
    }
    return used;
}

static size_t write_price(char *text, size_t room, const char *name, double usd_per_h)
{
    return usd_per_h > 0.0 ? (size_t)snprintf(text, room, ", \"%s\": %.17g", name, usd_per_h) : 0;
}

static size_t write_json(const struct offer *offers, size_t count, char text[TEXT_MAX])
{
    size_t used = (size_t)snprintf(text, TEXT_MAX, "{\"prices\": [");
    for (size_t i = 0; i < count; i++) {
        used +=
            (size_t)snprintf(text + used, TEXT_MAX - used,
                             "%s{\"gpu\": \"%s\", \"gpu_count\": %lld,"
                             " \"instance_type\": \"%02zu\"",
                             i > 0 ? ", " : "", offers[i].gpu, (long long)offers[i].gpu_count, i);
        used +=
            write_price(text + used, TEXT_MAX - used, "instance_usd_per_hour", offers[i].usd_per_h);
        used += write_price(text + used, TEXT_MAX - used, "instance_spot_usd_per_hour",
                            offers[i].spot_usd_per_h);
        used += (size_t)snprintf(text + used, TEXT_MAX - used, "}");
    }
    return used + (size_t)snprintf(text + used, TEXT_MAX - used, "]}");
}

static enum lq_code decode(const char *text, size_t size, bool json, struct lq_price_sheet *sheet,
                           struct lq_faults *faults)
{
    const struct lq_lookup lookup = lq_catalog_lookup(catalog);
    const struct lq_price_terms terms = {
        .provider = "mine", .date = "2026", .source = "own", .lookup = &lookup};
    *faults = (struct lq_faults){.count = 0};
    return json ? lq_price_decode_json(text, size, &terms, sheet, faults)
                : lq_price_decode_csv(text, size, &terms, sheet, faults);
}

START_TEST(lists_come_back_as_they_were_written)
{
    for (int i = 0; i < TRIP_CASES; i++) {
        static char text[TEXT_MAX];
        struct offer offers[ROWS];
        struct lq_price_sheet sheet;
        struct lq_faults faults;
        random_case(STREAM, i);
        const size_t count = random_offers(offers);
        const bool json = random_flag();
        const size_t size = json ? write_json(offers, count, text) : write_csv(offers, count, text);
        ck_assert_msg(decode(text, size, json, &sheet, &faults) == LQ_OK, "case %d: %s %s", i,
                      faults.items[0].pointer, faults.items[0].detail);
        ck_assert_uint_eq(sheet.count, count);
        for (size_t k = 0; k < count; k++) {
            const struct lq_price_row *row = &sheet.rows[k];
            const size_t number =
                (size_t)(row->instance_type[0] - '0') * 10 + (size_t)(row->instance_type[1] - '0');
            ck_assert_uint_lt(number, count);
            ck_assert_str_eq(row->gpu, offers[number].gpu);
            ck_assert_int_eq(row->gpu_count, offers[number].gpu_count);
            ck_assert_double_eq(row->usd_per_h, offers[number].usd_per_h);
            ck_assert_double_eq(row->spot_usd_per_h, offers[number].spot_usd_per_h);
        }
        lq_price_sheet_release(&sheet);
    }
}
END_TEST

/* Overwrites, cuts or doubles a few bytes. */
static size_t damage(char text[TEXT_MAX], size_t size)
{
    static const char LIKELY[] = "\",\n\r-.eE0{}[]:#\\\xFF\x01";
    for (int64_t k = random_between(1, 4); k > 0 && size > 0; k--) {
        const size_t at = (size_t)random_between(0, (int64_t)size - 1);
        if (random_flag()) {
            text[at] = random_flag() ? LIKELY[random_between(0, (int64_t)sizeof LIKELY - 1)]
                                     : (char)random_between(-128, 127);
        } else if (random_flag()) {
            size = at;
        } else {
            memmove(text + at, text + at + 1, size - at - 1);
            size--;
        }
    }
    return size;
}

static void check_sound(int number, const struct lq_price_sheet *sheet)
{
    ck_assert_msg(sheet->count > 0, "case %d: taken without a row", number);
    for (size_t k = 0; k < sheet->count; k++) {
        const struct lq_price_row *row = &sheet->rows[k];
        const bool priced = row->usd_per_h > 0.0 || row->spot_usd_per_h > 0.0;
        ck_assert_msg(isfinite(row->usd_per_h) && isfinite(row->spot_usd_per_h) && priced &&
                          row->usd_per_h >= 0.0 && row->spot_usd_per_h >= 0.0,
                      "case %d: prices %g, %g", number, row->usd_per_h, row->spot_usd_per_h);
        ck_assert_msg(row->gpu_count >= 1, "case %d", number);
        ck_assert_msg(lq_catalog_gpu(catalog, row->gpu) != NULL, "case %d: %s", number, row->gpu);
    }
}

START_TEST(a_damaged_list_is_sound_or_refused_with_a_reason)
{
    int taken = 0;
    for (int i = 0; i < DAMAGE_CASES; i++) {
        static char text[TEXT_MAX];
        struct offer offers[ROWS];
        struct lq_price_sheet sheet;
        struct lq_faults faults;
        random_case(STREAM + 1, i);
        const size_t count = random_offers(offers);
        const bool json = random_flag();
        size_t size = json ? write_json(offers, count, text) : write_csv(offers, count, text);
        size = damage(text, size);
        const enum lq_code code = decode(text, size, json, &sheet, &faults);
        if (code == LQ_OK) {
            check_sound(i, &sheet);
            taken++;
        } else {
            ck_assert_msg(faults.count > 0 && faults.items[0].code == code &&
                              faults.items[0].detail[0] != '\0',
                          "case %d: refused without a reason", i);
        }
        lq_price_sheet_release(&sheet);
    }
    ck_assert_int_gt(taken, 0);
    ck_assert_int_lt(taken, DAMAGE_CASES);
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    Suite *suite = suite_create("prices");
    TCase *tests = tcase_create("prices");
    tcase_add_test(tests, lists_come_back_as_they_were_written);
    tcase_add_test(tests, a_damaged_list_is_sound_or_refused_with_a_reason);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
