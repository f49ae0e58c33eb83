/* The table of settings, their parsers, and how flags, environment and defaults are combined. */
#include "server/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef bool (*parser)(const char *text, struct lq_config *out);

static bool parse_listen(const char *text, struct lq_config *out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text) {
        return false;
    }
    size_t host_size = (size_t)(colon - text);
    bool bracketed = text[0] == '[' && colon[-1] == ']'; /* [::1]:8080 */
    if (bracketed) {
        text++;
        host_size -= 2;
    }
    bool is_bare_ipv6 = !bracketed && memchr(text, ':', host_size) != NULL;
    size_t digits = strspn(colon + 1, "0123456789");
    if (host_size == 0 || host_size >= sizeof out->host || is_bare_ipv6 || digits == 0 ||
        digits > 5 || colon[1 + digits] != '\0' || strtol(colon + 1, NULL, 10) > 65535) {
        return false;
    }
    memcpy(out->host, text, host_size);
    out->host[host_size] = '\0';
    memcpy(out->port, colon + 1, digits + 1);
    return true;
}

static bool parse_path(const char *text, char out[LQ_PATH_MAX])
{
    size_t size = strlen(text);
    if (size >= LQ_PATH_MAX) {
        return false;
    }
    memcpy(out, text, size + 1);
    return true;
}

static bool parse_db(const char *text, struct lq_config *out)
{
    return text[0] != '\0' && parse_path(text, out->db);
}

static bool parse_tls_cert(const char *text, struct lq_config *out)
{
    return parse_path(text, out->tls_cert);
}

static bool parse_tls_key(const char *text, struct lq_config *out)
{
    return parse_path(text, out->tls_key);
}

/* A whole number from `least` to `most`. */
static bool parse_number(const char *text, int least, int most, int *out)
{
    char *end = NULL;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < least || number > most) {
        return false;
    }
    *out = (int)number;
    return true;
}

/* The same, or "cores" for as many as there are. */
static bool parse_cores(const char *text, int *out)
{
    if (strcmp(text, "cores") == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        *out = cores < 1 ? 1 : cores > LQ_THREADS_MAX ? LQ_THREADS_MAX : (int)cores;
        return true;
    }
    return parse_number(text, 1, LQ_THREADS_MAX, out);
}

static bool parse_threads(const char *text, struct lq_config *out)
{
    return parse_cores(text, &out->threads);
}

static bool parse_job_threads(const char *text, struct lq_config *out)
{
    return parse_cores(text, &out->job_threads);
}

static bool parse_job_queue(const char *text, struct lq_config *out)
{
    return parse_number(text, 1, LQ_JOB_QUEUE_MAX, &out->job_queue);
}

static bool parse_retention(const char *text, struct lq_config *out)
{
    return parse_number(text, 1, LQ_RETENTION_DAYS_MAX, &out->estimate_retention_days);
}

static bool parse_calibration_retention(const char *text, struct lq_config *out)
{
    return parse_number(text, 0, LQ_RETENTION_DAYS_MAX, &out->calibration_retention_days);
}

static bool parse_bodies(const char *text, struct lq_config *out)
{
    return parse_number(text, 1, LQ_CACHE_MIB_MAX, &out->bodies_mib);
}

static bool parse_cache(const char *text, struct lq_config *out)
{
    return parse_number(text, 0, LQ_CACHE_MIB_MAX, &out->cache_mib);
}

static bool parse_connections(const char *text, struct lq_config *out)
{
    return parse_number(text, 1, LQ_CONNECTIONS_MAX, &out->connections);
}

static bool parse_per_address(const char *text, struct lq_config *out)
{
    return parse_number(text, 1, LQ_CONNECTIONS_MAX, &out->connections_per_address);
}

static bool parse_deadline(const char *text, struct lq_config *out)
{
    return parse_number(text, 1, LQ_DEADLINE_S_MAX, &out->request_deadline_s);
}

/* "10", "10:50" (the burst, otherwise twice the rate) or "0". */
static bool parse_rate(const char *text, struct lq_rate_limit *out)
{
    static const double MOST = 1e9;
    char *end = NULL;
    double per_s = strtod(text, &end);
    double burst = per_s < 0.5 ? 1.0 : 2.0 * per_s;
    if (end == text || !(per_s >= 0.0) || per_s > MOST) {
        return false;
    }
    if (*end == ':') {
        const char *from = end + 1;
        burst = strtod(from, &end);
        if (end == from || !(burst >= 1.0) || burst > MOST) {
            return false;
        }
    }
    *out = (struct lq_rate_limit){.per_s = per_s, .burst = burst};
    return *end == '\0';
}

static bool parse_rate_per_token(const char *text, struct lq_config *out)
{
    return parse_rate(text, &out->rate_per_token);
}

static bool parse_rate_per_address(const char *text, struct lq_config *out)
{
    return parse_rate(text, &out->rate_per_address);
}

static bool parse_open_or_token(const char *text, bool *needs_token)
{
    *needs_token = strcmp(text, "token") == 0;
    return *needs_token || strcmp(text, "open") == 0;
}

static bool parse_reads(const char *text, struct lq_config *out)
{
    return parse_open_or_token(text, &out->reads_need_token);
}

static bool parse_metrics(const char *text, struct lq_config *out)
{
    return parse_open_or_token(text, &out->metrics_need_token);
}

static bool parse_proxies(const char *text, struct lq_config *out)
{
    char copy[LQ_PROXIES_MAX * 64];
    size_t size = strlen(text);
    if (size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, size + 1);
    char *rest = copy;
    for (char *one = strsep(&rest, ", "); one != NULL; one = strsep(&rest, ", ")) {
        if (*one == '\0') {
            continue;
        }
        if (out->proxy_count == LQ_PROXIES_MAX ||
            !lq_ip_range_parse(one, &out->proxies[out->proxy_count])) {
            return false;
        }
        out->proxy_count++;
    }
    return true;
}

/* scheme://host[:port], as browsers send it: nothing behind the host. */
static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");
    return host != NULL && host > text && host[3] != '\0' &&
           host[3 + strcspn(host + 3, "/?#* ")] == '\0' && strlen(text) < LQ_ORIGIN_MAX;
}

static bool parse_origins(const char *text, struct lq_config *out)
{
    char copy[LQ_ORIGINS_MAX * LQ_ORIGIN_MAX];
    size_t size = strlen(text);
    if (size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, size + 1);
    char *rest = copy;
    for (char *origin = strsep(&rest, ", "); origin != NULL; origin = strsep(&rest, ", ")) {
        if (*origin == '\0') {
            continue;
        }
        if (!is_origin(origin) || out->origin_count == LQ_ORIGINS_MAX) {
            return false;
        }
        memcpy(out->origins[out->origin_count++], origin, strlen(origin) + 1);
    }
    return true;
}

static bool parse_log(const char *text, struct lq_config *out)
{
    out->log_requests = strcmp(text, "info") == 0;
    return out->log_requests || strcmp(text, "none") == 0;
}

static const struct setting {
    const char *name;
    const char *variable;
    const char *takes; /* shown in the help and in refusals */
    const char *fallback;
    parser parse;
    const char *help;
} SETTINGS[] = {
    {"bodies-mib", "LLMQUOTE_BODIES_MIB", "1..65536", "256", parse_bodies,
     "MiB that all bodies on their way may take; one more is answered 503"},
    {"cache-mib", "LLMQUOTE_CACHE_MIB", "0..65536", "64", parse_cache,
     "MiB of computed answers that are kept for the same question; 0 for none"},
    {"calibration-retention-days", "LLMQUOTE_CALIBRATION_RETENTION_DAYS", "0..36500", "0",
     parse_calibration_retention, "days that posted calibrations are kept; 0: for ever"},
    {"connections", "LLMQUOTE_CONNECTIONS", "1..100000", "4000", parse_connections,
     "connections that may be open; more are answered 503"},
    {"connections-per-address", "LLMQUOTE_CONNECTIONS_PER_ADDRESS", "1..100000", "512",
     parse_per_address,
     "the same from one IPv4 address or IPv6 /64; trusted proxies have no limit"},
    {"cors-origin", "LLMQUOTE_CORS_ORIGIN", "ORIGIN[,ORIGIN...]", "", parse_origins,
     "origins such as https://example.org whose pages may call; repeatable"},
    {"db", "LLMQUOTE_DB", "PATH", "llmquote.db", parse_db,
     "the database file; made where there is none"},
    {"estimate-retention-days", "LLMQUOTE_ESTIMATE_RETENTION_DAYS", "1..36500", "365",
     parse_retention, "days that saved estimates are kept"},
    {"job-queue", "LLMQUOTE_JOB_QUEUE", "1..1024", "16", parse_job_queue,
     "long fits that may wait for a thread; more are refused"},
    {"job-threads", "LLMQUOTE_JOB_THREADS", "1..256|cores", "cores", parse_job_threads,
     "threads that do long fits"},
    {"listen", "LLMQUOTE_LISTEN", "ADDR:PORT", "127.0.0.1:8080", parse_listen,
     "where to serve; [::1]:8080 for IPv6, port 0 picks a free one"},
    {"log", "LLMQUOTE_LOG", "none|info", "info", parse_log,
     "info writes one line of JSON per request to standard error"},
    {"metrics", "LLMQUOTE_METRICS", "open|token", "open", parse_metrics,
     "whether /metrics needs a token of any scope"},
    {"rate-per-address", "LLMQUOTE_RATE_PER_ADDRESS", "RATE[:BURST]", "100000",
     parse_rate_per_address,
     "requests/s from one IPv4 address or IPv6 /64, more are answered 429; 0: any number"},
    {"rate-per-token", "LLMQUOTE_RATE_PER_TOKEN", "RATE[:BURST]", "100000", parse_rate_per_token,
     "requests/s with one token, more are answered 429; 0: any number"},
    {"reads", "LLMQUOTE_READS", "open|token", "open", parse_reads,
     "whether reading and estimating need a token of any scope"},
    {"request-deadline-s", "LLMQUOTE_REQUEST_DEADLINE_S", "1..3600", "30", parse_deadline,
     "seconds from a request's first byte to its last; slower ones are ended"},
    /* more than cores: each waits for the disk while it stores, and all that wait share a flush */
    {"threads", "LLMQUOTE_THREADS", "1..256|cores", "128", parse_threads,
     "threads that answer requests"},
    {"tls-cert", "LLMQUOTE_TLS_CERT", "FILE", "", parse_tls_cert,
     "serve HTTPS with this certificate chain (PEM); needs --tls-key. A handshake costs 1.5 ms of "
     "a\n"
     "      core: under load let a reverse proxy do it"},
    {"tls-key", "LLMQUOTE_TLS_KEY", "FILE", "", parse_tls_key, "its private key (PEM)"},
    {"trusted-proxy", "LLMQUOTE_TRUSTED_PROXY", "ADDRESS[/BITS][,...]", "", parse_proxies,
     "reverse proxies: the last address of their X-Forwarded-For counts; repeatable"},
};
enum { SETTING_COUNT = sizeof SETTINGS / sizeof SETTINGS[0] };

bool lq_config_flag(int argc, char *const *argv, int *i, const char *name, const char **value)
{
    const char *argument = argv[*i];
    size_t size = strlen(name);
    if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, name, size) != 0) {
        return false;
    }
    const char *behind = argument + 2 + size;
    if (*behind == '=') {
        *value = behind + 1;
        return true;
    }
    if (*behind != '\0') {
        return false;
    }
    *value = *i + 1 < argc ? argv[++*i] : NULL;
    return true;
}

static enum lq_code refuse(const struct setting *setting, const char *from, const char *text,
                           struct lq_error *err)
{
    return lq_fail(err, LQ_EFIELD, NULL, "%s takes %s, got \"%.200s\"", from, setting->takes, text);
}

/* Applies one argument; `given` learns which setting it was. */
static enum lq_code take_flag(struct lq_config *out, int argc, char *const *argv, int *i,
                              bool *given, struct lq_error *err)
{
    const char *flag = argv[*i];
    for (size_t s = 0; s < SETTING_COUNT; s++) {
        const char *value = NULL;
        if (!lq_config_flag(argc, argv, i, SETTINGS[s].name, &value)) {
            continue;
        }
        char from[32];
        snprintf(from, sizeof from, "--%s", SETTINGS[s].name);
        given[s] = true;
        if (value == NULL || !SETTINGS[s].parse(value, out)) {
            return refuse(&SETTINGS[s], from, value != NULL ? value : "", err);
        }
        return LQ_OK;
    }
    return lq_fail(err, LQ_EFIELD, NULL, "unknown argument \"%.200s\"; see --help", flag);
}

enum lq_code lq_config_load(struct lq_config *out, int argc, char *const *argv,
                            struct lq_error *err)
{
    memset(out, 0, sizeof *out);
    bool given[SETTING_COUNT] = {false};
    for (int i = 0; i < argc; i++) {
        LQ_TRY(take_flag(out, argc, argv, &i, given, err));
    }
    for (size_t s = 0; s < SETTING_COUNT; s++) {
        const char *text = given[s] ? NULL : getenv(SETTINGS[s].variable);
        if (text != NULL && !SETTINGS[s].parse(text, out)) {
            return refuse(&SETTINGS[s], SETTINGS[s].variable, text, err);
        }
        if (text == NULL && !given[s]) {
            SETTINGS[s].parse(SETTINGS[s].fallback, out);
        }
    }
    if ((out->tls_cert[0] != '\0') != (out->tls_key[0] != '\0')) {
        return lq_fail(err, LQ_EFIELD, NULL, "--tls-cert and --tls-key are needed together");
    }
    return LQ_OK;
}

bool lq_config_allows_origin(const struct lq_config *config, const char *origin)
{
    for (size_t i = 0; i < config->origin_count; i++) {
        if (strcmp(config->origins[i], origin) == 0) {
            return true;
        }
    }
    return false;
}

bool lq_config_trusts(const struct lq_config *config, struct lq_ip ip)
{
    for (size_t i = 0; i < config->proxy_count; i++) {
        if (lq_ip_range_has(&config->proxies[i], ip)) {
            return true;
        }
    }
    return false;
}

void lq_config_print_help(FILE *out)
{
    for (size_t s = 0; s < SETTING_COUNT; s++) {
        const struct setting *setting = &SETTINGS[s];
        fprintf(out, "  --%s %s\n      %s\n      default %s, or %s from the environment\n",
                setting->name, setting->takes, setting->help,
                setting->fallback[0] != '\0' ? setting->fallback : "none", setting->variable);
    }
}
