/* Holds the paper's claims against a law. What an option is worth is plan.c's business. */
#include "core/planning/plan_claims.h"

#include "core/planning/plan_allocate.h"
#include "core/planning/plan_cost.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const LQ_PLAN_CLAIM_NAMES[] = {
    [LQ_CLAIM_FEW_SERVE_CHEAPEST] = "few-experts-serve-cheapest",
    [LQ_CLAIM_FEW_COST_TO_TRAIN] = "few-experts-cost-more-to-train",
    [LQ_CLAIM_SMALL_OVERTRAINED] = "small-overtrained-16-32",
    NULL};

/* Rows by what the claims call them. */
enum { ROW_4 = 2, ROW_8 = 3, ROW_16 = 4, ROW_32 = 5 };
enum { CAPPED, UNCAPPED };

/* arXiv 2404.02852, abstract (2024). */
static const double TRAINING_PRINTED[] = {2.5, 3.5};
static const double SHRINK_PRINTED[] = {0.70, 0.85};
/* Half of the last digit that the paper prints of a percentage. */
static const double SHRINK_ROUNDING = 0.005;

struct weighing {
    struct lq_plan_question setting[LQ_CLAIM_SETTINGS];
    struct lq_plan_claims *out;
};

static void price_row(const struct weighing *w, struct lq_claim_row *row)
{
    const struct lq_plan_question *q = &w->setting[CAPPED];
    const struct lq_plan_curve curve = lq_curve_of(q, row->experts, q->budget_flop);
    struct lq_plan_curve cheapest = curve;
    row->reaches =
        row->experts == 16.0 || lq_curve_budget(&curve, w->out->loss, &cheapest.budget_flop);
    if (!row->reaches) {
        return;
    }
    double loss = 0.0;
    const double parameters = lq_curve_optimum(&cheapest, &loss);
    row->at = lq_curve_allocation(&cheapest, parameters, lq_curve_tokens(&cheapest, parameters));
    row->budget_ratio = cheapest.budget_flop / q->budget_flop;
    for (int s = 0; s < LQ_CLAIM_SETTINGS; s++) {
        const double cost = lq_plan_gpu_s_per_token(&w->setting[s], row->experts, parameters);
        row->gpu_s_per_token[s] = isfinite(cost) ? cost : 0.0;
    }
}

/* Algorithm 1 with 4 experts as the base. */
static void shrink_row(const struct weighing *w, double base_loss, const double base_cost[2],
                       struct lq_claim_row *row)
{
    const struct lq_plan_question *q = &w->setting[CAPPED];
    const struct lq_plan_curve curve = lq_curve_of(q, row->experts, q->budget_flop);
    double loss = 0.0;
    double parameters = 0.0;
    const double optimum = lq_curve_optimum(&curve, &loss);
    row->shrinks = lq_curve_smallest(&curve, base_loss, optimum, &parameters);
    if (!row->shrinks) {
        return;
    }
    row->shrink_ratio = parameters / optimum;
    for (int s = 0; s < LQ_CLAIM_SETTINGS; s++) {
        const double cost = lq_plan_gpu_s_per_token(&w->setting[s], row->experts, parameters);
        row->shrunk_cost_ratio[s] =
            isfinite(cost) && isfinite(base_cost[s]) ? cost / base_cost[s] : 0.0;
    }
}

static const struct lq_claim_row *cheapest_row(const struct lq_plan_claims *claims, int setting)
{
    const struct lq_claim_row *best = NULL;
    for (int i = 0; i < LQ_CLAIM_ROWS; i++) {
        const struct lq_claim_row *row = &claims->rows[i];
        const double cost = row->gpu_s_per_token[setting];
        if (cost > 0.0 && (best == NULL || cost < best->gpu_s_per_token[setting])) {
            best = row;
        }
    }
    return best;
}

/* "4 experts serve cheapest (8: +1 %, 16: +9 %)". */
static void tell_order(const struct lq_plan_claims *claims, int setting, char *out, size_t size)
{
    const struct lq_claim_row *best = cheapest_row(claims, setting);
    if (best == NULL) {
        snprintf(out, size, "none can be served");
        return;
    }
    int used = snprintf(out, size, "%g serve cheapest (", best->experts);
    const char *comma = "";
    for (int i = 0; i < LQ_CLAIM_ROWS; i++) {
        const struct lq_claim_row *row = &claims->rows[i];
        if (row == best || !(row->gpu_s_per_token[setting] > 0.0) || used >= (int)size) {
            continue;
        }
        const double more = row->gpu_s_per_token[setting] / best->gpu_s_per_token[setting] - 1.0;
        used += snprintf(out + used, size - (size_t)used, "%s%g: +%.0f %%", comma, row->experts,
                         100.0 * more);
        comma = ", ";
    }
    if (used < (int)size) {
        snprintf(out + used, size - (size_t)used, ")");
    }
}

static void weigh_serving(struct weighing *w)
{
    struct lq_plan_claims *claims = w->out;
    struct lq_plan_claim *claim = &claims->claims[LQ_CLAIM_FEW_SERVE_CHEAPEST];
    char order[LQ_CLAIM_SETTINGS][160];
    for (int s = 0; s < LQ_CLAIM_SETTINGS; s++) {
        const struct lq_claim_row *best = cheapest_row(claims, s);
        claim->holds[s] = best == &claims->rows[ROW_4] || best == &claims->rows[ROW_8];
        tell_order(claims, s, order[s], sizeof order[s]);
    }
    snprintf(claim->detail, sizeof claim->detail,
             "At the loss of the 16-expert optimum, %.4f, of the expert counts with at most %lld "
             "concurrent requests %s; without that cap %s.",
             claims->loss, (long long)w->setting[CAPPED].serving.max_concurrent_requests,
             order[CAPPED], order[UNCAPPED]);
}

static void weigh_training(struct weighing *w)
{
    const struct lq_claim_row *four = &w->out->rows[ROW_4];
    const struct lq_claim_row *eight = &w->out->rows[ROW_8];
    struct lq_plan_claim *claim = &w->out->claims[LQ_CLAIM_FEW_COST_TO_TRAIN];
    const bool holds = (!four->reaches || four->budget_ratio > 1.0) &&
                       (!eight->reaches || eight->budget_ratio > 1.0);
    claim->holds[CAPPED] = holds;
    claim->holds[UNCAPPED] = holds;
    if (!four->reaches || !eight->reaches) {
        snprintf(claim->detail, sizeof claim->detail,
                 "%s reach the loss of the 16-expert optimum, %.4f, at no budget.",
                 four->reaches ? "8 experts" : "4 experts", w->out->loss);
        return;
    }
    snprintf(claim->detail, sizeof claim->detail,
             "To the loss of the 16-expert optimum, %.4f, 4 experts need %.2f and 8 experts %.2f "
             "times its training FLOPs; the paper prints %.1f to %.1f times.",
             w->out->loss, four->budget_ratio, eight->budget_ratio, TRAINING_PRINTED[0],
             TRAINING_PRINTED[1]);
}

static bool is_small(const struct lq_claim_row *row, int setting)
{
    const double smaller = 1.0 - row->shrink_ratio;
    const double cost = row->shrunk_cost_ratio[setting];
    return row->shrinks && smaller >= SHRINK_PRINTED[0] - SHRINK_ROUNDING &&
           smaller <= SHRINK_PRINTED[1] + SHRINK_ROUNDING && cost > 0.0 && cost < 1.0;
}

static void tell_small(const struct lq_claim_row *row, char *out, size_t size)
{
    if (!row->shrinks) {
        snprintf(out, size, "%g experts do not reach it", row->experts);
        return;
    }
    snprintf(out, size,
             "%g experts do so %.1f %% smaller than their loss-optimal size, at %.2f times the "
             "4-expert's serving cost (%.2f without the cap)",
             row->experts, 100.0 * (1.0 - row->shrink_ratio), row->shrunk_cost_ratio[CAPPED],
             row->shrunk_cost_ratio[UNCAPPED]);
}

static void weigh_small(struct weighing *w, double base_loss)
{
    struct lq_plan_claim *claim = &w->out->claims[LQ_CLAIM_SMALL_OVERTRAINED];
    char row[2][200];
    for (int i = 0; i < 2; i++) {
        tell_small(&w->out->rows[i == 0 ? ROW_16 : ROW_32], row[i], sizeof row[i]);
    }
    for (int s = 0; s < LQ_CLAIM_SETTINGS; s++) {
        claim->holds[s] = is_small(&w->out->rows[ROW_16], s) || is_small(&w->out->rows[ROW_32], s);
    }
    snprintf(claim->detail, sizeof claim->detail,
             "At the 4-expert optimum's loss, %.4f, and budget, %s; %s.", base_loss, row[0],
             row[1]);
}

bool lq_plan_claims(const struct lq_plan_question *question, struct lq_plan_claims *out)
{
    struct weighing w = {.setting = {*question, *question}, .out = out};
    w.setting[UNCAPPED].serving.max_concurrent_requests = INT64_MAX;
    memset(out, 0, sizeof *out);
    if (!lq_law_knows_experts(question->law)) {
        return false;
    }
    const struct lq_plan_curve many = lq_curve_of(question, 16.0, question->budget_flop);
    const struct lq_plan_curve few = lq_curve_of(question, 4.0, question->budget_flop);
    double base_loss = 0.0;
    double base_cost[LQ_CLAIM_SETTINGS];
    (void)lq_curve_optimum(&many, &out->loss);
    const double base_parameters = lq_curve_optimum(&few, &base_loss);
    if (!isfinite(out->loss) || !isfinite(base_loss)) {
        return false;
    }
    for (int s = 0; s < LQ_CLAIM_SETTINGS; s++) {
        base_cost[s] = lq_plan_gpu_s_per_token(&w.setting[s], 4.0, base_parameters);
    }
    for (int i = 0; i < LQ_CLAIM_ROWS; i++) {
        out->rows[i].experts = (double)(1 << i);
        price_row(&w, &out->rows[i]);
        shrink_row(&w, base_loss, base_cost, &out->rows[i]);
    }
    weigh_serving(&w);
    weigh_training(&w);
    weigh_small(&w, base_loss);
    return true;
}
