/* Liveness and readiness. */
#include "server/api/health.h"

#include "server/store/store.h"

#include <string.h>

static enum lq_code reply_text(struct lq_reply *reply, const char *text)
{
    reply->body = text;
    reply->body_size = strlen(text);
    return LQ_OK;
}

enum lq_code lq_health_get(struct lq_call *call, struct lq_reply *reply)
{
    (void)call;
    return reply_text(reply, "{\"status\":\"ok\"}");
}

enum lq_code lq_ready_get(struct lq_call *call, struct lq_reply *reply)
{
    struct lq_error err = {0};
    if (lq_store_ready(call->store, &err) != LQ_OK) {
        return lq_faults_take(call->faults, "", &err);
    }
    return reply_text(reply, "{\"status\":\"ready\"}");
}
