/* A price list as somebody puts it: a JSON document, or CSV in one of two layouts. Prices are USD
 * per hour; whole instances inside, whatever the document has. */
#pragma once

#include "server/json/faults.h"
#include "server/json/lookup.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LQ_PRICES_MAX = 200 * 1000, /* rows of a list */
    LQ_PRICE_TEXT_MAX = 256,    /* a source, a region, an instance type */
    LQ_PRICE_DATE_MAX = 16,
    LQ_UNMAPPED_MAX = 64 /* names of GPUs told apart */
};

/* One offer; texts are borrowed from the sheet or the catalog and never NULL. */
struct lq_price_row {
    const char *region;
    const char *instance_type;
    const char *gpu; /* catalog's spelling */
    int64_t gpu_count;
    double usd_per_h;      /* of the whole instance, on demand; 0 = not offered */
    double spot_usd_per_h; /* 0 = not offered */
    const char *date;      /* as it was given: whether it is one is for the caller to see */
    const char *source;
    size_t place; /* entry of "prices" (from 0), or line of the CSV (from 1) */
};

/* Rows of SkyPilot's catalogs that say nothing about a GPU's hourly price. */
struct lq_price_skips {
    size_t without_gpu;
    size_t without_machine; /* an accelerator priced apart from the machine it is in */
    size_t fractional;      /* a part of a GPU */
    size_t unpriced;
    size_t merged;   /* zones of a region: the cheapest one stands for all */
    size_t unmapped; /* of a GPU that is not in the catalog */
    struct {
        char name[LQ_PRICE_TEXT_MAX];
        size_t rows;
    } names[LQ_UNMAPPED_MAX]; /* of the unmapped ones, in the order they came */
    size_t name_count;
};

enum lq_price_layout { LQ_PRICES_JSON, LQ_PRICES_CSV, LQ_PRICES_SKYPILOT };
extern const char *const LQ_PRICE_LAYOUT_NAMES[]; /* NULL-terminated */

struct lq_price_sheet {
    enum lq_price_layout layout;
    struct lq_price_row *rows; /* ascending by GPU, region, instance type, count */
    size_t count;
    struct lq_price_skips skips;
    char date[LQ_PRICE_DATE_MAX]; /* of rows without one */
    char source[LQ_PRICE_TEXT_MAX];
    /* what the rows lie in */
    size_t capacity;
    json_t *root;
    char *text;
    size_t text_used;
};

/* What a document may leave out, and what it is held against. */
struct lq_price_terms {
    const char *provider; /* of the path: a row that names another one is a bad row */
    const char *date;     /* of rows without one: YYYY, YYYY-MM or YYYY-MM-DD */
    const char *source;   /* likewise */
    const struct lq_lookup *lookup;
};

/* Decodes a list; the sheet is released by lq_price_sheet_release on failure too. Every bad row is
 * a fault, at /prices/3/gpu or, in CSV, /lines/42/gpu. Errors: LQ_ESYNTAX (not JSON), LQ_EREQUEST
 * (not CSV), LQ_EFIELD (a missing column, a bad value, a currency that is not USD, an offer that is
 * there twice, no offer at all), LQ_EREFERENCE (a GPU that the catalog does not have; in SkyPilot's
 * layout such rows are skipped and counted), LQ_ETOOLARGE (more than LQ_PRICES_MAX rows),
 * LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_price_decode_json(const char *body, size_t size,
                                              const struct lq_price_terms *terms,
                                              struct lq_price_sheet *sheet,
                                              struct lq_faults *faults);
LQ_MUST_USE enum lq_code lq_price_decode_csv(const char *body, size_t size,
                                             const struct lq_price_terms *terms,
                                             struct lq_price_sheet *sheet,
                                             struct lq_faults *faults);
void lq_price_sheet_release(struct lq_price_sheet *sheet);

/* Where the member of a row stands, as a JSON Pointer. */
void lq_price_pointer(const struct lq_price_sheet *sheet, const struct lq_price_row *row,
                      const char *member, char pointer[LQ_POINTER_MAX]);

/* The member that holds a row's date in the sheet's layout. */
const char *lq_price_date_member(const struct lq_price_sheet *sheet);

/* The skips as a new object. */
json_t *lq_price_skips_encode(const struct lq_price_skips *skips);
