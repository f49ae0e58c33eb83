/* One thread that reads refused connections empty until the client is done or the time is up. */
#include "server/http/linger.h"

#include "server/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PLACES = 256,
    LINGER_MS = 5000,
    READS_AT_ONCE = 16,
    READ_BYTES = 64 * 1024,
    READ_ON_CLOSE_BYTES = 4096
};

struct lq_linger {
    pthread_t thread;
    pthread_mutex_t lock; /* over places, count and stopping */
    struct place {
        int fd;
        int64_t until_ms;
    } places[PLACES];
    size_t count;
    bool stopping;
    int wake; /* eventfd */
};

/* Reads what is there; false once the client has closed or failed. */
static bool drain(int fd)
{
    static char discarded[READ_BYTES]; /* only this thread writes it, nobody reads it */
    for (int reads = 0; reads < READS_AT_ONCE; reads++) {
        ssize_t size = recv(fd, discarded, sizeof discarded, MSG_DONTWAIT);
        if (size == 0) {
            return false;
        }
        if (size < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
    }
    return true;
}

static void visit_places(struct lq_linger *linger)
{
    const int64_t now = lq_clock_ms();
    for (size_t i = 0; i < linger->count;) {
        struct place *place = &linger->places[i];
        if (now < place->until_ms && drain(place->fd)) {
            i++;
            continue;
        }
        close(place->fd);
        *place = linger->places[--linger->count];
    }
}

static void *run(void *context)
{
    struct lq_linger *linger = context;
    for (;;) {
        struct pollfd polled[PLACES + 1] = {{.fd = linger->wake, .events = POLLIN}};
        pthread_mutex_lock(&linger->lock);
        visit_places(linger);
        size_t count = linger->count;
        for (size_t i = 0; i < count; i++) {
            polled[i + 1] = (struct pollfd){.fd = linger->places[i].fd, .events = POLLIN};
        }
        bool stopping = linger->stopping;
        pthread_mutex_unlock(&linger->lock);
        if (stopping) {
            return NULL;
        }
        poll(polled, count + 1, count > 0 ? 1000 : -1);
        eventfd_t ignored;
        eventfd_read(linger->wake, &ignored);
    }
}

enum lq_code lq_linger_start(struct lq_linger **linger, struct lq_error *err)
{
    struct lq_linger *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    made->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&made->lock, NULL);
    if (made->wake < 0 || pthread_create(&made->thread, NULL, run, made) != 0) {
        if (made->wake >= 0) {
            close(made->wake);
        }
        free(made);
        return lq_fail(err, LQ_EINTERNAL, NULL, "cannot start a thread");
    }
    *linger = made;
    return LQ_OK;
}

/* Whether there was a place for it. */
static bool place(struct lq_linger *linger, int fd)
{
    pthread_mutex_lock(&linger->lock);
    bool placed = linger->count < PLACES && !linger->stopping;
    if (placed) {
        linger->places[linger->count++] =
            (struct place){.fd = fd, .until_ms = lq_clock_ms() + LINGER_MS};
    }
    pthread_mutex_unlock(&linger->lock);
    if (placed) {
        eventfd_write(linger->wake, 1);
    }
    return placed;
}

void lq_linger_add(struct lq_linger *linger, int socket_fd)
{
    int fd = fcntl(socket_fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 && !place(linger, fd)) {
        close(fd);
    }
}

void lq_linger_take(struct lq_linger *linger, int socket_fd)
{
    if (!place(linger, socket_fd)) {
        char unread[READ_ON_CLOSE_BYTES];
        (void)!recv(socket_fd, unread, sizeof unread, MSG_DONTWAIT);
        close(socket_fd);
    }
}

void lq_linger_stop(struct lq_linger *linger)
{
    if (linger == NULL) {
        return;
    }
    pthread_mutex_lock(&linger->lock);
    linger->stopping = true;
    pthread_mutex_unlock(&linger->lock);
    eventfd_write(linger->wake, 1);
    pthread_join(linger->thread, NULL);
    for (size_t i = 0; i < linger->count; i++) {
        close(linger->places[i].fd);
    }
    close(linger->wake);
    pthread_mutex_destroy(&linger->lock);
    free(linger);
}
