/* Opens listening sockets that share one address. */
#include "server/http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
};

/* A bound socket, or -1 with errno. Sharing lets further sockets of ours bind the same address. */
static int bind_socket(const struct address *at, bool shared)
{
    int fd = socket(at->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
        bind(fd, (const struct sockaddr *)&at->storage, at->size) == 0) {
        return fd;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* Binds once without sharing, which fails where another program serves there already (with sharing
 * the two would split the clients unnoticed), and learns the port. */
static int probe(struct address *at)
{
    int fd = bind_socket(at, false);
    if (fd < 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&at->storage, &at->size) != 0) {
        int saved = errno;
        if (fd >= 0) {
            close(fd);
        }
        return saved;
    }
    close(fd);
    return 0;
}

static int open_all(const struct address *at, int count, int *fds)
{
    for (int i = 0; i < count; i++) {
        fds[i] = bind_socket(at, true);
        if (fds[i] < 0 || listen(fds[i], BACKLOG) != 0) {
            int saved = errno;
            for (int open = 0; open <= i; open++) {
                if (fds[open] >= 0) {
                    close(fds[open]);
                }
            }
            return saved;
        }
    }
    return 0;
}

static void write_address(const struct address *at, char out[LQ_ADDRESS_MAX])
{
    char host[64] = "?";
    char port[8] = "?";
    getnameinfo((const struct sockaddr *)&at->storage, at->size, host, sizeof host, port,
                sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    bool is_ipv6 = at->storage.ss_family == AF_INET6;
    snprintf(out, LQ_ADDRESS_MAX, is_ipv6 ? "[%s]:%s" : "%s:%s", host, port);
}

enum lq_code lq_listen(const char *host, const char *port, int count, int *fds,
                       char address[LQ_ADDRESS_MAX], struct lq_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) {
        return lq_fail(err, LQ_EREQUEST, NULL, "cannot listen on %s:%s: %s", host, port,
                       gai_strerror(failed));
    }
    struct address at = {.size = found->ai_addrlen};
    memcpy(&at.storage, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    failed = probe(&at);
    if (failed == 0) {
        failed = open_all(&at, count, fds);
    }
    if (failed != 0) {
        return lq_fail(err, LQ_EREQUEST, NULL, "cannot listen on %s:%s: %s", host, port,
                       strerror(failed));
    }
    write_address(&at, address);
    return LQ_OK;
}
