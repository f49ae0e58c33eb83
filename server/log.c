/* Writes log lines: built on the stack, escaped, out by a single write. */
#include "server/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, TEXT_MAX_BYTES = 400, TIME_BYTES = 32 };

struct line {
    char text[LINE_MAX_BYTES];
    size_t size;
};

/* Room is always left for the closing bracket and the line's end. */
static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *line, const char *format, ...)
{
    size_t room = sizeof line->text - line->size - 2;
    va_list args;
    va_start(args, format);
    int written = vsnprintf(line->text + line->size, room, format, args);
    va_end(args);
    if (written > 0 && (size_t)written < room) {
        line->size += (size_t)written;
    }
}

/* ,"name":"text" with everything but printable ASCII escaped; a byte above that is read as Latin-1.
 */
static void put_text(struct line *line, const char *name, const char *text)
{
    char escaped[TEXT_MAX_BYTES + 8];
    size_t used = 0;
    for (; *text != '\0' && used < TEXT_MAX_BYTES; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte >= 0x7F) {
            used += (size_t)snprintf(escaped + used, sizeof escaped - used, "\\u%04x", byte);
            continue;
        }
        if (byte == '"' || byte == '\\') {
            escaped[used++] = '\\';
        }
        escaped[used++] = (char)byte;
    }
    escaped[used] = '\0';
    put(line, ",\"%s\":\"%s\"", name, escaped);
}

/* {"time":"...","level":"..." ; the part that changes once a second is kept per thread. */
static void start(struct line *line, const char *level)
{
    static _Thread_local time_t second = -1;
    static _Thread_local char date[TIME_BYTES];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm utc;
        gmtime_r(&now.tv_sec, &utc);
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
        second = now.tv_sec;
    }
    line->size = 0;
    put(line, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\"", date, now.tv_nsec / 1000000, level);
}

static void finish(struct line *line)
{
    line->text[line->size++] = '}';
    line->text[line->size++] = '\n';
    ssize_t written = write(STDERR_FILENO, line->text, line->size);
    (void)written; /* a log that cannot be written must not stop the service */
}

void lq_log_request(const struct lq_access *access)
{
    struct line line;
    start(&line, access->status >= 500 ? "error" : "info");
    put_text(&line, "id", access->id);
    put_text(&line, "method", access->method);
    put_text(&line, "route", access->route != NULL ? access->route : "");
    put_text(&line, "path", access->path);
    put(&line, ",\"status\":%d,\"ms\":%.3f,\"bytes\":%zu", access->status, access->duration_ms,
        access->bytes);
    finish(&line);
}

void lq_log_event(const char *level, const char *event, const char *id, const char *format, ...)
{
    char detail[TEXT_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    struct line line;
    start(&line, level);
    put_text(&line, "event", event);
    if (id != NULL) {
        put_text(&line, "id", id);
    }
    put_text(&line, "detail", detail);
    finish(&line);
}
