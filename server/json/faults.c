/* Collects the faults of one request. */
#include "server/json/faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum lq_code lq_faults_add(struct lq_faults *faults, enum lq_code code, const char *pointer,
                           const char *format, ...)
{
    if (faults->count < LQ_FAULTS_MAX) {
        char detail[LQ_DETAIL_MAX];
        va_list args;
        va_start(args, format);
        vsnprintf(detail, sizeof detail, format, args);
        va_end(args);
        struct lq_error *item = &faults->items[faults->count];
        memset(item, 0, sizeof *item);
        lq_fail(item, code, pointer, "%s", detail);
    }
    faults->count++;
    return code;
}

enum lq_code lq_faults_take(struct lq_faults *faults, const char *prefix,
                            const struct lq_error *err)
{
    char pointer[LQ_POINTER_MAX * 2];
    snprintf(pointer, sizeof pointer, "%s%s", prefix, err->pointer);
    return lq_faults_add(faults, err->code, pointer, "%s", err->detail);
}
