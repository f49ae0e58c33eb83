/* What is known about one imported run: facts by the names of a point's members, each with who said
 * it, and notices for the person who imports. Logs, options and CSV rows all speak in facts. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names are those of a point's members; of options with - for _, and of CSV columns. */
enum lq_fact {
    LQ_FACT_ACTIVE_EXPERTS,
    LQ_FACT_ATTENTION,
    LQ_FACT_BATCH_SIZE,
    LQ_FACT_CUTOFF_TOKENS,
    LQ_FACT_DATASET,
    LQ_FACT_GPU,
    LQ_FACT_GPU_COUNT,
    LQ_FACT_GRADIENT_ACCUMULATION_STEPS,
    LQ_FACT_GRADIENT_CHECKPOINTING,
    LQ_FACT_LENGTHS,
    LQ_FACT_MASTER_WEIGHTS,
    LQ_FACT_MEASURED_AT,
    LQ_FACT_METHOD,
    LQ_FACT_MODEL,
    LQ_FACT_OPTIMIZATIONS,
    LQ_FACT_OPTIMIZER,
    LQ_FACT_OUT_OF_MEMORY,
    LQ_FACT_PADDING,
    LQ_FACT_PADDING_MULTIPLE,
    LQ_FACT_PEAK_MEMORY_BYTES,
    LQ_FACT_PRECISION,
    LQ_FACT_QUANTIZATION,
    LQ_FACT_QUERIES_PER_S,
    LQ_FACT_RANK,
    LQ_FACT_ROW_TOKENS, /* not of a point: tokens of a row as the log's rate counts them */
    LQ_FACT_SEQUENCE_TOKENS,
    LQ_FACT_SOURCE,
    LQ_FACT_STACK,
    LQ_FACT_STEP_TIME_S,
    LQ_FACT_TARGETS,
    LQ_FACT_TRAIN_EMBEDDINGS,
    LQ_FACT_ZERO_STAGE,
    LQ_FACT_COUNT
};

/* 160: all targets by name, with commas, have 93. */
enum { LQ_FACT_TEXT_MAX = 160, LQ_FACT_FROM_MAX = 48, LQ_NOTICE_MAX = 240, LQ_NOTICES_MAX = 24 };

/* How a fact is called: "gpu_count", and as an option "gpu-count". */
extern const char *const LQ_FACT_NAMES[];
extern const char *const LQ_FACT_OPTIONS[];

/* "" = not said. */
struct lq_fact_value {
    char text[LQ_FACT_TEXT_MAX];
    char from[LQ_FACT_FROM_MAX]; /* "trainer_state.json", "--gpu" */
};

struct lq_facts {
    struct lq_fact_value value[LQ_FACT_COUNT];
};

/* Sentences for the person who imports; what does not fit is counted. */
struct lq_notices {
    char text[LQ_NOTICES_MAX][LQ_NOTICE_MAX];
    size_t count; /* may be beyond LQ_NOTICES_MAX */
};
void lq_notice(struct lq_notices *notices, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says a fact unless one was said before: the first that speaks wins. */
void lq_fact_say(struct lq_facts *facts, enum lq_fact fact, const char *from, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

/* Whether a fact is known; as a finite number, or `otherwise`. */
bool lq_fact_known(const struct lq_facts *facts, enum lq_fact fact);
double lq_fact_number(const struct lq_facts *facts, enum lq_fact fact, double otherwise);
bool lq_fact_is(const struct lq_facts *facts, enum lq_fact fact, const char *text);

/* Adds what `stronger` says; where both speak and differ, its word is taken, with a notice. A fact
 * that says the same thing another way is replaced with it: a length by name drops one in tokens,
 * one kind of rate the other. */
void lq_facts_merge(struct lq_facts *facts, const struct lq_facts *stronger,
                    struct lq_notices *notices);

/* Index of a fact by its name with _ or with -, or -1. */
int lq_fact_index(const char *name);
