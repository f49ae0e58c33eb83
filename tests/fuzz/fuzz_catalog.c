/* What the worker reads of a server's answers: the first byte says as what, the rest is the body.
 */
#include "kernels/document/catalog.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { SUGGESTIONS = 8 };

static void read_model(const char *text, size_t size)
{
    static struct lq_model model;
    struct lq_error err = {0};
    if (lq_model_read(text, size, &model, &err) != LQ_OK) {
        if (err.detail[0] == '\0') {
            fuzz_fail("refused without a word");
        }
    } else if (lq_model_parameters(&model, 0).total < 1) {
        fuzz_fail("a model without parameters");
    }
}

static void read_suggestions(const char *text, size_t size)
{
    struct lq_suggestion suggestions[SUGGESTIONS];
    struct lq_error err = {0};
    size_t count = 0;
    if (lq_suggestions_read(text, size, suggestions, SUGGESTIONS, &count, &err) != LQ_OK) {
        return;
    }
    if (count > SUGGESTIONS) {
        fuzz_fail("more suggestions than there is room for");
    }
    for (size_t i = 0; i < count; i++) {
        if (suggestions[i].batch_size < 1 || suggestions[i].tokens < 1) {
            fuzz_fail("a suggestion that cannot be measured");
        }
    }
}

static void read_pending(const char *text, size_t size)
{
    struct lq_error err = {0};
    int64_t pending = 0;
    if (lq_pending_points_read(text, size, &pending, &err) != LQ_OK && err.detail[0] == '\0') {
        fuzz_fail("refused without a word");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const READERS[])(const char *, size_t) = {read_model, read_suggestions,
                                                            read_pending};
    if (size == 0) {
        return 0;
    }
    char *text = fuzz_text(data + 1, size - 1);
    READERS[data[0] % (sizeof READERS / sizeof *READERS)](text, size - 1);
    free(text);
    return 0;
}
