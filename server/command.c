/* Which command is asked for, the help, the version and the list of routes. */
#include "server/command.h"

#include "server/command_parts.h"
#include "server/config.h"
#include "server/http/route.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int lq_command_fail(int status, const struct lq_error *err)
{
    fprintf(stderr, "llmquote-server: %s\n", err->detail);
    return status;
}

int lq_command_usage(const char *message)
{
    fprintf(stderr, "llmquote-server: %s; see --help\n", message);
    return LQ_EXIT_USAGE;
}

static int print_help(void)
{
    puts("usage: llmquote-server [SETTING...]                 serve\n"
         "       llmquote-server token create --name NAME --scope SCOPE [--expires TIME] [--db "
         "PATH]\n"
         "       llmquote-server token list [--db PATH]\n"
         "       llmquote-server token revoke ID [--db PATH]\n"
         "       llmquote-server backup FILE [--force] [--db PATH]\n"
         "       llmquote-server check [--db PATH]            whether the database is whole\n"
         "       llmquote-server healthcheck [--listen ADDR:PORT]  whether a server is ready\n"
         "       llmquote-server --print-routes               print the calls it answers\n"
         "       llmquote-server --help | --version\n"
         "\n"
         "Scopes: read, calibrations:write, catalog:write, admin (every scope); several are given\n"
         "by repeating --scope or separated by commas. TIME is RFC 3339, as 2030-01-31T00:00:00Z.\n"
         "A backup is a database: a server started with --db FILE goes on from it.\n"
         "Exit status: 0 done, 1 failed (for check: faults; for healthcheck: not ready), 2 usage.\n"
         "\n"
         "Settings; a flag wins over its variable:");
    lq_config_print_help(stdout);
    return LQ_EXIT_OK;
}

static const struct command {
    const char *name;
    int (*run)(int argc, char *const *argv, const struct lq_hooks *hooks);
} COMMANDS[] = {
    {"backup", lq_command_backup},
    {"check", lq_command_check},
    {"healthcheck", lq_command_healthcheck},
    {"token", lq_command_token},
};

static bool is_command_flag(const char *argument)
{
    return strcmp(argument, "--version") == 0 || strcmp(argument, "--print-routes") == 0;
}

int lq_command_run(int argc, char *const *argv, const struct lq_hooks *hooks)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return print_help();
        }
    }
    if (argc < 2 || (strncmp(argv[1], "--", 2) == 0 && !is_command_flag(argv[1]))) {
        return -1;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("llmquote-server " LQ_VERSION);
        return LQ_EXIT_OK;
    }
    if (strcmp(argv[1], "--print-routes") == 0) {
        lq_route_print(stdout);
        return LQ_EXIT_OK;
    }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strcmp(argv[1], COMMANDS[i].name) == 0) {
            return COMMANDS[i].run(argc - 2, argv + 2, hooks);
        }
    }
    return lq_command_usage("unknown command");
}
