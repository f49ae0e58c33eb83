/* Reads a request's head: which fields count, which framing is refused, which media are JSON. */
#include "server/http/head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define TOKEN_CHARACTERS DIGITS LETTERS "!#$%&'*+-.^_`|~" /* RFC 9110, 5.6.2 */

#define HOST_CHARACTERS DIGITS LETTERS "-._~!$&'()*+,;=%:[]" /* RFC 3986, 3.2.2, and a port */

enum { CONTENT_LENGTH_MAX_DIGITS = 18, REQUEST_ID_MAX = 64 };

static const struct known {
    const char *name;
    size_t offset;
} KNOWN[] = {
    {"Accept-Encoding", offsetof(struct lq_head, accept_encoding)},
    {"Authorization", offsetof(struct lq_head, authorization)},
    {"Content-Length", offsetof(struct lq_head, content_length)},
    {"Content-Type", offsetof(struct lq_head, content_type)},
    {"Expect", offsetof(struct lq_head, expect)},
    {"Host", offsetof(struct lq_head, host)},
    {"Idempotency-Key", offsetof(struct lq_head, idempotency_key)},
    {"If-None-Match", offsetof(struct lq_head, if_none_match)},
    {"Origin", offsetof(struct lq_head, origin)},
    {"Access-Control-Request-Method", offsetof(struct lq_head, preflight_method)},
    {"X-Forwarded-For", offsetof(struct lq_head, forwarded_for)},
    {"X-Request-Id", offsetof(struct lq_head, request_id)},
    {"Transfer-Encoding", offsetof(struct lq_head, transfer_encoding)},
};

static bool is_token(const char *text, size_t size)
{
    return size > 0 && strspn(text, TOKEN_CHARACTERS) == size;
}

static bool has_control(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7F) {
            return true;
        }
    }
    return false;
}

static void set_fault(struct lq_head *head, const char *fault)
{
    if (head->fault == NULL) {
        head->fault = fault;
    }
}

void lq_head_add(struct lq_head *head, const char *name, size_t name_size, const char *value,
                 size_t value_size)
{
    head->bytes += name_size + value_size + sizeof ": \r\n" - 1;
    if (!is_token(name, name_size)) {
        set_fault(head, "a header field's name is not a token");
        return;
    }
    if (has_control(value, value_size)) {
        set_fault(head, "a header field's value has a control character");
        return;
    }
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        if (strcasecmp(name, KNOWN[i].name) != 0) {
            continue;
        }
        const char **slot = (const char **)(void *)((char *)head + KNOWN[i].offset);
        bool repeated_length = slot == &head->content_length && *slot != NULL &&
                               strcmp(*slot, value) == 0; /* RFC 9112, 6.3 allows this one */
        bool is_list =
            slot == &head->forwarded_for || slot == &head->accept_encoding || slot == &head->expect;
        if (*slot != NULL && !repeated_length && !is_list) {
            set_fault(head, "a header field that may come only once is repeated");
        }
        *slot = value;
        return;
    }
}

static const char *framing_fault(const struct lq_head *head, bool is_http_1_1)
{
    const char *length = head->content_length;
    if (head->transfer_encoding != NULL) {
        if (length != NULL) {
            return "Transfer-Encoding and Content-Length must not come together";
        }
        if (strcasecmp(head->transfer_encoding, "chunked") != 0) {
            return "the only Transfer-Encoding taken is chunked";
        }
        if (!is_http_1_1) {
            return "Transfer-Encoding needs HTTP/1.1";
        }
    }
    if (length != NULL) {
        size_t digits = strspn(length, DIGITS);
        if (digits == 0 || digits > CONTENT_LENGTH_MAX_DIGITS || length[digits] != '\0') {
            return "Content-Length must be a whole number";
        }
    }
    /* RFC 9110, 10.1.1 forbids it to clients, and the library would answer 100, act, and then wait
     * for a body. From HTTP/1.0 the field is to be ignored. */
    if (is_http_1_1 && head->expect != NULL && !lq_head_has_body(head)) {
        return "Expect needs a body, by Content-Length or Transfer-Encoding";
    }
    if (head->host != NULL && head->host[strspn(head->host, HOST_CHARACTERS)] != '\0') {
        return "Host must be a host and perhaps a port";
    }
    return is_http_1_1 && head->host == NULL ? "HTTP/1.1 needs a Host" : NULL;
}

enum lq_code lq_head_check(const struct lq_head *head, const char *version, struct lq_error *err)
{
    bool is_http_1_1 = strcmp(version, "HTTP/1.1") == 0;
    if (!is_http_1_1 && strcmp(version, "HTTP/1.0") != 0) {
        return lq_fail(err, LQ_EREQUEST, NULL, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    }
    const char *fault = head->fault != NULL ? head->fault : framing_fault(head, is_http_1_1);
    if (fault != NULL) {
        return lq_fail(err, LQ_EREQUEST, NULL, "%s", fault);
    }
    if (head->bytes > LQ_HEAD_MAX_BYTES) {
        return lq_fail(err, LQ_EHEAD, NULL, "the header fields have %zu bytes, at most %d are read",
                       head->bytes, LQ_HEAD_MAX_BYTES);
    }
    return LQ_OK;
}

bool lq_head_has_body(const struct lq_head *head)
{
    return lq_head_body_size(head) != 0;
}

int64_t lq_head_body_size(const struct lq_head *head)
{
    if (head->transfer_encoding != NULL) {
        return -1;
    }
    return head->content_length != NULL ? strtoll(head->content_length, NULL, 10) : 0;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* Whether what stands behind a coding's name gives it a weight of 0: "; q=0.000". */
static bool is_refused(const char *weight, size_t size)
{
    const char *q = memchr(weight, '=', size);
    if (q == NULL) {
        return false;
    }
    const size_t zeros = strspn(q + 1, "0. \t");
    return q + 1 + zeros >= weight + size;
}

bool lq_head_accepts_gzip(const struct lq_head *head)
{
    bool any = false;
    const char *text = head->accept_encoding != NULL ? head->accept_encoding : "";
    while (*text != '\0') {
        text += strspn(text, ", \t");
        const size_t size = strcspn(text, ",");
        const size_t name = strspn(text, TOKEN_CHARACTERS);
        const bool taken = !is_refused(text + name, size - name);
        if (name == 4 && strncasecmp(text, "gzip", 4) == 0) {
            return taken;
        }
        any = any || (name == 1 && *text == '*' && taken);
        text += size;
    }
    return any;
}

/* Reads one ";name=value" of a media type; NULL where it is malformed or a charset but utf-8. */
static const char *skip_parameter(const char *text)
{
    text = skip_blanks(text + 1);
    size_t name_size = strspn(text, TOKEN_CHARACTERS);
    if (name_size == 0) {
        return skip_blanks(text); /* "application/json;" */
    }
    bool is_charset = name_size == 7 && strncasecmp(text, "charset", 7) == 0;
    text += name_size;
    if (*text != '=') {
        return NULL;
    }
    bool quoted = *++text == '"';
    text += quoted;
    size_t size = quoted ? strcspn(text, "\"") : strspn(text, TOKEN_CHARACTERS);
    if (size == 0 || (quoted && text[size] != '"')) {
        return NULL;
    }
    if (is_charset && (size != 5 || strncasecmp(text, "utf-8", 5) != 0)) {
        return NULL;
    }
    return skip_blanks(text + size + quoted);
}

/* Whether nothing but parameters that can be taken stands behind a media type. */
static bool are_parameters(const char *text)
{
    const char *rest = skip_blanks(text);
    while (rest != NULL && *rest == ';') {
        rest = skip_parameter(rest);
    }
    return rest != NULL && *rest == '\0';
}

bool lq_media_is_json(const char *content_type)
{
    static const char PREFIX[] = "application/";
    enum { PREFIX_SIZE = sizeof PREFIX - 1 };
    if (content_type == NULL || strncasecmp(content_type, PREFIX, PREFIX_SIZE) != 0) {
        return false;
    }
    const char *subtype = content_type + PREFIX_SIZE;
    size_t size = strspn(subtype, TOKEN_CHARACTERS);
    bool is_json = size == 4 && strncasecmp(subtype, "json", 4) == 0;
    bool is_plus_json = size > 5 && strncasecmp(subtype + size - 5, "+json", 5) == 0;
    if (!is_json && !is_plus_json) {
        return false;
    }
    return are_parameters(subtype + size);
}

bool lq_media_is_csv(const char *content_type)
{
    static const char CSV[] = "text/csv";
    enum { CSV_SIZE = sizeof CSV - 1 };
    return content_type != NULL && strncasecmp(content_type, CSV, CSV_SIZE) == 0 &&
           are_parameters(content_type + CSV_SIZE);
}

bool lq_request_id_is_valid(const char *id)
{
    size_t size = strspn(id, DIGITS LETTERS "._-");
    return size >= 1 && size <= REQUEST_ID_MAX && id[size] == '\0';
}
