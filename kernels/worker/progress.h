/* How far a sweep is: a bar with the time left on a terminal, plain lines elsewhere. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

struct lq_progress {
    FILE *out;
    bool is_terminal;
    double total;   /* work in all, in any unit */
    double done;    /* of it */
    double start_s; /* on the monotonic clock */
};

/* Begins; whether `out` is a terminal is found out here. */
void lq_progress_begin(struct lq_progress *progress, FILE *out, double total);
/* Shows what is worked on now. */
void lq_progress_show(const struct lq_progress *progress, const char *what);
/* `work` more is done; the line is for keeps. */
void lq_progress_tell(struct lq_progress *progress, double work, const char *line);

/* Seconds left at the pace so far; negative where nothing is done yet. */
double lq_progress_left_s(const struct lq_progress *progress, double now_s);
/* "3 min", "2 h 5 min", "40 s". */
void lq_duration_print(double seconds, char *text, size_t size);
