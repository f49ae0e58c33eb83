/* Reads models as a server answers them from standard input, one a line, and prints what core
 * counts of each: id, parameters by role, layers; or why it is no model. */
#include "kernels/document/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        struct lq_error err = {0};
        struct lq_model model;
        line[strcspn(line, "\n")] = '\0';
        if (lq_model_read(line, strlen(line), &model, &err) != LQ_OK) {
            printf("%s\n", err.detail);
            continue;
        }
        const struct lq_parameters p = lq_model_parameters(&model, 0);
        printf("%s %lld %lld %lld %lld %lld %lld %d\n", model.id, (long long)p.experts,
               (long long)p.linear, (long long)p.router, (long long)p.embedding, (long long)p.head,
               (long long)lq_model_layers(&model), model.tied_embeddings);
    }
    free(line);
    return EXIT_SUCCESS;
}
