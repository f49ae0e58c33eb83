/* Reasons to doubt a law's answer: the point lies outside the runs that the law was fitted to. */
#include "core/planning/law.h"

#include <stdio.h>

/* A bound of 0 is not known; a variable of 0 is not given. */
static bool outside(const double range[2], double x)
{
    return x > 0.0 && ((range[0] > 0.0 && x < range[0]) || (range[1] > 0.0 && x > range[1]));
}

static double tokens_per_parameter(const struct lq_law_point *point)
{
    return point->parameters > 0.0 ? point->tokens / point->parameters : 0.0;
}

unsigned lq_law_doubts(const struct lq_law *law, const struct lq_law_point *point)
{
    const struct lq_law_range *range = &law->range;
    unsigned doubts = 0;
    if (outside(range->parameters, point->parameters)) {
        doubts |= LQ_DOUBT_PARAMETERS;
    }
    if (law->tokens_fixed > 0.0) {
        if (point->tokens > 0.0 && point->tokens != law->tokens_fixed) {
            doubts |= LQ_DOUBT_TOKENS_FIXED;
        }
    } else if (outside(range->tokens, point->tokens)) {
        doubts |= LQ_DOUBT_TOKENS;
    }
    if (outside(range->experts, point->experts)) {
        doubts |= LQ_DOUBT_EXPERTS;
    }
    if (outside(range->tokens_per_parameter, tokens_per_parameter(point))) {
        doubts |= LQ_DOUBT_TOKENS_PER_PARAMETER;
    }
    return doubts;
}

const char *lq_law_doubt_code(enum lq_law_doubt doubt)
{
    switch (doubt) {
    case LQ_DOUBT_PARAMETERS:
        return "outside-parameters";
    case LQ_DOUBT_TOKENS:
        return "outside-tokens";
    case LQ_DOUBT_EXPERTS:
        return "outside-experts";
    case LQ_DOUBT_TOKENS_PER_PARAMETER:
        return "outside-tokens-per-parameter";
    case LQ_DOUBT_TOKENS_FIXED:
        return "tokens-ignored";
    }
    return "doubt";
}

static void tell(const struct lq_law *law, const char *what, double x, const double range[2],
                 char *out, size_t size)
{
    char least[32] = "?";
    char most[32] = "?";
    if (range[0] > 0.0) {
        snprintf(least, sizeof least, "%.4g", range[0]);
    }
    if (range[1] > 0.0) {
        snprintf(most, sizeof most, "%.4g", range[1]);
    }
    snprintf(out, size, "%s: %.4g %s lie outside %s to %s, where the law was fitted (%s)", law->id,
             x, what, least, most, law->range.source);
}

void lq_law_doubt_detail(const struct lq_law *law, const struct lq_law_point *point,
                         enum lq_law_doubt doubt, char *out, size_t size)
{
    const struct lq_law_range *range = &law->range;
    switch (doubt) {
    case LQ_DOUBT_PARAMETERS:
        tell(law, "parameters", point->parameters, range->parameters, out, size);
        break;
    case LQ_DOUBT_TOKENS:
        tell(law, "tokens", point->tokens, range->tokens, out, size);
        break;
    case LQ_DOUBT_EXPERTS:
        tell(law, "experts", point->experts, range->experts, out, size);
        break;
    case LQ_DOUBT_TOKENS_PER_PARAMETER:
        tell(law, "tokens per parameter", tokens_per_parameter(point), range->tokens_per_parameter,
             out, size);
        break;
    case LQ_DOUBT_TOKENS_FIXED:
        snprintf(out, size, "%s: the law does not know tokens; it holds at %.4g, not %.4g", law->id,
                 law->tokens_fixed, point->tokens);
        break;
    }
}
