/* config.json of any family: decoded, counted and written. */
#include "server/json/catalog.h"
#include "server/json/model_config.h"
#include "tests/fuzz/server.h"

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    static struct lq_model model;
    LQ_TRY(lq_model_decode_json("fuzz", root, "", &model, faults));
    const struct lq_parameters parameters = lq_model_parameters(&model, 0);
    fuzz_encoded(lq_model_encode(&model, &parameters));
    return LQ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(decode, data, size);
    return 0;
}
