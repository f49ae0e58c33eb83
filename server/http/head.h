/* What the head of a request says, gathered field by field, and whether it can be acted upon.
 * Knows the rules of HTTP (RFC 9110, 9112) but no HTTP library. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LQ_HEAD_MAX_BYTES = 16 * 1024, LQ_URI_MAX_BYTES = 4 * 1024 };

/* Borrowed values, NULL where the field is not there. Zero-initialise. */
struct lq_head {
    const char *accept_encoding; /* the last one, where there are several */
    const char *authorization;
    const char *content_length;
    const char *content_type;
    const char *expect;        /* the last one, where there are several */
    const char *forwarded_for; /* X-Forwarded-For; the last one, where there are several */
    const char *host;
    const char *idempotency_key;
    const char *if_none_match;
    const char *origin;
    const char *preflight_method; /* Access-Control-Request-Method */
    const char *request_id;       /* X-Request-Id */
    const char *transfer_encoding;
    size_t bytes;      /* of all fields with their separators */
    const char *fault; /* the first thing wrong with a field; static */
};

/* Takes in one field. Names are compared without regard to case; a second value for a field that
 * may come once only is a fault, unless it is an equal Content-Length. */
void lq_head_add(struct lq_head *head, const char *name, size_t name_size, const char *value,
                 size_t value_size);

/* Whether the request is framed so that every party on its way reads it alike.
 * version: as on the request line. Errors: LQ_EREQUEST (the connection cannot be used further),
 * LQ_EHEAD (over LQ_HEAD_MAX_BYTES). */
LQ_MUST_USE enum lq_code lq_head_check(const struct lq_head *head, const char *version,
                                       struct lq_error *err);

/* Whether a body follows the head, and its size: -1 where it is chunked. */
bool lq_head_has_body(const struct lq_head *head);
int64_t lq_head_body_size(const struct lq_head *head);

/* Whether gzip may answer (RFC 9110, 12.5.3): named or covered by "*", with a weight above 0. */
bool lq_head_accepts_gzip(const struct lq_head *head);

/* application/json or application/<anything>+json, with no charset but utf-8. NULL is not JSON. */
bool lq_media_is_json(const char *content_type);
/* text/csv (RFC 4180), with no charset but utf-8. NULL is not CSV. */
bool lq_media_is_csv(const char *content_type);

/* Whether a client's own request id can be taken over: 1 to 64 of A-Z a-z 0-9 . _ - */
bool lq_request_id_is_valid(const char *id);
