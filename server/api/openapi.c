/* Serves the embedded contract. */
#include "server/api/openapi.h"

#include "migrations/embed.h"

#include <stdio.h>
#include <string.h>

extern const struct lq_embedded LQ_OPENAPI[];
extern const char LQ_OPENAPI_DIGEST[];

enum lq_code lq_openapi_get(struct lq_call *call, struct lq_reply *reply)
{
    snprintf(reply->etag, sizeof reply->etag, "\"%.16s\"", LQ_OPENAPI_DIGEST);
    const char *known = call->request->if_none_match;
    if (known != NULL && (strstr(known, reply->etag) != NULL || strcmp(known, "*") == 0)) {
        reply->status = 304;
        return LQ_OK;
    }
    reply->content_type = "application/yaml";
    reply->body = LQ_OPENAPI[0].data;
    reply->body_size = LQ_OPENAPI[0].size;
    return LQ_OK;
}
