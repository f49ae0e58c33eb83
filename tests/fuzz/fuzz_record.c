/* One record of the spool, read; what is whole is written again and must be the same. */
#include "kernels/delivery/record.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* Where the head's own hash begins; its digits may be large letters too. */
enum { HEAD_HASH_AT = 45 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lq_record record = {0};
    if (lq_record_read((const char *)data, size, &record) == LQ_RECORD_WHOLE) {
        char head[LQ_RECORD_HEAD + 1];
        lq_record_write_head(head, record.kind, record.number, record.payload, record.size);
        if (record.whole > size || memcmp(head, data, HEAD_HASH_AT) != 0) {
            fuzz_fail("a record that nobody writes is read as whole");
        }
    }
    return 0;
}
