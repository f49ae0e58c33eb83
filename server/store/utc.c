/* Dates by arithmetic alone: no time zone and no locale is asked. */
#include "server/store/utc.h"

#include <string.h>

enum { DAY_S = 86400 };

void lq_utc_text(time_t time, char text[LQ_UTC_MAX])
{
    struct tm parts;
    if (gmtime_r(&time, &parts) == NULL ||
        strftime(text, LQ_UTC_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        text[0] = '\0';
    }
}

static int month_days(int year, int month)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : DAYS[month - 1];
}

/* Exactly `digits` decimal digits, which must lie in [min, max]; moves the text behind them. */
static bool take(const char **text, int digits, int min, int max, int *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++, (*text)++) {
        if (**text < '0' || **text > '9') {
            return false;
        }
        *value = *value * 10 + (**text - '0');
    }
    return *value >= min && *value <= max;
}

static bool skip(const char **text, char wanted)
{
    if (**text != wanted) {
        return false;
    }
    (*text)++;
    return true;
}

static long days_since_1970(int year, int month, int day)
{
    struct tm parts = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    return (long)(timegm(&parts) / DAY_S);
}

static bool skip_fraction(const char **text)
{
    if (!skip(text, '.')) {
        return true;
    }
    size_t digits = strspn(*text, "0123456789");
    *text += digits;
    return digits > 0;
}

bool lq_utc_parse(const char *text, time_t *time)
{
    int year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    if (!take(&text, 4, 1970, 9999, &year) || !skip(&text, '-') || !take(&text, 2, 1, 12, &month) ||
        !skip(&text, '-') || !take(&text, 2, 1, month_days(year, month), &day) ||
        !(skip(&text, 'T') || skip(&text, 't')) || !take(&text, 2, 0, 23, &hour) ||
        !skip(&text, ':') || !take(&text, 2, 0, 59, &minute) || !skip(&text, ':') ||
        !take(&text, 2, 0, 60, &second) || !skip_fraction(&text)) {
        return false;
    }
    if (strcmp(text, "Z") != 0 && strcmp(text, "z") != 0 && strcmp(text, "+00:00") != 0) {
        return false;
    }
    *time = (time_t)days_since_1970(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
    return true;
}

bool lq_last_day(const char *date, long *days)
{
    int year;
    int month = 12;
    int day;
    if (!take(&date, 4, 1970, 9999, &year)) {
        return false;
    }
    if (*date != '\0' && (!skip(&date, '-') || !take(&date, 2, 1, 12, &month))) {
        return false;
    }
    day = month_days(year, month);
    if (*date != '\0' && (!skip(&date, '-') || !take(&date, 2, 1, day, &day))) {
        return false;
    }
    *days = days_since_1970(year, month, day);
    return *date == '\0';
}
