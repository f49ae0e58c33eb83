/* Groups that a job belongs to: its identity, its model on its stack, its stack, everything. */
#include "core/finetune/evidence_nearness.h"

#include <stdbool.h>
#include <string.h>

/* How near a fit's group is to an identity. */
static enum lq_nearness nearness_of(const struct lq_fit *fit, const struct lq_identity *of)
{
    const struct lq_identity *own = &fit->identity;
    switch (fit->scope) {
    case LQ_SCOPE_ALL:
        return LQ_NEAR_ANYTHING;
    case LQ_SCOPE_STACK:
        return strcmp(own->stack, of->stack) == 0 ? LQ_NEAR_SAME_STACK : LQ_NEAR_NOTHING;
    case LQ_SCOPE_MODEL:
        if (strcmp(own->model, of->model) != 0 || own->method.kind != of->method.kind) {
            return LQ_NEAR_NOTHING;
        }
        return strcmp(own->stack, of->stack) == 0 ? LQ_NEAR_SAME_MODEL : LQ_NEAR_OTHER_STACK;
    case LQ_SCOPE_IDENTITY:
        return lq_identity_equal(own, of) ? LQ_NEAR_OWN : LQ_NEAR_NOTHING;
    }
    return LQ_NEAR_NOTHING;
}

struct lq_nearest lq_nearest_find(const struct lq_evidence *evidence, enum lq_fit_kind kind,
                                  const struct lq_identity *identity, unsigned model_class)
{
    struct lq_nearest best = {.nearness = LQ_NEAR_NOTHING, .kind = LQ_BASIS_PRIOR};
    const unsigned own_class = lq_fit_class(identity->method.kind, model_class);
    bool transferred = false; /* the model, or its like on this stack, was measured */
    for (size_t i = 0; i < evidence->fit_count; i++) {
        const struct lq_fit *fit = &evidence->fits[i];
        const enum lq_nearness nearness =
            fit->kind == kind ? nearness_of(fit, identity) : LQ_NEAR_NOTHING;
        if (nearness < best.nearness ||
            (nearness == best.nearness && best.fit != NULL && fit->points > best.fit->points)) {
            best.nearness = nearness;
            best.fit = fit;
        }
        transferred = transferred || nearness == LQ_NEAR_SAME_MODEL ||
                      nearness == LQ_NEAR_OTHER_STACK ||
                      (nearness == LQ_NEAR_SAME_STACK && (fit->calibrated & own_class) != 0);
    }
    if (best.nearness == LQ_NEAR_OWN) {
        best.kind = LQ_BASIS_CALIBRATED;
    } else if (transferred) {
        best.kind = LQ_BASIS_TRANSFERRED;
    }
    return best;
}

struct lq_belief lq_nearest_carry(const struct lq_nearest *nearest,
                                  const double *(*member_log_sd)(enum lq_scope scope))
{
    struct lq_belief belief = nearest->fit->belief;
    const bool any = nearest->nearness == LQ_NEAR_ANYTHING;
    if (any || nearest->nearness == LQ_NEAR_OTHER_STACK) {
        lq_belief_widen(&belief, member_log_sd(LQ_SCOPE_ALL));
    }
    if (any || nearest->nearness == LQ_NEAR_SAME_STACK) {
        lq_belief_widen(&belief, member_log_sd(LQ_SCOPE_STACK));
    }
    return belief;
}
