/* Codes, their texts and the one function that fills a failure. */
#include "core/base/error.h"

#include <stdarg.h>
#include <stdio.h>

/* clang-format off */
static const struct {
    const char *slug;
    const char *title;
} TEXTS[LQ_CODE_COUNT] = {
    [LQ_OK] = {"ok", "No error"},
#define X(id, slug, title) [id] = {slug, title},
    LQ_ERRORS(X)
#undef X
};
/* clang-format on */

enum lq_code lq_fail(struct lq_error *err, enum lq_code code, const char *pointer,
                     const char *format, ...)
{
    if (err == NULL || err->code != LQ_OK) {
        return code;
    }
    err->code = code;
    snprintf(err->pointer, sizeof err->pointer, "%s", pointer != NULL ? pointer : "");
    va_list args;
    va_start(args, format);
    vsnprintf(err->detail, sizeof err->detail, format, args);
    va_end(args);
    return code;
}

const char *lq_code_slug(enum lq_code code)
{
    return code < LQ_CODE_COUNT ? TEXTS[code].slug : "unknown";
}

const char *lq_code_title(enum lq_code code)
{
    return code < LQ_CODE_COUNT ? TEXTS[code].title : "Unknown error";
}
