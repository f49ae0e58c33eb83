/* Posts bodies to one path over keep-alive connections, one request at a time on each, as fast as
 * they are answered or at a given pace, and reads other paths meanwhile. Prints counts and
 * percentiles on one line; what they mean is told by ingest_bench.py. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, LATENCIES_MAX = 1 << 22, HEAD_MAX = 512 };

/* One connection with a request under way, or waiting for its turn. */
struct connection {
    int fd;
    bool reads;
    size_t request_size;
    size_t sent;
    size_t got;
    double begun_s;
    double due_s; /* when the next request is to begin */
    char *request;
    char answer[4096]; /* its beginning; the rest is only counted */
};

struct sums {
    long answered;
    long refused;
    size_t count;
    double *latency_s;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "ingest_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int dial(int port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        die("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* The number of the next point: what makes all points different. */
static unsigned long next_number;

/* A body of `count` points; the same shape as the worker's, each with a step time of its own. */
static size_t write_body(char *out, int count)
{
    char *end = out + sprintf(out, "{\"points\":[");
    for (int i = 0; i < count; i++) {
        const unsigned long n = next_number++;
        end += sprintf(end,
                       "%s{\"model\":\"%s\",\"gpu\":\"%s\",\"method\":{\"kind\":\"lora\","
                       "\"rank\":16},\"stack\":\"torchtune\",\"batch_size\":%lu,"
                       "\"sequence_tokens\":512,\"step_time_s\":%.12g,"
                       "\"measured_at\":\"2026-07-20T10:00:00Z\",\"source\":\"bench\","
                       "\"device\":{\"name\":\"L40S\",\"driver\":\"570.86\"}}",
                       i > 0 ? "," : "", n % 3 == 0 ? "llama-3.1-8b" : "mixtral-8x7b",
                       n % 2 == 0 ? "L40S" : "A40", 1 + n % 32,
                       (0.2 + 2e-3 * (double)(1 + n % 32)) * (1.0 + 1e-7 * (double)n));
    }
    end += sprintf(end, "]}");
    return (size_t)(end - out);
}

static void fill_post(struct connection *c, const char *token, int points)
{
    static char *body;
    if (body == NULL && (body = malloc((size_t)points * 512 + 64)) == NULL) {
        die("memory");
    }
    const size_t size = write_body(body, points);
    const int head = sprintf(c->request,
                             "POST /v1/calibrations HTTP/1.1\r\nHost: bench\r\n"
                             "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                             "Content-Length: %zu\r\n\r\n",
                             token, size);
    memcpy(c->request + head, body, size);
    c->request_size = (size_t)head + size;
}

static const char JOB[] =
    "{\"model\":\"mixtral-8x7b\",\"gpu\":\"A40\",\"method\":{\"kind\":\"qlora\",\"rank\":16,"
    "\"targets\":[\"experts\",\"router\"]},\"dataset\":{\"queries\":15000,\"lengths\":{\"name\":"
    "\"xia2024-math\"},\"cutoff_tokens\":1024},\"epochs\":10,\"providers\":[\"cudo-2024\"]}";

/* A GPU and an estimate in turn. */
static void fill_read(struct connection *c)
{
    static int turn;
    c->request_size =
        turn++ % 2 == 0
            ? (size_t)sprintf(c->request, "GET /v1/gpus/A40 HTTP/1.1\r\nHost: bench\r\n\r\n")
            : (size_t)sprintf(c->request,
                              "POST /v1/estimates HTTP/1.1\r\nHost: bench\r\n"
                              "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                              sizeof JOB - 1, JOB);
}

static void begin(struct connection *c, const char *token, int points, double at_s)
{
    if (c->reads) {
        fill_read(c);
    } else {
        fill_post(c, token, points);
    }
    c->sent = c->got = 0;
    c->begun_s = at_s;
}

static void send_more(struct connection *c)
{
    while (c->sent < c->request_size) {
        const ssize_t n = send(c->fd, c->request + c->sent, c->request_size - c->sent,
                               MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            die("send");
        }
        c->sent += (size_t)n;
    }
}

/* Reads what is there. True: the answer is whole. */
static bool read_more(struct connection *c)
{
    static char waste[1 << 16];
    const bool first = c->got < sizeof c->answer - 1;
    char *to = first ? c->answer + c->got : waste;
    const ssize_t n =
        recv(c->fd, to, first ? sizeof c->answer - 1 - c->got : sizeof waste, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return false;
    }
    if (n <= 0) {
        die("the server closed a connection");
    }
    c->got += (size_t)n;
    c->answer[c->got < sizeof c->answer - 1 ? c->got : sizeof c->answer - 1] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    const char *length = strcasestr(c->answer, "\r\nContent-Length:");
    return end != NULL && length != NULL &&
           c->got >= (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

static void count(const struct connection *c, struct sums *sums, double at_s)
{
    const long status = strtol(c->answer + 9, NULL, 10);
    sums->answered += status < 300;
    sums->refused += status >= 300;
    if (sums->count < LATENCIES_MAX) {
        sums->latency_s[sums->count++] = at_s - c->begun_s;
    }
    if (status >= 300 && sums->refused == 1) {
        fprintf(stderr, "ingest_load: %.400s\n", c->answer);
    }
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(struct sums *sums, double share)
{
    qsort(sums->latency_s, sums->count, sizeof *sums->latency_s, ascending);
    return sums->count > 0 ? 1e3 * sums->latency_s[(size_t)(share * (double)(sums->count - 1))] : 0;
}

/* What is asked for. */
struct plan {
    int port;
    const char *token;
    int points;  /* a request */
    int each[2]; /* connections that post, and that read */
    double seconds;
    double every_s[2]; /* of one connection of each kind; 0: as fast as answers come */
};

static void open_all(struct connection *all, const struct plan *plan, double start_s)
{
    for (int i = 0; i < plan->each[0] + plan->each[1]; i++) {
        struct connection *c = &all[i];
        c->reads = i >= plan->each[0];
        c->request = malloc(c->reads ? 2048 : (size_t)plan->points * 512 + 64 + HEAD_MAX);
        c->fd = dial(plan->port);
        const int place = c->reads ? i - plan->each[0] : i; /* turns are spread evenly */
        c->due_s = start_s + plan->every_s[c->reads] * place / plan->each[c->reads];
        if (c->request == NULL) {
            die("memory");
        }
    }
}

/* Begins what is due and says what is waited for, and until when. Returns the requests under way.
 */
static int begin_due(struct connection *all, struct pollfd *polled, const struct plan *plan,
                     double at_s, double end_s, double *next_s)
{
    int busy = 0;
    *next_s = at_s + 0.01;
    for (int i = 0; i < plan->each[0] + plan->each[1]; i++) {
        struct connection *c = &all[i];
        if (c->request_size == 0 && at_s < end_s && c->due_s <= at_s) {
            begin(c, plan->token, plan->points, plan->every_s[c->reads] > 0.0 ? c->due_s : at_s);
            send_more(c);
        } else if (c->request_size == 0 && at_s < end_s && c->due_s < *next_s) {
            *next_s = c->due_s;
        }
        busy += c->request_size > 0;
        polled[i] =
            (struct pollfd){.fd = c->request_size > 0 ? c->fd : -1,
                            .events = (short)(POLLIN | (c->sent < c->request_size ? POLLOUT : 0))};
    }
    return busy;
}

static void take_answers(struct connection *all, const struct pollfd *polled,
                         const struct plan *plan, struct sums sums[2])
{
    for (int i = 0; i < plan->each[0] + plan->each[1]; i++) {
        struct connection *c = &all[i];
        if ((polled[i].revents & POLLOUT) != 0) {
            send_more(c);
        }
        if ((polled[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && read_more(c)) {
            const double every_s = plan->every_s[c->reads];
            const double done_s = now_s();
            count(c, &sums[c->reads], done_s);
            c->request_size = 0;
            c->due_s = every_s > 0.0 ? c->due_s + every_s : done_s;
        }
    }
}

/* Returns the seconds that it took, until the last answer. */
static double run(struct connection *all, const struct plan *plan, struct sums sums[2])
{
    static struct pollfd polled[CONNECTIONS_MAX];
    const double start_s = now_s();
    const double end_s = start_s + plan->seconds;
    open_all(all, plan, start_s);
    for (;;) {
        const double at_s = now_s();
        double next_s;
        const int busy = begin_due(all, polled, plan, at_s, end_s, &next_s);
        if (busy == 0 && at_s >= end_s) {
            return at_s - start_s;
        }
        const struct timespec wait = {.tv_nsec = (long)(fmax(next_s - now_s(), 0.0) * 1e9)};
        if (ppoll(polled, (nfds_t)(plan->each[0] + plan->each[1]), &wait, NULL) < 0 &&
            errno != EINTR) {
            die("poll");
        }
        take_answers(all, polled, plan, sums);
    }
}

static double every(const char *per_s, int connections)
{
    const double rate = atof(per_s);
    return rate > 0.0 ? connections / rate : 0.0;
}

/* usage: ingest_load PORT TOKEN POSTERS POINTS SECONDS POSTS_PER_S READERS READS_PER_S FIRST_NUMBER
 * A pace of 0: as fast as answers come. */
int main(int argc, char **argv)
{
    static struct connection all[CONNECTIONS_MAX];
    if (argc != 10 || atoi(argv[3]) + atoi(argv[7]) > CONNECTIONS_MAX) {
        fprintf(stderr, "usage: see the source\n");
        return 2;
    }
    struct plan plan = {.port = atoi(argv[1]),
                        .token = argv[2],
                        .points = atoi(argv[4]),
                        .each = {atoi(argv[3]), atoi(argv[7])},
                        .seconds = atof(argv[5])};
    plan.every_s[0] = every(argv[6], plan.each[0]);
    plan.every_s[1] = every(argv[8], plan.each[1]);
    next_number = strtoul(argv[9], NULL, 10);
    struct sums sums[2] = {{.latency_s = calloc(LATENCIES_MAX, sizeof(double))},
                           {.latency_s = calloc(LATENCIES_MAX, sizeof(double))}};
    if (sums[0].latency_s == NULL || sums[1].latency_s == NULL) {
        die("memory");
    }
    const double took_s = run(all, &plan, sums);
    printf("%ld %ld %.6f %.3f %.3f %ld %ld %.3f %.3f\n", sums[0].answered, sums[0].refused, took_s,
           percentile_ms(&sums[0], 0.5), percentile_ms(&sums[0], 0.99), sums[1].answered,
           sums[1].refused, percentile_ms(&sums[1], 0.5), percentile_ms(&sums[1], 0.99));
    return 0;
}
