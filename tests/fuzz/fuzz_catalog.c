/* Models and suggestions as the worker reads them from a server's answers. */
#include "kernels/document/catalog.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lq_model model;
    struct lq_error err = {0};
    if (lq_model_read((const char *)data, size, &model, &err) != LQ_OK && err.detail[0] == '\0') {
        fuzz_fail("refused without a word");
    }
    struct lq_suggestion suggestions[8];
    size_t count = 0;
    err = (struct lq_error){0};
    if (lq_suggestions_read((const char *)data, size, suggestions, 8, &count, &err) == LQ_OK &&
        count > 8) {
        fuzz_fail("more suggestions than there is room for");
    }
    return 0;
}
