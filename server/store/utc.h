/* Points in time as the API and the database write them: RFC 3339 in UTC, whole seconds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum { LQ_UTC_MAX = 32 };

/* "2026-09-01T12:00:00Z". */
void lq_utc_text(time_t time, char text[LQ_UTC_MAX]);

/* Reads "YYYY-MM-DDTHH:MM:SS[.fraction]Z" (or "+00:00"), a real date between 1970 and 9999; the
 * fraction is dropped. False for anything else, other offsets included. */
bool lq_utc_parse(const char *text, time_t *time);

/* The last day that a date can mean, in days since 1970: "2024" is its 31 December, "2026-07" its
 * 31 July. False for anything else. */
bool lq_last_day(const char *date, long *days);
