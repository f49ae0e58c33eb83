/* Stands behind jansson and notes failed allocations. */
#include "kernels/document/memory.h"

#include <jansson.h>
#include <stdlib.h>

static _Thread_local bool failed;

static void *watched(size_t size)
{
    void *memory = malloc(size);
    failed = failed || memory == NULL;
    return memory;
}

void lq_json_memory_watch(void)
{
    failed = false;
    json_set_alloc_funcs(watched, free);
}

bool lq_json_memory_failed(void)
{
    return failed;
}
