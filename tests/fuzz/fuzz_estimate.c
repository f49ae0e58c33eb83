/* Bodies of POST /v1/estimates, one job or many, decoded; of some, the written answer. */
#include "server/api/estimates.h"
#include "server/json/job.h"
#include "tests/fuzz/server.h"

#include <stdio.h>

static enum lq_code decode_job(const json_t *value, const char *pointer, struct lq_faults *faults)
{
    static struct lq_job_document document;
    const struct lq_lookup lookup = fuzz_lookup();
    const enum lq_code code = lq_job_decode(value, pointer, &lookup, &document, faults);
    if (code == LQ_OK) {
        fuzz_encoded(lq_job_encode(&document));
    }
    lq_job_release(&document);
    return code;
}

/* Jobs of a list fail each for themselves. */
static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    const json_t *jobs = json_object_get(root, "jobs");
    if (!json_is_array(jobs)) {
        json_object_del(root, "save");
        return decode_job(root, "", faults);
    }
    static struct lq_faults own;
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job)
    {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/jobs/%zu", i);
        own.count = 0;
        (void)fuzz_decoded(decode_job(job, pointer, &own), &own);
    }
    return LQ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(decode, lq_estimates_post, data, size);
    return 0;
}
