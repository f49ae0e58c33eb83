/* The CUDA backend on the shim as a module; variables set up its pretended device. */
#include "kernels/cuda/shim/control.h"

#include <stdlib.h>

static long number(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void set_up(void)
{
    const long capability = number("PRETEND_CAPABILITY", 80);
    const long bytes = number("PRETEND_MEMORY", 0);
    const long status = number("PRETEND_STATUS", 0);
    lq_shim_devices(status == 0 ? (int)number("PRETEND_DEVICES", 1) : 0, (int)status);
    lq_shim_capability((int)(capability / 10), (int)(capability % 10));
    if (bytes > 0) {
        lq_shim_memory((size_t)bytes);
    }
}
