/* Laws of dense models, E + A/N^alpha + B/D^beta: hoffmann2022, besiroglu2024 and
 * sardana2024. Repeated data are in law_muennighoff2023.c. */
#include "core/planning/law_forms.h"

#include <math.h>

enum { A, B, E, ALPHA, BETA };

static double dense_value(const double *c, const struct lq_law_point *p)
{
    return c[E] + c[A] * exp(-c[ALPHA] * log(p->parameters)) +
           c[B] * exp(-c[BETA] * log(p->tokens));
}

static double dense_gradient(const double *c, const struct lq_law_point *p, double *gradient)
{
    const double log_n = log(p->parameters);
    const double log_d = log(p->tokens);
    const double by_a = exp(-c[ALPHA] * log_n);
    const double by_b = exp(-c[BETA] * log_d);
    const double loss = c[E] + c[A] * by_a + c[B] * by_b;
    gradient[A] = by_a / loss;
    gradient[B] = by_b / loss;
    gradient[E] = 1.0 / loss;
    gradient[ALPHA] = -c[A] * by_a * log_n / loss;
    gradient[BETA] = -c[B] * by_b * log_d / loss;
    return log(loss);
}

static struct lq_law_additive dense_additive(const double *c, const struct lq_law_point *p)
{
    (void)p;
    return (struct lq_law_additive){c[A], c[ALPHA], c[B], c[BETA], c[E]};
}

#define DENSE_FORM(id)                                                                             \
    {                                                                                              \
        .name = (id), .formula = "L = E + A/N^alpha + B/D^beta",                                   \
        .needs = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS),                        \
        .moves = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS), .coefficients = 5,     \
        .coefficient = {LQ_AMPLITUDE("A"), LQ_AMPLITUDE("B"), LQ_IRREDUCIBLE("E"),                 \
                        LQ_EXPONENT("alpha"), LQ_EXPONENT("beta")},                                \
        .dense = true, .value = dense_value, .gradient = dense_gradient,                           \
        .additive = dense_additive                                                                 \
    }

static const struct lq_law_form HOFFMANN = DENSE_FORM("hoffmann2022");
static const struct lq_law_form BESIROGLU = DENSE_FORM("besiroglu2024");
static const struct lq_law_form SARDANA = DENSE_FORM("sardana2024");

#define CHINCHILLA_RANGE                                                                           \
    {                                                                                              \
        {70e6, 16e9}, {5e9, 500e9}, {1.0, 1.0}, {0.0, 0.0}, "runs of arXiv 2203.15556"             \
    }
#define SARDANA_RANGE                                                                              \
    {                                                                                              \
        {150e6, 6e9}, {0.0, 0.0}, {1.0, 1.0}, {10.0, 10000.0}, "runs of arXiv 2401.00448"          \
    }
#define DENSE_LAW                                                                                  \
    .status = LQ_LAW_PUBLISHED, .meaning = LQ_N_TOTAL, .flop = LQ_FLOP_DENSE_EQUIVALENT,           \
    .experts_fixed = 1.0, .family = {0.0, 1.0, 1.0, 0.0}

static const struct lq_law LAWS[] = {
    {.id = "hoffmann2022",
     .form = &HOFFMANN,
     .source = "Hoffmann et al. 2022, arXiv 2203.15556, Eq. 10; read in secondary sources",
     .note = "Rounded as printed; arXiv 2404.10102 could not reproduce them from the paper's data.",
     DENSE_LAW,
     .embeddings = LQ_EMBEDDINGS_IN,
     .range = CHINCHILLA_RANGE,
     .coefficient = {406.4, 410.7, 1.69, 0.34, 0.28}},
    {.id = "hoffmann2022-unrounded",
     .form = &HOFFMANN,
     .source = "Hoffmann et al. 2022, arXiv 2203.15556, unrounded; read in secondary sources",
     .note = "",
     DENSE_LAW,
     .embeddings = LQ_EMBEDDINGS_IN,
     .range = CHINCHILLA_RANGE,
     .coefficient = {406.4, 410.7, 1.6934, 0.3392, 0.2849}},
    {.id = "besiroglu2024",
     .form = &BESIROGLU,
     .source = "Besiroglu et al. 2024, arXiv 2404.10102, refit of 240 digitised runs; read in "
               "secondary sources, refit here",
     .note = "",
     DENSE_LAW,
     .embeddings = LQ_EMBEDDINGS_IN,
     .range = CHINCHILLA_RANGE,
     .coefficient = {482.01, 2085.43, 1.8172, 0.3478, 0.3658}},
    {.id = "sardana2024-all",
     .form = &SARDANA,
     .source = "Sardana et al. 2024, arXiv 2401.00448, all runs; read in secondary sources",
     .note = "",
     DENSE_LAW,
     .embeddings = LQ_EMBEDDINGS_NOT_STATED,
     .range = SARDANA_RANGE,
     .coefficient = {33.66, 138.9, 1.45, 0.18, 0.24}},
    {.id = "sardana2024-100",
     .form = &SARDANA,
     .source = "Sardana et al. 2024, arXiv 2401.00448, runs of at most 100 tokens per parameter; "
               "read in secondary sources",
     .note = "Two printed digits: losses are coarse.",
     DENSE_LAW,
     .embeddings = LQ_EMBEDDINGS_NOT_STATED,
     .range = {{150e6, 6e9}, {0.0, 0.0}, {1.0, 1.0}, {10.0, 100.0}, "runs of arXiv 2401.00448"},
     .coefficient = {7.199, 25.97, 0.17, 0.08, 0.13}},
};

static const struct lq_law_form *const FORMS[] = {&HOFFMANN, &BESIROGLU, &SARDANA};

const struct lq_law_shelf LQ_SHELF_DENSE = {FORMS, 3, LAWS, sizeof LAWS / sizeof *LAWS};
