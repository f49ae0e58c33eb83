/* Calls with a token and the server's problems as failures of ours. */
#include "kernels/delivery/client.h"

#include "kernels/base/stop.h"
#include "kernels/delivery/retry.h"
#include "kernels/document/delivery.h"

#include <stdio.h>
#include <string.h>

enum { URL_MAX = 1024, ATTEMPTS = 3 };

enum lq_code lq_client_open(const struct lq_settings *settings, bool needs_token,
                            struct lq_client *out, struct lq_error *err)
{
    *out = (struct lq_client){.settings = settings};
    LQ_TRY(lq_settings_token(settings, out->token, sizeof out->token, err));
    if (needs_token && out->token[0] == '\0') {
        return lq_fail(err, LQ_ETOKEN, NULL,
                       "this needs a token: --token-file PATH or LLMQUOTE_TOKEN");
    }
    const bool secret = out->token[0] != '\0' && !settings->insecure_http;
    LQ_TRY(lq_http_check_server(settings->server, secret, err));
    const struct lq_http_settings http = {.ca_file = settings->ca_file,
                                          .timeout_s = settings->timeout_s};
    return lq_http_new(&http, &out->http, err);
}

void lq_client_close(struct lq_client *client)
{
    lq_http_free(client->http);
    client->http = NULL;
    explicit_bzero(client->token, sizeof client->token);
}

static enum lq_code code_of(long status)
{
    switch (status) {
    case 401:
        return LQ_ETOKEN;
    case 403:
        return LQ_ESCOPE;
    case 404:
        return LQ_ENOTFOUND;
    case 409:
        return LQ_ECONFLICT;
    case 429:
    case 503:
        return LQ_EBUSY;
    default:
        return status >= 400 && status < 500 ? LQ_EFIELD : LQ_EPEER;
    }
}

static enum lq_code send(struct lq_client *client, const char *method, const char *path,
                         const char *body, struct lq_http_answer *answer, struct lq_error *err)
{
    char url[URL_MAX];
    char bearer[LQ_CLIENT_TOKEN_MAX + 32];
    const char *server = client->settings->server;
    size_t length = strlen(server);
    while (length > 0 && server[length - 1] == '/') {
        length--;
    }
    if ((size_t)snprintf(url, sizeof url, "%.*s%s", (int)length, server, path) >= sizeof url) {
        return lq_fail(err, LQ_EFIELD, NULL, "the server's URL is too long");
    }
    snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", client->token);
    const char *headers[3] = {"Content-Type: application/json",
                              client->token[0] != '\0' ? bearer : NULL, NULL};
    const struct lq_http_request request = {.method = method,
                                            .url = url,
                                            .headers = headers,
                                            .body = body,
                                            .body_size = body != NULL ? strlen(body) : 0};
    const enum lq_code code = lq_http_send(client->http, &request, answer, err);
    explicit_bzero(bearer, sizeof bearer);
    return code;
}

/* The server's own words, or that it has none. */
static enum lq_code judge(const struct lq_client *client, const char *method, const char *path,
                          struct lq_http_answer *answer, struct lq_error *err)
{
    lq_http_answer_blot(answer, client->token);
    const bool is_object = answer->body[strspn(answer->body, " \t\r\n")] == '{';
    if (answer->status >= 200 && answer->status < 300 && is_object) {
        return LQ_OK;
    }
    struct lq_problem problem;
    lq_problem_read(answer->body, answer->size, 0, &problem);
    const long status = answer->status;
    lq_http_answer_free(answer);
    if (problem.detail[0] == '\0') {
        return lq_fail(err, LQ_EPEER, NULL,
                       "%s answered %s %s with status %ld and no problem: it is no llmquote-server",
                       client->settings->server, method, path, status);
    }
    return lq_fail(err, code_of(status), NULL, "%s", problem.detail);
}

enum lq_code lq_client_call(struct lq_client *client, const char *method, const char *path,
                            const char *body, struct lq_http_answer *answer, struct lq_error *err)
{
    struct lq_error last = {0};
    enum lq_code code = LQ_EPEER;
    for (int attempt = 0; attempt < ATTEMPTS && !lq_stop_asked(); attempt++) {
        if (attempt > 0) {
            lq_stop_wait(lq_retry_backoff_s(attempt - 1, 0.5));
        }
        last = (struct lq_error){0};
        code = send(client, method, path, body, answer, &last);
        if (code == LQ_OK) {
            code = judge(client, method, path, answer, &last);
        }
        if (code != LQ_EPEER && code != LQ_EBUSY) {
            break;
        }
    }
    if (code == LQ_OK) {
        return LQ_OK;
    }
    return lq_fail(err, code, NULL, "%s", last.detail[0] != '\0' ? last.detail : "interrupted");
}
