/* Targets of GET: taken apart, routed, and answered from the seeded catalog. */
#include "server/http/route.h"
#include "server/http/uri.h"
#include "tests/fuzz/server.h"

#include <stdlib.h>
#include <string.h>

static void answer(struct lq_uri *uri, const struct lq_match *match)
{
    struct lq_request request = {
        .method = "GET", .path = uri->path, .query_count = uri->query_count, .id = "fuzz"};
    char *param = NULL;
    if (match->param != NULL) {
        param = fuzz_text((const uint8_t *)match->param, match->param_size);
    }
    request.param = param;
    memcpy(request.query, uri->query, sizeof request.query);
    if (param == NULL || lq_percent_decode(param)) {
        fuzz_call(match->route->handler, &request);
    }
    free(param);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lq_uri uri = {0};
    struct lq_match match = {0};
    struct lq_error err = {0};
    char *text = fuzz_text(data, size);
    if (lq_uri_parse(text, &uri, &err) == LQ_OK &&
        lq_route_find("GET", uri.path, &match, &err) == LQ_OK && match.route->scope == NULL) {
        answer(&uri, &match);
    }
    free(text);
    return 0;
}
