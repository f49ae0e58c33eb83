/* Targets of GET: taken apart, routed, and answered from a short catalog; some from the seeded one.
 */
#include "server/api/validation.h"
#include "server/http/route.h"
#include "server/http/uri.h"
#include "tests/fuzz/server.h"

#include <stdlib.h>
#include <string.h>

static void answer(struct lq_uri *uri, const struct lq_match *match, bool whole)
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
        fuzz_call(match->route->handler, &request, whole ? fuzz_catalog() : fuzz_catalog_short());
    }
    free(param);
}

/* Open to all, and done within milliseconds: the validation takes the time of hundreds of fits and
 * reads nothing of its request; the tests of its route call it. */
static bool is_answered(const struct lq_route *route)
{
    return route->scope == NULL && route->handler != lq_validation_get;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lq_uri uri = {0};
    struct lq_match match = {0};
    struct lq_error err = {0};
    char *text = fuzz_begin(data, size);
    if (lq_uri_parse(text, &uri, &err) == LQ_OK &&
        lq_route_find("GET", uri.path, &match, &err) == LQ_OK) {
        if (is_answered(match.route)) {
            answer(&uri, &match, fuzz_is_one_in(FUZZ_COMPUTED, data, size));
        }
    } else if (err.detail[0] == '\0') {
        fuzz_fail("refused without a word");
    }
    fuzz_end(text);
    return 0;
}
