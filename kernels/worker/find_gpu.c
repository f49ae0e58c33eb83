/* Fetches GPUs from a server's catalog. How one is read stands in kernels/document/catalog.c. */
#include "kernels/worker/find_gpu.h"

#include "kernels/document/catalog.h"

#include <stdio.h>

enum lq_code lq_gpu_find(struct lq_client *client, const char *id, struct lq_gpu *out,
                         struct lq_error *err)
{
    char path[LQ_ID_MAX + 32];
    struct lq_http_answer answer;
    snprintf(path, sizeof path, "/v1/gpus/%s", id);
    LQ_TRY(lq_client_call(client, "GET", path, NULL, &answer, err));
    const enum lq_code code = lq_gpu_read(answer.body, answer.size, out, err);
    lq_http_answer_free(&answer);
    return code;
}
