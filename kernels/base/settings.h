/* What an operator sets: tables of options, each a flag and an environment variable LLMQUOTE_*.
 * The settings that every command shares; a command's own options stand in its file. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What the member at `offset` is: const char *, int64_t, double, int (index into names), bool. */
enum lq_setting_kind {
    LQ_SETTING_TEXT,
    LQ_SETTING_COUNT,
    LQ_SETTING_NUMBER,
    LQ_SETTING_CHOICE,
    LQ_SETTING_SWITCH /* takes no value; 0 or 1 from the environment */
};

struct lq_setting {
    const char *name;     /* without dashes; "give-up" is LLMQUOTE_GIVE_UP as a variable */
    const char *takes;    /* for help and refusals: "SECONDS"; NULL for a switch */
    const char *help;     /* one line */
    const char *fallback; /* as it would be given; NULL leaves the member as it is */
    enum lq_setting_kind kind;
    size_t offset; /* of the member in the table's values */
    double min;    /* of counts and numbers, inclusive */
    double max;
    const char *const *names; /* of a choice; ends in NULL */
};

/* Options and the struct that takes their values. */
struct lq_setting_table {
    const struct lq_setting *options;
    size_t count;
    void *values;
};

/* Texts point into argv, the environment or literals. */
struct lq_settings {
    const char *server;     /* URL of an llmquote-server, without a path or with a prefix */
    const char *token_file; /* NULL: LLMQUOTE_TOKEN, if that is set */
    const char *spool;      /* folder; NULL: lq_settings_spool finds it */
    const char *ca_file;    /* NULL: those of the system */
    double give_up_s;       /* attempts go on for that long */
    double timeout_s;       /* of one request */
    bool insecure_http;     /* lets a token travel over http to other machines */
};

/* Reads arguments and, for what they leave out, variables, into the tables; later arguments win.
 * What is no option is moved to the front of argv, in order, and counted in *rest; all behind "--"
 * is none. Errors: LQ_EFIELD, the text names the option and what it takes. */
LQ_MUST_USE enum lq_code lq_options_read(const struct lq_setting_table *tables, size_t table_count,
                                         int argc, char **argv, int *rest, struct lq_error *err);

/* The table of the shared settings, to be filled into `settings`. */
struct lq_setting_table lq_settings_table(struct lq_settings *settings);

/* The spool's folder: --spool, else llmquote-worker below XDG_STATE_HOME or ~/.local/state.
 * Errors: LQ_EFIELD where there is no home, or where the path is longer than `size`. */
LQ_MUST_USE enum lq_code lq_settings_spool(const struct lq_settings *settings, char *path,
                                           size_t size, struct lq_error *err);

/* The token: the first line of --token-file, else LLMQUOTE_TOKEN, else "". No text of an error
 * holds any of it. Errors: LQ_EFILE, LQ_EFIELD where it cannot be a token. */
LQ_MUST_USE enum lq_code lq_settings_token(const struct lq_settings *settings, char *token,
                                           size_t size, struct lq_error *err);

/* Two lines per option: flag and meaning, default and variable. */
void lq_options_print(const struct lq_setting *options, size_t count, FILE *out);
