/* Finding the device that a command's options name. The options stand in the header. */
#include "kernels/worker/device_settings.h"

#include "kernels/base/choice.h"
#include "kernels/measure/backends.h"

enum lq_code lq_command_check_device(const struct lq_device_choice *choice, const char *gpu,
                                     struct lq_error *err)
{
    if (choice->backend != NULL) {
        LQ_TRY(lq_backend_check(choice->backend, err));
    }
    return gpu != NULL ? lq_id_check("gpu", gpu, err) : LQ_OK;
}

enum lq_code lq_command_find_device(const struct lq_device_choice *choice, struct lq_rig *out,
                                    struct lq_error *err)
{
    LQ_TRY(lq_rig_find(choice, out, err));
    if (out->passed_over[0] != '\0') {
        lq_text_clean(out->passed_over);
        fprintf(stderr, "llmquote-worker: %s; the %s backend is used in its place\n",
                out->passed_over, out->backend->name);
    }
    return LQ_OK;
}
