/* Keeps a folder, in memory where there is /dev/shm, and imports from it. */
#include "tests/fuzz/worker.h"

#include "kernels/import/import.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDER_MAX = 64, PATH_SIZE = 512 };

static char folder[FOLDER_MAX];

void fuzz_folder_empty(void)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
}

static void remove_folder(void)
{
    fuzz_folder_empty();
    (void)rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (folder[0] != '\0') {
        return folder;
    }
    static const char *const PLACES[] = {"/dev/shm", "/tmp"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(folder, sizeof folder, "%s/llmquote-fuzz-XXXXXX", PLACES[i]);
        if (mkdtemp(folder) != NULL) {
            (void)atexit(remove_folder);
            return folder;
        }
    }
    fuzz_fail("no place for a folder");
}

const char *fuzz_file(const char *name, const void *data, size_t size)
{
    static char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0) {
        fuzz_fail("cannot write %s", path);
    }
    return path;
}

/* What a caller says of every run, so that a log's rate alone decides. */
static void say_facts(struct lq_facts *facts)
{
    static const struct {
        enum lq_fact fact;
        const char *text;
    } SAID[] = {{LQ_FACT_GPU, "A40"},          {LQ_FACT_SOURCE, "lab"},
                {LQ_FACT_MODEL, "llama-2-7b"}, {LQ_FACT_METHOD, "lora"},
                {LQ_FACT_RANK, "8"},           {LQ_FACT_TARGETS, "q"},
                {LQ_FACT_GPU_COUNT, "1"},      {LQ_FACT_GRADIENT_CHECKPOINTING, "true"},
                {LQ_FACT_ROW_TOKENS, "256"},   {LQ_FACT_SEQUENCE_TOKENS, "256"}};
    for (size_t i = 0; i < sizeof SAID / sizeof SAID[0]; i++) {
        lq_fact_say(facts, SAID[i].fact, "--fuzz", "%s", SAID[i].text);
    }
}

static enum lq_code take(void *context, const char *json, const struct lq_import_run *run,
                         struct lq_error *err)
{
    static const char *const NUMBERS[] = {
        "\"queries_per_s\":", "\"step_time_s\":", "\"batch_size\":", "\"gpu_count\":"};
    (void)context;
    (void)run;
    (void)err;
    for (size_t i = 0; json != NULL && i < sizeof NUMBERS / sizeof NUMBERS[0]; i++) {
        const char *at = strstr(json, NUMBERS[i]);
        const double value = at != NULL ? strtod(at + strlen(NUMBERS[i]), NULL) : 1.0;
        if (!isfinite(value) || value <= 0.0 || value > 1e15) {
            fuzz_fail("%s", json);
        }
    }
    return LQ_OK;
}

/* Ends the file that began at `start`, whose name stands in `name`; notes it in `written`. */
static void end_file(const char *const *names, const char *name, const char *start, const char *end,
                     unsigned *written)
{
    for (unsigned i = 0; names[i] != NULL; i++) {
        if (strcmp(name, names[i]) == 0) {
            fuzz_file(name, start, (size_t)(end - start));
            *written |= 1U << i;
        }
    }
}

/* Removes what the input before had written and this one has not: cheaper than to empty the folder
 * and to make every file anew. */
static void remove_rest(const char *const *names, unsigned written)
{
    static unsigned there;
    for (unsigned i = 0; names[i] != NULL; i++) {
        if ((there & ~written & 1U << i) != 0) {
            char path[PATH_SIZE];
            snprintf(path, sizeof path, "%s/%s", fuzz_folder(), names[i]);
            (void)unlink(path);
        }
    }
    there = written;
}

static void write_files(const char *const *names, const char *text, size_t size)
{
    static const char MARK[] = "=== ";
    char name[64];
    snprintf(name, sizeof name, "%s", names[0]);
    const char *start = text;
    unsigned written = 0;
    for (const char *line = text; line < text + size;) {
        const char *stop = memchr(line, '\n', (size_t)(text + size - line));
        stop = stop != NULL ? stop : text + size;
        if ((size_t)(stop - line) > sizeof MARK && strncmp(line, MARK, sizeof MARK - 1) == 0) {
            end_file(names, name, start, line, &written);
            snprintf(name, sizeof name, "%.*s", (int)(stop - line) - 4, line + 4);
            start = stop < text + size ? stop + 1 : stop;
        }
        line = stop + 1;
    }
    end_file(names, name, start, text + size, &written);
    remove_rest(names, written);
}

void fuzz_import(const char *const *names, const char *table, const uint8_t *data, size_t size)
{
    struct lq_import_options options = {.allow_short = size % 2 == 0};
    struct lq_error err = {0};
    char path[PATH_SIZE];
    char *text = fuzz_text(data, size);
    write_files(names, text, size);
    free(text);
    say_facts(&options.facts);
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), table);
    const enum lq_code code = lq_import_path(path, &options, take, NULL, &err);
    if (code == LQ_EINTERNAL || (code != LQ_OK && err.detail[0] == '\0')) {
        fuzz_fail("%s: %s", lq_code_slug(code), err.detail);
    }
}
