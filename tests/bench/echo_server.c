/* The yardstick of the HTTP benchmark: a server on the same library with the same threads that only
 * decodes each request's JSON and encodes one fixed answer, with plain malloc and no checks.
 *
 * usage: echo_server PORT THREADS ANSWER.json */
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 64 * 1024, THREADS_MAX = 64 };

struct body {
    size_t size;
    char text[BODY_MAX];
};

static json_t *answer_document;

static enum MHD_Result answer(struct MHD_Connection *connection, const struct body *body)
{
    json_t *request = json_loadb(body->text, body->size, 0, NULL);
    unsigned int status = request != NULL ? 200 : 400;
    json_decref(request);
    char *text = json_dumps(answer_document, JSON_COMPACT | JSON_REAL_PRECISION(10));
    if (text == NULL) {
        return MHD_NO;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    (void)context;
    (void)url;
    (void)method;
    (void)version;
    struct body *body = *state;
    if (body == NULL) {
        body = malloc(sizeof *body);
        *state = body;
        if (body != NULL) {
            body->size = 0;
        }
        return body != NULL ? MHD_YES : MHD_NO;
    }
    if (*size == 0) {
        return answer(connection, body);
    }
    if (*size > sizeof body->text - body->size) {
        return MHD_NO;
    }
    memcpy(body->text + body->size, data, *size);
    body->size += *size;
    *size = 0;
    return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)context;
    (void)connection;
    (void)why;
    free(*state);
    *state = NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: echo_server PORT THREADS ANSWER.json\n");
        return 2;
    }
    int threads = atoi(argv[2]);
    json_error_t error;
    answer_document = json_load_file(argv[3], 0, &error);
    if (answer_document == NULL || threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "echo_server: %s: %s\n", argv[3], error.text);
        return 2;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemons[THREADS_MAX];
    for (int i = 0; i < threads; i++) {
        daemons[i] =
            MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, NULL,
                             MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U,
                             MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
        if (daemons[i] == NULL) {
            fprintf(stderr, "echo_server: cannot listen on port %s\n", argv[1]);
            return 1;
        }
    }
    puts("listening");
    fflush(stdout);
    int received = 0;
    sigwait(&signals, &received);
    for (int i = 0; i < threads; i++) {
        MHD_stop_daemon(daemons[i]);
    }
    json_decref(answer_document);
    return 0;
}
