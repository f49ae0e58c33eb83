/* The loop that accepts and sweeps; how many there may be is decided in connections.c. */
#include "server/http/acceptor.h"

#include "server/clock.h"
#include "server/http/connections.h"
#include "server/http/linger.h"
#include "server/http/refusal.h"
#include "server/ip.h"
#include "server/log.h"
#include "server/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    ACCEPTS_AT_ONCE = 64, /* before the sweep has its turn */
    SWEEP_MS = 500,
    PAUSE_MS = 100,        /* when the system has no room for another connection */
    REPORT_MS = 10 * 1000, /* between lines of the log about what was turned away */
};

struct lq_acceptor {
    struct lq_acceptor_plan plan;
    pthread_t thread;
    atomic_bool stopping;
    int wake;  /* eventfd */
    int spare; /* a descriptor to give up when there are no others; -1: given up */
    int64_t swept_ms;
    int64_t reported_ms;
    size_t refused; /* since the last line of the log */
    size_t ended;
};

static void count_refused(struct lq_acceptor *acceptor)
{
    acceptor->refused++;
    lq_metrics_count(LQ_COUNT_CONNECTIONS_REFUSED, 1);
}

/* Answers 503 and closes, in a way that lets the client read it. */
static void turn_away(struct lq_acceptor *acceptor, int fd, const char *why)
{
    count_refused(acceptor);
    if (acceptor->plan.encrypted) {
        close(fd); /* nothing is readable before a handshake */
        return;
    }
    char text[LQ_REFUSAL_MAX];
    size_t size = lq_refusal_write(LQ_EOVERLOAD, why, text);
    (void)!send(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    lq_linger_take(acceptor->plan.linger, fd);
}

/* Out of descriptors: the spare one lets one connection in, to be told so. True where that went
 * well and there may be more. */
static bool accept_with_spare(struct lq_acceptor *acceptor)
{
    if (acceptor->spare < 0) {
        return false;
    }
    close(acceptor->spare);
    acceptor->spare = -1;
    int fd = accept4(acceptor->plan.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        char text[LQ_REFUSAL_MAX];
        size_t size = lq_refusal_write(LQ_EOVERLOAD, "the server is out of descriptors", text);
        if (!acceptor->plan.encrypted) {
            (void)!send(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        shutdown(fd, SHUT_WR);
        (void)!recv(fd, text, sizeof text, MSG_DONTWAIT); /* what lies unread would reset it */
        close(fd);
        count_refused(acceptor);
    }
    acceptor->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && acceptor->spare >= 0;
}

static void receive(struct lq_acceptor *acceptor, int fd, const struct sockaddr_storage *from,
                    socklen_t size)
{
    const struct sockaddr *address = (const struct sockaddr *)from;
    struct lq_ip ip = lq_ip_of(address);
    int lane = 0;
    const char *why = NULL;
    if (!lq_connections_enter(acceptor->plan.connections, ip, &lane, &why)) {
        turn_away(acceptor, fd, why);
    } else if (!acceptor->plan.hand_over(acceptor->plan.context, lane, fd, address, size)) {
        lq_connections_leave(acceptor->plan.connections, ip, lane);
    }
}

/* Accepts what waits. False: the system has no room; waiting for the socket would not wait. */
static bool accept_all(struct lq_acceptor *acceptor, int most)
{
    for (int i = 0; i < most; i++) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        int fd = accept4(acceptor->plan.listen_fd, (struct sockaddr *)&from, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            receive(acceptor, fd, &from, size);
        } else if (errno == EAGAIN) {
            return true;
        } else if (errno == EMFILE || errno == ENFILE) {
            if (!accept_with_spare(acceptor)) {
                return false;
            }
        } else if (errno == ENOBUFS || errno == ENOMEM) {
            return false;
        } /* anything else is about that connection alone (accept(2)) */
    }
    return true;
}

static void sweep(struct lq_acceptor *acceptor)
{
    const int64_t now = lq_clock_ms();
    if (now - acceptor->swept_ms < SWEEP_MS) {
        return;
    }
    acceptor->swept_ms = now;
    char text[LQ_REFUSAL_MAX];
    size_t size = acceptor->plan.encrypted
                      ? 0
                      : lq_refusal_write(LQ_EDEADLINE, "the request did not arrive in time", text);
    const size_t ended = lq_connections_sweep(acceptor->plan.connections, text, size);
    acceptor->ended += ended;
    lq_metrics_count(LQ_COUNT_CONNECTIONS_ENDED, ended);
    if (acceptor->refused + acceptor->ended > 0 && now - acceptor->reported_ms >= REPORT_MS) {
        lq_log_event("info", "connections", NULL, "%zu turned away, %zu ended as too slow",
                     acceptor->refused, acceptor->ended);
        acceptor->reported_ms = now;
        acceptor->refused = acceptor->ended = 0;
    }
}

static void *run(void *context)
{
    struct lq_acceptor *acceptor = context;
    bool room = true;
    while (!atomic_load(&acceptor->stopping)) {
        struct pollfd polled[] = {{.fd = acceptor->wake, .events = POLLIN},
                                  {.fd = acceptor->plan.listen_fd, .events = POLLIN}};
        poll(polled, room ? 2 : 1, room ? SWEEP_MS : PAUSE_MS);
        if (acceptor->spare < 0) {
            acceptor->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        room = accept_all(acceptor, ACCEPTS_AT_ONCE);
        sweep(acceptor);
    }
    accept_all(acceptor, SOMAXCONN);
    return NULL;
}

static void free_acceptor(struct lq_acceptor *acceptor)
{
    close(acceptor->plan.listen_fd);
    if (acceptor->wake >= 0) {
        close(acceptor->wake);
    }
    if (acceptor->spare >= 0) {
        close(acceptor->spare);
    }
    free(acceptor);
}

enum lq_code lq_acceptor_start(const struct lq_acceptor_plan *plan, struct lq_acceptor **acceptor,
                               struct lq_error *err)
{
    struct lq_acceptor *made = calloc(1, sizeof *made);
    if (made == NULL) {
        close(plan->listen_fd);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    made->plan = *plan;
    made->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    made->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    made->reported_ms = lq_clock_ms() - REPORT_MS;
    if (made->wake < 0 || pthread_create(&made->thread, NULL, run, made) != 0) {
        free_acceptor(made);
        return lq_fail(err, LQ_EINTERNAL, NULL, "cannot start a thread");
    }
    *acceptor = made;
    return LQ_OK;
}

void lq_acceptor_stop(struct lq_acceptor *acceptor)
{
    if (acceptor == NULL) {
        return;
    }
    atomic_store(&acceptor->stopping, true);
    eventfd_write(acceptor->wake, 1);
    pthread_join(acceptor->thread, NULL);
    free_acceptor(acceptor);
}
