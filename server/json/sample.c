/* Counts what a sample of lengths holds of each. */
#include "server/json/sample.h"

#include "server/json/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* As in lengths.c; a longer one is left for the decoder to refuse. */
static const double TOKENS_MAX = 16777216.0;

static int ascending(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Copies the sample's lengths; false where one is no count that an integer holds exactly. */
static bool read_sample(const json_t *sample, int64_t *tokens)
{
    size_t i;
    json_t *item;
    json_array_foreach(sample, i, item)
    {
        const double number = json_number_value(item);
        if (!(number >= 1.0 && number <= TOKENS_MAX) || (double)(int64_t)number != number) {
            return false;
        }
        tokens[i] = (int64_t)number;
    }
    return true;
}

static json_t *count(const int64_t *tokens, size_t n)
{
    json_t *histogram = json_array();
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && tokens[end] == tokens[i]; end++) {
        }
        json_array_append_new(histogram,
                              json_pack("[I, I]", (json_int_t)tokens[i], (json_int_t)(end - i)));
    }
    return histogram;
}

/* NULL where it is no sample that can be counted. */
static json_t *histogram_of(const json_t *sample)
{
    const size_t n = json_array_size(sample);
    int64_t *tokens = n > 0 ? lq_arena_malloc(n * sizeof *tokens) : NULL;
    if (tokens == NULL) {
        return NULL;
    }
    json_t *histogram = NULL;
    if (read_sample(sample, tokens)) {
        qsort(tokens, n, sizeof *tokens, ascending);
        histogram = count(tokens, n);
    }
    lq_arena_free(tokens);
    return histogram;
}

json_t *lq_sample_condense(const json_t *job)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)job);
    const json_t *dataset = json_object_get(job, "dataset");
    const json_t *lengths = json_object_get(dataset, "lengths");
    json_t *histogram = histogram_of(json_object_get(lengths, "sample"));
    if (histogram == NULL || json_object_size(lengths) != 1) {
        json_decref(histogram);
        return copy;
    }
    json_t *changed = json_copy((json_t *)(uintptr_t)dataset);
    json_object_set_new(changed, "lengths", json_pack("{s:o}", "histogram", histogram));
    json_object_set_new(copy, "dataset", changed);
    return copy;
}
