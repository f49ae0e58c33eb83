/* One record of the spool as bytes: a head of fixed size with checksums, the payload, a line end.
 * What records mean stands in spool.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* "p NUMBER SIZE HASH HASH\n": kind, two numbers and two hashes (of the payload; of the head up to
 * there) as hexadecimal digits of fixed width, so that a look into the file tells what it holds. */
enum { LQ_RECORD_HEAD = 62, LQ_RECORD_PAYLOAD_MAX = 1024 * 1024 - 64 };

struct lq_record {
    char kind;
    uint64_t number;
    const char *payload; /* within the bytes that were read */
    size_t size;         /* of the payload */
    size_t whole;        /* of the record with head and line end */
};

/* TORN: the bytes end within the record, as an append that never returned leaves them. */
enum lq_record_state { LQ_RECORD_WHOLE, LQ_RECORD_TORN, LQ_RECORD_DAMAGED };

/* Writes the head of a record; the payload and a line end follow it. */
void lq_record_write_head(char head[LQ_RECORD_HEAD + 1], char kind, uint64_t number,
                          const char *payload, size_t size);

/* Reads the record that starts at `data`; fills `out` if it is whole. */
enum lq_record_state lq_record_read(const char *data, size_t size, struct lq_record *out);
