/* Draws the bar. It is drawn over itself, so that lines for keeps stand above it. */
#include "kernels/worker/progress.h"

#include "kernels/base/clock.h"
#include "kernels/layer/space.h"

#include <string.h>
#include <unistd.h>

enum { BAR = 24 };

void lq_progress_begin(struct lq_progress *progress, FILE *out, double total)
{
    *progress = (struct lq_progress){.out = out,
                                     .is_terminal = isatty(fileno(out)) == 1,
                                     .total = total,
                                     .start_s = lq_clock_s()};
}

double lq_progress_left_s(const struct lq_progress *p, double now_s)
{
    if (!(p->done > 0.0)) {
        return -1.0;
    }
    const double left = p->total > p->done ? p->total - p->done : 0.0;
    return (now_s - p->start_s) * left / p->done;
}

void lq_duration_print(double seconds, char *text, size_t size)
{
    const long whole = (long)(seconds + 0.5);
    const long minutes = (whole + 30) / 60;
    if (whole < 60) {
        snprintf(text, size, "%ld s", whole);
    } else if (minutes < 60) {
        snprintf(text, size, "%ld min", minutes);
    } else {
        snprintf(text, size, "%ld h %ld min", minutes / 60, minutes % 60);
    }
}

void lq_progress_show(const struct lq_progress *p, const char *what)
{
    if (!p->is_terminal) {
        return;
    }
    const double part = p->total > 0.0 ? p->done / p->total : 0.0;
    const double share = part < 1.0 ? part : 1.0; /* suggested points may be more than planned */
    const int full = (int)(share * BAR);
    char bar[BAR + 1];
    char left[32] = "";
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)full);
    bar[BAR] = '\0';
    const double left_s = lq_progress_left_s(p, lq_clock_s());
    if (left_s >= 0.0) {
        lq_duration_print(left_s, left, sizeof left);
    }
    fprintf(p->out, "\r\033[K[%s] %3.0f %%%s%s  %s", bar, 100.0 * share,
            left[0] != '\0' ? "  left " : "", left, what);
    fflush(p->out);
}

void lq_progress_tell(struct lq_progress *p, double work, const char *line)
{
    p->done += work;
    fprintf(p->out, "%s%s\n", p->is_terminal ? "\r\033[K" : "", line);
    fflush(p->out);
}
