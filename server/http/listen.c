/* Opens the listening socket and tells where it is. */
#include "server/http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; /* cut to net.core.somaxconn */

/* A listening socket, or -1 with errno. Accepted sockets inherit that they do not delay. */
static int open_socket(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
        bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        return fd;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static void write_address(int fd, char out[LQ_ADDRESS_MAX])
{
    struct sockaddr_storage at = {0};
    socklen_t size = sizeof at;
    char host[64] = "?";
    char port[8] = "?";
    if (getsockname(fd, (struct sockaddr *)&at, &size) == 0) {
        getnameinfo((const struct sockaddr *)&at, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    }
    snprintf(out, LQ_ADDRESS_MAX, at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

enum lq_code lq_listen(const char *host, const char *port, int *fd, char address[LQ_ADDRESS_MAX],
                       struct lq_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) {
        return lq_fail(err, LQ_EREQUEST, NULL, "cannot listen on %s:%s: %s", host, port,
                       gai_strerror(failed));
    }
    int opened = open_socket(found);
    failed = errno;
    freeaddrinfo(found);
    if (opened < 0) {
        return lq_fail(err, LQ_EREQUEST, NULL, "cannot listen on %s:%s: %s", host, port,
                       strerror(failed));
    }
    write_address(opened, address);
    *fd = opened;
    return LQ_OK;
}
