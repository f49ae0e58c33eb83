/* Importing into texts, and folders for the tests' own files. */
#include "tests/worker/import_fixture.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void add(char text[IMPORTED_MAX], const char *line)
{
    const size_t at = strlen(text);
    snprintf(text + at, IMPORTED_MAX - at, "%s\n", line);
}

static enum lq_code take(void *context, const char *json, const struct lq_import_run *run,
                         struct lq_error *err)
{
    struct imported *out = context;
    (void)err;
    for (size_t i = 0; i < run->notices.count && i < LQ_NOTICES_MAX; i++) {
        add(out->notices, run->notices.text[i]);
    }
    if (json != NULL) {
        add(out->json, json);
        out->points++;
    }
    return LQ_OK;
}

static void read_options(const char *text, char config[256], struct lq_import_options *options)
{
    char copy[1024];
    char *rest = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *part = strtok_r(copy, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
        char name[64];
        char value[256] = "";
        char from[LQ_FACT_FROM_MAX];
        ck_assert_int_ge(sscanf(part, " %63s %255s", name, value), 1);
        if (strcmp(name, "allow-short") == 0) {
            options->allow_short = true;
        } else if (strcmp(name, "config") == 0) {
            snprintf(config, 256, "%s", value);
            options->config = config;
        } else {
            const int fact = lq_fact_index(name);
            ck_assert_msg(fact >= 0, "no option %s", name);
            snprintf(from, sizeof from, "--%.40s", name);
            lq_fact_say(&options->facts, (enum lq_fact)fact, from, "%s", value);
        }
    }
}

void import_path(const char *path, const char *text, struct imported *out)
{
    struct lq_import_options options = {0};
    struct lq_error err = {0};
    char config[256];
    memset(out, 0, sizeof *out);
    read_options(text, config, &options);
    out->code = lq_import_path(path, &options, take, out, &err);
    ck_assert_int_eq(err.code, out->code);
    snprintf(out->detail, sizeof out->detail, "%s", err.detail);
}

void import_sample(const char *sample, const char *options, struct imported *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", SAMPLES, sample);
    import_path(path, options, out);
}

const char *folder_make(char path[64])
{
    snprintf(path, 64, "/tmp/llmquote-import-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static void remove_files(const char *path)
{
    DIR *entries = opendir(path);
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
        char file[512];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.') {
            (void)unlink(file);
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
}

void folder_remove(const char *path)
{
    DIR *entries = opendir(path);
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
        char below[512];
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        struct stat status;
        if (entry->d_name[0] != '.' && lstat(below, &status) == 0 && S_ISDIR(status.st_mode)) {
            remove_files(below);
            (void)rmdir(below);
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
    remove_files(path);
    (void)rmdir(path);
}

void folder_write(const char *folder, const char *name, const char *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}
