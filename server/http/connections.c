/* The register of open connections and the sweep over it. */
#include "server/http/connections.h"

#include "server/clock.h"
#include "server/config.h"
#include "server/random.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CLOSE_WAIT = 8, /* TCP_CLOSE_WAIT of <netinet/tcp.h>, which cannot stand beside <linux/tcp.h> */
    ANSWER_MS = 600 * 1000, /* to compute an answer and have the client take all of it */
    LEFT_MS = 3000, /* at rest after the client has closed: nothing of its requests is left to do */
    CUT_MS = 1000, /* a request after whose beginning the client has closed: the rest never comes */
    UNKNOWN = -1
};

/* Where a connection stands. Its thread moves it on; the sweep moves RESTING to ARRIVING when the
 * first bytes of a next request come, and anything to OVER. */
enum phase { RESTING, ARRIVING, ANSWERING, OVER };

struct lq_connection {
    struct lq_connections *all;
    struct lq_connection *next;
    struct lq_connection *previous;
    struct lq_ip ip;
    int fd;
    int lane;
    atomic_int phase;
    atomic_llong since_ms; /* when it came to its phase */
    atomic_llong received; /* bytes when RESTING was first seen; UNKNOWN until then */
};

struct lane {
    pthread_mutex_t lock; /* over the list, and against closing what the sweep looks at */
    struct lq_connection *first;
    atomic_int count;
};

struct site { /* connections from one address */
    struct lq_ip ip;
    int count; /* 0: free */
};

struct lq_connections {
    const struct lq_config *config;
    int lane_count;
    struct lane lanes[LQ_THREADS_MAX];
    atomic_int count;
    pthread_mutex_t lock; /* over the sites */
    uint64_t seed[2];
    size_t site_mask;
    struct site *sites; /* open addressing, at most half full */
};

enum lq_code lq_connections_new(const struct lq_config *config, int lanes,
                                struct lq_connections **connections, struct lq_error *err)
{
    uint64_t seed[2];
    LQ_TRY(lq_random_fill(seed, sizeof seed, err));
    struct lq_connections *made = calloc(1, sizeof *made);
    size_t places = 16;
    while (places < 2 * (size_t)config->connections) {
        places *= 2;
    }
    struct site *sites = calloc(places, sizeof *sites);
    if (made == NULL || sites == NULL) {
        free(made);
        free(sites);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    memcpy(made->seed, seed, sizeof seed);
    made->config = config;
    made->sites = sites;
    made->site_mask = places - 1;
    made->lane_count = lanes;
    pthread_mutex_init(&made->lock, NULL);
    for (int i = 0; i < lanes; i++) {
        pthread_mutex_init(&made->lanes[i].lock, NULL);
    }
    *connections = made;
    return LQ_OK;
}

void lq_connections_free(struct lq_connections *connections)
{
    if (connections == NULL) {
        return;
    }
    for (int i = 0; i < connections->lane_count; i++) {
        pthread_mutex_destroy(&connections->lanes[i].lock);
    }
    pthread_mutex_destroy(&connections->lock);
    free(connections->sites);
    free(connections);
}

static size_t home(const struct lq_connections *all, struct lq_ip ip)
{
    return (size_t)lq_ip_hash(ip, all->seed) & all->site_mask;
}

/* Where an address stands, or would. */
static size_t find_site(const struct lq_connections *all, struct lq_ip ip)
{
    size_t i = home(all, ip);
    while (all->sites[i].count > 0 && memcmp(&all->sites[i].ip, &ip, sizeof ip) != 0) {
        i = (i + 1) & all->site_mask;
    }
    return i;
}

/* Frees a place and moves up those behind it that would not be found any more. */
static void free_site(struct lq_connections *all, size_t hole)
{
    for (size_t i = hole;;) {
        i = (i + 1) & all->site_mask;
        if (all->sites[i].count == 0) {
            break;
        }
        size_t distance = (i - home(all, all->sites[i].ip)) & all->site_mask;
        if (distance >= ((i - hole) & all->site_mask)) {
            all->sites[hole] = all->sites[i];
            hole = i;
        }
    }
    all->sites[hole].count = 0;
}

static bool count_site(struct lq_connections *all, struct lq_ip ip)
{
    pthread_mutex_lock(&all->lock);
    struct site *site = &all->sites[find_site(all, ip)];
    bool fits = site->count < all->config->connections_per_address;
    if (fits) {
        site->ip = ip;
        site->count++;
    }
    pthread_mutex_unlock(&all->lock);
    return fits;
}

static void discount_site(struct lq_connections *all, struct lq_ip ip)
{
    pthread_mutex_lock(&all->lock);
    size_t i = find_site(all, ip);
    if (all->sites[i].count > 0 && --all->sites[i].count == 0) {
        free_site(all, i);
    }
    pthread_mutex_unlock(&all->lock);
}

bool lq_connections_enter(struct lq_connections *connections, struct lq_ip ip, int *lane,
                          const char **why)
{
    if (atomic_load(&connections->count) >= connections->config->connections) {
        *why = "the server has as many connections as it takes";
        return false;
    }
    if (!lq_config_trusts(connections->config, ip) && !count_site(connections, lq_ip_site(ip))) {
        *why = "this address has as many connections as it may";
        return false;
    }
    int best = 0;
    for (int i = 1; i < connections->lane_count; i++) {
        if (atomic_load(&connections->lanes[i].count) <
            atomic_load(&connections->lanes[best].count)) {
            best = i;
        }
    }
    atomic_fetch_add(&connections->count, 1);
    atomic_fetch_add(&connections->lanes[best].count, 1);
    *lane = best;
    return true;
}

void lq_connections_leave(struct lq_connections *connections, struct lq_ip ip, int lane)
{
    if (!lq_config_trusts(connections->config, ip)) {
        discount_site(connections, lq_ip_site(ip));
    }
    atomic_fetch_sub(&connections->lanes[lane].count, 1);
    atomic_fetch_sub(&connections->count, 1);
}

struct lq_connection *lq_connection_open(struct lq_connections *connections, int lane, int fd,
                                         struct lq_ip ip)
{
    struct lq_connection *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->all = connections;
    made->lane = lane;
    made->fd = fd;
    made->ip = ip;
    atomic_init(&made->phase, ARRIVING);
    atomic_init(&made->since_ms, lq_clock_ms());
    atomic_init(&made->received, UNKNOWN);
    struct lane *in = &connections->lanes[lane];
    pthread_mutex_lock(&in->lock);
    made->next = in->first;
    if (in->first != NULL) {
        in->first->previous = made;
    }
    in->first = made;
    pthread_mutex_unlock(&in->lock);
    return made;
}

void lq_connection_close(struct lq_connection *connection)
{
    struct lane *in = &connection->all->lanes[connection->lane];
    pthread_mutex_lock(&in->lock);
    if (connection->previous != NULL) {
        connection->previous->next = connection->next;
    } else {
        in->first = connection->next;
    }
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    pthread_mutex_unlock(&in->lock);
    lq_connections_leave(connection->all, connection->ip, connection->lane);
    free(connection);
}

struct lq_ip lq_connection_ip(const struct lq_connection *connection)
{
    return connection->ip;
}

/* Moves on from one phase, and only from that. The time is set first: the sweep must never see the
 * new phase with an old time. */
static bool move(struct lq_connection *connection, int from, int to)
{
    atomic_store(&connection->since_ms, lq_clock_ms());
    return atomic_compare_exchange_strong(&connection->phase, &from, to);
}

void lq_connection_begin(struct lq_connection *connection)
{
    if (atomic_load(&connection->phase) == RESTING) {
        move(connection, RESTING, ARRIVING);
    }
}

bool lq_connection_complete(struct lq_connection *connection)
{
    return move(connection, ARRIVING, ANSWERING);
}

void lq_connection_rest(struct lq_connection *connection)
{
    atomic_store(&connection->received, UNKNOWN);
    move(connection, ANSWERING, RESTING);
}

/* What the system knows of a connection; false where it does not say. */
static bool ask_system(int fd, struct tcp_info *info)
{
    socklen_t size = sizeof *info;
    memset(info, 0, sizeof *info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0 &&
           size >=
               offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info->tcpi_bytes_received;
}

/* Starts the clock of a next request whose first line is not complete: only the system knows that
 * something has come. Ends what the client has closed: the HTTP library waits for edges, and misses
 * an end that came together with the last request. */
static void watch_resting(struct lq_connection *connection)
{
    struct tcp_info info;
    if (!ask_system(connection->fd, &info)) {
        return;
    }
    long long now = (long long)info.tcpi_bytes_received;
    long long before = atomic_load(&connection->received);
    if (before == UNKNOWN) {
        atomic_store(&connection->received, now);
    } else if (now > before) {
        move(connection, RESTING, ARRIVING);
    } else if (info.tcpi_state == CLOSE_WAIT &&
               lq_clock_ms() - atomic_load(&connection->since_ms) >= LEFT_MS) {
        shutdown(connection->fd, SHUT_RDWR);
    }
}

/* Ends a request that its client has left in the middle; one that is whole is read by then. */
static void watch_arriving(const struct lq_connection *connection)
{
    struct tcp_info info;
    if (lq_clock_ms() - atomic_load(&connection->since_ms) >= CUT_MS &&
        ask_system(connection->fd, &info) && info.tcpi_state == CLOSE_WAIT) {
        shutdown(connection->fd, SHUT_RDWR);
    }
}

/* Whether the connection's time was over and has been ended. */
static bool end_if_late(struct lq_connection *connection, long long deadline_ms, const char *answer,
                        size_t size)
{
    int phase = atomic_load(&connection->phase);
    if (phase == RESTING) {
        watch_resting(connection);
    } else if (phase == ARRIVING) {
        watch_arriving(connection);
    }
    if (phase != ARRIVING && phase != ANSWERING) {
        return false;
    }
    long long limit_ms = phase == ARRIVING ? deadline_ms : ANSWER_MS;
    if (lq_clock_ms() - atomic_load(&connection->since_ms) < limit_ms ||
        !atomic_compare_exchange_strong(&connection->phase, &phase, OVER)) {
        return false;
    }
    if (phase == ARRIVING && size > 0) {
        /* Where it does not fit into the socket's buffer nobody reads it anyway. */
        (void)!send(connection->fd, answer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    shutdown(connection->fd, SHUT_RDWR);
    return true;
}

size_t lq_connections_sweep(struct lq_connections *connections, const char *answer, size_t size)
{
    const long long deadline_ms = connections->config->request_deadline_s * 1000LL;
    size_t ended = 0;
    for (int i = 0; i < connections->lane_count; i++) {
        struct lane *lane = &connections->lanes[i];
        pthread_mutex_lock(&lane->lock);
        for (struct lq_connection *one = lane->first; one != NULL; one = one->next) {
            ended += end_if_late(one, deadline_ms, answer, size);
        }
        pthread_mutex_unlock(&lane->lock);
    }
    return ended;
}
