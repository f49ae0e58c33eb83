/* Decodes and encodes tune or buy. */
#include "server/json/ownership.h"

#include "core/finetune/interval.h"
#include "server/json/field.h"
#include "server/json/lookup.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MILLION 1e6

static const double MONTHS[] = {1.0, 3.0, 12.0};

struct api_members {
    double input;
    double output;
};

#define AT(member) .offset = offsetof(struct api_members, member)
static const struct lq_field API_FIELDS[] = {
    {.name = "usd_per_million_input_tokens",
     .kind = LQ_FIELD_NUMBER,
     .required = true,
     AT(input),
     .min = 0.0,
     .max = 1e6},
    {.name = "usd_per_million_output_tokens",
     .kind = LQ_FIELD_NUMBER,
     .required = true,
     AT(output),
     .min = 0.0,
     .max = 1e6},
};
#undef AT

static void decode_api(const json_t *value, struct lq_ownership_document *out,
                       struct lq_faults *faults)
{
    struct api_members m = {0.0, 0.0};
    if (lq_decode(value, "/api", API_FIELDS, 2, &m, faults) != LQ_OK) {
        return;
    }
    if (!(m.input > 0.0 || m.output > 0.0)) {
        lq_faults_add(faults, LQ_EFIELD, "/api", "tokens that cost nothing are always bought");
    }
    out->usd_per_input_token = m.input / MILLION;
    out->usd_per_output_token = m.output / MILLION;
}

/* Where a fault of the serving document stands in the request: model and traffic are the
 * comparison's own members, and a bad model was already named. */
static void take_faults(const struct lq_faults *from, struct lq_faults *faults)
{
    for (size_t i = 0; i < from->count && i < LQ_FAULTS_MAX; i++) {
        const struct lq_error *err = &from->items[i];
        if (strncmp(err->pointer, "/model", 6) == 0) {
            continue;
        }
        const bool is_traffic = strncmp(err->pointer, "/traffic", 8) == 0;
        lq_faults_take(faults, is_traffic ? "" : "/serving", err);
    }
}

static void decode_serving(const struct lq_ownership_members *m, const struct lq_lookup *lookup,
                           struct lq_ownership_document *out, struct lq_faults *faults)
{
    static const char *const BESIDE[] = {"model", "traffic", "confidence", NULL};
    if (!json_is_object(m->serving)) {
        lq_faults_add(faults, LQ_EFIELD, "/serving",
                      "must be an object that names a gpu, as api was given");
        return;
    }
    json_t *document = json_object();
    const char *key;
    json_t *value;
    json_object_foreach(m->serving, key, value)
    {
        if (lq_name_index(key, BESIDE) >= 0) {
            lq_faults_add(faults, LQ_EFIELD, "/serving", "%s stands beside it, not in it", key);
            continue;
        }
        json_object_set(document, key, value);
    }
    json_object_set(document, "model", m->model);
    if (m->traffic != NULL) {
        json_object_set(document, "traffic", m->traffic);
    }
    struct lq_faults own = {.count = 0};
    if (m->model != NULL && lq_serving_decode(document, lookup, &out->serving, &own) != LQ_OK) {
        take_faults(&own, faults);
    }
    json_decref(document);
}

/* Nothing of it makes sense without prices to hold it against. */
static void refuse_without_api(const struct lq_ownership_members *m, struct lq_faults *faults)
{
    const struct {
        const char *pointer;
        bool given;
    } members[] = {{"/traffic", m->traffic != NULL},
                   {"/serving", m->serving != NULL},
                   {"/requests_per_month", m->requests_per_month > 0.0},
                   {"/utilisation", m->utilisation > 0.0}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (members[i].given) {
            lq_faults_add(faults, LQ_EFIELD, members[i].pointer, "goes with api");
        }
    }
}

void lq_ownership_decode(const struct lq_ownership_members *members, const struct lq_lookup *lookup,
                         struct lq_ownership_document *out, struct lq_faults *faults)
{
    *out = (struct lq_ownership_document){.asked = members->api != NULL};
    if (!out->asked) {
        refuse_without_api(members, faults);
        return;
    }
    out->requests_per_month = members->requests_per_month;
    out->utilisation = members->utilisation > 0.0 ? members->utilisation : 1.0;
    decode_api(members->api, out, faults);
    decode_serving(members, lookup, out, faults);
}

void lq_ownership_release(struct lq_ownership_document *document)
{
    if (document->asked) {
        lq_serving_release(&document->serving);
    }
}

/* null where it is never */
static json_t *finite_encode(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *interval_encode(const struct lq_ownership_answer *a, lq_own_quantity quantity,
                               double argument)
{
    double bounds[2];
    lq_own_interval(&a->ownership, quantity, argument, a->confidence, bounds);
    json_t *list = json_array();
    json_array_append_new(list, finite_encode(bounds[0]));
    json_array_append_new(list, finite_encode(bounds[1]));
    return list;
}

static json_t *horizon_encode(const struct lq_ownership_answer *a, double months)
{
    const struct lq_ownership *own = &a->ownership;
    json_t *o = json_object();
    json_object_set_new(o, "months", json_real(months));
    json_object_set_new(o, "break_even_requests_per_month",
                        finite_encode(lq_own_break_even_requests(own, months)));
    json_object_set_new(o, "break_even_requests_per_month_interval",
                        interval_encode(a, lq_own_break_even_requests, months));
    if (own->requests_per_month > 0.0) {
        json_object_set_new(o, "own_usd", json_real(lq_own_usd(own, months)));
        json_object_set_new(o, "own_usd_interval", interval_encode(a, lq_own_usd, months));
        json_object_set_new(o, "buy_usd", json_real(lq_buy_usd(own, months)));
        json_object_set_new(o, "p_own_cheaper", json_real(lq_own_chance(own, months)));
    }
    return o;
}

static json_t *serving_encode(const struct lq_ownership_answer *a)
{
    const struct lq_ownership *own = &a->ownership;
    json_t *o = lq_cost_line_encode(&a->line);
    json_object_del(o, "cost_usd");
    json_object_set_new(o, "gpu", json_string(a->document->serving.setup.gpu->id));
    json_object_set_new(o, "gpu_count", json_integer(a->gpu_count));
    json_object_set_new(o, "concurrent_requests", json_real(a->concurrent_requests));
    json_object_set_new(o, "tokens_per_s", json_real(a->tokens_per_s));
    json_object_set_new(o, "requests_per_month", json_real(own->group_requests_per_month));
    json_object_set_new(o, "usd_per_month", json_real(own->group_usd_per_month));
    json_object_set_new(o, "usd_per_request",
                        json_real(own->group_usd_per_month / own->group_requests_per_month));
    json_object_set_new(o, "groups",
                        own->requests_per_month > 0.0 ? json_integer((json_int_t)lq_own_groups(own))
                                                      : json_null());
    return o;
}

json_t *lq_ownership_encode(const struct lq_ownership_answer *a)
{
    const struct lq_ownership *own = &a->ownership;
    const bool said = own->requests_per_month > 0.0;
    double tuning[2];
    lq_interval_around(own->tuning_usd, own->tuning_log_sd, lq_interval_z(a->confidence), tuning);
    json_t *o = json_object();
    json_object_set_new(o, "level", json_real(a->confidence));
    json_object_set_new(o, "tuning_usd", json_real(own->tuning_usd));
    json_object_set_new(o, "tuning_usd_interval", json_pack("[f, f]", tuning[0], tuning[1]));
    json_object_set_new(o, "prompt_tokens", json_real(a->prompt_tokens));
    json_object_set_new(o, "output_tokens", json_real(a->output_tokens));
    json_object_set_new(o, "api_usd_per_request", json_real(own->api_usd_per_request));
    json_object_set_new(o, "utilisation", json_real(a->document->utilisation));
    json_object_set_new(o, "serving", serving_encode(a));
    json_object_set_new(o, "requests_per_month",
                        said ? json_real(own->requests_per_month) : json_null());
    json_object_set_new(o, "break_even_months",
                        said ? finite_encode(lq_own_break_even_months(own, 0.0)) : json_null());
    json_object_set_new(o, "break_even_months_interval",
                        said ? interval_encode(a, lq_own_break_even_months, 0.0) : json_null());
    json_t *horizons = json_array();
    for (size_t i = 0; i < sizeof MONTHS / sizeof MONTHS[0]; i++) {
        json_array_append_new(horizons, horizon_encode(a, MONTHS[i]));
    }
    json_object_set_new(o, "horizons", horizons);
    return o;
}
