/* Decodes data sets: the field table here, the lengths in lengths.c. */
#include "server/json/dataset.h"

#include "server/json/field.h"
#include "server/json/lookup.h"

#include <stdio.h>

struct members {
    int64_t queries;
    const json_t *lengths;
    int64_t cutoff_tokens;
    int padding;
    int64_t padding_multiple;
};

static const struct lq_field FIELDS[] = {
    {.name = "queries",
     .kind = LQ_FIELD_COUNT,
     .offset = offsetof(struct members, queries),
     .min = 1,
     .max = 1e15},
    {.name = "lengths",
     .kind = LQ_FIELD_JSON,
     .required = true,
     .offset = offsetof(struct members, lengths)},
    {.name = "cutoff_tokens",
     .kind = LQ_FIELD_COUNT,
     .offset = offsetof(struct members, cutoff_tokens),
     .min = 1,
     .max = 16777216},
    {.name = "padding",
     .kind = LQ_FIELD_NAME,
     .offset = offsetof(struct members, padding),
     .names = LQ_PADDING_NAMES},
    {.name = "padding_multiple",
     .kind = LQ_FIELD_COUNT,
     .offset = offsetof(struct members, padding_multiple),
     .min = 1,
     .max = 65536},
};

/* Rows that are packed have the cut-off as their length, so they need one. */
static bool check_packing(const struct members *m, const char *pointer, struct lq_faults *faults)
{
    if (m->padding != LQ_PADDING_PACKED || m->cutoff_tokens > 0) {
        return true;
    }
    char at[LQ_POINTER_MAX];
    snprintf(at, sizeof at, "%s/cutoff_tokens", pointer);
    lq_faults_add(faults, LQ_EFIELD, at, "is required where rows are packed: it is their length");
    return false;
}

bool lq_dataset_decode(const json_t *value, const char *pointer, const struct lq_lookup *lookup,
                       struct lq_dataset_document *out, struct lq_faults *faults)
{
    const size_t before = faults->count;
    char at[LQ_POINTER_MAX];
    struct members m = {.padding = LQ_PADDING_LONGEST, .padding_multiple = 8};
    const enum lq_code table =
        lq_decode(value, pointer, FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults);
    /* after a bad field the lengths are still looked at, so that all faults are told at once */
    if ((table != LQ_OK && m.lengths == NULL) || !check_packing(&m, pointer, faults)) {
        return false;
    }
    const struct lq_padding_rule rule = {(enum lq_padding)m.padding, m.cutoff_tokens,
                                         m.padding_multiple};
    snprintf(at, sizeof at, "%s/lengths", pointer);
    if (!lq_lengths_decode(m.lengths, at, lookup, &rule, (double)m.queries, &out->lengths,
                           faults)) {
        return false;
    }
    out->queries = m.queries > 0 ? (double)m.queries : out->lengths.queries;
    if (!(out->queries > 0.0) && table == LQ_OK) {
        snprintf(at, sizeof at, "%s/queries", pointer);
        lq_faults_add(faults, LQ_EFIELD, at,
                      "is required: the lengths do not tell how many queries there are");
    }
    return faults->count == before;
}
