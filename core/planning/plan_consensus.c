/* Counts the laws' recommendations and measures their spread. */
#include "core/planning/plan_consensus.h"

#include <math.h>
#include <stdio.h>

struct lq_plan_verdict lq_plan_verdict_of(const struct lq_law *law, const struct lq_plan *plan)
{
    struct lq_plan_verdict verdict = {
        .law = law, .choice = plan->recommendation, .optimal_parameters = plan->base.parameters};
    for (size_t i = 0; i < plan->count && verdict.choice.found; i++) {
        const struct lq_allocation *best = &plan->options[i].loss_optimal;
        if (best->experts == verdict.choice.at.experts) {
            verdict.shrink_ratio = verdict.choice.at.parameters / best->parameters;
        }
    }
    return verdict;
}

static void widen(double range[2], double x)
{
    range[0] = range[0] > 0.0 ? fmin(range[0], x) : x;
    range[1] = fmax(range[1], x);
}

static bool votes(const struct lq_plan_verdict *verdict)
{
    return verdict->choice.found && lq_law_knows_experts(verdict->law);
}

static size_t supporters(const struct lq_plan_verdict *verdicts, size_t count, double experts)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        n += votes(&verdicts[i]) && verdicts[i].choice.at.experts == experts;
    }
    return n;
}

/* The number of experts with most votes. */
static void count_votes(const struct lq_plan_verdict *verdicts, size_t count,
                        struct lq_plan_consensus *out)
{
    for (size_t i = 0; i < count; i++) {
        const double experts = verdicts[i].choice.at.experts;
        if (!votes(&verdicts[i])) {
            continue;
        }
        out->voters++;
        widen(out->experts_range, experts);
        const size_t agreeing = supporters(verdicts, count, experts);
        if (agreeing > out->agreeing) {
            out->agreeing = agreeing;
            out->experts = experts;
        } else if (agreeing == out->agreeing && experts != out->experts) {
            out->experts = 0.0; /* a tie */
        }
    }
}

static void tell_experts(const struct lq_plan_consensus *c, char *out, size_t size)
{
    const char *which = c->voters < c->laws ? " that know experts" : "";
    if (c->voters == 0) {
        snprintf(out, size, "None of the laws knows experts, so none has a say on their number");
    } else if (c->voters == 1) {
        snprintf(out, size, "Only one law has a say on the number of experts: %g", c->experts);
    } else if (c->agreeing == c->voters) {
        snprintf(out, size, "The number of experts is robust: all %zu laws%s say %g", c->voters,
                 which, c->experts);
    } else if (c->experts > 0.0) {
        snprintf(out, size,
                 "The number of experts is not robust: %zu of %zu laws%s say %g, together they "
                 "range from %g to %g",
                 c->agreeing, c->voters, which, c->experts, c->experts_range[0],
                 c->experts_range[1]);
    } else {
        snprintf(out, size,
                 "The number of experts is not robust: the %zu laws%s are tied, with %zu for each "
                 "of the most frequent numbers, from %g to %g in all",
                 c->voters, which, c->agreeing, c->experts_range[0], c->experts_range[1]);
    }
}

static void summarise(struct lq_plan_consensus *c)
{
    const double size = c->parameters_range[1] / c->parameters_range[0];
    const double data = c->tokens_range[1] / c->tokens_range[0];
    const double optimum = c->optimal_range[1] / c->optimal_range[0];
    char experts[200];
    tell_experts(c, experts, sizeof experts);
    snprintf(
        c->robust, sizeof c->robust,
        "%s. The recommended size %s (a factor of %.2g between the laws), the tokens %s (%.2g), "
        "the base's loss-optimal size %s (%.2g). Losses of different laws are not comparable.",
        experts, size <= 1.5 ? "is robust" : "is not", size, data <= 1.5 ? "are robust" : "are not",
        data, optimum <= 1.5 ? "is" : "is not", optimum);
}

void lq_plan_agree(const struct lq_plan_verdict *verdicts, size_t count,
                   struct lq_plan_consensus *out)
{
    *out = (struct lq_plan_consensus){0};
    for (size_t i = 0; i < count; i++) {
        const struct lq_plan_choice *choice = &verdicts[i].choice;
        if (!choice->found) {
            continue;
        }
        out->laws++;
        widen(out->parameters_range, choice->at.parameters);
        widen(out->tokens_range, choice->at.tokens);
        widen(out->optimal_range, verdicts[i].optimal_parameters);
    }
    count_votes(verdicts, count, out);
    if (out->laws > 0) {
        summarise(out);
    } else {
        snprintf(out->robust, sizeof out->robust, "No law has an answer.");
    }
}
