/* Doubles as decimal text. */
#pragma once

#include <stddef.h>

enum { LQ_REAL_MAX = 32 }; /* "-1.2345678901234567e-308", ".0" and a terminator */

/* Writes a finite value with at most `digits` (1..17) significant digits, correctly rounded, as
 * printf's %g but for what JSON readers take for an integer: "3.0", and no '+' or zeros ahead in an
 * exponent: "1e-7". Returns the length. */
size_t lq_real_text(double value, int digits, char text[LQ_REAL_MAX]);
