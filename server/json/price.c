/* Decodes a price list that is a JSON document. */
#include "server/json/price.h"

#include "server/json/field.h"
#include "server/json/price_sheet.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The document without its rows. */
struct document {
    char currency[8];
    char date[LQ_PRICE_DATE_MAX];
    char source[LQ_PRICE_TEXT_MAX];
    const json_t *prices;
};

static const struct lq_field DOCUMENT_FIELDS[] = {
    {.name = "currency",
     .kind = LQ_FIELD_STRING,
     .offset = offsetof(struct document, currency),
     .size = sizeof(((struct document *)0)->currency)},
    {.name = "price_date",
     .kind = LQ_FIELD_STRING,
     .offset = offsetof(struct document, date),
     .size = LQ_PRICE_DATE_MAX},
    {.name = "source",
     .kind = LQ_FIELD_STRING,
     .offset = offsetof(struct document, source),
     .size = LQ_PRICE_TEXT_MAX},
    {.name = "prices",
     .kind = LQ_FIELD_JSON,
     .required = true,
     .offset = offsetof(struct document, prices)},
};

/* One entry; texts are read a second time where they are, to be borrowed. */
struct entry {
    char gpu[LQ_ID_MAX];
    int64_t gpu_count;
    char region[LQ_PRICE_TEXT_MAX];
    char instance_type[LQ_PRICE_TEXT_MAX];
    char date[LQ_PRICE_DATE_MAX];
    char source[LQ_PRICE_TEXT_MAX];
    double usd_per_gpu_h;
    double spot_usd_per_gpu_h;
    double usd_per_h;
    double spot_usd_per_h;
};

#define TEXT(member, field)                                                                        \
    {                                                                                              \
        .name = (member), .kind = LQ_FIELD_STRING, .offset = offsetof(struct entry, field),        \
        .size = sizeof(((struct entry *)0)->field)                                                 \
    }
#define USD(member, field)                                                                         \
    {                                                                                              \
        .name = (member), .kind = LQ_FIELD_NUMBER, .offset = offsetof(struct entry, field),        \
        .min = LQ_PRICE_USD_MIN, .max = LQ_PRICE_USD_MAX                                           \
    }

static const struct lq_field ENTRY_FIELDS[] = {
    {.name = "gpu",
     .kind = LQ_FIELD_STRING,
     .required = true,
     .offset = offsetof(struct entry, gpu),
     .size = LQ_ID_MAX},
    {.name = "gpu_count",
     .kind = LQ_FIELD_COUNT,
     .offset = offsetof(struct entry, gpu_count),
     .min = 1,
     .max = LQ_PRICE_GPUS_MAX},
    TEXT("region", region),
    TEXT("instance_type", instance_type),
    TEXT("price_date", date),
    TEXT("source", source),
    USD("usd_per_gpu_hour", usd_per_gpu_h),
    USD("spot_usd_per_gpu_hour", spot_usd_per_gpu_h),
    USD("instance_usd_per_hour", usd_per_h),
    USD("instance_spot_usd_per_hour", spot_usd_per_h),
};

/* The entries of one list while they are decoded. */
struct entries {
    const struct lq_lookup *lookup;
    struct lq_price_sheet *sheet;
    struct lq_faults *faults;
    char place[32]; /* of the one at hand, /prices/3 */
};

static void fault(struct entries *all, enum lq_code code, const char *member, const char *what,
                  const char *about)
{
    char pointer[LQ_POINTER_MAX];
    snprintf(pointer, sizeof pointer, "%s/%s", all->place, member);
    lq_faults_add(all->faults, code, pointer, "%s%.60s", what, about);
}

/* The member's text where the document has one. */
static const char *borrow(const json_t *item, const char *member, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(item, member));
    return text != NULL ? text : otherwise;
}

static void check_texts(struct entries *all, const json_t *item)
{
    static const char *const MEMBERS[] = {"region", "instance_type", "source"};
    for (size_t i = 0; i < sizeof MEMBERS / sizeof MEMBERS[0]; i++) {
        if (!lq_price_text_is_plain(borrow(item, MEMBERS[i], ""))) {
            fault(all, LQ_EFIELD, MEMBERS[i], "must hold no control characters", "");
        }
    }
}

/* A price is given per GPU or per instance, not both. */
static void check_prices(struct entries *all, const struct entry *entry)
{
    if (entry->usd_per_gpu_h > 0.0 && entry->usd_per_h > 0.0) {
        fault(all, LQ_EFIELD, "usd_per_gpu_hour", "must be left out beside ",
              "instance_usd_per_hour");
    }
    if (entry->spot_usd_per_gpu_h > 0.0 && entry->spot_usd_per_h > 0.0) {
        fault(all, LQ_EFIELD, "spot_usd_per_gpu_hour", "must be left out beside ",
              "instance_spot_usd_per_hour");
    }
    if (!(entry->usd_per_gpu_h + entry->usd_per_h + entry->spot_usd_per_gpu_h +
              entry->spot_usd_per_h >
          0.0)) {
        lq_faults_add(all->faults, LQ_EFIELD, all->place,
                      "must have a price: usd_per_gpu_hour, instance_usd_per_hour or one of spot");
    }
}

static void take_entry(struct entries *all, const json_t *item, const struct entry *entry, size_t i)
{
    const struct lq_gpu *gpu = all->lookup->gpu(all->lookup->context, entry->gpu);
    const size_t before = all->faults->count;
    if (gpu == NULL) {
        fault(all, LQ_EREFERENCE, "gpu", "no GPU has the id ", entry->gpu);
    }
    check_texts(all, item);
    check_prices(all, entry);
    if (all->faults->count > before) {
        return;
    }
    struct lq_price_row *row = lq_price_sheet_add(all->sheet, i, all->faults);
    if (row == NULL) {
        return;
    }
    const double gpus = (double)entry->gpu_count;
    row->gpu = gpu->id;
    row->gpu_count = entry->gpu_count;
    row->region = borrow(item, "region", "");
    row->instance_type = borrow(item, "instance_type", "");
    row->date = borrow(item, "price_date", all->sheet->date);
    row->source = borrow(item, "source", all->sheet->source);
    row->usd_per_h = entry->usd_per_gpu_h * gpus + entry->usd_per_h;
    row->spot_usd_per_h = entry->spot_usd_per_gpu_h * gpus + entry->spot_usd_per_h;
}

static void decode_entries(struct entries *all, const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        snprintf(all->place, sizeof all->place, "/prices/%zu", i);
        struct entry entry = {.gpu_count = 1};
        if (lq_decode(item, all->place, ENTRY_FIELDS, sizeof ENTRY_FIELDS / sizeof ENTRY_FIELDS[0],
                      &entry, all->faults) == LQ_OK) {
            take_entry(all, item, &entry, i);
        }
    }
}

static void check_document(const struct document *document, struct lq_faults *faults)
{
    if (strcasecmp(document->currency, "USD") != 0) {
        lq_faults_add(faults, LQ_EFIELD, "/currency", "must be USD, the only currency; got \"%s\"",
                      document->currency);
    }
    if (!lq_price_text_is_plain(document->source)) {
        lq_faults_add(faults, LQ_EFIELD, "/source", "must hold no control characters");
    }
    const size_t count = json_array_size(document->prices); /* 0 for anything else */
    if (count == 0) {
        lq_faults_add(faults, LQ_EFIELD, "/prices", "must be a list of 1 to %d prices",
                      LQ_PRICES_MAX);
    } else if (count > LQ_PRICES_MAX) {
        lq_faults_add(faults, LQ_ETOOLARGE, "/prices", "must have at most %d prices, got %zu",
                      LQ_PRICES_MAX, count);
    }
}

enum lq_code lq_price_decode_json(const char *body, size_t size, const struct lq_price_terms *terms,
                                  struct lq_price_sheet *sheet, struct lq_faults *faults)
{
    *sheet = (struct lq_price_sheet){.layout = LQ_PRICES_JSON};
    sheet->root = lq_parse(body, size, faults);
    if (sheet->root == NULL) {
        return faults->items[0].code;
    }
    struct document document = {.currency = "USD"};
    snprintf(document.date, sizeof document.date, "%s", terms->date);
    snprintf(document.source, sizeof document.source, "%s", terms->source);
    LQ_TRY(lq_decode(sheet->root, "", DOCUMENT_FIELDS,
                     sizeof DOCUMENT_FIELDS / sizeof DOCUMENT_FIELDS[0], &document, faults));
    memcpy(sheet->date, document.date, sizeof sheet->date);
    memcpy(sheet->source, document.source, sizeof sheet->source);
    check_document(&document, faults);
    if (json_array_size(document.prices) <= LQ_PRICES_MAX) {
        struct entries all = {.lookup = terms->lookup, .sheet = sheet, .faults = faults};
        decode_entries(&all, document.prices);
    }
    return lq_price_sheet_finish(sheet, false, faults);
}
