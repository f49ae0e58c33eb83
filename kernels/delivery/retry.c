/* Back-off and the header Retry-After. Nothing here waits. */
#include "kernels/delivery/retry.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

double lq_retry_backoff_s(int failures, double chance)
{
    const int doublings = failures < 0 ? 0 : failures > 30 ? 30 : failures;
    return chance * fmin(LQ_BACKOFF_MOST_S, ldexp(LQ_BACKOFF_FIRST_S, doublings));
}

/* Digits alone; as many as there are, a wait is capped anyway. */
static bool read_seconds(const char *text, double *seconds)
{
    *seconds = 0.0;
    const char *c = text;
    for (; isdigit((unsigned char)*c); c++) {
        *seconds = fmin(1e9, 10.0 * *seconds + (double)(*c - '0'));
    }
    return c > text && *c == '\0';
}

/* Names of days and months are those of the C locale, which the program never leaves. */
static bool read_date(const char *text, int64_t *unix_s)
{
    static const char *const FORMS[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* RFC 1123 */
        "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
        "%a %b %e %H:%M:%S %Y",      /* asctime */
    };
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        struct tm date = {.tm_year = 0};
        const char *end = strptime(text, FORMS[i], &date);
        if (end != NULL && *end == '\0') {
            *unix_s = (int64_t)timegm(&date);
            return true;
        }
    }
    return false;
}

bool lq_retry_after_s(const char *header, int64_t now_s, double *wait_s)
{
    double seconds = 0.0;
    int64_t date_s = 0;
    if (read_date(header, &date_s)) {
        seconds = (double)(date_s - now_s);
    } else if (!read_seconds(header, &seconds)) {
        return false;
    }
    *wait_s = fmin(LQ_RETRY_AFTER_MOST_S, fmax(0.0, seconds));
    return true;
}
