/* SHA-256 as FIPS 180-4 writes it (section numbers in comments); no other digest lives here. */
#include "server/store/sha256.h"

#include <string.h>

/* 4.2.2: fractional parts of the cube roots of the first 64 primes. */
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_right(uint32_t word, int bits)
{
    return (word >> bits) | (word << (32 - bits));
}

/* 6.2.2, step 3: T1, which it also leaves in h. */
static uint32_t first_part(uint32_t e, uint32_t f, uint32_t g, uint32_t *h, uint32_t addend)
{
    const uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    *h += s1 + ((e & f) ^ (~e & g)) + addend;
    return *h;
}

/* And T2. */
static uint32_t second_part(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    return s0 + ((a & b) ^ (a & c) ^ (b & c));
}

/* 6.2.2, steps 1 to 4, for one block of 64 bytes. */
static void compress(uint32_t state[8], const unsigned char block[64])
{
    uint32_t w[64];
    for (int t = 0; t < 16; t++) {
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | (uint32_t)block[4 * t + 3];
    }
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t a = state[0];
    uint32_t b = state[1];
    uint32_t c = state[2];
    uint32_t d = state[3];
    uint32_t e = state[4];
    uint32_t f = state[5];
    uint32_t g = state[6];
    uint32_t h = state[7];
    for (int t = 0; t < 64; t += 8) { /* names change places in place of values */
        d += first_part(e, f, g, &h, K[t] + w[t]);
        h += second_part(a, b, c);
        c += first_part(d, e, f, &g, K[t + 1] + w[t + 1]);
        g += second_part(h, a, b);
        b += first_part(c, d, e, &f, K[t + 2] + w[t + 2]);
        f += second_part(g, h, a);
        a += first_part(b, c, d, &e, K[t + 3] + w[t + 3]);
        e += second_part(f, g, h);
        h += first_part(a, b, c, &d, K[t + 4] + w[t + 4]);
        d += second_part(e, f, g);
        g += first_part(h, a, b, &c, K[t + 5] + w[t + 5]);
        c += second_part(d, e, f);
        f += first_part(g, h, a, &b, K[t + 6] + w[t + 6]);
        b += second_part(c, d, e);
        e += first_part(f, g, h, &a, K[t + 7] + w[t + 7]);
        a += second_part(b, c, d);
    }
    const uint32_t v[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) {
        state[i] += v[i];
    }
}

void lq_sha256_start(struct lq_sha256 *sha)
{
    /* 5.3.3: fractional parts of the square roots of the first eight primes. */
    *sha = (struct lq_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                        0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void lq_sha256_add(struct lq_sha256 *sha, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    size_t held = sha->size % 64;
    sha->size += size;
    if (held > 0) {
        size_t part = size < 64 - held ? size : 64 - held;
        memcpy(sha->block + held, bytes, part);
        bytes += part;
        size -= part;
        if (held + part < 64) {
            return;
        }
        compress(sha->state, sha->block);
    }
    for (; size >= 64; bytes += 64, size -= 64) {
        compress(sha->state, bytes);
    }
    memcpy(sha->block, bytes, size);
}

void lq_sha256_add_text(struct lq_sha256 *sha, const char *text)
{
    lq_sha256_add(sha, text, strlen(text) + 1);
}

void lq_sha256_end(struct lq_sha256 *sha, unsigned char digest[LQ_SHA256_BYTES])
{
    /* 5.1.1: a one bit, zeros, and the length in bits as 64 bits. */
    static const unsigned char PADDING[64] = {0x80};
    uint64_t bits = sha->size * 8;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    lq_sha256_add(sha, PADDING, 64 - (sha->size + 8) % 64);
    lq_sha256_add(sha, length, sizeof length);
    for (int i = 0; i < LQ_SHA256_BYTES; i++) {
        digest[i] = (unsigned char)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
    }
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
