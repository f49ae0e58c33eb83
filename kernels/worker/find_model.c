/* Fetches models, and puts configs into the catalog on the way. */
#include "kernels/worker/find_model.h"

#include "kernels/base/text_file.h"
#include "kernels/document/catalog.h"

#include <stdio.h>
#include <stdlib.h>

static enum lq_code fetch(struct lq_client *client, const struct lq_model_source *source,
                          struct lq_model *model, struct lq_error *err)
{
    char path[LQ_ID_MAX + 32];
    struct lq_http_answer answer;
    snprintf(path, sizeof path, "/v1/models/%s", source->id);
    if (source->config != NULL) {
        char *config = NULL;
        size_t size = 0;
        LQ_TRY(lq_text_file_read(source->config, &config, &size, err));
        const enum lq_code code = lq_client_call(client, "PUT", path, config, &answer, err);
        free(config);
        LQ_TRY(code);
        lq_http_answer_free(&answer);
    }
    LQ_TRY(lq_client_call(client, "GET", path, NULL, &answer, err));
    const enum lq_code code = lq_model_read(answer.body, answer.size, model, err);
    lq_http_answer_free(&answer);
    return code;
}

enum lq_code lq_model_find(struct lq_client *client, const struct lq_model_source *source,
                           struct lq_model *model, struct lq_error *err)
{
    if (source->file == NULL) {
        return fetch(client, source, model, err);
    }
    char *text = NULL;
    size_t size = 0;
    LQ_TRY(lq_text_file_read(source->file, &text, &size, err));
    const enum lq_code code = lq_model_read(text, size, model, err);
    free(text);
    return code;
}

enum lq_code lq_model_check_active(const struct lq_model *model, int64_t active,
                                   struct lq_error *err)
{
    const int64_t experts = lq_model_experts(model);
    return active <= experts
               ? LQ_OK
               : lq_fail(err, LQ_EFIELD, NULL,
                         "--active-experts %lld: %s has %lld routed experts in a layer",
                         (long long)active, model->id, (long long)experts);
}
