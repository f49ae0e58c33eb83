/* Decodes traffic. What its means mean for a cache is core's business. */
#include "server/json/traffic.h"

#include "core/planning/serving_traffic.h"
#include "server/json/field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest prompt or answer, and how finely traffic may be told. */
#define TOKENS_MAX 16777216.0
enum { BINS_MAX = 256, PAIRS_MAX = 4096 };

/* One side of the traffic. */
struct side {
    double tokens[BINS_MAX];
    double share[BINS_MAX];
    size_t count;
};

static const char *below(const char *pointer, const char *member, char at[LQ_POINTER_MAX])
{
    snprintf(at, LQ_POINTER_MAX, "%s/%s", pointer, member);
    return at;
}

/* A row of `width` numbers: tokens (>= 1) and last a weight (>= 0). */
static bool decode_row(const json_t *row, const char *pointer, size_t width, double *out,
                       struct lq_faults *faults)
{
    if (!json_is_array(row) || json_array_size(row) != width) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a list of %zu numbers", width);
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < width; i++) {
        char at[LQ_POINTER_MAX];
        const bool weight = i + 1 == width;
        snprintf(at, sizeof at, "%.100s/%zu", pointer, i);
        good = lq_decode_number(json_array_get(row, i), at, weight ? 0.0 : 1.0,
                                weight ? 1e15 : TOKENS_MAX, &out[i], faults) &&
               good;
    }
    return good;
}

static bool check_list(const json_t *list, const char *pointer, size_t most,
                       struct lq_faults *faults)
{
    if (json_is_array(list) && json_array_size(list) > 0 && json_array_size(list) <= most) {
        return true;
    }
    lq_faults_add(faults, LQ_EFIELD, pointer, "must be a list of 1..%zu rows", most);
    return false;
}

static bool check_weight(double sum, const char *pointer, struct lq_faults *faults)
{
    if (sum > 0.0) {
        return true;
    }
    lq_faults_add(faults, LQ_EFIELD, pointer, "must hold at least one request");
    return false;
}

static bool decode_histogram(const json_t *value, const char *pointer, struct side *out,
                             struct lq_faults *faults)
{
    const struct lq_field field = {.name = "histogram", .kind = LQ_FIELD_JSON, .required = true};
    const json_t *list = NULL;
    char at[LQ_POINTER_MAX];
    if (lq_decode(value, pointer, &field, 1, &list, faults) != LQ_OK ||
        !check_list(list, below(pointer, "histogram", at), BINS_MAX, faults)) {
        return false;
    }
    bool good = true;
    double sum = 0.0;
    out->count = json_array_size(list);
    for (size_t i = 0; i < out->count; i++) {
        double row[2] = {0};
        snprintf(at, sizeof at, "%.80s/histogram/%zu", pointer, i);
        good = decode_row(json_array_get(list, i), at, 2, row, faults) && good;
        out->tokens[i] = row[0];
        out->share[i] = row[1];
        sum += row[1];
    }
    return good && check_weight(sum, below(pointer, "histogram", at), faults);
}

static bool decode_side(const json_t *value, const char *pointer, double mean, struct side *out,
                        struct lq_faults *faults)
{
    if (json_is_object(value)) {
        return decode_histogram(value, pointer, out, faults);
    }
    out->count = 1;
    out->tokens[0] = mean;
    out->share[0] = 1.0;
    return value == NULL ||
           lq_decode_number(value, pointer, 1.0, TOKENS_MAX, &out->tokens[0], faults);
}

static bool allocate(struct lq_traffic_document *out, size_t count, struct lq_faults *faults)
{
    out->kinds = calloc(count > 0 ? count : 1, sizeof *out->kinds);
    out->traffic = (struct lq_traffic){.kinds = out->kinds, .count = count};
    if (out->kinds == NULL) {
        lq_faults_add(faults, LQ_EINTERNAL, NULL, "out of memory for the traffic");
    }
    return out->kinds != NULL;
}

static bool decode_pairs(const json_t *list, const char *pointer, struct lq_traffic_document *out,
                         struct lq_faults *faults)
{
    char at[LQ_POINTER_MAX];
    if (!check_list(list, pointer, PAIRS_MAX, faults) ||
        !allocate(out, json_array_size(list), faults)) {
        return false;
    }
    bool good = true;
    double sum = 0.0;
    for (size_t i = 0; i < out->traffic.count; i++) {
        double row[3] = {0};
        snprintf(at, sizeof at, "%.80s/%zu", pointer, i);
        good = decode_row(json_array_get(list, i), at, 3, row, faults) && good;
        out->kinds[i] = (struct lq_request_kind){row[0], row[1], row[2]};
        sum += row[2];
    }
    return good && check_weight(sum, pointer, faults);
}

static double sum_of(const struct side *side)
{
    double sum = 0.0;
    for (size_t i = 0; i < side->count; i++) {
        sum += side->share[i];
    }
    return sum;
}

/* Every prompt with every answer. */
static bool combine(const struct side *prompt, const struct side *output,
                    struct lq_traffic_document *out, struct lq_faults *faults)
{
    if (prompt->count * output->count == 1) {
        out->mean = (struct lq_request_kind){prompt->tokens[0], output->tokens[0], 1.0};
        out->traffic = (struct lq_traffic){.kinds = &out->mean, .count = 1};
        return true;
    }
    if (!allocate(out, prompt->count * output->count, faults)) {
        return false;
    }
    /* shares as parts of one, so that small weights do not vanish in their product */
    const double whole[] = {sum_of(prompt), sum_of(output)};
    struct lq_request_kind *kind = out->kinds;
    for (size_t i = 0; i < prompt->count; i++) {
        for (size_t j = 0; j < output->count; j++) {
            *kind++ = (struct lq_request_kind){prompt->tokens[i], output->tokens[j],
                                               prompt->share[i] / whole[0] *
                                                   (output->share[j] / whole[1])};
        }
    }
    return true;
}

/* Members as they stand in the document. */
struct members {
    const json_t *prompt_tokens;
    const json_t *output_tokens;
    const json_t *pairs;
};

static const struct lq_field FIELDS[] = {
    {.name = "prompt_tokens",
     .kind = LQ_FIELD_JSON,
     .offset = offsetof(struct members, prompt_tokens)},
    {.name = "output_tokens",
     .kind = LQ_FIELD_JSON,
     .offset = offsetof(struct members, output_tokens)},
    {.name = "pairs", .kind = LQ_FIELD_JSON, .offset = offsetof(struct members, pairs)},
};

static bool summed(struct lq_traffic_document *document)
{
    lq_traffic_sum(&document->traffic);
    return true;
}

bool lq_traffic_decode(const json_t *value, const char *pointer, struct lq_traffic_document *out,
                       struct lq_faults *faults)
{
    char at[LQ_POINTER_MAX];
    struct members m = {0};
    struct side prompt;
    struct side output;
    memset(out, 0, sizeof *out);
    if (value != NULL &&
        lq_decode(value, pointer, FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults) != LQ_OK) {
        return false;
    }
    if (m.pairs != NULL && (m.prompt_tokens != NULL || m.output_tokens != NULL)) {
        lq_faults_add(faults, LQ_EFIELD, below(pointer, "pairs", at),
                      "goes without prompt_tokens and output_tokens: it tells both");
        return false;
    }
    if (m.pairs != NULL) {
        return decode_pairs(m.pairs, below(pointer, "pairs", at), out, faults) && summed(out);
    }
    const bool prompt_is_good = decode_side(m.prompt_tokens, below(pointer, "prompt_tokens", at),
                                            LQ_TRAFFIC_PROMPT_TOKENS, &prompt, faults);
    const bool output_is_good = decode_side(m.output_tokens, below(pointer, "output_tokens", at),
                                            LQ_TRAFFIC_OUTPUT_TOKENS, &output, faults);
    return prompt_is_good && output_is_good && combine(&prompt, &output, out, faults) &&
           summed(out);
}

void lq_traffic_release(struct lq_traffic_document *document)
{
    free(document->kinds);
    document->kinds = NULL;
}

json_t *lq_traffic_encode(const struct lq_traffic_document *document)
{
    const struct lq_traffic *traffic = &document->traffic;
    json_t *o = json_object();
    json_object_set_new(o, "prompt_tokens", json_real(lq_traffic_prompt_tokens(traffic)));
    json_object_set_new(o, "output_tokens", json_real(lq_traffic_output_tokens(traffic)));
    json_object_set_new(o, "longest_tokens", json_real(lq_traffic_longest_tokens(traffic, 0.0)));
    return o;
}
