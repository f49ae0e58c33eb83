/* Values of options: ids; lists of counts, names and targets, separated by commas. */
#pragma once

#include "core/base/error.h"

#include <stdint.h>

enum { LQ_LIST_MAX = 32 };

struct lq_counts {
    int64_t value[LQ_LIST_MAX];
    int count;
};

/* The index of a name in a list that ends in NULL; -1 where it is none. */
int lq_choice_index(const char *name, const char *const *names);

/* "1,2,4": whole numbers of least..most. option: its name, for failures.
 * Errors: LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_counts_read(const char *option, const char *text, int64_t least,
                                        int64_t most, struct lq_counts *out, struct lq_error *err);

/* "lora,full": indices into `names`. Errors: LQ_EFIELD, listing what there is. */
LQ_MUST_USE enum lq_code lq_choices_read(const char *option, const char *text,
                                         const char *const *names, struct lq_counts *out,
                                         struct lq_error *err);

/* An id as catalogs have it: letters, digits, '.', '_' and '-', up to 63 of them. Errors:
 * LQ_EFIELD.
 */
LQ_MUST_USE enum lq_code lq_id_check(const char *option, const char *id, struct lq_error *err);

/* Makes a text fit to be shown: what could steer a terminal becomes '?'. */
void lq_text_clean(char *text);

/* "q,v" or "all-linear": a bit mask of lq_target. Errors: LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_targets_read(const char *option, const char *text, uint32_t *out,
                                         struct lq_error *err);
