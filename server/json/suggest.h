/* Text helpers of fault reports: JSON Pointers and the nearest known name. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

enum { LQ_SUGGEST_DISTANCE_MAX = 2 };

/* Writes `pointer` + "/" + `key`, with "~" and "/" of the key escaped (RFC 6901), cut to fit. */
void lq_pointer_join(char out[LQ_POINTER_MAX], const char *pointer, const char *key);

/* Insertions, deletions and substitutions between two names; LQ_SUGGEST_DISTANCE_MAX + 1 where it
 * is more than that, or where a name is so short that every other would be near it. */
size_t lq_edit_distance(const char *a, const char *b);
