/* Decimal digits by one exact power of ten in extended precision, where that settles how to round;
 * by printf where it does not. */
#include "server/json/real.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    FAST_DIGITS_MAX = 15,
    POWER_MAX = 27, /* 10^27 = 2^27 5^27, and 5^27 < 2^63: exact in 64 bits of mantissa */
};

/* A scaled value below 10^15 with 64 bits of mantissa is off by less than 2^-12 from the power and
 * the product; nearer than this to a half, nobody knows how to round. */
static const long double DOUBT = 1e-3L;

static const long double POWERS[POWER_MAX + 1] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,
                                                  1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
                                                  1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L,
                                                  1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};

/* A decimal: `digits` digits of `whole`, times 10^(exponent + 1 - digits). */
struct decimal {
    uint64_t whole;
    int exponent;
};

static bool scale(double value, int power, long double *scaled)
{
    if (power > POWER_MAX || power < -POWER_MAX) {
        return false;
    }
    *scaled = power >= 0 ? (long double)value * POWERS[power] : (long double)value / POWERS[-power];
    return true;
}

/* The digits of a positive value; false where extended precision does not settle them. */
static bool find_digits(double value, int digits, struct decimal *decimal)
{
    if (LDBL_MANT_DIG < 64 || digits > FAST_DIGITS_MAX) {
        return false;
    }
    int binary = 0;
    frexp(value, &binary);
    /* log10(2): at most one too low; what is too high is seen below */
    int exponent = (int)floor((binary - 1) * 0.30102999566398120);
    long double scaled = 0.0L;
    if (!scale(value, digits - 1 - exponent, &scaled)) {
        return false;
    }
    if (scaled >= POWERS[digits]) {
        exponent++;
        if (!scale(value, digits - 1 - exponent, &scaled)) {
            return false;
        }
    }
    if (scaled < POWERS[digits - 1] || scaled >= POWERS[digits]) {
        return false;
    }
    uint64_t whole = (uint64_t)scaled;
    const long double rest = scaled - (long double)whole;
    if (fabsl(rest - 0.5L) < DOUBT) {
        return false;
    }
    whole += rest > 0.5L;
    if (whole >= (uint64_t)POWERS[digits]) {
        whole /= 10;
        exponent++;
    }
    *decimal = (struct decimal){whole, exponent};
    return true;
}

static char *put_exponent(char *end, int exponent)
{
    char reversed[8];
    int count = 0;
    *end++ = 'e';
    if (exponent < 0) {
        *end++ = '-';
    }
    for (int rest = exponent < 0 ? -exponent : exponent; rest > 0; rest /= 10) {
        reversed[count++] = (char)('0' + rest % 10);
    }
    while (count > 0) {
        *end++ = reversed[--count];
    }
    return end;
}

static char *put(char *end, const char *bytes, int size)
{
    memcpy(end, bytes, (size_t)size);
    return end + size;
}

/* %g's choice between the two forms, for `count` digits without zeros at the end. */
static char *put_decimal(char *end, const char *shown, int count, int exponent, int digits)
{
    static const char ZEROS[] = "0000000000000000";
    if (exponent < -4 || exponent >= digits) {
        *end++ = shown[0];
        if (count > 1) {
            *end++ = '.';
            end = put(end, shown + 1, count - 1);
        }
        return put_exponent(end, exponent);
    }
    if (exponent < 0) {
        end = put(put(end, "0.", 2), ZEROS, -1 - exponent);
        return put(end, shown, count);
    }
    const int before = exponent + 1;
    if (count <= before) {
        end = put(put(end, shown, count), ZEROS, before - count);
        return put(end, ".0", 2);
    }
    end = put(put(end, shown, before), ".", 1);
    return put(end, shown + before, count - before);
}

/* By printf, in our form. */
static char *put_printed(char *end, double value, int digits)
{
    const int length = snprintf(end, LQ_REAL_MAX - 1, "%.*g", digits, value);
    char *exponent = memchr(end, 'e', (size_t)length);
    if (exponent == NULL) {
        const bool is_whole = memchr(end, '.', (size_t)length) == NULL;
        return is_whole ? put(end + length, ".0", 2) : end + length;
    }
    char *from = exponent + 1;
    char *to = from;
    if (*from == '-') {
        to++;
    }
    from += *from == '-' || *from == '+';
    while (*from == '0') {
        from++;
    }
    const size_t left = (size_t)(end + length - from);
    memmove(to, from, left);
    return to + left;
}

size_t lq_real_text(double value, int digits, char text[LQ_REAL_MAX])
{
    char *end = text;
    struct decimal decimal;
    if (value == 0.0) {
        end = signbit(value) ? put(end, "-0.0", 4) : put(end, "0.0", 3);
    } else if (!find_digits(fabs(value), digits, &decimal)) {
        end = put_printed(end, value, digits);
    } else {
        char shown[FAST_DIGITS_MAX];
        int count = digits;
        for (int i = digits - 1; i >= 0; i--, decimal.whole /= 10) {
            shown[i] = (char)('0' + decimal.whole % 10);
        }
        while (shown[count - 1] == '0') {
            count--;
        }
        if (value < 0.0) {
            *end++ = '-';
        }
        end = put_decimal(end, shown, count, decimal.exponent, digits);
    }
    *end = '\0';
    return (size_t)(end - text);
}
