/* config.json of any family: decoded, counted and written. */
#include "server/json/catalog.h"
#include "server/json/model_config.h"
#include "tests/fuzz/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lq_faults faults;
    faults.count = 0;
    json_t *root = fuzz_parse(data, size, &faults);
    if (root == NULL) {
        return 0;
    }
    static struct lq_model model;
    if (fuzz_decoded(lq_model_decode_json("fuzz", root, "", &model, &faults), &faults)) {
        const struct lq_parameters parameters = lq_model_parameters(&model, 0);
        json_decref(lq_model_encode(&model, &parameters));
    }
    json_decref(root);
    return 0;
}
