/* Random ids, drawn from the system a pool at a time. */
#include "server/http/request_id.h"

#include <stdio.h>
#include <sys/random.h>

enum { REQUEST_ID_BYTES = 16 };

void lq_request_id_make(char id[LQ_REQUEST_ID_MAX])
{
    static _Thread_local unsigned char pool[256]; /* getrandom never gives less at once */
    static _Thread_local size_t left;
    if (left < REQUEST_ID_BYTES) {
        left = getrandom(pool, sizeof pool, 0) == (ssize_t)sizeof pool ? sizeof pool : 0;
    }
    if (left == 0) {
        snprintf(id, LQ_REQUEST_ID_MAX, "no-entropy"); /* only before the system has booted */
        return;
    }
    for (size_t i = 0; i < REQUEST_ID_BYTES; i++) {
        unsigned char byte = pool[--left];
        id[2 * i] = "0123456789abcdef"[byte >> 4];
        id[2 * i + 1] = "0123456789abcdef"[byte & 15];
    }
    id[2 * REQUEST_ID_BYTES] = '\0';
}
