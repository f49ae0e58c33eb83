/* The handler of SIGINT and SIGTERM and the only state it has. */
#include "kernels/base/stop.h"

#include "kernels/base/clock.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

#define SLICE_S 0.1 /* how late a stop may be noticed */

static volatile sig_atomic_t asked;

static void remember(int number)
{
    (void)number;
    asked = 1;
}

void lq_stop_install(void)
{
    /* SA_RESETHAND: the second one acts as if we had not been there; no SA_RESTART: waits end */
    struct sigaction action = {.sa_handler = remember, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

bool lq_stop_asked(void)
{
    return asked != 0;
}

void lq_stop_wait(double seconds)
{
    const double until = lq_clock_s() + seconds;
    for (double left = seconds; left > 0.0 && asked == 0;) {
        /* in slices: a signal may reach another thread, or come just before the wait */
        const double slice = left < SLICE_S ? left : SLICE_S;
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * slice)}, NULL);
        left = until - lq_clock_s();
    }
}
