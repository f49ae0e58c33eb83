/* SHA-256 by nettle, which uses what the processor has for it; no other digest lives here. */
#include "server/store/sha256.h"

#include <string.h>

void lq_sha256_start(struct lq_sha256 *sha)
{
    sha256_init(&sha->context);
}

void lq_sha256_add(struct lq_sha256 *sha, const void *data, size_t size)
{
    sha256_update(&sha->context, size, data);
}

void lq_sha256_add_text(struct lq_sha256 *sha, const char *text)
{
    lq_sha256_add(sha, text, strlen(text) + 1);
}

void lq_sha256_end(struct lq_sha256 *sha, unsigned char digest[LQ_SHA256_BYTES])
{
    sha256_digest(&sha->context, LQ_SHA256_BYTES, digest);
}

void lq_sha256_end_hex(struct lq_sha256 *sha, char hex[LQ_SHA256_HEX])
{
    static const char DIGITS[] = "0123456789abcdef";
    unsigned char digest[LQ_SHA256_BYTES];
    lq_sha256_end(sha, digest);
    for (size_t i = 0; i < LQ_SHA256_BYTES; i++) {
        hex[2 * i] = DIGITS[digest[i] >> 4];
        hex[2 * i + 1] = DIGITS[digest[i] & 15];
    }
    hex[2 * LQ_SHA256_BYTES] = '\0';
}

void lq_sha256_hex(const void *data, size_t size, char hex[LQ_SHA256_HEX])
{
    struct lq_sha256 sha;
    lq_sha256_start(&sha);
    lq_sha256_add(&sha, data, size);
    lq_sha256_end_hex(&sha, hex);
}

bool lq_equal_in_constant_time(const void *a, const void *b, size_t size)
{
    const volatile unsigned char *x = a;
    const volatile unsigned char *y = b;
    unsigned char difference = 0;
    for (size_t i = 0; i < size; i++) {
        difference = (unsigned char)(difference | (x[i] ^ y[i]));
    }
    return difference == 0;
}
