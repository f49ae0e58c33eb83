/* Tells faults as application/problem+json. */
#include "server/json/problem.h"

#include "server/json/arena.h"
#include "server/json/field.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int lq_problem_status(enum lq_code code)
{
    switch (code) {
    case LQ_OK:
        return 200;
    case LQ_ESYNTAX:
    case LQ_EFIELD:
    case LQ_EREFERENCE:
    case LQ_EREQUEST:
        return 400;
    case LQ_ETOKEN:
        return 401;
    case LQ_ESCOPE:
        return 403;
    case LQ_ENOTFOUND:
        return 404;
    case LQ_EMETHOD:
        return 405;
    case LQ_EDEADLINE:
        return 408;
    case LQ_ECONFLICT:
        return 409;
    case LQ_ETOOLARGE:
        return 413;
    case LQ_EURI:
        return 414;
    case LQ_EMEDIA:
        return 415;
    case LQ_ENOFIT:
    case LQ_EUNPRICED:
    case LQ_ENOCOEFFICIENTS:
    case LQ_ENOMEASUREMENT:
    case LQ_EIMPOSSIBLE:
    case LQ_EFIT:
        return 422;
    case LQ_EBUSY:
        return 429;
    case LQ_EHEAD:
        return 431;
    case LQ_EOVERLOAD:
    case LQ_ESTORE:
        return 503;
    case LQ_ENUMBER:
    case LQ_EDEVICE: /* this one and the next two are the worker's */
    case LQ_EFILE:
    case LQ_EPEER:
    case LQ_EINTERNAL:
    case LQ_CODE_COUNT:
        return 500;
    }
    return 500;
}

enum { TEXT_MAX = LQ_DETAIL_MAX + LQ_POINTER_MAX + 64 };

/* Whether a fault of this code lies in the document, so that "" points at all of it. */
static bool is_in_document(const struct lq_error *fault)
{
    return fault->code == LQ_EFIELD || fault->code == LQ_EREFERENCE || fault->pointer[0] != '\0';
}

/* A string of a text that may hold foreign or cut-off bytes: those become '?'. */
static json_t *string_of(const char *text)
{
    json_t *string = json_string(text);
    if (string != NULL) {
        return string;
    }
    char clean[TEXT_MAX];
    size_t size = 0;
    for (; text[size] != '\0' && size < sizeof clean; size++) {
        clean[size] = text[size];
        if (((unsigned char)text[size] & 0x80) != 0) {
            clean[size] = '?';
        }
    }
    return json_stringn(clean, size);
}

static json_t *errors_of(const struct lq_faults *faults)
{
    json_t *errors = json_array();
    for (size_t i = 0; i < faults->count && i < LQ_FAULTS_MAX; i++) {
        if (!is_in_document(&faults->items[i])) {
            continue;
        }
        json_t *error = json_object();
        json_object_set_new(error, "pointer", string_of(faults->items[i].pointer));
        json_object_set_new(error, "detail", string_of(faults->items[i].detail));
        json_array_append_new(errors, error);
    }
    return errors;
}

/* One sentence for all: the only fault's, or how many there are and the first. */
static void summarise(const struct lq_faults *faults, int status, char *text, size_t size)
{
    const struct lq_error *first = &faults->items[0];
    if (status >= 500 && first->code != LQ_EOVERLOAD) { /* which tells nothing of our inside */
        snprintf(text, size, "%s. The log holds more under this request's id.",
                 lq_code_title(first->code));
    } else if (faults->count == 1) {
        snprintf(text, size, "%s%s%s", first->pointer, first->pointer[0] != '\0' ? ": " : "",
                 first->detail);
    } else {
        snprintf(text, size, "%zu faults, the first at \"%s\": %s", faults->count, first->pointer,
                 first->detail);
    }
}

json_t *lq_problem_new(const struct lq_faults *faults, const char *instance)
{
    enum lq_code code = faults->items[0].code;
    int status = lq_problem_status(code);
    char type[64];
    snprintf(type, sizeof type, "urn:llmquote:problem:%s", lq_code_slug(code));
    char detail[TEXT_MAX];
    summarise(faults, status, detail, sizeof detail);

    json_t *problem = json_object();
    json_object_set_new(problem, "type", json_string(type));
    json_object_set_new(problem, "title", json_string(lq_code_title(code)));
    json_object_set_new(problem, "status", json_integer(status));
    json_object_set_new(problem, "detail", string_of(detail));
    json_object_set_new(problem, "instance", json_string(instance));
    if (status < 500) {
        json_t *errors = errors_of(faults);
        if (json_array_size(errors) > 0) {
            json_object_set(problem, "errors", errors);
        }
        json_decref(errors);
    }
    if (faults->count > LQ_FAULTS_MAX) {
        json_object_set_new(problem, "error_count", json_integer((json_int_t)faults->count));
    }
    return problem;
}

char *lq_problem_encode(const struct lq_faults *faults, const char *instance, size_t *size)
{
    (void)lq_arena_failed(); /* that is what the problem tells, or it is about something else */
    json_t *problem = lq_problem_new(faults, instance);
    char *text = lq_dump(problem, 10, size);
    json_decref(problem);
    return text;
}
