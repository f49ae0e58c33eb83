/* Recognises what a file or folder is and has it imported. What each format says is read in a file
 * of its own. */
#include "kernels/import/import.h"

#include "kernels/import/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum format { FORMAT_NONE, FORMAT_HF, FORMAT_LLAMAFACTORY, FORMAT_TORCHTUNE, FORMAT_CSV };

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text);
    return size >= strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

/* A file's format by its name alone. */
static enum format by_name(const char *name)
{
    if (strcmp(name, "trainer_log.jsonl") == 0) {
        return FORMAT_LLAMAFACTORY;
    }
    if (strcmp(name, "trainer_state.json") == 0 || strcmp(name, "all_results.json") == 0 ||
        strcmp(name, "train_results.json") == 0) {
        return FORMAT_HF;
    }
    return ends_with(name, ".csv") ? FORMAT_CSV : FORMAT_NONE;
}

/* The larger number behind `before` in names of the folder's entries wins: checkpoint-200 of
 * checkpoint-100 and -200; log_1718.txt of torchtune's runs. */
static size_t find_last(const char *folder, const char *before, const char *after, char last[256])
{
    DIR *entries = opendir(folder);
    long long highest = -1;
    size_t count = 0;
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
        char *end = NULL;
        if (strncmp(entry->d_name, before, strlen(before)) != 0) {
            continue;
        }
        const char *digits = entry->d_name + strlen(before);
        const long long number = strtoll(digits, &end, 10);
        if (end != digits && number >= 0 && strcmp(end, after) == 0) {
            count++;
            if (number > highest) {
                highest = number;
                snprintf(last, 256, "%s", entry->d_name);
            }
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
    return count;
}

static bool descend(struct lq_import_source *source, const char *folder)
{
    const size_t at = strlen(source->folder);
    const int size = snprintf(source->folder + at, sizeof source->folder - at, "/%s", folder);
    return size > 0 && (size_t)size < sizeof source->folder - at;
}

/* The log of a folder that has one of a known name. */
static enum format find_named(struct lq_import_source *source)
{
    static const char *const NAMES[] = {"trainer_log.jsonl", "trainer_state.json",
                                        "all_results.json", "train_results.json"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (lq_import_exists(source, NAMES[i])) {
            snprintf(source->log, sizeof source->log, "%s", NAMES[i]);
            return by_name(NAMES[i]);
        }
    }
    return FORMAT_NONE;
}

static enum format find_torchtune(struct lq_import_source *source, struct lq_notices *notices)
{
    const size_t at = strlen(source->folder);
    size_t count = find_last(source->folder, "log_", ".txt", source->log);
    if (count == 0 && descend(source, "logs")) {
        count = find_last(source->folder, "log_", ".txt", source->log);
    }
    if (count == 0) {
        source->folder[at] = '\0';
        return FORMAT_NONE;
    }
    if (count > 1) {
        lq_notice(notices, "%zu logs in the folder: the last, %.100s, is taken", count,
                  source->log);
    }
    return FORMAT_TORCHTUNE;
}

static enum lq_code find_in_folder(struct lq_import_source *source, struct lq_notices *notices,
                                   enum format *format, struct lq_error *err)
{
    char last[256];
    *format = find_named(source);
    if (*format == FORMAT_NONE) {
        *format = find_torchtune(source, notices);
    }
    if (*format == FORMAT_NONE) {
        const size_t count = find_last(source->folder, "checkpoint-", "", last);
        if (count > 0 && descend(source, last)) {
            *format = find_named(source);
            lq_notice(notices, "%zu checkpoint%s: the last, %.100s, is taken", count,
                      count == 1 ? "" : "s", last);
        }
    }
    return *format != FORMAT_NONE
               ? LQ_OK
               : lq_fail(err, LQ_ESYNTAX, NULL,
                         "%.200s: a folder without trainer_log.jsonl, trainer_state.json, "
                         "all_results.json, torchtune's log_*.txt or a checkpoint-* with one",
                         source->name);
}

/* A file of another name: by what stands in it. */
static enum lq_code sniff(const struct lq_import_source *source, enum format *format,
                          struct lq_error *err)
{
    struct lq_import_text text;
    LQ_TRY(lq_import_read(source, NULL, &text, err));
    const char *begin = text.data + strspn(text.data, " \t\r\n");
    if (strncmp(begin, "Step ", 5) == 0 || strstr(begin, "\nStep ") != NULL) {
        *format = FORMAT_TORCHTUNE;
    } else if (*begin == '{' && ends_with(source->log, ".json") &&
               (strstr(begin, "\"log_history\"") != NULL ||
                strstr(begin, "\"train_runtime\"") != NULL)) {
        *format = FORMAT_NONE;
        free(text.data);
        return lq_fail(err, LQ_ESYNTAX, NULL,
                       "%.200s looks like a Hugging Face Trainer's file; it must be called as that "
                       "calls it: trainer_state.json or all_results.json",
                       source->name);
    }
    free(text.data);
    return *format != FORMAT_NONE
               ? LQ_OK
               : lq_fail(err, LQ_ESYNTAX, NULL,
                         "%.200s: no format that is known: trainer_log.jsonl, trainer_state.json, "
                         "all_results.json, torchtune's text log, or *.csv",
                         source->name);
}

static enum lq_code find_source(const char *path, struct lq_import_source *source,
                                struct lq_notices *notices, enum format *format,
                                struct lq_error *err)
{
    struct stat status;
    *format = FORMAT_NONE;
    if (strlen(path) >= sizeof source->name) {
        return lq_fail(err, LQ_EFILE, NULL, "%.200s...: the path is too long", path);
    }
    if (stat(path, &status) != 0) {
        return lq_fail(err, LQ_EFILE, NULL, "cannot read %.200s: %s", path, strerror(errno));
    }
    snprintf(source->name, sizeof source->name, "%s", path);
    if (S_ISDIR(status.st_mode)) {
        snprintf(source->folder, sizeof source->folder, "%s", path);
        return find_in_folder(source, notices, format, err);
    }
    if (!S_ISREG(status.st_mode)) {
        return lq_fail(err, LQ_EFILE, NULL, "%.200s is no regular file", path);
    }
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    snprintf(source->folder, sizeof source->folder, "%.*s", slash != NULL ? (int)(slash - path) : 1,
             slash != NULL ? path : ".");
    if (slash == path) {
        memcpy(source->folder, "/", 2);
    }
    if (strlen(file) >= sizeof source->log) {
        return lq_fail(err, LQ_EFILE, NULL, "%.200s...: the name is too long", path);
    }
    snprintf(source->log, sizeof source->log, "%s", file);
    *format = by_name(file);
    return *format != FORMAT_NONE ? LQ_OK : sniff(source, format, err);
}

static enum lq_code import_run(const struct lq_import_source *source, enum format format,
                               const struct lq_import_options *options, struct lq_import_run *run,
                               struct lq_error *err)
{
    switch (format) {
    case FORMAT_HF:
        return lq_import_hf(source, options, run, err);
    case FORMAT_LLAMAFACTORY:
        return lq_import_llamafactory(source, options, run, err);
    case FORMAT_TORCHTUNE:
        return lq_import_torchtune(source, options, run, err);
    case FORMAT_NONE:
    case FORMAT_CSV:
        break;
    }
    return lq_fail(err, LQ_EINTERNAL, NULL, "no importer for format %d", (int)format);
}

/* A log: one run, one point. */
static enum lq_code import_log(const struct lq_import_source *source, enum format format,
                               const struct lq_import_options *options, struct lq_import_run *run,
                               lq_import_take take, void *context, struct lq_error *err)
{
    char *json = NULL;
    enum lq_code code = import_run(source, format, options, run, err);
    if (code == LQ_OK) {
        lq_facts_merge(&run->facts, &options->facts, &run->notices);
        code = lq_import_finish(source->name, run, &json, err);
    }
    const enum lq_code taken = take(context, json, run, err);
    code = code == LQ_OK ? taken : code;
    free(json);
    return code;
}

enum lq_code lq_import_path(const char *path, const struct lq_import_options *options,
                            lq_import_take take, void *context, struct lq_error *err)
{
    struct lq_import_source *source = calloc(1, sizeof *source);
    struct lq_import_run *run = calloc(1, sizeof *run);
    enum format format = FORMAT_NONE;
    enum lq_code code = source != NULL && run != NULL
                            ? find_source(path, source, &run->notices, &format, err)
                            : lq_fail(err, LQ_EINTERNAL, NULL, "%.200s: out of memory", path);
    if (code == LQ_OK) {
        code = format == FORMAT_CSV ? lq_import_csv(source, options, take, context, err)
                                    : import_log(source, format, options, run, take, context, err);
    }
    free(run);
    free(source);
    return code;
}
