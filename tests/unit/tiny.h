/* Models, a GPU and a catalog so small that what follows from them can be counted by hand. */
#pragma once

#include "core/finetune/estimate.h"
#include "server/json/lookup.h"

/* Three dense layers: hidden 8, vocabulary 10 (untied), 2 heads of 4 over 1 key-value head, a gated
 * MLP of 16. Matrices of one layer: q 64, k 32, v 32, o 64, MLP 3 * 128 = 576 cells in all. */
struct lq_model tiny_dense(void);

/* The same three layers and two more with 4 gated experts of 12 (3 * 96 cells each), top-2, and a
 * router of 32: 192 + 32 + 4 * 288 = 1376 cells in each of the two. */
struct lq_model tiny_moe(void);

/* Two Mamba layers alone: inner 16, state 3, convolution 4, dt rank 2. */
struct lq_model tiny_mamba(void);

/* A stack of round numbers: rates halve what the device reaches, dequantisation a quarter; a call
 * takes 1 s, a row 2 s. */
extern const struct lq_stack TINY_STACK;

/* 100 FLOP/s in 16 bit, 50 in fp32, 10 B/s of memory bandwidth, 8 B/s of interconnect, of a
 * generation that nobody knows. */
struct lq_gpu tiny_gpu(void);

/* A model of workable size: 8 layers of hidden 1024 with 8 experts of 2048, top-2, 32,000 words. */
struct lq_model small_moe(void);

/* A job on small_moe() and a GPU of 24 GB: LoRA of rank 16, full checkpointing, 1000 rows of 512
 * tokens, batch max. Pointers go to static memory that each call fills anew. */
struct lq_job small_job(void);

/* The GPU of small_job, to be changed by tests. */
extern struct lq_gpu SMALL_GPU;

/* No fit and no point. */
extern const struct lq_evidence NOTHING;

/* The answer to a job that must have one, and the refusal of one that must not. */
struct lq_estimate quote(const struct lq_job *job, const struct lq_evidence *evidence);
struct lq_error refusal(const struct lq_job *job, const struct lq_evidence *evidence);
bool warns(const struct lq_estimate *estimate, enum lq_warning warning);

/* Finds model "small-moe", "small-dense"; GPU "S1"; provider "cheap-2024"; stack "hf-2024",
 * "torchtune", "vllm"; lengths "two" ([[100, 3], [200, 1]]). */
extern const struct lq_lookup TINY_LOOKUP;

/* Fails unless |got - want| <= relative * |want|, printing both. */
void assert_close(const char *what, double got, double want, double relative);
