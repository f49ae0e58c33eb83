/* Pseudo-random jobs over the shipped catalog. The same seed gives the same jobs. */
#pragma once

#include "tests/golden/seeded.h"

#include <stdbool.h>
#include <stdint.h>

/* Takes LLMQUOTE_SEED, or else a fixed seed, and prints it as a TAP comment. */
void random_start(void);

/* Begins a case: what follows depends on the seed, the suite's `stream` and the case's number
 * alone. */
void random_case(uint64_t stream, int number);

uint64_t random_bits(void);
int64_t random_between(int64_t low, int64_t high); /* both included */
double random_share(void);                         /* in [0, 1) */
bool random_flag(void);

/* A method of any kind: targets and quantisations at will. */
struct lq_method random_method(void);
struct lq_training random_training(void);

/* Up to `room` ascending bins, some of them empty; returns how many. */
size_t random_histogram(struct lq_length_bin *out, size_t room, int64_t longest);

enum { RANDOM_BINS = 64 };

/* A job and what it points to. */
struct random_job {
    struct lq_job job;
    struct lq_gpu gpu;
    struct lq_lengths lengths;
    struct lq_length_bin bins[RANDOM_BINS];
};

/* A job of the catalog's `model` and `gpu` (indices), everything else at will, but one GPU on
 * stacks of one; batch size the largest. The GPU is a copy that may be changed. */
void random_fill(const struct lq_catalog *catalog, size_t model, size_t gpu,
                 struct random_job *out);

/* The same on any model and GPU, with memory for whatever is asked: nothing is refused for size. */
void random_roomy(const struct lq_catalog *catalog, struct random_job *out);

/* The text of a job for messages; static. */
const char *random_describe(const struct lq_job *job);
