/* Facts about an imported run and how those of several sources go together. What they mean for a
 * point is worked out in point.c. */
#include "kernels/import/facts.h"

#include "kernels/base/choice.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const LQ_FACT_NAMES[] = {"active_experts",
                                     "attention",
                                     "batch_size",
                                     "cutoff_tokens",
                                     "dataset",
                                     "gpu",
                                     "gpu_count",
                                     "gradient_accumulation_steps",
                                     "gradient_checkpointing",
                                     "lengths",
                                     "master_weights",
                                     "measured_at",
                                     "method",
                                     "model",
                                     "optimizations",
                                     "optimizer",
                                     "out_of_memory",
                                     "padding",
                                     "padding_multiple",
                                     "peak_memory_bytes",
                                     "precision",
                                     "quantization",
                                     "queries_per_s",
                                     "rank",
                                     "row_tokens",
                                     "sequence_tokens",
                                     "source",
                                     "stack",
                                     "step_time_s",
                                     "targets",
                                     "train_embeddings",
                                     "zero_stage",
                                     NULL};
_Static_assert(sizeof LQ_FACT_NAMES / sizeof LQ_FACT_NAMES[0] == LQ_FACT_COUNT + 1,
               "a name for each fact");

const char *const LQ_FACT_OPTIONS[] = {"active-experts",
                                       "attention",
                                       "batch-size",
                                       "cutoff-tokens",
                                       "dataset",
                                       "gpu",
                                       "gpu-count",
                                       "gradient-accumulation-steps",
                                       "gradient-checkpointing",
                                       "lengths",
                                       "master-weights",
                                       "measured-at",
                                       "method",
                                       "model",
                                       "optimizations",
                                       "optimizer",
                                       "out-of-memory",
                                       "padding",
                                       "padding-multiple",
                                       "peak-memory-bytes",
                                       "precision",
                                       "quantization",
                                       "queries-per-s",
                                       "rank",
                                       "row-tokens",
                                       "sequence-tokens",
                                       "source",
                                       "stack",
                                       "step-time-s",
                                       "targets",
                                       "train-embeddings",
                                       "zero-stage",
                                       NULL};
_Static_assert(sizeof LQ_FACT_OPTIONS / sizeof LQ_FACT_OPTIONS[0] == LQ_FACT_COUNT + 1,
               "an option for each fact");

void lq_notice(struct lq_notices *notices, const char *format, ...)
{
    if (notices->count < LQ_NOTICES_MAX) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(notices->text[notices->count], LQ_NOTICE_MAX, format, arguments);
        va_end(arguments);
        lq_text_clean(notices->text[notices->count]);
    }
    notices->count++;
}

void lq_fact_say(struct lq_facts *facts, enum lq_fact fact, const char *from, const char *format,
                 ...)
{
    struct lq_fact_value *value = &facts->value[fact];
    if (value->text[0] != '\0') {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(value->text, sizeof value->text, format, arguments);
    va_end(arguments);
    snprintf(value->from, sizeof value->from, "%s", from);
    lq_text_clean(value->text);
    lq_text_clean(value->from);
}

bool lq_fact_known(const struct lq_facts *facts, enum lq_fact fact)
{
    return facts->value[fact].text[0] != '\0';
}

double lq_fact_number(const struct lq_facts *facts, enum lq_fact fact, double otherwise)
{
    char *end = NULL;
    const char *text = facts->value[fact].text;
    const double number = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(number) ? number : otherwise;
}

bool lq_fact_is(const struct lq_facts *facts, enum lq_fact fact, const char *text)
{
    return strcmp(facts->value[fact].text, text) == 0;
}

/* Whether two texts say the same: letter for letter, or as numbers. */
static bool is_same(const struct lq_facts *a, const struct lq_facts *b, enum lq_fact fact)
{
    const double difference =
        lq_fact_number(a, fact, HUGE_VAL) - lq_fact_number(b, fact, -HUGE_VAL);
    return lq_fact_is(a, fact, b->value[fact].text) || fabs(difference) <= 0.0;
}

/* Facts of which a stronger source's one replaces a weaker source's others. */
static const enum lq_fact EITHER[][3] = {
    {LQ_FACT_SEQUENCE_TOKENS, LQ_FACT_LENGTHS, LQ_FACT_LENGTHS},
    {LQ_FACT_QUERIES_PER_S, LQ_FACT_STEP_TIME_S, LQ_FACT_OUT_OF_MEMORY},
};

static void drop_others(struct lq_facts *facts, const struct lq_facts *stronger)
{
    for (size_t i = 0; i < sizeof EITHER / sizeof EITHER[0]; i++) {
        bool any = false;
        for (size_t j = 0; j < 3; j++) {
            any = any || lq_fact_known(stronger, EITHER[i][j]);
        }
        for (size_t j = 0; any && j < 3; j++) {
            if (!lq_fact_known(stronger, EITHER[i][j])) {
                facts->value[EITHER[i][j]] = (struct lq_fact_value){0};
            }
        }
    }
}

void lq_facts_merge(struct lq_facts *facts, const struct lq_facts *stronger,
                    struct lq_notices *notices)
{
    drop_others(facts, stronger);
    for (int i = 0; i < LQ_FACT_COUNT; i++) {
        const enum lq_fact fact = (enum lq_fact)i;
        const struct lq_fact_value *theirs = &stronger->value[fact];
        struct lq_fact_value *ours = &facts->value[fact];
        if (theirs->text[0] == '\0') {
            continue;
        }
        if (ours->text[0] != '\0' && !is_same(facts, stronger, fact)) {
            lq_notice(notices, "%s: %.48s says %.48s, %.48s says %.48s; taken is %.48s",
                      LQ_FACT_NAMES[fact], theirs->from, theirs->text, ours->from, ours->text,
                      theirs->text);
        }
        *ours = *theirs;
    }
}

int lq_fact_index(const char *name)
{
    for (int i = 0; i < LQ_FACT_COUNT; i++) {
        if (strcmp(LQ_FACT_NAMES[i], name) == 0 || strcmp(LQ_FACT_OPTIONS[i], name) == 0) {
            return i;
        }
    }
    return -1;
}
