/* Room for the rows of a price list, and the checks that need all of them. */
#include "server/json/price_sheet.h"

#include "server/json/field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const LQ_PRICE_LAYOUT_NAMES[] = {"json", "csv", "skypilot", NULL};

enum { FIRST_ROWS = 256 };

struct lq_price_row *lq_price_sheet_add(struct lq_price_sheet *sheet, size_t place,
                                        struct lq_faults *faults)
{
    if (sheet->count == LQ_PRICES_MAX) {
        lq_faults_add(faults, LQ_ETOOLARGE, "", "a list has at most %d prices", LQ_PRICES_MAX);
        return NULL;
    }
    if (sheet->count == sheet->capacity) {
        size_t capacity = sheet->capacity > 0 ? 2 * sheet->capacity : FIRST_ROWS;
        struct lq_price_row *rows = realloc(sheet->rows, capacity * sizeof *rows);
        if (rows == NULL) {
            lq_faults_add(faults, LQ_EINTERNAL, NULL, "out of memory for the prices");
            return NULL;
        }
        sheet->rows = rows;
        sheet->capacity = capacity;
    }
    struct lq_price_row *row = &sheet->rows[sheet->count++];
    *row = (struct lq_price_row){.place = place};
    return row;
}

void lq_price_sheet_release(struct lq_price_sheet *sheet)
{
    free(sheet->rows);
    free(sheet->text);
    json_decref(sheet->root);
    *sheet = (struct lq_price_sheet){.count = 0};
}

void lq_price_pointer(const struct lq_price_sheet *sheet, const struct lq_price_row *row,
                      const char *member, char pointer[LQ_POINTER_MAX])
{
    snprintf(pointer, LQ_POINTER_MAX, "/%s/%zu%s%s",
             sheet->layout == LQ_PRICES_JSON ? "prices" : "lines", row->place,
             member[0] != '\0' ? "/" : "", member);
}

const char *lq_price_date_member(const struct lq_price_sheet *sheet)
{
    return sheet->layout == LQ_PRICES_JSON ? "price_date" : "catalog_date";
}

bool lq_price_text_is_plain(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return false;
        }
    }
    json_t *string = json_string(text); /* NULL where it is not UTF-8 */
    json_decref(string);
    return string != NULL && strlen(text) < LQ_PRICE_TEXT_MAX;
}

/* By what makes an offer: 0 where two rows are the same one. */
static int compare_offers(const struct lq_price_row *a, const struct lq_price_row *b)
{
    int order = strcmp(a->gpu, b->gpu);
    order = order != 0 ? order : strcmp(a->region, b->region);
    order = order != 0 ? order : strcmp(a->instance_type, b->instance_type);
    return order != 0 ? order : (a->gpu_count > b->gpu_count) - (a->gpu_count < b->gpu_count);
}

static int by_offer(const void *left, const void *right)
{
    const struct lq_price_row *a = left;
    const struct lq_price_row *b = right;
    int order = compare_offers(a, b);
    return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

static double cheaper(double a, double b)
{
    return !(b > 0.0) || (a > 0.0 && a < b) ? a : b;
}

static void merge_equal(struct lq_price_sheet *sheet)
{
    size_t kept = 0;
    for (size_t i = 0; i < sheet->count; i++) {
        struct lq_price_row *row = &sheet->rows[i];
        struct lq_price_row *last = kept > 0 ? &sheet->rows[kept - 1] : NULL;
        if (last == NULL || compare_offers(last, row) != 0) {
            sheet->rows[kept++] = *row;
            continue;
        }
        last->usd_per_h = cheaper(last->usd_per_h, row->usd_per_h);
        last->spot_usd_per_h = cheaper(last->spot_usd_per_h, row->spot_usd_per_h);
    }
    sheet->skips.merged = sheet->count - kept;
    sheet->count = kept;
}

static void refuse_equal(const struct lq_price_sheet *sheet, struct lq_faults *faults)
{
    const char *what = sheet->layout == LQ_PRICES_JSON ? "entry" : "line";
    for (size_t i = 1, first = 0; i < sheet->count; i++) {
        const struct lq_price_row *row = &sheet->rows[i];
        if (compare_offers(&sheet->rows[first], row) != 0) {
            first = i;
            continue;
        }
        char pointer[LQ_POINTER_MAX];
        lq_price_pointer(sheet, row, "", pointer);
        lq_faults_add(faults, LQ_EFIELD, pointer,
                      "%s %zu has the same GPU, count, region and instance type as %s %zu", what,
                      row->place, what, sheet->rows[first].place);
    }
}

enum lq_code lq_price_sheet_finish(struct lq_price_sheet *sheet, bool merge,
                                   struct lq_faults *faults)
{
    if (sheet->count > 0) {
        qsort(sheet->rows, sheet->count, sizeof *sheet->rows, by_offer);
    }
    if (merge) {
        merge_equal(sheet);
    } else {
        refuse_equal(sheet, faults);
    }
    if (sheet->count == 0 && faults->count == 0) {
        const struct lq_price_skips *skips = &sheet->skips;
        return lq_faults_add(faults, LQ_EFIELD, "",
                             "no row prices a GPU of the catalog by the hour: %zu without a GPU, "
                             "%zu of unknown GPUs%s%s, %zu without a machine, %zu of parts of a "
                             "GPU, %zu without a price",
                             skips->without_gpu, skips->unmapped,
                             skips->name_count > 0 ? ", the first " : "",
                             skips->name_count > 0 ? skips->names[0].name : "",
                             skips->without_machine, skips->fractional, skips->unpriced);
    }
    return faults->count > 0 ? faults->items[0].code : LQ_OK;
}

json_t *lq_price_skips_encode(const struct lq_price_skips *skips)
{
    json_t *names = json_array();
    for (size_t i = 0; i < skips->name_count; i++) {
        json_array_append_new(names, json_pack("{s:s, s:I}", "name", skips->names[i].name, "rows",
                                               (json_int_t)skips->names[i].rows));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "without_gpu",
                     (json_int_t)skips->without_gpu, "without_machine",
                     (json_int_t)skips->without_machine, "fractional",
                     (json_int_t)skips->fractional, "unpriced", (json_int_t)skips->unpriced,
                     "merged", (json_int_t)skips->merged, "unmapped", (json_int_t)skips->unmapped,
                     "unmapped_names", names);
}
