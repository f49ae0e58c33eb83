/* Keeps the points of standard input, one a line, in the spool of the folder named; says "kept N"
 * once N of them are durable. */
#include "kernels/delivery/spool.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct lq_error *err)
{
    fprintf(stderr, "spool_put: %s\n", err->detail);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN);
    struct lq_error err = {0};
    struct lq_spool *spool = NULL;
    char aside[4096];
    if (argc != 2 || lq_spool_open(argv[1], &spool, aside, sizeof aside, &err) != LQ_OK) {
        return fail(&err);
    }
    char *line = NULL;
    size_t size = 0;
    enum lq_code code = LQ_OK;
    for (size_t kept = 1; code == LQ_OK && getline(&line, &size, stdin) > 0; kept++) {
        line[strcspn(line, "\n")] = '\0';
        code = lq_spool_append(spool, line, &err);
        if (code == LQ_OK) {
            printf("kept %zu\n", kept);
            fflush(stdout);
        }
    }
    free(line);
    lq_spool_close(spool);
    return code == LQ_OK ? EXIT_SUCCESS : fail(&err);
}
