/* Folders in memory for targets whose input is a file. */
#pragma once

#include "tests/fuzz/fuzz.h"

/* A folder of this process, emptied and removed when it ends. */
const char *fuzz_folder(void);

/* Writes a file into it; the returned path is static, overwritten by the next call. */
const char *fuzz_file(const char *name, const void *data, size_t size);

/* Empties it. */
void fuzz_folder_empty(void);

/* Imports the folder (`table`: that file of it) as the command does; checks what comes. Of the
 * input, lines "=== NAME" begin the file of that name, one of `names` (NULL-terminated); bytes
 * before the first such line are the first one's. */
void fuzz_import(const char *const *names, const char *table, const uint8_t *data, size_t size);
