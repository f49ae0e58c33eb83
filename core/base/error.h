/* The one way to fail: a code, a JSON Pointer to the offending input and a sentence about it. */
#pragma once

#include <stddef.h>

/* id, slug (tail of the problem's type URI), title. The list is the catalogue: every code has a
 * test. */
#define LQ_ERRORS(X)                                                                               \
    X(LQ_ESYNTAX, "invalid-json", "The body is not well-formed JSON")                              \
    X(LQ_EFIELD, "invalid-field", "A field is missing, unknown or out of range")                   \
    X(LQ_EREFERENCE, "unknown-reference", "A field names something that is not in the catalog")    \
    X(LQ_EREQUEST, "bad-request", "The request is malformed")                                      \
    X(LQ_ETOKEN, "token-required", "A valid bearer token is required")                             \
    X(LQ_ESCOPE, "scope-required", "The token lacks the scope for this call")                      \
    X(LQ_ENOTFOUND, "not-found", "No such resource")                                               \
    X(LQ_EMETHOD, "method-not-allowed", "This resource does not take that method")                 \
    X(LQ_ECONFLICT, "conflict", "The request conflicts with what is stored")                       \
    X(LQ_ETOOLARGE, "too-large", "The body is larger than the limit")                              \
    X(LQ_EURI, "uri-too-long", "The request's target is longer than the limit")                    \
    X(LQ_EHEAD, "head-too-large", "The request's header fields are larger than the limit")         \
    X(LQ_EMEDIA, "unsupported-media-type", "The body's media type is not supported")               \
    X(LQ_ENOFIT, "does-not-fit", "The job does not fit into the device's memory")                  \
    X(LQ_EUNPRICED, "unpriced", "None of the named providers prices this GPU")                     \
    X(LQ_ENOCOEFFICIENTS, "no-coefficients", "The estimator has no coefficients for this job")     \
    X(LQ_ENOMEASUREMENT, "no-measurement", "No measured point matches this job exactly")           \
    X(LQ_EIMPOSSIBLE, "impossible", "The request is valid but cannot be carried out")              \
    X(LQ_EFIT, "fit-failed", "The data do not determine the coefficients")                         \
    X(LQ_EBUSY, "busy", "Too many requests")                                                       \
    X(LQ_EDEADLINE, "request-timeout", "The request took too long to arrive")                      \
    X(LQ_EOVERLOAD, "overloaded", "The server holds as much as it may")                            \
    X(LQ_ESTORE, "store-unavailable", "The database cannot be used")                               \
    X(LQ_EDEVICE, "device-failed", "The device cannot do what was asked of it")                    \
    X(LQ_EFILE, "file-unusable", "A file cannot be read, written or understood")                   \
    X(LQ_EPEER, "server-unreachable", "The server cannot be reached or does not answer as one")    \
    X(LQ_ENUMBER, "not-a-number", "A computed quantity is not finite")                             \
    X(LQ_EINTERNAL, "internal", "Internal error")

enum lq_code {
    LQ_OK = 0,
#define X(id, slug, title) id,
    LQ_ERRORS(X)
#undef X
        LQ_CODE_COUNT
};

enum { LQ_POINTER_MAX = 128, LQ_DETAIL_MAX = 400 };

/* A failure, fixed in size and on the caller's stack; zero-initialise it before use. */
struct lq_error {
    enum lq_code code;
    char pointer[LQ_POINTER_MAX]; /* RFC 6901, "" for the whole document */
    char detail[LQ_DETAIL_MAX];   /* one sentence with the offending value and the allowed range */
};

#define LQ_MUST_USE __attribute__((warn_unused_result))

/* Fills `err` unless it already holds a failure (the first wins) and returns `code`.
 * `pointer` may be NULL for none; longer texts are cut, never overflowed. `err` may be NULL. */
enum lq_code lq_fail(struct lq_error *err, enum lq_code code, const char *pointer,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Slug ("does-not-fit") and title of a code; both static. LQ_OK yields "ok". */
const char *lq_code_slug(enum lq_code code);
const char *lq_code_title(enum lq_code code);

/* Returns from the enclosing function with the code of a failed call. */
#define LQ_TRY(call)                                                                               \
    do {                                                                                           \
        enum lq_code lq_try_code = (call);                                                         \
        if (lq_try_code != LQ_OK) {                                                                \
            return lq_try_code;                                                                    \
        }                                                                                          \
    } while (0)
