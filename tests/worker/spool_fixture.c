/* Temporary spools and looks into their files. */
#include "tests/worker/spool_fixture.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char spool_dir[64];

void spool_setup(void)
{
    snprintf(spool_dir, sizeof spool_dir, "/tmp/llmquote-spool-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(spool_dir));
}

void spool_teardown(void)
{
    DIR *dir = opendir(spool_dir);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlink(spool_path(entry->d_name)) != 0) {
            ck_assert_int_eq(rmdir(spool_path(entry->d_name)), 0);
        }
    }
    closedir(dir);
    ck_assert_int_eq(rmdir(spool_dir), 0);
}

const char *spool_path(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", spool_dir, name);
    return path;
}

struct lq_spool *spool_opened(bool damaged)
{
    struct lq_error err = {0};
    struct lq_spool *spool = NULL;
    char aside[256];
    const enum lq_code code = lq_spool_open(spool_dir, &spool, aside, sizeof aside, &err);
    ck_assert_msg(code == LQ_OK, "%s", err.detail);
    ck_assert_msg((aside[0] != '\0') == damaged, "aside: \"%s\"", aside);
    if (damaged) {
        ck_assert_int_eq(access(aside, R_OK), 0);
    }
    return spool;
}

void spool_keep(struct lq_spool *spool, int first, int last)
{
    for (int n = first; n <= last; n++) {
        char text[32];
        struct lq_error err = {0};
        snprintf(text, sizeof text, "{\"n\":%d}", n);
        ck_assert_msg(lq_spool_append(spool, text, &err) == LQ_OK, "%s", err.detail);
    }
}

void spool_expect_batch(struct lq_spool *spool, int first, int last, const char *key, char *key_out)
{
    char *want = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&want, &size);
    fputs("{\"points\":[", out);
    for (int n = first; n <= last; n++) {
        fprintf(out, "%s{\"n\":%d}", n > first ? "," : "", n);
    }
    fputs("]}", out);
    fclose(out);
    struct lq_error err = {0};
    struct lq_batch batch;
    const enum lq_code code = lq_spool_batch(spool, LQ_SPOOL_BATCH_POINTS_MAX, &batch, &err);
    ck_assert_msg(code == LQ_OK, "%s", err.detail);
    ck_assert_str_eq(batch.body, want);
    ck_assert_uint_eq(batch.body_size, size);
    ck_assert_uint_eq(batch.count, (size_t)(last - first + 1));
    if (key != NULL) {
        ck_assert_str_eq(batch.key, key);
    }
    if (key_out != NULL) {
        memcpy(key_out, batch.key, sizeof batch.key);
    }
    lq_batch_free(&batch);
    free(want);
}

char *spool_read(const char *name, size_t *size)
{
    FILE *file = fopen(spool_path(name), "rb");
    ck_assert_msg(file != NULL, "%s: %s", name, strerror(errno));
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = calloc(1, *size + 1);
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

void spool_write(const char *name, const char *data, size_t size)
{
    FILE *file = fopen(spool_path(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}
