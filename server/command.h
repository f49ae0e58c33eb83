/* The program's commands beside serving: tokens, backup, check, healthcheck, the list of routes,
 * version and help. */
#pragma once

#include "server/store/store.h"

/* Exit statuses of the program. */
enum { LQ_EXIT_OK = 0, LQ_EXIT_FAILED = 1, LQ_EXIT_USAGE = 2 };

/* Runs what argv asks for where that is not serving. Returns an exit status, or -1 where argv
 * holds no command and the program is to serve. */
int lq_command_run(int argc, char *const *argv, const struct lq_hooks *hooks);
