/* Reading with a limit. */
#include "kernels/base/text_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 1024 * 1024 };

enum lq_code lq_text_file_read(const char *path, char **text, size_t *size, struct lq_error *err)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return lq_fail(err, LQ_EFILE, NULL, "%.200s: %s", path, strerror(errno));
    }
    char *read = malloc(BYTES_MAX + 2);
    if (read == NULL) {
        fclose(file);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    *size = fread(read, 1, BYTES_MAX + 1, file);
    const bool failed = ferror(file) != 0;
    const int why = errno;
    fclose(file);
    if (failed || *size > BYTES_MAX) {
        free(read);
        return lq_fail(err, LQ_EFILE, NULL, "%.200s: %s", path,
                       failed ? strerror(why) : "larger than 1 MiB");
    }
    read[*size] = '\0';
    *text = read;
    return LQ_OK;
}
