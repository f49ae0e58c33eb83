/* The commands, a file for each kind, and how all of them fail. For command*.c alone. */
#pragma once

#include "core/base/error.h"
#include "server/command.h"

/* Prints what failed to standard error and returns `status`. */
int lq_command_fail(int status, const struct lq_error *err);

/* The same for arguments that make no sense; returns LQ_EXIT_USAGE. */
int lq_command_usage(const char *message);

/* Each takes the arguments behind its name and returns an exit status. */
int lq_command_token(int argc, char *const *argv, const struct lq_hooks *hooks);
int lq_command_backup(int argc, char *const *argv, const struct lq_hooks *hooks);
int lq_command_check(int argc, char *const *argv, const struct lq_hooks *hooks);
int lq_command_healthcheck(int argc, char *const *argv, const struct lq_hooks *hooks);
