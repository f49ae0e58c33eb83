/* Reading options from arguments and the environment, and the shared settings among them. */
#include "kernels/base/settings.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VARIABLE_MAX = 64, GIVEN_MAX = 64 /* options of all tables together */ };

#define AT(member) .offset = offsetof(struct lq_settings, member)
static const struct lq_setting SHARED[] = {
    {.name = "ca-file",
     .takes = "PATH",
     .help = "certificates to trust instead of the system's",
     .kind = LQ_SETTING_TEXT,
     AT(ca_file)},
    {.name = "give-up",
     .takes = "SECONDS",
     .help = "how long to go on trying to deliver",
     .fallback = "900",
     .kind = LQ_SETTING_NUMBER,
     AT(give_up_s),
     .min = 0.0,
     .max = 7.0 * 24.0 * 3600.0},
    {.name = "insecure-http",
     .help = "send the token over http to another machine, readable on the way",
     .kind = LQ_SETTING_SWITCH,
     AT(insecure_http)},
    {.name = "server",
     .takes = "URL",
     .help = "the llmquote-server that takes the points",
     .fallback = "http://127.0.0.1:8080",
     .kind = LQ_SETTING_TEXT,
     AT(server)},
    {.name = "spool",
     .takes = "DIR",
     .help = "where points wait; else $XDG_STATE_HOME/llmquote-worker or "
             "~/.local/state/llmquote-worker",
     .kind = LQ_SETTING_TEXT,
     AT(spool)},
    {.name = "timeout",
     .takes = "SECONDS",
     .help = "the longest wait for one answer",
     .fallback = "120",
     .kind = LQ_SETTING_NUMBER,
     AT(timeout_s),
     .min = 0.1,
     .max = 3600.0},
    {.name = "token-file",
     .takes = "PATH",
     .help = "a file whose first line is the token (scope calibrations:write)",
     .kind = LQ_SETTING_TEXT,
     AT(token_file)},
};
#undef AT

struct lq_setting_table lq_settings_table(struct lq_settings *settings)
{
    return (struct lq_setting_table){SHARED, sizeof SHARED / sizeof SHARED[0], settings};
}

/* "give-up" -> "LLMQUOTE_GIVE_UP" */
static const char *name_variable(const struct lq_setting *option, char variable[VARIABLE_MAX])
{
    snprintf(variable, VARIABLE_MAX, "LLMQUOTE_%s", option->name);
    for (char *c = variable; *c != '\0'; c++) {
        *c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
    }
    return variable;
}

static bool parse_count(const struct lq_setting *option, const char *text, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    *out = (int64_t)number;
    return end != text && *end == '\0' && errno == 0 && (double)number >= option->min &&
           (double)number <= option->max;
}

static bool parse_number(const struct lq_setting *option, const char *text, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out) && *out >= option->min &&
           *out <= option->max;
}

static bool parse_choice(const struct lq_setting *option, const char *text, int *out)
{
    for (int i = 0; option->names[i] != NULL; i++) {
        if (strcmp(option->names[i], text) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool parse_switch(const char *text, bool *out)
{
    *out = strcmp(text, "1") == 0;
    return *out || strcmp(text, "0") == 0;
}

static bool parse(const struct lq_setting *option, const char *text, void *values)
{
    void *member = (char *)values + option->offset;
    switch (option->kind) {
    case LQ_SETTING_TEXT:
        *(const char **)member = text;
        return text[0] != '\0';
    case LQ_SETTING_COUNT:
        return parse_count(option, text, member);
    case LQ_SETTING_NUMBER:
        return parse_number(option, text, member);
    case LQ_SETTING_CHOICE:
        return parse_choice(option, text, member);
    case LQ_SETTING_SWITCH:
        return parse_switch(text, member);
    }
    return false;
}

/* What an option takes, with its range: "SECONDS from 0 to 900". */
static void describe(const struct lq_setting *option, char *out, size_t size)
{
    if (option->kind == LQ_SETTING_COUNT || option->kind == LQ_SETTING_NUMBER) {
        snprintf(out, size, "%s from %.15g to %.15g", option->takes, option->min, option->max);
    } else {
        snprintf(out, size, "%s", option->takes != NULL ? option->takes : "0 or 1");
    }
}

static enum lq_code set(const struct lq_setting *option, const char *from, const char *text,
                        void *values, struct lq_error *err)
{
    if (text != NULL && parse(option, text, values)) {
        return LQ_OK;
    }
    char takes[128];
    describe(option, takes, sizeof takes);
    if (text == NULL) {
        return lq_fail(err, LQ_EFIELD, NULL, "%s takes %s, got nothing; see --help", from, takes);
    }
    return lq_fail(err, LQ_EFIELD, NULL, "%s takes %s, got \"%.100s\"", from, takes, text);
}

/* All tables, and which of their options arguments gave. */
struct reading {
    const struct lq_setting_table *tables;
    size_t table_count;
    bool given[GIVEN_MAX];
};

/* The option that `argument` ("--name" or "--name=VALUE") names, and where its value goes. */
static const struct lq_setting *find(struct reading *reading, const char *argument, void **values)
{
    const size_t size = strcspn(argument + 2, "=");
    bool *given = reading->given;
    for (size_t t = 0; t < reading->table_count; t++) {
        const struct lq_setting_table *table = &reading->tables[t];
        for (size_t i = 0; i < table->count; i++, given++) {
            const struct lq_setting *option = &table->options[i];
            if (strlen(option->name) == size && memcmp(option->name, argument + 2, size) == 0) {
                *values = table->values;
                *given = true;
                return option;
            }
        }
    }
    return NULL;
}

/* Takes the option `argument`; its value may be `next`, and then *used_next. */
static enum lq_code take(struct reading *reading, const char *argument, const char *next,
                         bool *used_next, struct lq_error *err)
{
    void *values = NULL;
    const char *equals = strchr(argument, '=');
    const struct lq_setting *option = find(reading, argument, &values);
    *used_next = false;
    if (option == NULL) {
        const int size = (int)strcspn(argument, "=");
        return lq_fail(err, LQ_EFIELD, NULL, "unknown option \"%.*s\"; see --help",
                       size < 100 ? size : 100, argument);
    }
    char from[VARIABLE_MAX];
    snprintf(from, sizeof from, "--%s", option->name);
    if (option->kind == LQ_SETTING_SWITCH) {
        return equals == NULL ? set(option, from, "1", values, err)
                              : lq_fail(err, LQ_EFIELD, NULL, "%s takes no value", from);
    }
    *used_next = equals == NULL;
    return set(option, from, equals != NULL ? equals + 1 : next, values, err);
}

/* What no argument gave: variables, then fallbacks. */
static enum lq_code fill(const struct lq_setting_table *table, const bool *given,
                         struct lq_error *err)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct lq_setting *option = &table->options[i];
        char variable[VARIABLE_MAX];
        const char *text = given[i] ? NULL : getenv(name_variable(option, variable));
        if (text != NULL && text[0] != '\0') {
            LQ_TRY(set(option, variable, text, table->values, err));
        } else if (!given[i] && option->fallback != NULL) {
            LQ_TRY(set(option, option->name, option->fallback, table->values, err));
        }
    }
    return LQ_OK;
}

/* Takes all arguments; what is no option moves to the front. */
static enum lq_code take_all(struct reading *reading, int argc, char **argv, int *rest,
                             struct lq_error *err)
{
    bool ended = false;
    for (int i = 0; i < argc; i++) {
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
        } else if (!ended && strncmp(argv[i], "--", 2) == 0) {
            bool used_next = false;
            const char *next = i + 1 < argc ? argv[i + 1] : NULL;
            LQ_TRY(take(reading, argv[i], next, &used_next, err));
            i += used_next ? 1 : 0;
        } else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            return lq_fail(err, LQ_EFIELD, NULL, "unknown option \"%.100s\"; see --help", argv[i]);
        } else {
            argv[(*rest)++] = argv[i];
        }
    }
    return LQ_OK;
}

enum lq_code lq_options_read(const struct lq_setting_table *tables, size_t table_count, int argc,
                             char **argv, int *rest, struct lq_error *err)
{
    struct reading reading = {.tables = tables, .table_count = table_count};
    size_t count = 0;
    *rest = 0;
    for (size_t t = 0; t < table_count; t++) {
        count += tables[t].count;
    }
    if (count > GIVEN_MAX) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "more than %d options", GIVEN_MAX);
    }
    LQ_TRY(take_all(&reading, argc, argv, rest, err));
    const bool *given = reading.given;
    for (size_t t = 0; t < table_count; t++) {
        LQ_TRY(fill(&tables[t], given, err));
        given += tables[t].count;
    }
    return LQ_OK;
}

enum lq_code lq_settings_spool(const struct lq_settings *settings, char *path, size_t size,
                               struct lq_error *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length = 0;
    if (settings->spool != NULL) {
        length = snprintf(path, size, "%s", settings->spool);
    } else if (state != NULL && state[0] == '/') { /* the XDG rules ignore relative ones */
        length = snprintf(path, size, "%s/llmquote-worker", state);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(path, size, "%s/.local/state/llmquote-worker", home);
    } else {
        return lq_fail(err, LQ_EFIELD, NULL, "no place for the spool: set --spool or HOME");
    }
    if (length < 0 || (size_t)length >= size) {
        return lq_fail(err, LQ_EFIELD, NULL, "the spool's path is longer than %zu bytes", size - 1);
    }
    return LQ_OK;
}

static enum lq_code read_token(const char *path, char *token, size_t size, struct lq_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return lq_fail(err, LQ_EFILE, NULL, "cannot read the token file %.200s: %s", path,
                       strerror(errno));
    }
    const bool is_read = fgets(token, (int)size, file) != NULL;
    const bool failed = ferror(file) != 0;
    fclose(file);
    if (failed) {
        return lq_fail(err, LQ_EFILE, NULL, "cannot read the token file %.200s", path);
    }
    if (!is_read) {
        token[0] = '\0';
    }
    token[strcspn(token, "\r\n")] = '\0';
    return token[0] != '\0'
               ? LQ_OK
               : lq_fail(err, LQ_EFILE, NULL, "the token file %.200s has no first line", path);
}

enum lq_code lq_settings_token(const struct lq_settings *settings, char *token, size_t size,
                               struct lq_error *err)
{
    token[0] = '\0';
    const char *variable = getenv("LLMQUOTE_TOKEN");
    if (settings->token_file != NULL) {
        LQ_TRY(read_token(settings->token_file, token, size, err));
    } else if (variable != NULL) {
        if (strlen(variable) >= size) {
            return lq_fail(err, LQ_EFIELD, NULL, "LLMQUOTE_TOKEN is longer than a token");
        }
        memcpy(token, variable, strlen(variable) + 1);
    }
    if (strlen(token) + 1 == size) {
        return lq_fail(err, LQ_EFIELD, NULL, "the token is longer than %zu bytes", size - 2);
    }
    for (const char *c = token; *c != '\0'; c++) { /* it becomes part of a header */
        if (*c <= ' ' || *c > '~') {
            return lq_fail(err, LQ_EFIELD, NULL,
                           "the token has a character that none has (a blank or no ASCII)");
        }
    }
    return LQ_OK;
}

void lq_options_print(const struct lq_setting *options, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct lq_setting *option = &options[i];
        char variable[VARIABLE_MAX];
        fprintf(out, "  --%s%s%s\n      %s\n      default %s, or %s from the environment\n",
                option->name, option->takes != NULL ? " " : "",
                option->takes != NULL ? option->takes : "", option->help,
                option->fallback != NULL ? option->fallback : "none",
                name_variable(option, variable));
    }
}
