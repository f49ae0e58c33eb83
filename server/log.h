/* The log: lines of JSON on standard error, one per request and per change of state. */
#pragma once

#include <stddef.h>

/* One answered (or abandoned) request. Texts are foreign: they are escaped and cut. */
struct lq_access {
    const char *id;
    const char *method;
    const char *route; /* the table's path, or NULL */
    const char *path;  /* as it came; the route where that tells a secret */
    int status;        /* 0: the client went away before there was one */
    double duration_ms;
    size_t bytes;
};

/* Each writes one line in one write, so that lines of several threads never mix. */
void lq_log_request(const struct lq_access *access);

/* level: "info" or "error" · event: a word · id: of the request it belongs to, or NULL. */
void lq_log_event(const char *level, const char *event, const char *id, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
