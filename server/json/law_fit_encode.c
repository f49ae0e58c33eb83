/* Encodes what came of a fit, and what a reader must know before trusting it. */
#include "server/json/law_fit.h"

#include <stdio.h>

static bool has(unsigned bits, int j)
{
    return (bits & 1U << (unsigned)j) != 0;
}

/* The coefficients that have a value of their own, named; null for the others. */
static json_t *errors_encode(const struct lq_law_fit_outcome *outcome)
{
    json_t *object = json_object();
    for (int j = 0; j < outcome->form->coefficients; j++) {
        const double error = outcome->fit.standard_error[j];
        json_object_set_new(object, outcome->form->coefficient[j].name,
                            error > 0.0 ? json_real(error) : json_null());
    }
    return object;
}

static json_t *intervals_encode(const struct lq_law_fit_outcome *outcome)
{
    json_t *object = json_object();
    for (int j = 0; j < outcome->form->coefficients; j++) {
        const double *interval = outcome->interval[j];
        json_t *list = json_null();
        if (interval[0] < interval[1] && !has(outcome->fit.flat, j)) {
            list = json_array();
            json_array_append_new(list, json_real(interval[0]));
            json_array_append_new(list, json_real(interval[1]));
        }
        json_object_set_new(object, outcome->form->coefficient[j].name, list);
    }
    return object;
}

static json_t *names_encode(const struct lq_law_form *form, unsigned bits)
{
    json_t *list = json_array();
    for (int j = 0; j < form->coefficients; j++) {
        if (has(bits, j)) {
            json_array_append_new(list, json_string(form->coefficient[j].name));
        }
    }
    return list;
}

static void warn(json_t *list, const char *code, const char *detail)
{
    json_t *object = json_object();
    json_object_set_new(object, "code", json_string(code));
    json_object_set_new(object, "detail", json_string(detail));
    json_array_append_new(list, object);
}

static int count_bits(unsigned bits)
{
    int count = 0;
    for (; bits != 0; bits &= bits - 1) {
        count++;
    }
    return count;
}

/* About coefficients. */
static void warn_values(json_t *list, const struct lq_law_fit_outcome *outcome)
{
    char names[120];
    char detail[LQ_DETAIL_MAX];
    if (outcome->fit.flat != 0) {
        lq_law_coefficient_names(outcome->form, outcome->fit.flat, names, sizeof names);
        snprintf(detail, sizeof detail,
                 "the runs do not tell %s apart: other values fit as well, and only predictions "
                 "near the runs mean something",
                 names);
        warn(list, "not-identified", detail);
    }
    const int coefficients = outcome->form->coefficients - count_bits(outcome->held);
    if ((long)outcome->runs <= coefficients) {
        snprintf(detail, sizeof detail,
                 "%zu runs for %d coefficients: the fit goes through them all and says nothing of "
                 "its error",
                 outcome->runs, coefficients);
        warn(list, "no-freedom", detail);
    }
    if (outcome->at_bound != 0) {
        lq_law_coefficient_names(outcome->form, outcome->at_bound, names, sizeof names);
        snprintf(detail, sizeof detail, "%s ended at a bound of the search", names);
        warn(list, "at-bound", detail);
    }
}

/* About the search. */
static void warn_search(json_t *list, const struct lq_law_fit_outcome *outcome)
{
    char detail[LQ_DETAIL_MAX];
    if (outcome->starts > 1 && outcome->agreeing == 1) {
        snprintf(detail, sizeof detail,
                 "only one of %zu starts reached the best objective: there may be a better one",
                 outcome->starts);
        warn(list, "one-start-agrees", detail);
    }
    if (outcome->grid > outcome->starts) {
        snprintf(detail, sizeof detail, "%zu of the %zu starts of the form's grid were tried",
                 outcome->starts, outcome->grid);
        warn(list, "part-of-the-grid", detail);
    }
    if (outcome->samples < outcome->samples_asked) {
        snprintf(detail, sizeof detail, "%zu of %zu bootstrap samples did not settle",
                 outcome->samples_asked - outcome->samples, outcome->samples_asked);
        warn(list, "samples-lost", detail);
    }
}

static json_t *warnings_encode(const struct lq_law_fit_outcome *outcome)
{
    json_t *list = json_array();
    warn_values(list, outcome);
    warn_search(list, outcome);
    return list;
}

json_t *lq_law_fit_encode(const struct lq_law_fit_outcome *outcome)
{
    json_t *object = json_object();
    json_object_set_new(object, "objective", json_real(outcome->fit.objective));
    json_object_set_new(object, "huber_delta", json_real(LQ_LAW_HUBER_DELTA));
    json_object_set_new(object, "residual_log", json_real(outcome->fit.residual));
    json_object_set_new(object, "runs", json_integer((json_int_t)outcome->runs));
    json_object_set_new(object, "starts", json_integer((json_int_t)outcome->starts));
    json_object_set_new(object, "starts_agreeing", json_integer((json_int_t)outcome->agreeing));
    json_object_set_new(object, "starts_unsettled", json_integer((json_int_t)outcome->unsettled));
    json_object_set_new(object, "fixed", names_encode(outcome->form, outcome->held));
    json_object_set_new(object, "standard_errors", errors_encode(outcome));
    json_object_set_new(object, "intervals", intervals_encode(outcome));
    json_object_set_new(object, "interval_level", json_real(outcome->confidence));
    json_object_set_new(object, "interval_basis",
                        json_string(outcome->samples > 1 ? "bootstrap" : "standard-errors"));
    json_object_set_new(object, "bootstrap_samples", json_integer((json_int_t)outcome->samples));
    json_object_set_new(object, "warnings", warnings_encode(outcome));
    return object;
}
