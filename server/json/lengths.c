/* Turns the five spellings of a length distribution into bins. Padding them is core's business. */
#include "server/json/lengths.h"

#include "core/arch/quantiles.h"
#include "server/json/arena.h"
#include "server/json/field.h"
#include "server/json/lookup.h"
#include "server/json/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows longer than this are not trained by anyone; 16 Mi tokens. */
static const double TOKENS_MAX = 16777216.0;
static const double QUERIES_MAX = 1e15;
/* Queries a quantile description stands for when nothing else is said: sizes its tail. */
static const double QUANTILE_QUERIES = 10000.0;

/* Bins under construction, or the catalog's own, which are only looked at. */
struct bins {
    struct lq_length_bin *item;
    const struct lq_length_bin *kept; /* the catalog's; then item is NULL */
    size_t count;
};

struct context {
    char pointer[LQ_POINTER_MAX]; /* of the member that is decoded */
    const struct lq_lookup *lookup;
    double queries;
    struct lq_lengths_document *out;
    struct lq_faults *faults;
};

static bool allocate(struct bins *bins, size_t count)
{
    bins->item = lq_arena_malloc((count > 0 ? count : 1) * sizeof *bins->item);
    bins->count = 0;
    return bins->item != NULL;
}

static bool fault(const struct context *c, const char *detail)
{
    lq_faults_add(c->faults, LQ_EFIELD, c->pointer, "%s", detail);
    return false;
}

static bool from_name(const json_t *value, struct context *c, struct bins *bins)
{
    const char *name = json_string_value(value);
    if (name == NULL) {
        return fault(c, "must be a string");
    }
    struct lq_named_lengths named;
    if (!c->lookup->lengths(c->lookup->context, name, &named)) {
        lq_faults_add(c->faults, LQ_EREFERENCE, c->pointer,
                      "no data set \"%.60s\"; GET /v1/datasets lists them", name);
        return false;
    }
    bins->kept = named.bins;
    bins->count = named.count;
    snprintf(c->out->name, sizeof c->out->name, "%s", named.id);
    c->out->queries = named.queries;
    return true;
}

static bool from_fixed(const json_t *value, struct context *c, struct bins *bins)
{
    int64_t tokens = 0;
    if (!lq_decode_count(value, c->pointer, 1.0, TOKENS_MAX, &tokens, c->faults) ||
        !allocate(bins, 1)) {
        return false;
    }
    bins->item[bins->count++] = (struct lq_length_bin){.tokens = tokens, .queries = 1.0};
    c->out->fixed_tokens = tokens;
    return true;
}

/* One [tokens, queries] pair; tells what is wrong with it at its own pointer. */
static bool histogram_bin(const json_t *pair, size_t i, const struct context *c,
                          struct lq_length_bin *out)
{
    char at[LQ_POINTER_MAX + 32];
    snprintf(at, sizeof at, "%s/%zu", c->pointer, i);
    if (json_array_size(pair) != 2) {
        lq_faults_add(c->faults, LQ_EFIELD, at, "must be a pair [tokens, queries]");
        return false;
    }
    int64_t tokens = 0;
    int64_t queries = 0;
    snprintf(at, sizeof at, "%s/%zu/0", c->pointer, i);
    const bool good =
        lq_decode_count(json_array_get(pair, 0), at, 1.0, TOKENS_MAX, &tokens, c->faults);
    snprintf(at, sizeof at, "%s/%zu/1", c->pointer, i);
    if (!lq_decode_count(json_array_get(pair, 1), at, 0.0, QUERIES_MAX, &queries, c->faults) ||
        !good) {
        return false;
    }
    *out = (struct lq_length_bin){.tokens = tokens, .queries = (double)queries};
    return true;
}

static bool from_histogram(const json_t *value, struct context *c, struct bins *bins)
{
    if (!json_is_array(value) || json_array_size(value) == 0) {
        return fault(c, "must be a list of at least one pair [tokens, queries]");
    }
    if (!allocate(bins, json_array_size(value))) {
        return fault(c, "is too large");
    }
    bool good = true;
    size_t i;
    json_t *pair;
    json_array_foreach(value, i, pair)
    {
        struct lq_length_bin bin = {0};
        if (!histogram_bin(pair, i, c, &bin)) {
            good = false;
            continue;
        }
        if (good && i > 0 && bin.tokens <= bins->item[i - 1].tokens) {
            char at[LQ_POINTER_MAX + 32];
            snprintf(at, sizeof at, "%s/%zu/0", c->pointer, i);
            lq_faults_add(c->faults, LQ_EFIELD, at, "tokens must ascend, got %lld after %lld",
                          (long long)bin.tokens, (long long)bins->item[i - 1].tokens);
            good = false;
            continue;
        }
        bins->item[bins->count++] = bin;
        c->out->queries += bin.queries;
    }
    if (good && !(c->out->queries > 0.0)) {
        return fault(c, "must hold at least one query");
    }
    return good;
}

static int by_tokens(const void *a, const void *b)
{
    const struct lq_length_bin *left = a;
    const struct lq_length_bin *right = b;
    return (left->tokens > right->tokens) - (left->tokens < right->tokens);
}

static void merge_equal(struct bins *bins)
{
    size_t kept = 0;
    for (size_t i = 0; i < bins->count; i++) {
        if (kept > 0 && bins->item[kept - 1].tokens == bins->item[i].tokens) {
            bins->item[kept - 1].queries += bins->item[i].queries;
        } else {
            bins->item[kept++] = bins->item[i];
        }
    }
    bins->count = kept;
}

static bool from_sample(const json_t *value, struct context *c, struct bins *bins)
{
    if (!json_is_array(value) || json_array_size(value) == 0) {
        return fault(c, "must be a list of at least one token count");
    }
    if (!allocate(bins, json_array_size(value))) {
        return fault(c, "is too large");
    }
    const size_t before = c->faults->count;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        char at[LQ_POINTER_MAX + 32];
        snprintf(at, sizeof at, "%s/%zu", c->pointer, i);
        int64_t tokens = 0;
        if (lq_decode_count(item, at, 1.0, TOKENS_MAX, &tokens, c->faults)) {
            bins->item[bins->count++] = (struct lq_length_bin){.tokens = tokens, .queries = 1.0};
        }
    }
    if (c->faults->count > before) {
        return false;
    }
    c->out->queries = (double)bins->count;
    qsort(bins->item, bins->count, sizeof *bins->item, by_tokens);
    merge_equal(bins);
    return true;
}

static int by_share(const void *a, const void *b)
{
    const struct lq_quantile *left = a;
    const struct lq_quantile *right = b;
    return (left->share > right->share) - (left->share < right->share);
}

/* "p50" -> 0.5; negative where the key is not pN with 0 < N < 100. */
static double share_of(const char *key)
{
    const size_t whole = strspn(key + (key[0] == 'p'), "0123456789");
    const char *rest = key + 1 + whole;
    if (key[0] != 'p' || whole == 0 || whole > 2) {
        return -1.0;
    }
    if (rest[0] == '.' && rest[1] != '\0') {
        rest += 1 + strspn(rest + 1, "0123456789");
    }
    const double percent = strtod(key + 1, NULL);
    return *rest == '\0' && percent > 0.0 && percent < 100.0 ? percent / 100.0 : -1.0;
}

struct quantiles {
    struct lq_quantile item[LQ_QUANTILES_MAX];
    size_t count;
    double min_tokens;
    double max_tokens;
};

static bool quantile_member(const char *key, const json_t *value, const struct context *c,
                            struct quantiles *q)
{
    char at[LQ_POINTER_MAX];
    lq_pointer_join(at, c->pointer, key);
    double tokens = 0.0;
    if (!lq_decode_number(value, at, 1.0, TOKENS_MAX, &tokens, c->faults)) {
        return false;
    }
    if (strcmp(key, "max") == 0) {
        q->max_tokens = tokens;
    } else if (strcmp(key, "min") == 0) {
        q->min_tokens = tokens;
    } else if (share_of(key) > 0.0 && q->count < LQ_QUANTILES_MAX) {
        q->item[q->count++] = (struct lq_quantile){.share = share_of(key), .tokens = tokens};
    } else {
        lq_faults_add(c->faults, LQ_EFIELD, at, "must be min, max or p1 .. p99.99 (up to %d)",
                      LQ_QUANTILES_MAX);
        return false;
    }
    return true;
}

static bool from_quantiles(const json_t *value, struct context *c, struct bins *bins)
{
    if (!json_is_object(value)) {
        return fault(c, "must be an object like {\"p50\": 174, \"p90\": 271, \"max\": 1470}");
    }
    struct quantiles q = {.count = 0};
    bool good = true;
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        good = quantile_member(key, member, c, &q) && good;
    }
    if (!good) {
        return false;
    }
    if (q.count == 0 || q.max_tokens == 0.0) {
        return fault(c, "must have max and at least one of p1 .. p99.99");
    }
    qsort(q.item, q.count, sizeof q.item[0], by_share);
    if (!allocate(bins, LQ_QUANTILE_BINS)) {
        return fault(c, "is too large");
    }
    struct lq_error err = {0};
    const double queries = c->queries > 0.0 ? c->queries : QUANTILE_QUERIES;
    if (lq_lengths_from_quantiles(q.item, q.count, q.min_tokens, q.max_tokens, queries, bins->item,
                                  &bins->count, &err) != LQ_OK) {
        return fault(c, err.detail);
    }
    return true;
}

static const struct {
    const char *name;
    bool (*decode)(const json_t *value, struct context *c, struct bins *bins);
} SPELLINGS[] = {
    {"name", from_name},           {"fixed_tokens", from_fixed}, {"histogram", from_histogram},
    {"quantiles", from_quantiles}, {"sample", from_sample},
};
enum { SPELLING_COUNT = sizeof SPELLINGS / sizeof SPELLINGS[0] };

/* The index of the only spelling that is there, or -1 and a fault. */
static int spelling_of(const json_t *value, const char *pointer, struct lq_faults *faults)
{
    /* unknown members are told as everywhere else */
    static const struct lq_field FIELDS[] = {{.name = "name", .kind = LQ_FIELD_JSON},
                                             {.name = "fixed_tokens", .kind = LQ_FIELD_JSON},
                                             {.name = "histogram", .kind = LQ_FIELD_JSON},
                                             {.name = "quantiles", .kind = LQ_FIELD_JSON},
                                             {.name = "sample", .kind = LQ_FIELD_JSON}};
    const json_t *ignored = NULL;
    if (json_is_object(value) && json_object_size(value) > 0 &&
        lq_decode(value, pointer, FIELDS, sizeof FIELDS / sizeof FIELDS[0], &ignored, faults) !=
            LQ_OK) {
        return -1;
    }
    const char *only = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)value));
    if (json_is_object(value) && json_object_size(value) == 1) {
        for (int i = 0; i < SPELLING_COUNT; i++) {
            if (strcmp(SPELLINGS[i].name, only) == 0) {
                return i;
            }
        }
    }
    lq_faults_add(faults, LQ_EFIELD, pointer,
                  "must be an object with exactly one of name, fixed_tokens, histogram, quantiles, "
                  "sample");
    return -1;
}

static bool recall(const struct lq_lengths_memo *memo, const struct bins *raw,
                   const struct lq_padding_rule *rule, struct lq_lengths *out)
{
    const struct lq_lengths *last = &memo->lengths;
    if (raw->kept == NULL || raw->kept != memo->raw || last->padding != rule->padding ||
        last->cutoff_tokens != rule->cutoff_tokens ||
        last->padding_multiple != rule->padding_multiple) {
        return false;
    }
    *out = *last;
    return true;
}

/* Without memory the memo stays as it was. */
static void remember(struct lq_lengths_memo *memo, const struct bins *raw,
                     const struct lq_lengths *lengths)
{
    struct lq_length_bin *bins = malloc(lengths->count * sizeof *bins);
    if (raw->kept == NULL || bins == NULL) {
        free(bins);
        return;
    }
    memcpy(bins, lengths->bins, lengths->count * sizeof *bins);
    free(memo->bins);
    *memo = (struct lq_lengths_memo){.raw = raw->kept, .lengths = *lengths, .bins = bins};
    memo->lengths.bins = bins;
}

/* Fills the document's distribution, in its own memory or the memo's. */
static bool prepare(const struct context *c, const struct bins *raw,
                    const struct lq_padding_rule *rule)
{
    struct lq_lengths_memo *memo = c->lookup->memo;
    struct lq_lengths_document *out = c->out;
    if (memo != NULL && recall(memo, raw, rule, &out->lengths)) {
        return true;
    }
    struct bins prepared = {.count = 0};
    struct lq_error err = {0};
    if (!allocate(&prepared, raw->count)) {
        return fault(c, "is too large");
    }
    out->bins = prepared.item;
    if (lq_lengths_prepare(raw->kept != NULL ? raw->kept : raw->item, raw->count, rule,
                           prepared.item, &out->lengths, &err) != LQ_OK) {
        lq_faults_add(c->faults, err.code, c->pointer, "%s", err.detail);
        return false;
    }
    if (memo != NULL) {
        remember(memo, raw, &out->lengths);
    }
    return true;
}

bool lq_lengths_decode(const json_t *value, const char *pointer, const struct lq_lookup *lookup,
                       const struct lq_padding_rule *rule, double queries,
                       struct lq_lengths_document *out, struct lq_faults *faults)
{
    *out = (struct lq_lengths_document){.fixed_tokens = 0};
    const int spelling = spelling_of(value, pointer, faults);
    if (spelling < 0) {
        return false;
    }
    struct context c = {.lookup = lookup, .queries = queries, .out = out, .faults = faults};
    snprintf(c.pointer, sizeof c.pointer, "%s/%s", pointer, SPELLINGS[spelling].name);
    struct bins raw = {.count = 0};
    const json_t *member = json_object_get(value, SPELLINGS[spelling].name);
    const bool good = SPELLINGS[spelling].decode(member, &c, &raw) && prepare(&c, &raw, rule);
    lq_arena_free(raw.item);
    return good;
}

void lq_lengths_release(struct lq_lengths_document *document)
{
    lq_arena_free(document->bins);
    document->bins = NULL;
}

void lq_lengths_forget(struct lq_lengths_memo *memo)
{
    free(memo->bins);
    *memo = (struct lq_lengths_memo){.raw = NULL};
}
