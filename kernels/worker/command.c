/* Help texts and exit codes. What commands do stands in a file of each. */
#include "kernels/worker/command.h"

#include "kernels/base/choice.h"
#include "kernels/base/stop.h"
#include "kernels/delivery/spool.h"

static const struct {
    int code;
    const char *meaning;
} EXITS[] = {
    {LQ_EXIT_OK, "all done"},
    {LQ_EXIT_USAGE, "an option is unknown, or has no or a wrong value"},
    {LQ_EXIT_DATA, "input is bad, or the server rejected points: they are set aside"},
    {LQ_EXIT_UNAVAILABLE, "the server cannot be reached or is no llmquote-server; points are kept"},
    {LQ_EXIT_INTERNAL, "internal error"},
    {LQ_EXIT_DEVICE, "the device cannot do what was asked of it"},
    {LQ_EXIT_SPOOL, "the spool cannot be opened, or another worker uses it"},
    {LQ_EXIT_FILE, "a file cannot be read or written"},
    {LQ_EXIT_LATER, "the server is busy; points are kept, try again later"},
    {LQ_EXIT_REFUSED, "the server refused the token; points are kept"},
    {LQ_EXIT_INTERRUPTED, "interrupted; what was measured is kept"},
};

int lq_exit_code(enum lq_code code)
{
    switch (code) {
    case LQ_OK:
        return LQ_EXIT_OK;
    case LQ_ETOKEN:
    case LQ_ESCOPE:
        return LQ_EXIT_REFUSED;
    case LQ_EPEER:
        return LQ_EXIT_UNAVAILABLE;
    case LQ_EBUSY:
    case LQ_EDEADLINE:
    case LQ_EOVERLOAD:
        return LQ_EXIT_LATER;
    case LQ_EFILE:
        return LQ_EXIT_FILE;
    case LQ_EDEVICE:
    case LQ_ENOFIT:
        return LQ_EXIT_DEVICE;
    case LQ_ESYNTAX:
    case LQ_EFIELD:
    case LQ_EREFERENCE:
    case LQ_EREQUEST:
    case LQ_ECONFLICT:
    case LQ_ETOOLARGE:
    case LQ_EIMPOSSIBLE:
        return LQ_EXIT_DATA;
    case LQ_ENOTFOUND:
    case LQ_EMETHOD:
    case LQ_EURI:
    case LQ_EHEAD:
    case LQ_EMEDIA:
    case LQ_EUNPRICED:
    case LQ_ENOCOEFFICIENTS:
    case LQ_ENOMEASUREMENT:
    case LQ_EFIT:
    case LQ_ESTORE:
    case LQ_ENUMBER:
    case LQ_EINTERNAL:
    case LQ_CODE_COUNT:
        return LQ_EXIT_INTERNAL;
    }
    return LQ_EXIT_INTERNAL;
}

int lq_command_fail(int exit_code, const struct lq_error *err)
{
    if (lq_stop_asked()) {
        fprintf(stderr, "llmquote-worker: interrupted\n");
        return LQ_EXIT_INTERRUPTED;
    }
    char detail[LQ_DETAIL_MAX];
    snprintf(detail, sizeof detail, "%s", err->detail);
    lq_text_clean(detail);
    const char *at = err->pointer[0] != '\0' ? ": " : "";
    fprintf(stderr, "llmquote-worker: %s%s%s\n", err->pointer, at, detail);
    return exit_code;
}

int lq_command_open_spool(const struct lq_settings *settings, char dir[LQ_SPOOL_DIR_MAX],
                          struct lq_spool **out)
{
    struct lq_error err = {0};
    char aside[LQ_SPOOL_DIR_MAX];
    if (lq_settings_spool(settings, dir, LQ_SPOOL_DIR_MAX, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    if (lq_spool_open(dir, out, aside, sizeof aside, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_SPOOL, &err);
    }
    if (aside[0] != '\0') {
        fprintf(stderr,
                "llmquote-worker: the spool was damaged; it is kept as %s, and what is whole in it "
                "goes on\n",
                aside);
    }
    return LQ_EXIT_OK;
}

static void print_shared(FILE *out)
{
    struct lq_settings settings;
    const struct lq_setting_table shared = lq_settings_table(&settings);
    fputs("\nSettings of every command; a flag wins over its variable:\n", out);
    lq_options_print(shared.options, shared.count, out);
    fputs("The token is the first line of --token-file, else the variable LLMQUOTE_TOKEN.\n", out);
}

void lq_command_print_all(const struct lq_command *const *commands, FILE *out)
{
    fputs("usage: llmquote-worker COMMAND [OPTION...] [ARGUMENT...]\n"
          "       llmquote-worker COMMAND --help\n"
          "       llmquote-worker --help | --version\n\nCommands:\n",
          out);
    for (; *commands != NULL; commands++) {
        fprintf(out, "  %-10s %s\n", (*commands)->name, (*commands)->summary);
    }
    print_shared(out);
    fputs("\nExit codes:\n", out);
    for (size_t i = 0; i < sizeof EXITS / sizeof EXITS[0]; i++) {
        fprintf(out, "  %3d  %s\n", EXITS[i].code, EXITS[i].meaning);
    }
}

void lq_command_print_help(const struct lq_command *command, FILE *out)
{
    fprintf(out, "usage: llmquote-worker %s [OPTION...]%s%s\n\n%s\n", command->name,
            command->arguments[0] != '\0' ? " " : "", command->arguments, command->summary);
    if (command->option_count > 0) {
        fputs("\nOptions:\n", out);
        lq_options_print(command->options, command->option_count, out);
    }
    if (command->notes != NULL) {
        fprintf(out, "\n%s", command->notes);
    }
    print_shared(out);
}
