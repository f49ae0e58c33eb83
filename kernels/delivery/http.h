/* HTTP requests as a client. What answers mean is not known here. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Longer answers are cut off as a failure. */
enum { LQ_HTTP_ANSWER_MAX = 1024 * 1024 };

struct lq_http_settings {
    const char *ca_file; /* certificates to trust; NULL: those of the system */
    double timeout_s;    /* of one request as a whole, > 0 */
};

struct lq_http_request {
    const char *method;         /* GET, POST or PUT */
    const char *url;            /* http or https */
    const char *const *headers; /* "Name: value", ends in NULL */
    const char *body;           /* of POST and PUT */
    size_t body_size;
};

struct lq_http_answer {
    long status;
    char retry_after[64]; /* the header's value, or "" */
    char *body;           /* ends in a zero byte that is not counted; never NULL on success */
    size_t size;
};

struct lq_http;

/* A client; it keeps its connection. Nothing of libcurl is touched before. Free takes NULL.
 * Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_http_new(const struct lq_http_settings *settings, struct lq_http **out,
                                     struct lq_error *err);
void lq_http_free(struct lq_http *http);

/* Checks the URL of a server: http or https, with a host, without user, query or fragment. With
 * `is_secret` http is for this machine alone (127.0.0.0/8, ::1, localhost).
 * Errors: LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_http_check_server(const char *url, bool is_secret,
                                              struct lq_error *err);

/* One request and its answer, whatever the status. Certificates are always verified, redirects
 * never followed; proxies are those of the environment, but none stands before this machine. Ends
 * early when the program is asked to stop. The caller frees the answer. Errors: LQ_EPEER, also for
 * an answer above LQ_HTTP_ANSWER_MAX. */
LQ_MUST_USE enum lq_code lq_http_send(struct lq_http *http, const struct lq_http_request *request,
                                      struct lq_http_answer *answer, struct lq_error *err);
/* Blots a secret out of the body, should a server send it back: what it says may be shown. */
void lq_http_answer_blot(struct lq_http_answer *answer, const char *secret);
void lq_http_answer_free(struct lq_http_answer *answer);
