/* Imports of sample logs and of files made on the spot, for the tests of the importers. */
#pragma once

#include "kernels/import/import.h"

#include <stddef.h>

enum { IMPORTED_MAX = 8192 };

/* What came of one import. */
struct imported {
    enum lq_code code;
    size_t points;
    char json[IMPORTED_MAX];    /* the points, a line each */
    char notices[IMPORTED_MAX]; /* a line each */
    char detail[LQ_DETAIL_MAX]; /* of the failure */
};

/* Imports `path`; `options` is "gpu A40, gpu-count 1, config FILE, allow-short". */
void import_path(const char *path, const char *options, struct imported *out);

/* The same of a sample below tests/worker/logs. */
void import_sample(const char *sample, const char *options, struct imported *out);

/* A new folder below /tmp; removed, with what lies in it and one level below, by the second. */
const char *folder_make(char path[64]);
void folder_remove(const char *path);

/* Writes a file into a folder. */
void folder_write(const char *folder, const char *name, const char *data, size_t size);
