/* Questions to an llmquote-server other than the delivery of points. */
#pragma once

#include "core/base/error.h"
#include "kernels/base/settings.h"
#include "kernels/delivery/http.h"

enum { LQ_CLIENT_TOKEN_MAX = 512 };

struct lq_client {
    const struct lq_settings *settings;
    struct lq_http *http;
    char token[LQ_CLIENT_TOKEN_MAX];
};

/* Nothing is connected before the first call; close is always allowed after it.
 * needs_token: a missing one is a failure. Errors: LQ_EFIELD, LQ_EFILE, LQ_ETOKEN, LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_client_open(const struct lq_settings *settings, bool needs_token,
                                        struct lq_client *out, struct lq_error *err);
void lq_client_close(struct lq_client *client);

/* One call; `body` NULL for none. A few attempts where the server cannot be reached or is busy. The
 * caller frees the answer, whose status is below 300.
 * Errors: LQ_EPEER; else what the server's problem says, by its status: LQ_ETOKEN (401), LQ_ESCOPE
 * (403), LQ_ENOTFOUND (404), LQ_ECONFLICT (409), LQ_EBUSY (429, 503), LQ_EFIELD (other 4xx). */
LQ_MUST_USE enum lq_code lq_client_call(struct lq_client *client, const char *method,
                                        const char *path, const char *body,
                                        struct lq_http_answer *answer, struct lq_error *err);
