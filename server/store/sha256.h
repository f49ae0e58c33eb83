/* SHA-256 (FIPS 180-4): digests of token secrets, request bodies and stored content. */
#pragma once

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>

enum { LQ_SHA256_BYTES = 32, LQ_SHA256_HEX = 65 }; /* hex with its terminator */

/* A digest in progress: lq_sha256_start, any number of _add, one _end. */
struct lq_sha256 {
    struct sha256_ctx context;
};

void lq_sha256_start(struct lq_sha256 *sha);
void lq_sha256_add(struct lq_sha256 *sha, const void *data, size_t size);
/* Adds a text and its terminator, so that neighbouring texts cannot run into each other. */
void lq_sha256_add_text(struct lq_sha256 *sha, const char *text);
void lq_sha256_end(struct lq_sha256 *sha, unsigned char digest[LQ_SHA256_BYTES]);

/* The digest in lower-case hexadecimal: ends one in progress, or does it all for one buffer. */
void lq_sha256_end_hex(struct lq_sha256 *sha, char hex[LQ_SHA256_HEX]);
void lq_sha256_hex(const void *data, size_t size, char hex[LQ_SHA256_HEX]);

/* Compares without telling by its time where the first difference is. */
bool lq_equal_in_constant_time(const void *a, const void *b, size_t size);
