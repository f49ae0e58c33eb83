/* What decoders need to know of a catalog, so that JSON does not depend on where one is kept. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/lengths.h"
#include "core/arch/model.h"
#include "core/planning/law.h"

#include <stdbool.h>
#include <stddef.h>

struct lq_lengths_memo;

/* A named length distribution as it is kept: plain counts, unpadded. Borrowed. */
struct lq_named_lengths {
    const char *id;
    const struct lq_length_bin *bins;
    size_t count;
    double queries;
};

/* Each function finds an id without regard to case and returns the catalog's own entry or spelling,
 * borrowed; NULL (false) where it is not known. */
struct lq_lookup {
    const void *context;
    const struct lq_model *(*model)(const void *context, const char *id);
    const struct lq_gpu *(*gpu)(const void *context, const char *id);
    const char *(*provider)(const void *context, const char *id);
    const char *(*stack)(const void *context, const char *id);
    bool (*lengths)(const void *context, const char *id, struct lq_named_lengths *out);
    const struct lq_law *(*law)(const void *context, const char *id); /* shipped or a user's */
    /* Ids that somebody may have meant by `text`: the k-th one that has the same letters and digits
     * in it, or NULL where there are no more. */
    const char *(*model_like)(const void *context, const char *text, size_t k);
    const char *(*gpu_like)(const void *context, const char *text, size_t k);
    struct lq_lengths_memo *memo; /* of lq_lengths_decode; NULL: nothing is remembered */
};
