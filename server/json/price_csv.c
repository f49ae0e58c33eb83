/* Decodes a price list that is CSV: in the columns of the shipped prices, or one of SkyPilot's
 * catalogs (vms.csv) as it is. Columns come in any order; the header tells which layout it is. */
#include "server/csv.h"
#include "server/json/field.h"
#include "server/json/price.h"
#include "server/json/price_sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum column {
    GPU,
    GPU_COUNT,
    PRICE,
    SPOT,
    REGION,
    INSTANCE,
    PROVIDER,
    DATE,
    SOURCE,
    CURRENCY,
    COLUMNS
};

/* Names by layout; NULL where a layout has no such column. */
static const char *const OWN_NAMES[COLUMNS] = {
    "gpu",    "gpu_count",     "price_usd_hour", "spot_price_usd_hour",
    "region", "instance_type", "provider",       "catalog_date",
    "source", "currency"};
static const char *const SKYPILOT_NAMES[COLUMNS] = {"AcceleratorName",
                                                    "AcceleratorCount",
                                                    "Price",
                                                    "SpotPrice",
                                                    "Region",
                                                    "InstanceType",
                                                    NULL,
                                                    NULL,
                                                    NULL,
                                                    "Currency"};

/* The columns without which a file is not read, or it would be read as something else. */
static bool is_required(bool skypilot, int column)
{
    return column <= PRICE || (skypilot && (column == REGION || column == INSTANCE));
}

struct decoding {
    struct lq_csv csv;
    int fields[COLUMNS]; /* where each column stands, -1: nowhere */
    const char *const *names;
    const struct lq_price_terms *terms;
    struct lq_price_sheet *sheet;
    struct lq_faults *faults;
    bool full; /* there is no room for more rows, and a fault says so */
};

static const char *field(const struct decoding *d, enum column column)
{
    return d->fields[column] >= 0 ? d->csv.fields[d->fields[column]] : "";
}

static void fault(struct decoding *d, enum lq_code code, enum column column, const char *what)
{
    char pointer[LQ_POINTER_MAX];
    snprintf(pointer, sizeof pointer, "/lines/%zu/%s", d->csv.line, d->names[column]);
    lq_faults_add(d->faults, code, pointer, "line %zu: %s, got \"%.40s\"", d->csv.line, what,
                  field(d, column));
}

/* A failure of the reader, which names the line itself. */
static void take_failure(struct decoding *d, const struct lq_error *err)
{
    char pointer[LQ_POINTER_MAX];
    snprintf(pointer, sizeof pointer, "/lines/%zu", d->csv.line);
    lq_faults_add(d->faults, LQ_EREQUEST, pointer, "not CSV: %s", err->detail);
}

static int find_column(const struct decoding *d, const char *name)
{
    for (int column = 0; column < COLUMNS; column++) {
        if (d->names[column] != NULL && strcasecmp(d->names[column], name) == 0) {
            return column;
        }
    }
    return -1;
}

static void take_header_field(struct decoding *d, int i)
{
    char pointer[LQ_POINTER_MAX];
    const char *name = d->csv.fields[i];
    int column = find_column(d, name);
    snprintf(pointer, sizeof pointer, "/lines/%zu", d->csv.line);
    if (column >= 0 && d->fields[column] >= 0) {
        lq_faults_add(d->faults, LQ_EFIELD, pointer, "the column %.40s is there twice", name);
    } else if (column >= 0) {
        d->fields[column] = i;
    } else if (d->sheet->layout == LQ_PRICES_CSV) {
        lq_faults_add(d->faults, LQ_EFIELD, pointer,
                      "\"%.40s\" is no column of a price list; prices are USD per hour, in "
                      "price_usd_hour and spot_price_usd_hour",
                      name);
    }
}

static bool has_header_field(const struct lq_csv *csv, const char *name)
{
    for (size_t i = 0; i < csv->count; i++) {
        if (strcasecmp(csv->fields[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void read_header(struct decoding *d)
{
    bool skypilot = has_header_field(&d->csv, SKYPILOT_NAMES[GPU]);
    d->sheet->layout = skypilot ? LQ_PRICES_SKYPILOT : LQ_PRICES_CSV;
    d->names = skypilot ? SKYPILOT_NAMES : OWN_NAMES;
    for (int column = 0; column < COLUMNS; column++) {
        d->fields[column] = -1;
    }
    for (size_t i = 0; i < d->csv.count; i++) {
        take_header_field(d, (int)i);
    }
    for (int column = 0; column < COLUMNS; column++) {
        if (is_required(skypilot, column) && d->fields[column] < 0) {
            char pointer[LQ_POINTER_MAX];
            snprintf(pointer, sizeof pointer, "/lines/%zu/%s", d->csv.line, d->names[column]);
            lq_faults_add(d->faults, LQ_EFIELD, pointer, "line %zu: the column %s is missing",
                          d->csv.line, d->names[column]);
        }
    }
}

/* A plain decimal number from 0; empty is 0. */
static bool parse_number(const char *text, double *number)
{
    char *end;
    *number = strtod(text, &end); /* of the characters below it reads plain numbers only */
    bool is_plain = text[strspn(text, "0123456789.eE+-")] == '\0';
    return is_plain && *end == '\0' && isfinite(*number) && *number >= 0.0;
}

/* Devices of an instance; a part of one is a number too. */
static void read_count(struct decoding *d, double *count)
{
    if (!parse_number(field(d, GPU_COUNT), count) || !(*count > 0.0) ||
        *count > LQ_PRICE_GPUS_MAX) {
        fault(d, LQ_EFIELD, GPU_COUNT, "must be a number above 0 and at most 4096");
    } else if (*count != floor(*count) && d->sheet->layout == LQ_PRICES_CSV) {
        fault(d, LQ_EFIELD, GPU_COUNT, "must be a whole number");
    }
}

static void read_price(struct decoding *d, enum column column, double *usd_per_h)
{
    if (!parse_number(field(d, column), usd_per_h)) {
        fault(d, LQ_EFIELD, column, "must be a number that is not negative");
    } else if (*usd_per_h > 0.0 &&
               (*usd_per_h < LQ_PRICE_USD_MIN || *usd_per_h > LQ_PRICE_USD_MAX)) {
        fault(d, LQ_EFIELD, column, "must be from 1e-9 to 1e6 USD per hour");
    }
}

static void check_text(struct decoding *d, enum column column)
{
    if (!lq_price_text_is_plain(field(d, column))) {
        fault(d, LQ_EFIELD, column,
              "must be UTF-8 of at most 255 bytes without control characters");
    }
}

/* A copy in the sheet's text; all copies of a record are no longer than the record. */
static const char *copy(struct decoding *d, const char *text)
{
    struct lq_price_sheet *sheet = d->sheet;
    char *start = sheet->text + sheet->text_used;
    size_t size = strlen(text) + 1;
    memcpy(start, text, size);
    sheet->text_used += size;
    return start;
}

static void check_currency(struct decoding *d)
{
    const char *currency = field(d, CURRENCY);
    if (currency[0] != '\0' && strcasecmp(currency, "USD") != 0) {
        fault(d, LQ_EFIELD, CURRENCY, "must be USD, the only currency");
    }
}

/* What both layouts have; every bad field of a record is a fault. */
static void read_values(struct decoding *d, struct lq_price_row *row, double *count)
{
    read_count(d, count);
    read_price(d, PRICE, &row->usd_per_h);
    read_price(d, SPOT, &row->spot_usd_per_h);
    check_text(d, REGION);
    check_text(d, INSTANCE);
    check_currency(d);
}

static void keep(struct decoding *d, const struct lq_price_row *values)
{
    struct lq_price_row *row = lq_price_sheet_add(d->sheet, d->csv.line, d->faults);
    if (row == NULL) {
        d->full = true;
        return;
    }
    const char *date = field(d, DATE);
    const char *source = field(d, SOURCE);
    *row = *values;
    row->place = d->csv.line;
    row->region = copy(d, field(d, REGION));
    row->instance_type = copy(d, field(d, INSTANCE));
    row->date = date[0] != '\0' ? copy(d, date) : d->sheet->date;
    row->source = source[0] != '\0' ? copy(d, source) : d->sheet->source;
}

/* A record in the columns of the shipped prices. */
static void take_own(struct decoding *d)
{
    struct lq_price_row row = {0};
    double count = 0.0;
    size_t before = d->faults->count;
    read_values(d, &row, &count);
    check_text(d, SOURCE);
    const char *provider = field(d, PROVIDER);
    if (provider[0] != '\0' && strcasecmp(provider, d->terms->provider) != 0) {
        fault(d, LQ_EFIELD, PROVIDER, "must be the provider of the path");
    }
    const struct lq_lookup *lookup = d->terms->lookup;
    const struct lq_gpu *gpu = lookup->gpu(lookup->context, field(d, GPU));
    if (gpu == NULL) {
        fault(d, LQ_EREFERENCE, GPU, "no GPU has this id");
    }
    if (d->faults->count == before && !(row.usd_per_h > 0.0) && !(row.spot_usd_per_h > 0.0)) {
        fault(d, LQ_EFIELD, PRICE, "must be above 0, or spot_price_usd_hour must");
    }
    if (d->faults->count == before) {
        row.gpu = gpu->id;
        row.gpu_count = (int64_t)count;
        keep(d, &row);
    }
}

static void count_unmapped(struct lq_price_skips *skips, const char *name)
{
    skips->unmapped++;
    for (size_t i = 0; i < skips->name_count; i++) {
        if (strcmp(skips->names[i].name, name) == 0) {
            skips->names[i].rows++;
            return;
        }
    }
    if (skips->name_count < LQ_UNMAPPED_MAX) {
        snprintf(skips->names[skips->name_count].name, LQ_PRICE_TEXT_MAX, "%s", name);
        skips->names[skips->name_count++].rows = 1;
    }
}

/* The catalog's GPU behind SkyPilot's name of it, or NULL. */
static const struct lq_gpu *map_gpu(const struct decoding *d)
{
    const struct lq_lookup *lookup = d->terms->lookup;
    const char *name = field(d, GPU);
    const char *id = lq_price_gpu(name, field(d, INSTANCE));
    if (id != NULL) {
        return lookup->gpu(lookup->context, id);
    }
    const struct lq_gpu *gpu = lookup->gpu(lookup->context, name);
    if (gpu != NULL) {
        return gpu;
    }
    /* "RTX4090" is "RTX-4090", but not "RTX-4090-Ti" */
    const char *like = NULL;
    for (size_t k = 0; (like = lookup->gpu_like(lookup->context, name, k)) != NULL; k++) {
        if (lq_price_is_same_name(like, name)) {
            return lookup->gpu(lookup->context, like);
        }
    }
    return NULL;
}

/* A record of SkyPilot's: machines without GPUs and accelerators without machines are there too. */
static void take_skypilot(struct decoding *d)
{
    struct lq_price_skips *skips = &d->sheet->skips;
    struct lq_price_row row = {0};
    double count = 0.0;
    if (field(d, GPU)[0] == '\0') {
        skips->without_gpu++;
        return;
    }
    size_t before = d->faults->count;
    check_text(d, GPU);
    read_values(d, &row, &count);
    if (d->faults->count > before) {
        return;
    }
    const struct lq_gpu *gpu = map_gpu(d);
    if (gpu == NULL) {
        count_unmapped(skips, field(d, GPU));
    } else if (field(d, INSTANCE)[0] == '\0') {
        skips->without_machine++;
    } else if (!(row.usd_per_h > 0.0) && !(row.spot_usd_per_h > 0.0)) {
        skips->unpriced++;
    } else if (count != floor(count)) {
        skips->fractional++;
    } else {
        row.gpu = gpu->id;
        row.gpu_count = (int64_t)count;
        keep(d, &row);
    }
}

static void read_records(struct decoding *d)
{
    bool more = true;
    while (more && !d->full) {
        struct lq_error err = {0};
        if (lq_csv_next(&d->csv, &more, &err) != LQ_OK) {
            take_failure(d, &err);
            more = true;
        } else if (more && d->sheet->layout == LQ_PRICES_SKYPILOT) {
            take_skypilot(d);
        } else if (more) {
            take_own(d);
        }
    }
}

enum lq_code lq_price_decode_csv(const char *body, size_t size, const struct lq_price_terms *terms,
                                 struct lq_price_sheet *sheet, struct lq_faults *faults)
{
    *sheet = (struct lq_price_sheet){.layout = LQ_PRICES_CSV};
    snprintf(sheet->date, sizeof sheet->date, "%s", terms->date);
    snprintf(sheet->source, sizeof sheet->source, "%s", terms->source);
    struct decoding *d = calloc(1, sizeof *d);
    sheet->text = malloc(size + 1);
    if (d == NULL || sheet->text == NULL) {
        free(d);
        return lq_faults_add(faults, LQ_EINTERNAL, NULL, "out of memory for the prices");
    }
    d->terms = terms;
    d->sheet = sheet;
    d->faults = faults;
    if (!lq_price_text_is_plain(sheet->source)) {
        lq_faults_add(faults, LQ_EFIELD, "/source", "must be UTF-8 without control characters");
    }
    struct lq_error err = {0};
    if (lq_csv_open(&d->csv, "body", body, size, NULL, &err) != LQ_OK) {
        take_failure(d, &err);
    } else if (d->csv.count == 0) {
        lq_faults_add(faults, LQ_EREQUEST, "", "the body is empty: there is no header");
    } else {
        read_header(d);
        if (faults->count == 0) {
            read_records(d);
        }
    }
    free(d);
    return lq_price_sheet_finish(sheet, sheet->layout == LQ_PRICES_SKYPILOT, faults);
}
