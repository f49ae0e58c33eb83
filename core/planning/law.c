/* The registry's shelves, checks of laws and points, and values. The formulas are in law_NAME.c,
 * doubts in law_doubt.c, concrete models in law_model.c. */
#include "core/planning/law.h"

#include "core/planning/law_forms.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *const LQ_LAW_VARIABLE_NAMES[] = {"parameters",        "tokens",         "experts",
                                             "active_parameters", "active_experts", "granularity",
                                             "shared_ratio",      "repeats",        NULL};
const char *const LQ_LAW_QUANTITY_NAMES[] = {"loss", "leverage", NULL};
const char *const LQ_LAW_STATUS_NAMES[] = {"published", "reconstructed", "user", NULL};
const char *const LQ_LAW_MEANING_NAMES[] = {"total", "active", "dense-equivalent", NULL};
const char *const LQ_LAW_EMBEDDINGS_NAMES[] = {"included", "excluded", "not-stated", NULL};
const char *const LQ_LAW_FLOP_NAMES[] = {"dense-equivalent", "active", NULL};

static const struct lq_law_shelf *const SHELVES[] = {
    &LQ_SHELF_YUN2024,         &LQ_SHELF_DENSE,
    &LQ_SHELF_MUENNIGHOFF2023, &LQ_SHELF_CLARK2022,
    &LQ_SHELF_KRAJEWSKI2024,   &LQ_SHELF_LUDZIEJEWSKI2025,
    &LQ_SHELF_ABNAR2025,       &LQ_SHELF_ZHAO2025,
    &LQ_SHELF_TIAN2025,        NULL,
};

size_t lq_law_count(void)
{
    size_t count = 0;
    for (size_t i = 0; SHELVES[i] != NULL; i++) {
        count += SHELVES[i]->law_count;
    }
    return count;
}

const struct lq_law *lq_law_at(size_t index)
{
    for (size_t i = 0; SHELVES[i] != NULL; i++) {
        if (index < SHELVES[i]->law_count) {
            return &SHELVES[i]->laws[index];
        }
        index -= SHELVES[i]->law_count;
    }
    return NULL;
}

const struct lq_law *lq_law_find(const char *id)
{
    const struct lq_law *law = NULL;
    for (size_t i = 0; (law = lq_law_at(i)) != NULL; i++) {
        if (strcasecmp(law->id, id) == 0) {
            return law;
        }
    }
    return NULL;
}

const struct lq_law_form *lq_law_form_find(const char *name)
{
    for (size_t i = 0; SHELVES[i] != NULL; i++) {
        for (size_t j = 0; j < SHELVES[i]->form_count; j++) {
            if (strcasecmp(SHELVES[i]->forms[j]->name, name) == 0) {
                return SHELVES[i]->forms[j];
            }
        }
    }
    return NULL;
}

/* The first shipped law of a form; every form has one. */
static const struct lq_law *shipped_of(const struct lq_law_form *form)
{
    size_t i = 0;
    while (lq_law_at(i + 1) != NULL && lq_law_at(i)->form != form) {
        i++;
    }
    return lq_law_at(i);
}

enum lq_code lq_law_user(const char *form, const char *id, struct lq_law *out, struct lq_error *err)
{
    const struct lq_law_form *found = lq_law_form_find(form);
    if (found == NULL) {
        return lq_fail(err, LQ_EREFERENCE, "/form", "there is no form named \"%.60s\"", form);
    }
    const struct lq_law *first = shipped_of(found);
    *out = (struct lq_law){.id = id,
                           .form = found,
                           .status = LQ_LAW_USER,
                           .source = "user",
                           .note = "",
                           .meaning = first->meaning,
                           .embeddings = LQ_EMBEDDINGS_NOT_STATED,
                           .flop = first->flop,
                           .experts_fixed = first->experts_fixed,
                           .range = {.source = "not known"},
                           .family = first->family};
    return LQ_OK;
}

static const char *coefficient_fault(const struct lq_law *law, int i)
{
    const enum lq_law_scale scale = law->form->coefficient[i].scale;
    const double c = law->coefficient[i];
    if (!isfinite(c) || fabs(c) > 1e100) {
        return "a finite number below 1e100";
    }
    if (scale == LQ_SCALE_LOG && c < 0.0) {
        return "not negative";
    }
    /* E_start and E_max: between them lies the range in which experts count */
    const bool before =
        i + 1 < law->form->coefficients && law->form->coefficient[i + 1].scale == LQ_SCALE_ABOVE;
    if (before && !(c > 0.0)) {
        return "above 0";
    }
    if (scale == LQ_SCALE_ABOVE && !(c > law->coefficient[i - 1])) {
        return "above the coefficient before it";
    }
    return NULL;
}

enum lq_code lq_law_check(const struct lq_law *law, struct lq_error *err)
{
    for (int i = 0; i < law->form->coefficients; i++) {
        const char *fault = coefficient_fault(law, i);
        if (fault != NULL) {
            char pointer[LQ_POINTER_MAX];
            snprintf(pointer, sizeof pointer, "/coefficients/%s", law->form->coefficient[i].name);
            return lq_fail(err, LQ_EFIELD, pointer, "must be %s, got %g", fault,
                           law->coefficient[i]);
        }
    }
    return LQ_OK;
}

bool lq_law_knows_tokens(const struct lq_law *law)
{
    return (law->form->moves & LQ_LAW_BIT(LQ_LAW_TOKENS)) != 0;
}

bool lq_law_knows_experts(const struct lq_law *law)
{
    const unsigned by = LQ_LAW_BIT(LQ_LAW_EXPERTS) | LQ_LAW_BIT(LQ_LAW_ACTIVE_PARAMETERS);
    return !(law->experts_fixed > 0.0) && (law->form->moves & by) != 0;
}

double lq_law_variable(const struct lq_law_point *point, enum lq_law_variable variable)
{
    switch (variable) {
    case LQ_LAW_PARAMETERS:
        return point->parameters;
    case LQ_LAW_TOKENS:
        return point->tokens;
    case LQ_LAW_EXPERTS:
        return point->experts;
    case LQ_LAW_ACTIVE_PARAMETERS:
        return point->active_parameters;
    case LQ_LAW_ACTIVE_EXPERTS:
        return point->active_experts;
    case LQ_LAW_GRANULARITY:
        return point->granularity;
    case LQ_LAW_SHARED_RATIO:
        return point->shared_ratio;
    case LQ_LAW_REPEATS:
        return point->repeats;
    case LQ_LAW_VARIABLE_COUNT:
        break;
    }
    return 0.0;
}

/* What each variable may be where it is given. Beyond these no model is imaginable. */
static const struct {
    double least;
    double most;
    bool whole;
} DOMAIN[LQ_LAW_VARIABLE_COUNT] = {
    [LQ_LAW_PARAMETERS] = {1.0, 1e18, false},       [LQ_LAW_TOKENS] = {1.0, 1e21, false},
    [LQ_LAW_EXPERTS] = {1.0, 65536.0, true},        [LQ_LAW_ACTIVE_PARAMETERS] = {1.0, 1e18, false},
    [LQ_LAW_ACTIVE_EXPERTS] = {1.0, 65536.0, true}, [LQ_LAW_GRANULARITY] = {1e-3, 1e6, false},
    [LQ_LAW_SHARED_RATIO] = {0.0, 1.0, false},      [LQ_LAW_REPEATS] = {0.0, 1e6, false},
};

static enum lq_code fail_at(struct lq_error *err, enum lq_code code, const char *prefix,
                            enum lq_law_variable variable, const char *detail)
{
    char pointer[LQ_POINTER_MAX];
    snprintf(pointer, sizeof pointer, "%s/%s", prefix, LQ_LAW_VARIABLE_NAMES[variable]);
    return lq_fail(err, code, pointer, "%s", detail);
}

static enum lq_code check_variable(const struct lq_law *law, const struct lq_law_point *point,
                                   enum lq_law_variable variable, const char *prefix,
                                   struct lq_error *err)
{
    char detail[LQ_DETAIL_MAX];
    const double x = lq_law_variable(point, variable);
    if (x == 0.0) {
        const bool called_otherwise = variable == LQ_LAW_ACTIVE_EXPERTS &&
                                      point->granularity > 0.0 &&
                                      (law->form->needs & LQ_LAW_BIT(LQ_LAW_EXPERTS)) == 0;
        if ((law->form->needs & LQ_LAW_BIT(variable)) == 0 || called_otherwise) {
            return LQ_OK;
        }
        snprintf(detail, sizeof detail, "must be given: the law %.60s needs it", law->id);
        return fail_at(err, LQ_EFIELD, prefix, variable, detail);
    }
    if (!(x >= DOMAIN[variable].least && x <= DOMAIN[variable].most) ||
        (DOMAIN[variable].whole && x != floor(x))) {
        snprintf(detail, sizeof detail, "must be %s from %g to %g, got %.9g",
                 DOMAIN[variable].whole ? "a whole number" : "a number", DOMAIN[variable].least,
                 DOMAIN[variable].most, x);
        return fail_at(err, LQ_EFIELD, prefix, variable, detail);
    }
    return LQ_OK;
}

static enum lq_code check_experts(const struct lq_law *law, const struct lq_law_point *point,
                                  const char *prefix, struct lq_error *err)
{
    char detail[LQ_DETAIL_MAX];
    const double fixed = law->experts_fixed;
    if (fixed > 0.0 && point->experts > 0.0 && point->experts != fixed) {
        if (fixed == 1.0) {
            snprintf(detail, sizeof detail,
                     "the law %.60s describes dense models and does not know experts, got %g",
                     law->id, point->experts);
        } else {
            snprintf(detail, sizeof detail, "the law %.60s holds for %g experts only, got %g",
                     law->id, fixed, point->experts);
        }
        return fail_at(err, LQ_EIMPOSSIBLE, prefix, LQ_LAW_EXPERTS, detail);
    }
    if (point->experts > 0.0 && point->active_experts > point->experts) {
        snprintf(detail, sizeof detail, "must be at most the %g experts, got %g", point->experts,
                 point->active_experts);
        return fail_at(err, LQ_EFIELD, prefix, LQ_LAW_ACTIVE_EXPERTS, detail);
    }
    if (point->parameters > 0.0 && law->meaning == LQ_N_TOTAL &&
        point->active_parameters > point->parameters) {
        snprintf(detail, sizeof detail, "must be at most the %g parameters in all, got %g",
                 point->parameters, point->active_parameters);
        return fail_at(err, LQ_EFIELD, prefix, LQ_LAW_ACTIVE_PARAMETERS, detail);
    }
    return LQ_OK;
}

enum lq_code lq_law_point_check(const struct lq_law *law, const struct lq_law_point *point,
                                const char *prefix, struct lq_error *err)
{
    for (int v = 0; v < LQ_LAW_VARIABLE_COUNT; v++) {
        LQ_TRY(check_variable(law, point, (enum lq_law_variable)v, prefix, err));
    }
    return check_experts(law, point, prefix, err);
}

enum lq_code lq_law_value(const struct lq_law *law, const struct lq_law_point *point, double *value,
                          struct lq_error *err)
{
    LQ_TRY(lq_law_point_check(law, point, "", err));
    const double x = law->form->value(law->coefficient, point);
    if (!(x > 0.0) || !isfinite(x)) {
        return lq_fail(err, LQ_ENUMBER, NULL, "the law %.60s has no finite positive value there",
                       law->id);
    }
    *value = x;
    return LQ_OK;
}

enum lq_code lq_law_loss(const struct lq_law *law, const struct lq_law_point *point, double *loss,
                         struct lq_error *err)
{
    if (law->form->quantity != LQ_LAW_LOSS) {
        return lq_fail(err, LQ_EIMPOSSIBLE, "/law", "the law %.60s gives a %s, not a loss", law->id,
                       LQ_LAW_QUANTITY_NAMES[law->form->quantity]);
    }
    return lq_law_value(law, point, loss, err);
}
