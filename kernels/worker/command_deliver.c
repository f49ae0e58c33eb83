/* The command that sends all that waits in the spool. How it is sent stands in deliver.c. */
#include "kernels/delivery/deliver.h"
#include "kernels/delivery/spool.h"
#include "kernels/worker/command.h"

static int deliver(const struct lq_settings *settings, struct lq_spool *spool, const char *dir)
{
    struct lq_error err = {0};
    struct lq_delivery told;
    const enum lq_code code = lq_deliver(settings, spool, stderr, &told, &err);
    printf("delivered %zu points (%zu were there already, %zu are implausible), rejected %zu, "
           "%zu wait\n",
           told.delivered, told.duplicates, told.implausible, told.rejected, told.kept);
    if (told.rejected > 0) {
        fprintf(stderr, "llmquote-worker: rejected points are in %s/rejected.jsonl\n", dir);
    }
    if (code != LQ_OK) {
        fprintf(stderr, "llmquote-worker: %zu points are kept in %s\n", told.kept, dir);
        return lq_command_fail(code == LQ_EFIELD ? LQ_EXIT_USAGE : lq_exit_code(code), &err);
    }
    if (told.is_interrupted) {
        fprintf(stderr, "llmquote-worker: interrupted; %zu points are kept in %s\n", told.kept,
                dir);
        return LQ_EXIT_INTERRUPTED;
    }
    return told.rejected > 0 ? LQ_EXIT_DATA : LQ_EXIT_OK;
}

static int run(const struct lq_settings *settings, const void *own, int argc, char *const *argv)
{
    (void)own;
    (void)argc;
    (void)argv;
    struct lq_spool *spool = NULL;
    char dir[LQ_SPOOL_DIR_MAX];
    const int opened = lq_command_open_spool(settings, dir, &spool);
    if (opened != LQ_EXIT_OK) {
        return opened;
    }
    const int status = deliver(settings, spool, dir);
    lq_spool_close(spool);
    return status;
}

const struct lq_command LQ_COMMAND_DELIVER = {
    .name = "deliver",
    .summary = "send all points that wait in the spool",
    .arguments = "",
    .notes = "Points wait in the spool until a server has said that it keeps them. Whatever is\n"
             "killed when, each is stored once. What a server rejects goes to rejected.jsonl in\n"
             "the spool's folder, with its words, and is not sent again.\n",
    .run = run,
};
