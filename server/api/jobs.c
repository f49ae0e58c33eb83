/* Shows and cancels jobs. What is done in them is decided by the calls that post them. */
#include "server/api/jobs.h"

#include "server/api/page.h"
#include "server/jobs/queue.h"
#include "server/json/field.h"
#include "server/json/problem.h"
#include "server/store/utc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *time_encode(time_t time)
{
    if (time == 0) {
        return json_null();
    }
    char text[LQ_UTC_MAX];
    lq_utc_text(time, text);
    return json_string(text);
}

/* The result was made by this program: text that is no object cannot come. */
static json_t *result_encode(const char *text)
{
    struct lq_faults faults = {.count = 0};
    json_t *result = text != NULL ? lq_parse(text, strlen(text), &faults) : NULL;
    return result != NULL ? result : json_null();
}

static json_t *problem_encode(const struct lq_task_status *status)
{
    if (status->state != LQ_TASK_FAILED) {
        return json_null();
    }
    struct lq_faults faults = {.count = 0};
    lq_faults_take(&faults, "", &status->problem);
    return lq_problem_new(&faults, status->id);
}

static json_t *status_encode(const struct lq_task_status *status)
{
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(status->id));
    json_object_set_new(object, "kind", json_string(status->kind));
    json_object_set_new(object, "state", json_string(LQ_TASK_STATE_NAMES[status->state]));
    json_object_set_new(object, "progress", json_real(status->progress));
    json_object_set_new(object, "created_at", time_encode(status->created));
    json_object_set_new(object, "started_at", time_encode(status->started));
    json_object_set_new(object, "finished_at", time_encode(status->finished));
    json_object_set_new(object, "result", result_encode(status->result));
    json_object_set_new(object, "problem", problem_encode(status));
    return object;
}

static enum lq_code reply_job(struct lq_call *call, const char *id, int http_status,
                              struct lq_reply *reply)
{
    struct lq_task_status status = {.state = LQ_TASK_QUEUED};
    struct lq_error err = {0};
    if (lq_queue_get(call->queue, id, &status, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    json_t *object = status_encode(&status);
    free(status.result);
    return lq_reply_json(call, object, http_status, reply);
}

enum lq_code lq_jobs_get(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    return reply_job(call, call->request->param, 200, reply);
}

enum lq_code lq_jobs_delete(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    const struct lq_request *request = call->request;
    struct lq_error err = {0};
    if (lq_queue_cancel(call->queue, request->param, request->token_id, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    return reply_job(call, request->param, 200, reply);
}

enum lq_code lq_jobs_accepted(struct lq_call *call, const char *id, struct lq_reply *reply)
{
    snprintf(reply->location, sizeof reply->location, "/v1/jobs/%s", id);
    return reply_job(call, id, 202, reply);
}
