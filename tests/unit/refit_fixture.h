/* A catalog of points made of known factors, for the tests of refits. */
#pragma once

#include "server/jobs/refit.h"
#include "server/store/catalog.h"

enum { RUNS = 24, POINTS_MAX = 3 * RUNS };

extern struct lq_gpu_entry gpus[2]; /* "S1" and "S2"; models are "small-moe" and "other-moe" */
extern struct lq_point points[POINTS_MAX];
extern struct lq_capacity capacities[3];
extern struct lq_catalog catalog;

/* The identity of small_job on that GPU, stack hf-2024. */
struct lq_identity identity_on(const char *gpu);

/* The i-th run on a GPU, `times` as slow as the constants say: batches 1..6 and top-1, 2, 4, 8,
 * from two distributions ("a" of 300 tokens, "b" of 700), half of each. */
struct lq_point run(int i, const char *gpu, double times);

/* RUNS points on S1 at 1.3 times, then as many on S2 at 2 times, and three largest batches that an
 * activation factor of 1.5 explains. */
void fill_catalog(void);
