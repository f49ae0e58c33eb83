/* Spool files: opened, whatever they hold; some are then used and opened again. An input that
 * begins with
 * '!' is lines of "KIND NUMBER PAYLOAD", which become records with the right checksums. */
#include "kernels/delivery/record.h"
#include "kernels/delivery/spool_private.h"
#include "tests/fuzz/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of how many inputs one is used: appending and delivering cost ten times what opening does. */
enum { USED = 16 };

/* Whether the folder may hold more than a spool that is written over, and its lock. */
static bool littered;

/* What waits after `size` bytes were a spool, and that it can be delivered. */
static void use(struct lq_spool *spool, size_t *waiting)
{
    struct lq_error err = {0};
    struct lq_batch batch;
    if (lq_spool_append(spool, "{\"n\":1}", &err) != LQ_OK ||
        lq_spool_batch(spool, 2, &batch, &err) != LQ_OK) {
        fuzz_fail("%s", err.detail);
    }
    if (batch.count == 0 || batch.body == NULL || batch.key[0] == '\0') {
        fuzz_fail("nothing is sent of %zu points that wait", lq_spool_waiting(spool));
    }
    lq_batch_free(&batch);
    if (lq_spool_done(spool, &err) != LQ_OK) {
        fuzz_fail("%s", err.detail);
    }
    *waiting = lq_spool_waiting(spool);
}

static struct lq_spool *opened(bool may_be_damaged)
{
    struct lq_spool *spool = NULL;
    struct lq_error err = {0};
    char aside[512] = "";
    if (lq_spool_open(fuzz_folder(), &spool, aside, sizeof aside, &err) != LQ_OK) {
        fuzz_fail("%s", err.detail);
    }
    if (aside[0] != '\0' && !may_be_damaged) {
        fuzz_fail("what was written is damaged");
    }
    littered = littered || aside[0] != '\0';
    return spool;
}

/* The lines of `text`, sealed as records, in the file. */
static void write_records(char *text)
{
    char *records = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&records, &size);
    fputs(LQ_SPOOL_HEADER, out);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char head[LQ_RECORD_HEAD + 1];
        char *payload = line;
        const uint64_t number = line[0] != '\0' ? strtoull(line + 1, &payload, 16) : 0;
        payload += *payload == ' ' ? 1 : 0;
        lq_record_write_head(head, line[0], number, payload, strlen(payload));
        fprintf(out, "%s%s\n", head, payload);
    }
    if (fclose(out) != 0) {
        fuzz_fail("out of memory");
    }
    fuzz_file("spool", records, size);
    free(records);
}

/* Uses what has been opened, and opens it again. */
static struct lq_spool *use_and_reopen(struct lq_spool *spool)
{
    size_t waiting = 0;
    use(spool, &waiting);
    lq_spool_close(spool);
    spool = opened(false);
    if (lq_spool_waiting(spool) != waiting) {
        fuzz_fail("%zu points waited, now %zu", waiting, lq_spool_waiting(spool));
    }
    return spool;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (littered) {
        fuzz_folder_empty();
        littered = false;
    }
    if (size > 0 && data[0] == '!') {
        char *text = fuzz_text(data + 1, size - 1);
        write_records(text);
        free(text);
    } else {
        fuzz_file("spool", data, size);
    }
    struct lq_spool *spool = opened(true);
    if (fuzz_is_one_in(USED, data, size)) {
        spool = use_and_reopen(spool);
        littered = true;
    }
    lq_spool_close(spool);
    return 0;
}
