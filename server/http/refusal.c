/* Answers written by hand: there is no request, no arena and no library around them. */
#include "server/http/refusal.h"

#include "server/http/request_id.h"
#include "server/json/problem.h"

#include <stdio.h>

size_t lq_refusal_write(enum lq_code code, const char *detail, char out[LQ_REFUSAL_MAX])
{
    char id[LQ_REQUEST_ID_MAX];
    lq_request_id_make(id);
    const int status = lq_problem_status(code);
    char body[512];
    int size = snprintf(body, sizeof body,
                        "{\"type\":\"urn:llmquote:problem:%s\",\"title\":\"%s\",\"status\":%d,"
                        "\"detail\":\"%s\",\"instance\":\"%s\"}",
                        lq_code_slug(code), lq_code_title(code), status, detail, id);
    int all = snprintf(out, LQ_REFUSAL_MAX,
                       "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n"
                       "Content-Length: %d\r\nX-Request-Id: %s\r\n%sCache-Control: no-store\r\n"
                       "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s",
                       status, status == 408 ? "Request Timeout" : "Service Unavailable", size, id,
                       status == 503 ? "Retry-After: 1\r\n" : "", body);
    return all > 0 && all < LQ_REFUSAL_MAX ? (size_t)all : 0;
}
