/* Files of a run, read whole, and the flat part of their YAML. What the settings mean stands in the
 * importers. */
#include "kernels/import/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder's path, and a file's name in it: up to 255 bytes on every file system. */
enum { JOINED_MAX = LQ_IMPORT_PATH_MAX + 300 };

static bool join(const struct lq_import_source *source, const char *file, char path[JOINED_MAX])
{
    const int size =
        snprintf(path, JOINED_MAX, "%s/%s", source->folder, file != NULL ? file : source->log);
    return size > 0 && size < JOINED_MAX;
}

bool lq_import_exists(const struct lq_import_source *source, const char *file)
{
    char path[JOINED_MAX];
    struct stat status;
    return join(source, file, path) && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* Reads an open file whole. */
static enum lq_code read_all(int fd, const char *name, struct lq_import_text *out,
                             struct lq_error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return lq_fail(err, LQ_EFILE, NULL, "%.200s is no regular file", name);
    }
    if (status.st_size > (off_t)LQ_IMPORT_BYTES_MAX) {
        return lq_fail(err, LQ_EFILE, NULL, "%.200s is larger than %u MiB (%.0f MiB)", name,
                       LQ_IMPORT_BYTES_MAX >> 20U, (double)status.st_size / 1048576.0);
    }
    const size_t capacity = (size_t)status.st_size;
    char *data = malloc(capacity + 1);
    if (data == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "%.200s: out of memory", name);
    }
    size_t size = 0;
    while (size < capacity) {
        const ssize_t got = read(fd, data + size, capacity - size);
        if (got < 0) {
            free(data);
            return lq_fail(err, LQ_EFILE, NULL, "%.200s: %s", name, strerror(errno));
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    data[size] = '\0';
    *out = (struct lq_import_text){data, size};
    return LQ_OK;
}

/* Texts only: what a browser saved, or a tensor, is told apart by how it begins. */
static enum lq_code check_text(const char *name, const struct lq_import_text *text,
                               struct lq_error *err)
{
    const char *begin = text->data + strspn(text->data, " \t\r\n");
    if (*begin == '\0' && strlen(text->data) == text->size) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%.200s is empty", name);
    }
    if (strlen(text->data) != text->size) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%.200s is binary (it has a zero byte), no log",
                       name);
    }
    if (strncasecmp(begin, "<!doctype", 9) == 0 || strncasecmp(begin, "<html", 5) == 0) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%.200s is a web page (HTML), no log", name);
    }
    return LQ_OK;
}

enum lq_code lq_import_read(const struct lq_import_source *source, const char *file,
                            struct lq_import_text *out, struct lq_error *err)
{
    char path[JOINED_MAX];
    *out = (struct lq_import_text){0};
    if (!join(source, file, path)) {
        return lq_fail(err, LQ_EFILE, NULL, "%.200s: the path is too long", source->name);
    }
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return lq_fail(err, LQ_EFILE, NULL, "cannot read %.200s: %s", path, strerror(errno));
    }
    enum lq_code code = read_all(fd, path, out, err);
    close(fd);
    LQ_TRY(code);
    if (out->size >= 3 && memcmp(out->data, "\xEF\xBB\xBF", 3) == 0) {
        out->size -= 3;
        memmove(out->data, out->data + 3, out->size + 1);
    }
    code = check_text(path, out, err);
    if (code != LQ_OK) {
        free(out->data);
        *out = (struct lq_import_text){0};
    }
    return code;
}

enum lq_code lq_import_parse(const struct lq_import_source *source, const char *file,
                             struct lq_log_document **out, struct lq_error *err)
{
    char path[JOINED_MAX];
    struct lq_import_text text;
    LQ_TRY(lq_import_read(source, file, &text, err));
    (void)join(source, file, path);
    const enum lq_code code = lq_log_document_parse(path, text.data, text.size, out, err);
    free(text.data);
    return code;
}

char *lq_import_line(char **next, char *end)
{
    char *line = *next;
    if (line >= end) {
        return NULL;
    }
    char *stop = memchr(line, '\n', (size_t)(end - line));
    *next = stop != NULL ? stop + 1 : end;
    stop = stop != NULL ? stop : end;
    *stop = '\0';
    if (stop > line && stop[-1] == '\r') {
        stop[-1] = '\0';
    }
    return line;
}

static enum lq_code read_config(const char *config, struct lq_import_text *out,
                                struct lq_error *err)
{
    struct lq_import_source other = {.folder = "."};
    const char *slash = strrchr(config, '/');
    snprintf(other.name, sizeof other.name, "%s", config);
    if (slash != NULL) {
        snprintf(other.folder, sizeof other.folder, "%.*s", (int)(slash - config + 1), config);
    }
    snprintf(other.log, sizeof other.log, "%s", slash != NULL ? slash + 1 : config);
    return lq_import_read(&other, NULL, out, err);
}

static bool find_only_yaml(const char *path, char only[256])
{
    size_t count = 0;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return false;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0)) {
            snprintf(only, 256, "%s", entry->d_name);
            count++;
        }
    }
    closedir(folder);
    return count == 1;
}

enum lq_code lq_import_settings(const struct lq_import_source *source, const char *config,
                                const char *const *names, struct lq_import_text *out, char from[48],
                                struct lq_error *err)
{
    *out = (struct lq_import_text){0};
    if (config != NULL) {
        snprintf(from, 48, "%s", "--config");
        return read_config(config, out, err);
    }
    for (; *names != NULL; names++) {
        if (lq_import_exists(source, *names)) {
            snprintf(from, 48, "%s", *names);
            return lq_import_read(source, *names, out, err);
        }
    }
    char only[256] = "";
    if (!find_only_yaml(source->folder, only)) { /* of several, which one ran is not known */
        return LQ_OK;
    }
    snprintf(from, 48, "%.47s", only);
    return lq_import_read(source, only, out, err);
}
