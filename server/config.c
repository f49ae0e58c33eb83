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

static bool parse_db(const char *text, struct lq_config *out)
{
    size_t size = strlen(text);
    if (size == 0 || size >= sizeof out->db) {
        return false;
    }
    memcpy(out->db, text, size + 1);
    return true;
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

static bool parse_cache(const char *text, struct lq_config *out)
{
    return parse_number(text, 0, LQ_CACHE_MIB_MAX, &out->cache_mib);
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
    {"calibration-retention-days", "LLMQUOTE_CALIBRATION_RETENTION_DAYS", "0..36500", "0",
     parse_calibration_retention, "days that posted calibrations are kept; 0: for ever"},
    {"cors-origin", "LLMQUOTE_CORS_ORIGIN", "ORIGIN[,ORIGIN...]", "", parse_origins,
     "origins such as https://example.org whose pages may call; repeatable"},
    {"cache-mib", "LLMQUOTE_CACHE_MIB", "0..65536", "64", parse_cache,
     "MiB of computed answers that are kept for the same question; 0 for none"},
    {"db", "LLMQUOTE_DB", "PATH", "llmquote.db", parse_db,
     "the database file; made where there is none"},
    {"estimate-retention-days", "LLMQUOTE_ESTIMATE_RETENTION_DAYS", "1..36500", "365",
     parse_retention, "days that saved estimates are kept"},
    {"job-queue", "LLMQUOTE_JOB_QUEUE", "1..1024", "16", parse_job_queue,
     "long fits that may wait for a thread; more are refused"},
    {"job-threads", "LLMQUOTE_JOB_THREADS", "1..64|cores", "cores", parse_job_threads,
     "threads that do long fits"},
    {"listen", "LLMQUOTE_LISTEN", "ADDR:PORT", "127.0.0.1:8080", parse_listen,
     "where to serve; [::1]:8080 for IPv6, port 0 picks a free one"},
    {"log", "LLMQUOTE_LOG", "none|info", "info", parse_log,
     "info writes one line of JSON per request to standard error"},
    /* more than cores: each waits for the disk while it stores, and all that wait share a flush */
    {"threads", "LLMQUOTE_THREADS", "1..64|cores", "32", parse_threads,
     "threads that answer requests"},
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

void lq_config_print_help(FILE *out)
{
    for (size_t s = 0; s < SETTING_COUNT; s++) {
        const struct setting *setting = &SETTINGS[s];
        fprintf(out, "  --%s %s\n      %s\n      default %s, or %s from the environment\n",
                setting->name, setting->takes, setting->help,
                setting->fallback[0] != '\0' ? setting->fallback : "none", setting->variable);
    }
}
