/* Ten printed results as questions to a law. The readings are those of the table that came with the
 * reconstructed sets. */
#include "core/planning/law_printed.h"

#include "core/planning/law_optimum.h"

#include <string.h>

/* One result: what is asked, and the numbers of the question. */
struct question {
    const char *what;
    double printed;
    double (*answer)(const struct lq_law *law, const struct question *q);
    double budget_flop;
    double base;    /* experts of the model it is compared with */
    double experts; /* of the model that is asked about */
};

static struct lq_law_setting with(const struct lq_law *law, double experts)
{
    return (struct lq_law_setting){law, law->family, experts};
}

/* A model's size as the set is read; 0 stays 0. */
static double size_of(const struct lq_law *law, double experts, double parameters)
{
    return law->flop == LQ_FLOP_ACTIVE ? lq_family_active(&law->family, parameters, experts)
                                       : parameters;
}

static struct lq_law_choice optimum(const struct lq_law *law, double experts, double budget_flop)
{
    const struct lq_law_setting setting = with(law, experts);
    struct lq_law_choice choice = {0};
    struct lq_error err = {0};
    return lq_law_optimum(&setting, budget_flop, NULL, &choice, &err) == LQ_OK
               ? choice
               : (struct lq_law_choice){0};
}

static double ratio(double a, double b)
{
    return b > 0.0 ? a / b : 0.0;
}

/* The loss-optimal dense size, in 1e9. */
static double dense_optimum(const struct lq_law *law, const struct question *q)
{
    return optimum(law, 1.0, q->budget_flop).parameters / 1e9;
}

/* The smallest of `experts` at the base's optimal loss, as N; 0 where none reaches it. */
static double smallest(const struct lq_law *law, const struct question *q)
{
    const struct lq_law_setting setting = with(law, q->experts);
    struct lq_law_choice choice = {0};
    struct lq_error err = {0};
    const double loss = optimum(law, q->base, q->budget_flop).loss;
    return lq_law_smallest(&setting, q->budget_flop, loss, &choice, &err) == LQ_OK
               ? choice.parameters
               : 0.0;
}

static double size_at_same_loss(const struct lq_law *law, const struct question *q)
{
    const double base = optimum(law, q->base, q->budget_flop).parameters;
    return ratio(size_of(law, q->experts, smallest(law, q)), size_of(law, q->base, base));
}

static double share_of_own_optimum(const struct lq_law *law, const struct question *q)
{
    return ratio(smallest(law, q), optimum(law, q->experts, q->budget_flop).parameters);
}

static double optimum_over_base(const struct lq_law *law, const struct question *q)
{
    return ratio(optimum(law, q->experts, q->budget_flop).parameters,
                 optimum(law, q->base, q->budget_flop).parameters);
}

/* The size at the base's serving cost that the paper prints, as a share of the base's optimum. */
static const double EIGHT_AT_EQUAL_COST = 0.695;
static const double SIXTEEN_AT_EQUAL_COST = 0.462;

/* FLOPs of the base for the loss of `experts` at equal serving cost, over the budget. */
static double base_needs(const struct lq_law *law, const struct question *q)
{
    const struct lq_law_setting base = with(law, q->base);
    const struct lq_law_setting asked = with(law, q->experts);
    const double size = EIGHT_AT_EQUAL_COST * optimum(law, q->base, q->budget_flop).parameters;
    struct lq_law_choice choice = {0};
    struct lq_error err = {0};
    const double loss = lq_law_spend(&asked, q->budget_flop, size).loss;
    return lq_law_cheapest(&base, loss, &choice, &err) == LQ_OK ? choice.flop / q->budget_flop
                                                                : 0.0;
}

/* Training that `experts` at equal serving cost save for the base's loss, %. */
static double training_saved(const struct lq_law *law, const struct question *q)
{
    const struct lq_law_setting asked = with(law, q->experts);
    const struct lq_law_choice base = optimum(law, q->base, q->budget_flop);
    const double size = SIXTEEN_AT_EQUAL_COST * base.parameters;
    double tokens = 0.0;
    struct lq_error err = {0};
    if (lq_law_tokens_for(&asked, size, base.loss, &tokens, &err) != LQ_OK) {
        return 0.0;
    }
    return 100.0 * (1.0 - lq_law_flop_per_parameter(&asked) * size * tokens / q->budget_flop);
}

static const struct question QUESTIONS[LQ_PRINTED_RESULTS] = {
    {"loss-optimal dense parameters at 2.12e21 FLOPs, 1e9", 3.36, dense_optimum, 2.12e21, 1, 1},
    {"loss-optimal dense parameters at 5.96e21 FLOPs, 1e9", 6.14, dense_optimum, 5.96e21, 1, 1},
    {"8 experts over dense at equal loss, 2.12e21 FLOPs", 0.282, size_at_same_loss, 2.12e21, 1, 8},
    {"8 experts over dense at equal loss, 5.96e21 FLOPs", 0.233, size_at_same_loss, 5.96e21, 1, 8},
    {"8 experts over 4 at equal loss, 2.12e21 FLOPs", 0.251, size_at_same_loss, 2.12e21, 4, 8},
    {"8 experts over 4 at equal loss, 5.96e21 FLOPs", 0.21, size_at_same_loss, 5.96e21, 4, 8},
    {"16 experts at the 4-expert's loss over their own optimum, 5.15e21 FLOPs", 0.16,
     share_of_own_optimum, 5.15e21, 4, 16},
    {"optimum of 32 experts over that of 4, 5.15e21 FLOPs", 1.023, optimum_over_base, 5.15e21, 4,
     32},
    {"FLOPs of 4 experts for the loss of 8 at equal serving cost, over 5.15e21", 1.521, base_needs,
     5.15e21, 4, 8},
    {"training that 16 experts save at the 4-expert's serving cost, 8.18e21 FLOPs, %", 68.4,
     training_saved, 8.18e21, 4, 16},
};

size_t lq_law_printed(const struct lq_law *law, struct lq_printed_result out[LQ_PRINTED_RESULTS])
{
    if (strcmp(law->form->name, "yun2024") != 0) {
        return 0;
    }
    for (size_t i = 0; i < LQ_PRINTED_RESULTS; i++) {
        out[i] = (struct lq_printed_result){QUESTIONS[i].what, QUESTIONS[i].printed,
                                            QUESTIONS[i].answer(law, &QUESTIONS[i])};
    }
    return LQ_PRINTED_RESULTS;
}
