/* Turns: as many at once as there are, and those who wait go on when one is given back. */
#include "server/api/turns.h"
#include "tests/unit/check_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { TAKERS = 8, MOST = 2, ROUNDS = 200 };

struct crowd {
    struct lq_turns *turns;
    atomic_int inside;
    atomic_int most_inside;
};

static void *take_turns(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < ROUNDS; i++) {
        lq_turns_take(crowd->turns);
        const int inside = atomic_fetch_add(&crowd->inside, 1) + 1;
        int most = atomic_load(&crowd->most_inside);
        while (inside > most && !atomic_compare_exchange_weak(&crowd->most_inside, &most, inside)) {
        }
        usleep(50);
        atomic_fetch_sub(&crowd->inside, 1);
        lq_turns_give(crowd->turns);
    }
    return NULL;
}

START_TEST(no_more_than_there_are_have_a_turn_at_once_and_all_get_theirs)
{
    struct crowd crowd = {.turns = lq_turns_new(MOST)};
    pthread_t takers[TAKERS];
    for (int i = 0; i < TAKERS; i++) {
        ck_assert_int_eq(pthread_create(&takers[i], NULL, take_turns, &crowd), 0);
    }
    for (int i = 0; i < TAKERS; i++) {
        pthread_join(takers[i], NULL);
    }
    ck_assert_int_eq(atomic_load(&crowd.inside), 0);
    ck_assert_int_eq(atomic_load(&crowd.most_inside), MOST);
    lq_turns_free(crowd.turns);
}
END_TEST

START_TEST(without_turns_there_is_always_one)
{
    lq_turns_take(NULL);
    lq_turns_take(NULL);
    lq_turns_give(NULL);
    lq_turns_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("turns");
    TCase *tcase = tcase_create("turns");
    tcase_add_test(tcase, no_more_than_there_are_have_a_turn_at_once_and_all_get_theirs);
    tcase_add_test(tcase, without_turns_there_is_always_one);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
