/* Token buckets, found by their key's hash in sets of eight; the fullest makes room for a new one,
 * since forgetting it forgets least. */
#include "server/http/rate.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

enum { WAYS = 8, SETS = 4096, LOCKS = 64 }; /* 32,768 buckets of 24 bytes */
enum { WAIT_MAX_S = 3600 };

struct bucket {
    uint64_t key;
    int64_t seen_ns; /* 0: never used */
    double requests; /* that were in it then */
};

struct lq_rate {
    double per_s;
    double burst;
    pthread_mutex_t locks[LOCKS];
    struct bucket buckets[SETS][WAYS];
};

enum lq_code lq_rate_new(double per_s, double burst, struct lq_rate **rate, struct lq_error *err)
{
    *rate = NULL;
    if (!(per_s > 0.0)) {
        return LQ_OK;
    }
    struct lq_rate *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    made->per_s = per_s;
    made->burst = burst;
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&made->locks[i], NULL);
    }
    *rate = made;
    return LQ_OK;
}

void lq_rate_free(struct lq_rate *rate)
{
    if (rate == NULL) {
        return;
    }
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&rate->locks[i]);
    }
    free(rate);
}

/* What a bucket holds by now. */
static double level(const struct lq_rate *rate, const struct bucket *bucket, int64_t now_ns)
{
    if (bucket->seen_ns == 0) {
        return rate->burst;
    }
    double passed_s = (double)(now_ns - bucket->seen_ns) * 1e-9;
    double requests = bucket->requests + (passed_s > 0.0 ? passed_s : 0.0) * rate->per_s;
    return requests < rate->burst ? requests : rate->burst;
}

static int take(const struct lq_rate *rate, struct bucket *set, uint64_t key, int64_t now_ns)
{
    struct bucket *chosen = NULL;
    double most = -1.0;
    for (size_t i = 0; i < WAYS; i++) {
        double requests = level(rate, &set[i], now_ns);
        if (set[i].key == key && set[i].seen_ns != 0) {
            chosen = &set[i];
            most = requests;
            break;
        }
        if (requests > most) {
            chosen = &set[i];
            most = requests;
        }
    }
    double requests = chosen->key == key ? most : rate->burst;
    bool granted = requests >= 1.0;
    *chosen = (struct bucket){
        .key = key, .seen_ns = now_ns, .requests = granted ? requests - 1.0 : requests};
    double wait_s = (1.0 - requests) / rate->per_s;
    return granted ? 0 : wait_s < WAIT_MAX_S ? 1 + (int)wait_s : WAIT_MAX_S;
}

int lq_rate_take(struct lq_rate *rate, uint64_t key, int64_t now_ns)
{
    if (rate == NULL) {
        return 0;
    }
    size_t set = (size_t)(key % SETS);
    pthread_mutex_t *lock = &rate->locks[set % LOCKS];
    pthread_mutex_lock(lock);
    int wait_s = take(rate, rate->buckets[set], key, now_ns);
    pthread_mutex_unlock(lock);
    return wait_s;
}
