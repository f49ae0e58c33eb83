/* The only user of libcurl. */
#include "kernels/delivery/http.h"

#include "kernels/base/stop.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_MS = 30 * 1000 };

struct lq_http {
    CURL *curl;
    char *ca_file;
    long timeout_ms;
};

/* An answer while it arrives. */
struct arrival {
    struct lq_http_answer *answer;
    size_t capacity;
    bool is_too_large;
};

enum lq_code lq_http_new(const struct lq_http_settings *settings, struct lq_http **out,
                         struct lq_error *err)
{
    struct lq_http *http = calloc(1, sizeof *http);
    if (http == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* counts its users */
        free(http);
        return lq_fail(err, LQ_EINTERNAL, NULL, "cannot start libcurl");
    }
    http->curl = curl_easy_init();
    http->timeout_ms = (long)(1e3 * settings->timeout_s);
    http->ca_file = settings->ca_file != NULL ? strdup(settings->ca_file) : NULL;
    if (http->curl == NULL || (settings->ca_file != NULL && http->ca_file == NULL)) {
        lq_http_free(http);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    *out = http;
    return LQ_OK;
}

void lq_http_free(struct lq_http *http)
{
    if (http == NULL) {
        return;
    }
    curl_easy_cleanup(http->curl);
    curl_global_cleanup();
    free(http->ca_file);
    free(http);
}

/* Whether a host, as libcurl normalises it, can only be this machine. */
static bool is_loopback(const char *host)
{
    struct in_addr address;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* A part of a URL; "" where it has none. */
static void part_of(CURLU *url, CURLUPart part, char *out, size_t size)
{
    char *text = NULL;
    out[0] = '\0';
    if (curl_url_get(url, part, &text, 0) == CURLUE_OK) {
        snprintf(out, size, "%s", text);
        curl_free(text);
    }
}

struct server {
    char scheme[16];
    char host[256];
    bool has_more; /* user, password, query or fragment */
};

static bool read_server(const char *text, struct server *out)
{
    CURLU *url = curl_url();
    const bool is_url = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;
    if (is_url) {
        static const CURLUPart NONE_OF[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
                                            CURLUPART_FRAGMENT};
        part_of(url, CURLUPART_SCHEME, out->scheme, sizeof out->scheme);
        part_of(url, CURLUPART_HOST, out->host, sizeof out->host);
        out->has_more = false;
        for (size_t i = 0; i < sizeof NONE_OF / sizeof NONE_OF[0]; i++) {
            char more[8];
            part_of(url, NONE_OF[i], more, sizeof more);
            out->has_more = out->has_more || more[0] != '\0';
        }
    }
    curl_url_cleanup(url);
    return is_url;
}

enum lq_code lq_http_check_server(const char *url, bool is_secret, struct lq_error *err)
{
    struct server server;
    if (!read_server(url, &server) || server.host[0] == '\0' ||
        (strcmp(server.scheme, "http") != 0 && strcmp(server.scheme, "https") != 0)) {
        return lq_fail(err, LQ_EFIELD, NULL, "the server must be an http or https URL");
    }
    if (server.has_more) { /* not told: it may be a secret */
        return lq_fail(err, LQ_EFIELD, NULL,
                       "the server's URL has no user, password, query or fragment");
    }
    if (is_secret && strcmp(server.scheme, "http") == 0 && !is_loopback(server.host)) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "the token would travel readably over http to %.200s: use https, or "
                       "--insecure-http where the network is trusted",
                       server.host);
    }
    return LQ_OK;
}

static size_t take_body(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    struct arrival *arrival = context;
    struct lq_http_answer *answer = arrival->answer;
    if (answer->size + size > LQ_HTTP_ANSWER_MAX) {
        arrival->is_too_large = true;
        return 0;
    }
    if (answer->size + size + 1 > arrival->capacity) {
        const size_t capacity = 2 * (answer->size + size) + 1;
        char *body = realloc(answer->body, capacity);
        if (body == NULL) {
            return 0;
        }
        answer->body = body;
        arrival->capacity = capacity;
    }
    memcpy(answer->body + answer->size, data, size);
    answer->size += size;
    answer->body[answer->size] = '\0';
    return size;
}

static size_t take_header(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    static const char NAME[] = "retry-after:";
    struct lq_http_answer *answer = ((struct arrival *)context)->answer;
    size_t at = sizeof NAME - 1;
    if (size > at && strncasecmp(data, NAME, at) == 0) {
        at += strspn(data + at, " \t");
        size_t end = size;
        while (end > at && strchr("\r\n \t", data[end - 1]) != NULL) {
            end--;
        }
        snprintf(answer->retry_after, sizeof answer->retry_after, "%.*s", (int)(end - at),
                 data + at);
    }
    return size;
}

static int is_stopped(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)context, (void)a, (void)b, (void)c, (void)d;
    return lq_stop_asked() ? 1 : 0;
}

static void set_request(CURL *curl, const struct lq_http_request *request)
{
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    if (strcmp(request->method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
    }
    struct server server;
    if (read_server(request->url, &server) && is_loopback(server.host)) {
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    }
}

static void set_manners(const struct lq_http *http)
{
    CURL *curl = http->curl;
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "llmquote-worker/" LQ_VERSION);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (http->ca_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
    }
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, http->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     http->timeout_ms < CONNECT_TIMEOUT_MS ? http->timeout_ms : CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_stopped);
}

static enum lq_code perform(struct lq_http *http, struct arrival *arrival, struct lq_error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    CURL *curl = http->curl;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, arrival);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, arrival);
    const CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &arrival->answer->status);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    if (arrival->is_too_large) {
        return lq_fail(err, LQ_EPEER, NULL, "the answer is larger than %d bytes",
                       LQ_HTTP_ANSWER_MAX);
    }
    if (result != CURLE_OK) {
        return lq_fail(err, LQ_EPEER, NULL, "%s",
                       why[0] != '\0' ? why : curl_easy_strerror(result));
    }
    return LQ_OK;
}

enum lq_code lq_http_send(struct lq_http *http, const struct lq_http_request *request,
                          struct lq_http_answer *answer, struct lq_error *err)
{
    memset(answer, 0, sizeof *answer);
    struct arrival arrival = {.answer = answer, .capacity = 1};
    answer->body = calloc(1, 1);
    struct curl_slist *headers = NULL;
    for (const char *const *header = request->headers; *header != NULL; header++) {
        headers = curl_slist_append(headers, *header);
    }
    headers = curl_slist_append(headers, "Expect:"); /* no round trip before the body */
    enum lq_code code = LQ_OK;
    if (answer->body == NULL || headers == NULL) {
        code = lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    } else {
        curl_easy_reset(http->curl); /* keeps the connection */
        set_manners(http);
        set_request(http->curl, request);
        curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
        code = perform(http, &arrival, err);
    }
    curl_slist_free_all(headers);
    if (code != LQ_OK) {
        lq_http_answer_free(answer);
    }
    return code;
}

void lq_http_answer_blot(struct lq_http_answer *answer, const char *secret)
{
    const size_t length = strlen(secret);
    char *found = length > 0 ? memmem(answer->body, answer->size, secret, length) : NULL;
    while (found != NULL) {
        memset(found, '*', length);
        found = memmem(found, answer->size - (size_t)(found - answer->body), secret, length);
    }
}

void lq_http_answer_free(struct lq_http_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}
