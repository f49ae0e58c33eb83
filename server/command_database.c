/* Commands: backup and check. Both work beside a running server. */
#include "server/command_parts.h"

#include "server/config.h"
#include "server/store/backup.h"
#include "server/store/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { ARGUMENTS_MAX = 64 };

/* What stands beside settings. */
struct options {
    const char *file; /* without a flag; or NULL */
    bool force;
    char *settings[ARGUMENTS_MAX];
    int setting_count;
};

/* Sorts arguments into the command's own and settings. NULL, or what is wrong. */
static const char *read_options(int argc, char *const *argv, struct options *options)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--force") == 0) {
            options->force = true;
        } else if (strncmp(argv[i], "--", 2) != 0 && options->file == NULL) {
            options->file = argv[i];
        } else if (options->setting_count + 2 > ARGUMENTS_MAX) {
            return "too many arguments";
        } else {
            const bool has_value = strchr(argv[i], '=') == NULL && i + 1 < argc;
            options->settings[options->setting_count++] = argv[i];
            if (has_value) {
                options->settings[options->setting_count++] = argv[++i];
            }
        }
    }
    return NULL;
}

static const char *usage_of(const struct options *options, bool takes_file)
{
    if (takes_file && (options->file == NULL || options->file[0] == '\0')) {
        return "backup needs the FILE to write to";
    }
    if (!takes_file && (options->file != NULL || options->force)) {
        return "check takes --db alone";
    }
    return NULL;
}

/* Reads all arguments. LQ_EXIT_OK, or the status to end with. */
static int prepare(int argc, char *const *argv, bool takes_file, struct options *options,
                   struct lq_config *config)
{
    const char *wrong = read_options(argc, argv, options);
    wrong = wrong != NULL ? wrong : usage_of(options, takes_file);
    if (wrong != NULL) {
        return lq_command_usage(wrong);
    }
    struct lq_error err = {0};
    return lq_config_load(config, options->setting_count, options->settings, &err) == LQ_OK
               ? LQ_EXIT_OK
               : lq_command_fail(LQ_EXIT_USAGE, &err);
}

int lq_command_backup(int argc, char *const *argv, const struct lq_hooks *hooks)
{
    (void)hooks;
    struct options options = {0};
    struct lq_config config;
    const int status = prepare(argc, argv, true, &options, &config);
    if (status != LQ_EXIT_OK) {
        return status;
    }
    struct lq_error err = {0};
    if (lq_store_backup(config.db, options.file, options.force, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_FAILED, &err);
    }
    printf("%s: backed up to %s\n", config.db, options.file);
    return LQ_EXIT_OK;
}

static void print_fault(const char *fault, void *context)
{
    printf("%s: %s\n", (const char *)context, fault);
}

int lq_command_check(int argc, char *const *argv, const struct lq_hooks *hooks)
{
    struct options options = {0};
    struct lq_config config;
    const int status = prepare(argc, argv, false, &options, &config);
    if (status != LQ_EXIT_OK) {
        return status;
    }
    struct lq_error err = {0};
    size_t faults = 0;
    if (lq_store_check(config.db, hooks, print_fault, config.db, &faults, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_FAILED, &err);
    }
    if (faults == 0) {
        printf("%s: ok\n", config.db);
    }
    return faults == 0 ? LQ_EXIT_OK : LQ_EXIT_FAILED;
}
