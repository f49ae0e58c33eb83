/* The calibration worker's commands and how one is chosen. Each stands in a file of its own. */
#include "kernels/base/stop.h"
#include "kernels/worker/command.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>

/* In the order of the help. */
static const struct lq_command *const COMMANDS[] = {
    &LQ_COMMAND_PROBE,
    &LQ_COMMAND_CEILINGS,
    &LQ_COMMAND_BENCH,
    &LQ_COMMAND_MEASURE,
    &LQ_COMMAND_IMPORT,
    &LQ_COMMAND_DELIVER,
    NULL,
};

static const struct lq_command *find(const char *name)
{
    for (const struct lq_command *const *command = COMMANDS; *command != NULL; command++) {
        if (strcmp((*command)->name, name) == 0) {
            return *command;
        }
    }
    return NULL;
}

/* Whether help is asked for; arguments behind "--" are none of ours. */
static bool asks_for_help(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static int run(const struct lq_command *command, int argc, char **argv)
{
    if (asks_for_help(argc, argv)) {
        lq_command_print_help(command, stdout);
        return LQ_EXIT_OK;
    }
    alignas(max_align_t) unsigned char own[LQ_OWN_OPTIONS_MAX] = {0};
    assert(command->own_size <= sizeof own);
    struct lq_settings settings = {0};
    const struct lq_setting_table tables[] = {
        lq_settings_table(&settings),
        {.options = command->options, .count = command->option_count, .values = own},
    };
    struct lq_error err = {0};
    int rest = 0;
    enum lq_code code = lq_options_read(tables, 2, argc, argv, &rest, &err);
    if (code == LQ_OK && rest > 0 && command->arguments[0] == '\0') {
        code = lq_fail(&err, LQ_EFIELD, NULL, "%s takes no argument, got \"%.200s\"; see --help",
                       command->name, argv[0]);
    }
    if (code != LQ_OK) {
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    lq_stop_install();
    const int status = command->run(&settings, own, rest, argv);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)lq_fail(&err, LQ_EFILE, NULL, "standard output cannot be written");
        return lq_command_fail(LQ_EXIT_FILE, &err);
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        lq_command_print_all(COMMANDS, stderr);
        return LQ_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("llmquote-worker " LQ_VERSION);
        return LQ_EXIT_OK;
    }
    if (asks_for_help(1, argv + 1) || strcmp(argv[1], "help") == 0) {
        lq_command_print_all(COMMANDS, stdout);
        return LQ_EXIT_OK;
    }
    const struct lq_command *command = find(argv[1]);
    if (command == NULL) {
        struct lq_error err = {0};
        (void)lq_fail(&err, LQ_EFIELD, NULL, "no command \"%.200s\"; see --help", argv[1]);
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    return run(command, argc - 2, argv + 2);
}
