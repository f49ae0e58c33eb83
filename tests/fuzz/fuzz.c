/* What fuzz targets of server and worker share. */
#include "tests/fuzz/fuzz.h"

#include "core/base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("fuzz: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL) {
        fuzz_fail("out of memory");
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    return text;
}

bool fuzz_is_one_in(unsigned share, const uint8_t *data, size_t size)
{
    static int all = -1;
    if (all < 0) {
        all = getenv("FUZZ_ALL") != NULL;
    }
    return all == 1 || lq_hash_bytes(LQ_HASH_START, data, size) % share == 0;
}
