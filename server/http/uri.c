/* Takes the target of a request line apart. */
#include "server/http/uri.h"

#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool lq_percent_decode(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_digit(in[1]);
        int low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || high * 16 + low == 0) {
            return false;
        }
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return true;
}

/* A form's spelling: "+" is a blank, then the escapes. */
static bool decode_form(char *text)
{
    for (char *c = strchr(text, '+'); c != NULL; c = strchr(c, '+')) {
        *c = ' ';
    }
    return lq_percent_decode(text);
}

static enum lq_code parse_query(char *text, struct lq_uri *out, struct lq_error *err)
{
    while (text != NULL && *text != '\0') {
        char *name = strsep(&text, "&");
        if (*name == '\0') {
            continue;
        }
        if (out->query_count == LQ_QUERY_MAX) {
            return lq_fail(err, LQ_EREQUEST, NULL, "at most %d query parameters are read",
                           LQ_QUERY_MAX);
        }
        char *value = name;
        strsep(&value, "=");
        if (!decode_form(name) || (value != NULL && !decode_form(value))) {
            return lq_fail(err, LQ_EREQUEST, NULL,
                           "the query has a percent escape that is broken or stands for NUL");
        }
        out->query[out->query_count++] =
            (struct lq_query){.name = name, .value = value != NULL ? value : ""};
    }
    return LQ_OK;
}

/* Where the path starts: behind scheme and authority, if those are there. */
static char *find_path(char *text)
{
    if (strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0) {
        return text;
    }
    char *authority = strchr(text, '/') + 2;
    char *path = authority + strcspn(authority, "/?");
    return path > authority ? path : text;
}

enum lq_code lq_uri_parse(char *text, struct lq_uri *out, struct lq_error *err)
{
    *out = (struct lq_uri){.path = find_path(text)};
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= 0x20 || *c == 0x7F || strchr("\"#<>\\^`{|}", *c) != NULL) {
            return lq_fail(err, LQ_EREQUEST, NULL,
                           "the target has a character that must be escaped");
        }
    }
    char *query = out->path;
    strsep(&query, "?");
    if (*out->path != '/' && strcmp(out->path, "*") != 0) {
        return lq_fail(err, LQ_EREQUEST, NULL, "the target is not a path");
    }
    return parse_query(query, out, err);
}
