/* Writing and checking the head of a record. */
#include "kernels/delivery/record.h"

#include "core/base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the fields of a head stand. */
enum { NUMBER_AT = 2, SIZE_AT = 19, PAYLOAD_HASH_AT = 28, HEAD_HASH_AT = 45 };

void lq_record_write_head(char head[LQ_RECORD_HEAD + 1], char kind, uint64_t number,
                          const char *payload, size_t size)
{
    const uint64_t payload_hash = lq_hash_bytes(LQ_HASH_START, payload, size);
    snprintf(head, LQ_RECORD_HEAD + 1, "%c %016" PRIx64 " %08zx %016" PRIx64 " ", kind, number,
             size, payload_hash);
    const uint64_t head_hash = lq_hash_bytes(LQ_HASH_START, head, HEAD_HASH_AT);
    snprintf(head + HEAD_HASH_AT, LQ_RECORD_HEAD + 1 - HEAD_HASH_AT, "%016" PRIx64 "\n", head_hash);
}

/* Digits up to the next blank or line end. */
static uint64_t number_at(const char *data, size_t at)
{
    char digits[17] = "";
    for (size_t i = 0; i < 16 && data[at + i] != ' ' && data[at + i] != '\n'; i++) {
        digits[i] = data[at + i];
    }
    return strtoull(digits, NULL, 16);
}

enum lq_record_state lq_record_read(const char *data, size_t size, struct lq_record *out)
{
    if (size < LQ_RECORD_HEAD) {
        return LQ_RECORD_TORN;
    }
    if (data[LQ_RECORD_HEAD - 1] != '\n' ||
        number_at(data, HEAD_HASH_AT) != lq_hash_bytes(LQ_HASH_START, data, HEAD_HASH_AT)) {
        return LQ_RECORD_DAMAGED;
    }
    const size_t payload_size = (size_t)number_at(data, SIZE_AT);
    if (payload_size > LQ_RECORD_PAYLOAD_MAX) {
        return LQ_RECORD_DAMAGED;
    }
    if (size - LQ_RECORD_HEAD < payload_size + 1) {
        return LQ_RECORD_TORN;
    }
    const char *payload = data + LQ_RECORD_HEAD;
    if (payload[payload_size] != '\n' ||
        number_at(data, PAYLOAD_HASH_AT) != lq_hash_bytes(LQ_HASH_START, payload, payload_size)) {
        return LQ_RECORD_DAMAGED;
    }
    *out = (struct lq_record){.kind = data[0],
                              .number = number_at(data, NUMBER_AT),
                              .payload = payload,
                              .size = payload_size,
                              .whole = LQ_RECORD_HEAD + payload_size + 1};
    return LQ_RECORD_WHOLE;
}
