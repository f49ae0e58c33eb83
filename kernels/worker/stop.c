/* The handler of SIGINT and SIGTERM and the only state it has. */
#include "kernels/worker/stop.h"

#include <signal.h>
#include <stddef.h>
#include <sys/select.h>
#include <time.h>

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
    /* signals stay blocked between the look at the flag and the wait, which lets them in */
    sigset_t ours;
    sigset_t before;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, &before);
    if (asked == 0 && seconds > 0.0) {
        const time_t whole = (time_t)seconds;
        const struct timespec wait = {.tv_sec = whole,
                                      .tv_nsec = (long)(1e9 * (seconds - (double)whole))};
        (void)pselect(0, NULL, NULL, NULL, &wait, &before);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}
