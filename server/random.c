/* Asks the kernel. Up to 256 bytes come at once; a signal may cut more of them short
 * (getrandom(2)). */
#include "server/random.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum lq_code lq_random_fill(void *bytes, size_t size, struct lq_error *err)
{
    unsigned char *out = bytes;
    size_t filled = 0;
    while (filled < size) {
        const ssize_t n = getrandom(out + filled, size - filled, 0);
        if (n < 0 && errno != EINTR) {
            return lq_fail(err, LQ_EINTERNAL, NULL, "no random numbers: %s", strerror(errno));
        }
        filled += n > 0 ? (size_t)n : 0;
    }
    return LQ_OK;
}

enum lq_code lq_random_hex(char *hex, size_t bytes, struct lq_error *err)
{
    static const char DIGITS[] = "0123456789abcdef";
    unsigned char random[LQ_RANDOM_ID_BYTES_MAX];
    assert(bytes <= sizeof random);
    LQ_TRY(lq_random_fill(random, bytes, err));
    for (size_t i = 0; i < bytes; i++) {
        hex[2 * i] = DIGITS[random[i] >> 4];
        hex[2 * i + 1] = DIGITS[random[i] & 15];
    }
    hex[2 * bytes] = '\0';
    return LQ_OK;
}
