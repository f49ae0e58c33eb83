/* Bodies of POST /v1/sweeps, decoded with their last point's job; of some, the written answer. */
#include "server/api/sweeps.h"
#include "server/json/job.h"
#include "server/json/sweep.h"
#include "tests/fuzz/server.h"

static void decode_last_job(const struct lq_sweep *sweep)
{
    static struct lq_job_document document;
    static struct lq_faults faults;
    faults.count = 0;
    double memory_bytes = 0.0;
    const struct lq_lookup lookup = fuzz_lookup();
    json_t *job = lq_sweep_job(sweep, lq_sweep_size(sweep, 0) - 1, lq_sweep_size(sweep, 1) - 1,
                               &memory_bytes);
    if (fuzz_decoded(lq_job_decode(job, "/job", &lookup, &document, &faults), &faults)) {
        fuzz_encoded(lq_job_encode(&document));
    }
    lq_job_release(&document);
    json_decref(job);
}

static enum lq_code decode(json_t *root, struct lq_faults *faults)
{
    struct lq_sweep sweep;
    const enum lq_code code = lq_sweep_decode(root, &sweep, faults);
    if (code == LQ_OK) {
        decode_last_job(&sweep);
        fuzz_encoded(lq_sweep_encode(&sweep, lq_sweep_series_new(&sweep)));
    }
    lq_sweep_release(&sweep);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_post(decode, lq_sweeps_post, data, size);
    return 0;
}
