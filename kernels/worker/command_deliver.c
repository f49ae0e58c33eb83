/* The command that sends all that waits in the spool. How it is sent stands in deliver.c. */
#include "kernels/worker/command.h"

static int run(const struct lq_settings *settings, const void *own, int argc, char *const *argv)
{
    (void)settings;
    (void)own;
    (void)argc;
    (void)argv;
    return LQ_EXIT_OK;
}

const struct lq_command LQ_COMMAND_DELIVER = {
    .name = "deliver",
    .summary = "send all points that wait in the spool",
    .arguments = "",
    .run = run,
};
