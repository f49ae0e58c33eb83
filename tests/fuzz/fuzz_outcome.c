/* Bodies of PUT /v1/estimates/{id}/outcome, against a request and an answer as they are kept. */
#include "server/json/receipt.h"
#include "tests/fuzz/server.h"

static const char REQUEST[] = "{\"model\":\"mixtral-8x7b\",\"gpu\":\"A40\",\"dataset\":"
                              "{\"lengths\":{\"name\":\"xia2024-math\"}}}";
static const char ANSWER[] = "{\"batch_size\":4,\"queries\":1000,\"epochs\":2,\"assumptions\":{}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lq_faults faults;
    faults.count = 0;
    json_t *root = fuzz_parse(data, size, &faults);
    if (root == NULL) {
        return 0;
    }
    struct lq_outcome_document outcome = {0};
    if (fuzz_decoded(lq_outcome_decode(root, &outcome, &faults), &faults) && outcome.calibrate) {
        json_t *request = json_loads(REQUEST, 0, NULL);
        json_t *answer = json_loads(ANSWER, 0, NULL);
        json_t *point = NULL;
        if (lq_outcome_point(request, answer, &outcome, "2026-09-01T12:00:00Z", &point, &faults) ==
            LQ_OK) {
            lq_outcome_point_close(point);
        }
        json_decref(point);
        json_decref(request);
        json_decref(answer);
    }
    json_decref(root);
    return 0;
}
