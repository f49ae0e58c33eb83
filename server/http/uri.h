/* The target of a request line, taken apart: the path as it came and the query, decoded. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"

#include <stdbool.h>
#include <stddef.h>

struct lq_uri {
    char *path; /* still percent-encoded */
    struct lq_query query[LQ_QUERY_MAX];
    size_t query_count;
};

/* Takes `text` apart in place; it must outlive `out`. Understands /path?query,
 * http://host/path?query and "*". Errors: LQ_EREQUEST (not a target, a broken escape, an encoded
 * NUL, more than LQ_QUERY_MAX parameters); out->path is set even then. */
LQ_MUST_USE enum lq_code lq_uri_parse(char *text, struct lq_uri *out, struct lq_error *err);

/* Percent-decodes in place; false where an escape is broken or decodes to NUL. */
bool lq_percent_decode(char *text);
