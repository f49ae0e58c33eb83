/* Command: healthcheck, which asks a running server whether it is ready. It is for containers,
 * whose images hold no other HTTP client. */
#include "server/command_parts.h"

#include "server/config.h"
#include "server/http/tls_ask.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    PATIENCE_S = 4, /* for all; under the 10 s that docker/ tells Docker to wait */
    ANSWER_MAX = 1024
};

/* Where a server that listens on every address can be reached from its own host. */
static const char *reachable(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(host, "::") == 0 ? "::1" : host;
}

static int connect_to(const struct lq_config *config, struct lq_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct addrinfo *found = NULL;
    const int unknown = getaddrinfo(reachable(config->host), config->port, &hints, &found);
    if (unknown != 0) {
        (void)lq_fail(err, LQ_EFIELD, NULL, "%s: %s", config->host, gai_strerror(unknown));
        return -1;
    }
    int peer = -1;
    for (const struct addrinfo *at = found; at != NULL && peer < 0; at = at->ai_next) {
        peer = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (peer < 0) {
            continue;
        }
        (void)setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        (void)setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(peer, at->ai_addr, at->ai_addrlen) != 0) {
            const int cause = errno;
            close(peer);
            errno = cause;
            peer = -1;
        }
    }
    freeaddrinfo(found);
    if (peer < 0) {
        (void)lq_fail(err, LQ_ESTORE, NULL, "%s:%s: %s", reachable(config->host), config->port,
                      strerror(errno == EINPROGRESS ? ETIMEDOUT : errno));
    }
    return peer;
}

static const char QUESTION[] =
    "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/* Sends the question and reads the beginning of the answer. */
static enum lq_code ask(int peer, char answer[ANSWER_MAX], struct lq_error *err)
{
    if (send(peer, QUESTION, sizeof QUESTION - 1, MSG_NOSIGNAL) != (ssize_t)sizeof QUESTION - 1) {
        return lq_fail(err, LQ_ESTORE, NULL, "cannot ask: %s", strerror(errno));
    }
    size_t size = 0;
    ssize_t got = 1;
    while (size < ANSWER_MAX - 1 && got > 0) {
        got = recv(peer, answer + size, ANSWER_MAX - 1 - size, 0);
        size += got > 0 ? (size_t)got : 0;
    }
    answer[size] = '\0';
    return got >= 0 ? LQ_OK
                    : lq_fail(err, LQ_ESTORE, NULL, "no answer within %d s: %s", PATIENCE_S,
                              strerror(errno));
}

static enum lq_code check_answer(char *answer, struct lq_error *err)
{
    static const char READY[] = "HTTP/1.1 200 ";
    if (strncmp(answer, READY, sizeof READY - 1) == 0) {
        return LQ_OK;
    }
    answer[strcspn(answer, "\r\n")] = '\0';
    return lq_fail(err, LQ_ESTORE, NULL, "not ready: %.100s", answer);
}

/* The whole check has one deadline, whatever the peer does. */
static void give_up(int signal_number)
{
    static const char TEXT[] = "llmquote-server: not ready: no answer in time\n";
    (void)signal_number;
    (void)!write(STDERR_FILENO, TEXT, sizeof TEXT - 1);
    _exit(LQ_EXIT_FAILED);
}

int lq_command_healthcheck(int argc, char *const *argv, const struct lq_hooks *hooks)
{
    (void)hooks;
    struct lq_error err = {0};
    struct lq_config config;
    if (lq_config_load(&config, argc, argv, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    signal(SIGALRM, give_up);
    alarm(PATIENCE_S);
    const int peer = connect_to(&config, &err);
    if (peer < 0) {
        return lq_command_fail(LQ_EXIT_FAILED, &err);
    }
    char answer[ANSWER_MAX];
    enum lq_code code = config.tls_cert[0] != '\0'
                            ? lq_tls_ask(peer, config.tls_cert, QUESTION, answer, ANSWER_MAX, &err)
                            : ask(peer, answer, &err);
    code = code == LQ_OK ? check_answer(answer, &err) : code;
    close(peer);
    if (code != LQ_OK) {
        return lq_command_fail(LQ_EXIT_FAILED, &err);
    }
    puts("ready");
    return LQ_EXIT_OK;
}
