/* Bodies of PUT /v1/estimates/{id}/outcome, against a request and an answer as they are kept. */
#include "server/json/receipt.h"
#include "tests/fuzz/server.h"

static const char REQUEST[] = "{\"model\":\"mixtral-8x7b\",\"gpu\":\"A40\",\"dataset\":"
                              "{\"lengths\":{\"name\":\"xia2024-math\"}}}";
static const char ANSWER[] = "{\"batch_size\":4,\"queries\":1000,\"epochs\":2,\"assumptions\":{}}";

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    struct lq_outcome_document outcome = {0};
    LQ_TRY(lq_outcome_decode(root, &outcome, faults));
    if (!outcome.calibrate) {
        return LQ_OK;
    }
    json_t *request = json_loads(REQUEST, 0, NULL);
    json_t *answer = json_loads(ANSWER, 0, NULL);
    json_t *point = NULL;
    const enum lq_code code =
        lq_outcome_point(request, answer, &outcome, "2026-09-01T12:00:00Z", &point, faults);
    if (code == LQ_OK) {
        lq_outcome_point_close(point);
        fuzz_encoded(point);
    }
    json_decref(request);
    json_decref(answer);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(decode, data, size);
    return 0;
}
