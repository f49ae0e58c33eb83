/* Which measurements speak for a job, and how far they can be trusted. */
#pragma once

#include "core/finetune/fit.h"
#include "core/finetune/point.h"

#include <stddef.h>

/* The honesty of a number. */
enum lq_basis_kind {
    LQ_BASIS_CALIBRATED,  /* measured on this model, method, GPU and stack */
    LQ_BASIS_TRANSFERRED, /* measured elsewhere, carried over by physics */
    LQ_BASIS_PRIOR        /* no measurement: roofline with stated efficiencies */
};
extern const char *const LQ_BASIS_NAMES[];

/* Everything measured that a job may rest on. Borrowed; empty lists are fine. */
struct lq_evidence {
    const struct lq_fit *fits;
    size_t fit_count;
    const struct lq_point *points;
    size_t point_count;
};

/* A step-time or memory fit that was chosen for a job. */
struct lq_basis {
    enum lq_basis_kind kind;
    const struct lq_fit *fit; /* NULL where nothing was measured at all */
    double log_sd;            /* of the predicted quantity, beyond the belief's own variance */
    struct lq_belief belief;  /* about the job's factors */
};

/* What a job brings to the choice of a fit. Borrowed. */
struct lq_applicant {
    const struct lq_identity *identity;
    unsigned model_class; /* lq_model_class of its model */
    const char *data;     /* as lq_conditions_data names it */
};

/* Belief about the step's factors before anything was measured: the constants' own doubt. */
struct lq_belief lq_evidence_doubt(void);

/* By how much members of a group differ in each factor, as standard deviation of its logarithm:
 * stacks within all, models within a stack, identities within a model. LQ_FACTOR_COUNT entries;
 * NULL for an identity, which has no members. */
const double *lq_evidence_member_log_sd(enum lq_scope scope);

/* The step-time fit that speaks for the job, and what is believed of the job's factors: that of its
 * own identity (calibrated); else of its model on its stack (transferred); else of its stack; else
 * of everything measured. The last two count as transferred where the model was measured with the
 * same kind of method on another stack, or its like on this one, else as prior. */
struct lq_basis lq_evidence_step(const struct lq_evidence *evidence,
                                 const struct lq_applicant *applicant);

/* What an identity's own fit may miss by beside its factors: its residuals, and what few points do
 * not show. Standard deviation of the logarithm. */
double lq_evidence_scatter(const struct lq_fit *fit);

/* Standard deviation of ln(step time): of the factors, weighted with the step's own shares, of what
 * the basis adds, and of repeated runs. */
double lq_basis_log_sd(const struct lq_basis *basis, const struct lq_step_time *step);

/* The same of memory, of the factors of struct lq_memory_factors: before anything was measured, and
 * by how much members of a group differ; LQ_MEMORY_FACTORS entries. */
struct lq_belief lq_evidence_memory_doubt(void);
const double *lq_evidence_memory_member_log_sd(enum lq_scope scope);

/* The memory fit that speaks for the job whatever its GPU, chosen and graded in the same way, and
 * what is believed of its factors. `data` of the applicant is not read. */
struct lq_basis lq_evidence_memory(const struct lq_evidence *evidence,
                                   const struct lq_applicant *applicant);

/* What a memory fit may miss by beside its factors, as lq_evidence_scatter; NULL: of a job that has
 * no fit of its own. */
double lq_evidence_memory_scatter(const struct lq_fit *own);

/* Standard deviation of ln(peak), from lq_memory_peak_bytes' slopes. */
double lq_basis_memory_log_sd(const struct lq_basis *basis, const double slopes[LQ_MEMORY_FACTORS]);

/* The xia2024 fit of the given kind for exactly this identity and length distribution, or NULL. */
const struct lq_fit *lq_evidence_xia2024(const struct lq_evidence *evidence, enum lq_fit_kind kind,
                                         const struct lq_identity *identity, const char *lengths);

/* The point measured under exactly this identity and these conditions; with batch_size 0 the one
 * with the largest batch. NULL where there is none; then `*nearest` is a point of the same identity
 * or, failing that, of the same model (NULL if none), to be named in the refusal. */
const struct lq_point *lq_evidence_point(const struct lq_evidence *evidence,
                                         const struct lq_identity *identity,
                                         const struct lq_conditions *conditions,
                                         const struct lq_point **nearest);

/* The smallest batch that was tried under exactly this identity, with rows no longer than these,
 * and ran out of memory; 0 = none. */
int64_t lq_evidence_too_large(const struct lq_evidence *evidence,
                              const struct lq_identity *identity, int64_t active_experts,
                              double longest_tokens);

/* The kinds of parallelism (bit mask of lq_parallelism) that points of the stack ran with, over
 * quantised weights or others as the method's are. */
uint32_t lq_evidence_parallelism(const struct lq_evidence *evidence, const char *stack,
                                 const struct lq_method *method);
