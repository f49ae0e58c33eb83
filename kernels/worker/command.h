/* What a command of the worker is, and what its exit codes mean. */
#pragma once

#include "kernels/base/settings.h"

/* Exit codes; numbers of sysexits.h where it has one for the case. */
enum lq_exit {
    LQ_EXIT_OK = 0,
    LQ_EXIT_USAGE = 64,       /* an option is unknown, or has no or a wrong value */
    LQ_EXIT_DATA = 65,        /* input is bad, or the server rejected points (set aside) */
    LQ_EXIT_UNAVAILABLE = 69, /* the server cannot be reached or is no llmquote-server */
    LQ_EXIT_INTERNAL = 70,
    LQ_EXIT_DEVICE = 71, /* the device cannot do what was asked of it */
    LQ_EXIT_SPOOL = 73,  /* the spool cannot be opened, or is in use */
    LQ_EXIT_FILE = 74,   /* a file cannot be read or written */
    LQ_EXIT_LATER = 75,  /* the server is busy; points are kept, try again later */
    LQ_EXIT_REFUSED = 77,
    LQ_EXIT_INTERRUPTED = 130 /* by SIGINT or SIGTERM, after what was measured had been kept */
};

/* The most memory a command's own options take. */
enum { LQ_OWN_OPTIONS_MAX = 512 };

/* Of the path of a spool's folder. */
enum { LQ_SPOOL_DIR_MAX = 4096 };

struct lq_spool;

/* One command. `run` gets its own options filled in (a zeroed struct of own_size bytes before
 * fallbacks apply) and the arguments that are no options; it prints what it did to standard output
 * and why it failed to standard error, and returns an exit code. */
struct lq_command {
    const char *name;
    const char *summary;   /* one line */
    const char *arguments; /* what stands beside options, for the usage line: "FILE..."; or "" */
    const char *notes;     /* what --help says below the options; NULL for nothing */
    const struct lq_setting *options;
    size_t option_count;
    size_t own_size; /* <= LQ_OWN_OPTIONS_MAX */
    int (*run)(const struct lq_settings *settings, const void *own, int argc, char *const *argv);
};

extern const struct lq_command LQ_COMMAND_PROBE;
extern const struct lq_command LQ_COMMAND_CEILINGS;
extern const struct lq_command LQ_COMMAND_BENCH;
extern const struct lq_command LQ_COMMAND_MEASURE;
extern const struct lq_command LQ_COMMAND_IMPORT;
extern const struct lq_command LQ_COMMAND_DELIVER;

/* The exit code that tells a failure of this code. */
int lq_exit_code(enum lq_code code);

/* Prints "llmquote-worker: " and the failure to standard error; returns `exit_code`. */
int lq_command_fail(int exit_code, const struct lq_error *err);

/* Opens the spool of the settings, whose folder goes to `dir`, and tells where a damaged one is
 * kept. LQ_EXIT_OK, or the exit code of a failure that has been told. */
int lq_command_open_spool(const struct lq_settings *settings, char dir[LQ_SPOOL_DIR_MAX],
                          struct lq_spool **out);

/* The program's help, and one command's. */
void lq_command_print_all(const struct lq_command *const *commands, FILE *out);
void lq_command_print_help(const struct lq_command *command, FILE *out);
