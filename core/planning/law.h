/* The registry of scaling laws: form, coefficients, source, range and what each means by N; their
 * values, and how a concrete model is put to them.
 *
 * Left out on purpose: wu2024 (MMLU, arXiv 2408.09895), whose treatment of tokens is not fully
 * specified in what could be read, and FLP (arXiv 2410.08527), whose constants are not public. */
#pragma once

#include "core/arch/model.h"
#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { LQ_LAW_COEFFICIENTS_MAX = 12 };

/* What a law is asked about. 0 = not given; for shared_ratio and repeats that is none. */
struct lq_law_point {
    double parameters;        /* N in the law's own meaning, see struct lq_law */
    double tokens;            /* D: tokens trained on, all passes together */
    double experts;           /* E: whole, 1..65536; 1 = dense */
    double active_parameters; /* parameters a token passes through */
    double active_experts;    /* K: experts a token passes through, 1..E; zhao2025's G */
    double granularity;       /* dense MLP width over an expert's (tian2025: 2 d_model / width) */
    double shared_ratio;      /* share of the active experts that are shared, 0..1 */
    double repeats;           /* passes over the same tokens beyond the first, >= 0 */
};

/* The variables of a point, for masks and for pointers into a request. */
enum lq_law_variable {
    LQ_LAW_PARAMETERS,
    LQ_LAW_TOKENS,
    LQ_LAW_EXPERTS,
    LQ_LAW_ACTIVE_PARAMETERS,
    LQ_LAW_ACTIVE_EXPERTS,
    LQ_LAW_GRANULARITY,
    LQ_LAW_SHARED_RATIO,
    LQ_LAW_REPEATS,
    LQ_LAW_VARIABLE_COUNT
};
extern const char *const LQ_LAW_VARIABLE_NAMES[]; /* as in struct lq_law_point; NULL ends */
#define LQ_LAW_BIT(variable) (1U << (unsigned)(variable))

double lq_law_variable(const struct lq_law_point *point, enum lq_law_variable variable);

/* How a coefficient is searched for in a fit. */
enum lq_law_scale {
    LQ_SCALE_LINEAR,
    LQ_SCALE_LOG,  /* positive: by its logarithm */
    LQ_SCALE_ABOVE /* larger than the coefficient before it: by the logarithm of the excess */
};

struct lq_law_coefficient {
    const char *name;
    enum lq_law_scale scale;
    double lower, upper; /* of the searched number (a logarithm where the scale says so) */
    /* the grid of starts: first, first + step, ... `starts` of them, in the searched number */
    double first, step;
    int starts;
};

/* What is left of a law once all but N and D are held: a N^-alpha + b D^-beta + rest. */
struct lq_law_additive {
    double a, alpha, b, beta, rest;
};

enum lq_law_quantity { LQ_LAW_LOSS, LQ_LAW_LEVERAGE };

/* A formula without its numbers. The functions are pure and check nothing. */
struct lq_law_form {
    const char *name;
    const char *formula;
    enum lq_law_quantity quantity;
    unsigned needs;    /* variables without which there is no value */
    unsigned moves;    /* variables that change the value; a fit needs two values of each */
    unsigned optional; /* of `moves`: those that may be the same in all runs */
    int coefficients;
    struct lq_law_coefficient coefficient[LQ_LAW_COEFFICIENTS_MAX];
    bool dense; /* coefficients are A, B, E, alpha, beta of E + A / N^alpha + B / D^beta */
    double (*value)(const double *coefficient, const struct lq_law_point *point);
    /* Returns ln(value) and fills d ln(value) / d coefficient. */
    double (*gradient)(const double *coefficient, const struct lq_law_point *point,
                       double *gradient);
    /* The law in N and D about `point`, with active_parameters / parameters held; NULL where it has
     * no such shape. */
    struct lq_law_additive (*additive)(const double *coefficient, const struct lq_law_point *point);
};

enum lq_law_status { LQ_LAW_PUBLISHED, LQ_LAW_RECONSTRUCTED, LQ_LAW_USER };
enum lq_law_meaning { LQ_N_TOTAL, LQ_N_ACTIVE, LQ_N_DENSE_EQUIVALENT };
enum lq_law_embeddings { LQ_EMBEDDINGS_IN, LQ_EMBEDDINGS_OUT, LQ_EMBEDDINGS_NOT_STATED };
/* Training FLOPs: 6 D times the dense equivalent's N, or times the activated parameters. */
enum lq_law_flop { LQ_FLOP_DENSE_EQUIVALENT, LQ_FLOP_ACTIVE };
extern const char *const LQ_LAW_QUANTITY_NAMES[];   /* "loss", "leverage" */
extern const char *const LQ_LAW_STATUS_NAMES[];     /* "published", "reconstructed", "user" */
extern const char *const LQ_LAW_MEANING_NAMES[];    /* "total", "active", "dense-equivalent" */
extern const char *const LQ_LAW_EMBEDDINGS_NAMES[]; /* "included", "excluded", "not-stated" */
extern const char *const LQ_LAW_FLOP_NAMES[];       /* "dense-equivalent", "active" */

/* Where the runs lie that a law was fitted to; {0, 0} = not known. */
struct lq_law_range {
    double parameters[2];
    double tokens[2];
    double experts[2];
    double tokens_per_parameter[2];
    const char *source;
};

/* The corresponding dense model N and its mixture: total = (1 + (E - 1) share) N, activated =
 * (1 + (K - 1) share) N with K at most E. */
struct lq_law_family {
    double expert_share;   /* of N that every further expert repeats: MoE frequency * MLP share */
    double active_experts; /* K */
    double granularity;
    double shared_ratio;
};

/* A form with coefficients. All pointers are borrowed; those of shipped laws are static. */
struct lq_law {
    const char *id;
    const struct lq_law_form *form;
    enum lq_law_status status;
    const char *source; /* paper, arXiv number, where in it or how it was read */
    const char *note;   /* what a reader must know before trusting it; "" = nothing */
    enum lq_law_meaning meaning;
    enum lq_law_embeddings embeddings;
    enum lq_law_flop flop;
    double experts_fixed; /* the only E it holds for; 1 = dense; 0 = it knows E */
    double tokens_fixed;  /* the only D it was fitted at; 0 = it knows D */
    struct lq_law_range range;
    struct lq_law_family family; /* of the models it was fitted to, where known */
    double coefficient[LQ_LAW_COEFFICIENTS_MAX];
};

/* Shipped laws by index, and how many there are; NULL past the end. */
size_t lq_law_count(void);
const struct lq_law *lq_law_at(size_t index);
/* A shipped law by id, a form by name, without regard to case; NULL where there is none. */
const struct lq_law *lq_law_find(const char *id);
const struct lq_law_form *lq_law_form_find(const char *name);

/* A law of the named form without numbers of its own: meaning, readings and family are those of the
 * form's first shipped law; coefficients are zero, range unknown, status user. `id` is borrowed.
 * Errors: LQ_EREFERENCE at "/form". */
LQ_MUST_USE enum lq_code lq_law_user(const char *form, const char *id, struct lq_law *out,
                                     struct lq_error *err);
/* Checks coefficients: finite, amplitudes not negative, E_max above E_start.
 * Errors: LQ_EFIELD at "/coefficients/NAME". */
LQ_MUST_USE enum lq_code lq_law_check(const struct lq_law *law, struct lq_error *err);

/* Loss depends on D, on E. zhao2025 knows E by the activated share. */
bool lq_law_knows_tokens(const struct lq_law *law);
bool lq_law_knows_experts(const struct lq_law *law);

/* Checks a point. `prefix` goes before the variable in the pointer: "" or "/points/3".
 * Errors: LQ_EFIELD for a variable missing or out of its domain; LQ_EIMPOSSIBLE at "/experts" where
 * the law does not hold for that E. */
LQ_MUST_USE enum lq_code lq_law_point_check(const struct lq_law *law,
                                            const struct lq_law_point *point, const char *prefix,
                                            struct lq_error *err);
/* The law's quantity (loss in nats, or leverage) at a point: check, then value.
 * Errors: those of lq_law_point_check; LQ_ENUMBER where the formula has no finite positive value
 * there. */
LQ_MUST_USE enum lq_code lq_law_value(const struct lq_law *law, const struct lq_law_point *point,
                                      double *value, struct lq_error *err);
/* As lq_law_value, but only for laws of the loss. Errors: also LQ_EIMPOSSIBLE at "/law". */
LQ_MUST_USE enum lq_code lq_law_loss(const struct lq_law *law, const struct lq_law_point *point,
                                     double *loss, struct lq_error *err);

/* Reasons to doubt an answer, as bits. */
enum lq_law_doubt {
    LQ_DOUBT_PARAMETERS = 1,
    LQ_DOUBT_TOKENS = 2,
    LQ_DOUBT_EXPERTS = 4,
    LQ_DOUBT_TOKENS_PER_PARAMETER = 8,
    LQ_DOUBT_TOKENS_FIXED = 16 /* the law does not know D; it holds at tokens_fixed */
};
unsigned lq_law_doubts(const struct lq_law *law, const struct lq_law_point *point);
/* Kebab-case code of one doubt ("outside-parameters"), and a sentence about it. */
const char *lq_law_doubt_code(enum lq_law_doubt doubt);
void lq_law_doubt_detail(const struct lq_law *law, const struct lq_law_point *point,
                         enum lq_law_doubt doubt, char *out, size_t size);

/* Total and activated parameters of the family's model of dense equivalent N. */
double lq_family_total(const struct lq_law_family *family, double parameters, double experts);
double lq_family_active(const struct lq_law_family *family, double parameters, double experts);
/* The point of a law for dense equivalent N, D and E: N in the law's own meaning. */
struct lq_law_point lq_law_point_of(const struct lq_law *law, const struct lq_law_family *family,
                                    double parameters, double tokens, double experts);
/* The point of a law for a concrete model trained on `tokens`. Granularity is 4 hidden sizes
 * (tian2025: 2) over an expert's width. A model whose layers differ counts its largest E and K. */
struct lq_law_point lq_law_point_of_model(const struct lq_law *law, const struct lq_model *model,
                                          double tokens);
/* Parameters of the model with one routed expert in place of all: same layers, same hidden size. */
double lq_model_dense_equivalent(const struct lq_model *model, enum lq_law_embeddings embeddings);

/* tian2025: tokens and FLOPs per token that its allocation gives a budget, dense (E = 1) or MoE. */
struct lq_tian2025_allocation {
    double flop_per_token; /* M, without embeddings */
    double tokens;         /* D */
};
struct lq_tian2025_allocation lq_tian2025_allocate(double budget_flop, bool mixture);
