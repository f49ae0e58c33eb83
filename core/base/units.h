/* Unit factors used where a value enters or leaves core; inside it only s, byte, FLOP and USD
 * exist. */
#pragma once

#define LQ_KIB 1024.0
#define LQ_MIB (1024.0 * 1024.0)
#define LQ_GIB (1024.0 * 1024.0 * 1024.0)
#define LQ_GIGA 1e9
#define LQ_TERA 1e12
#define LQ_SECONDS_PER_HOUR 3600.0
