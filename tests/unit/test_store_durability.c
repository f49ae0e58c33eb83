/* What is left after kill -9, a full disk and a file taken away; and readers beside a writer. */
#include "server/store/statement.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SHIPPED = 106 };

/* Posts two points at a time for ever, writing the ids of each answer to `out`. */
static void post_for_ever(int out)
{
    struct lq_store *store = open_store();
    for (int number = 0;; number += 2) {
        char ids[2][LQ_ID_MAX];
        size_t duplicates = 0;
        if (post_points(store, number, 2, NULL, ids, &duplicates) != LQ_OK ||
            write(out, ids, sizeof ids) != (ssize_t)sizeof ids) {
            _exit(1);
        }
    }
}

/* A process that posts is killed after `answers` answers; every point it had acknowledged until
 * then is there. Returns how many points there are beside the shipped ones. */
static size_t kill_after(int answers)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(ends[0]);
        post_for_ever(ends[1]);
    }
    close(ends[1]);
    static char ids[4096][LQ_ID_MAX];
    size_t bytes = 0;
    while (bytes < (size_t)answers * 2 * LQ_ID_MAX) {
        ssize_t n = read(ends[0], (char *)ids + bytes, sizeof ids - bytes);
        ck_assert_int_gt(n, 0);
        bytes += (size_t)n;
    }
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    for (ssize_t n = 1; n > 0; bytes += (size_t)n) { /* what it still answered before it died */
        n = read(ends[0], (char *)ids + bytes, sizeof ids - bytes);
        ck_assert_int_ge(n, 0);
    }
    close(ends[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    struct lq_store *store = open_store();
    for (size_t i = 0; i < bytes / LQ_ID_MAX; i++) {
        char *document = NULL;
        assert_code(get_document(store, ids[i], &document), LQ_OK);
        free(document);
    }
    size_t own = count_points(store) - SHIPPED;
    lq_store_close(store);
    return own;
}

START_TEST(acknowledged_points_survive_kill_9_and_no_batch_is_torn)
{
    size_t last = 0;
    for (int answers = 1; answers <= 13; answers += 6) {
        size_t own = kill_after(answers);
        ck_assert_uint_eq(own % 2, 0); /* batches of two, whole or not at all */
        ck_assert_uint_ge(own, (size_t)answers * 2);
        ck_assert_uint_ge(own, last);
        last = own;
    }
    struct lq_database *database = NULL;
    struct lq_error err = {0};
    int64_t faults = -1;
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &err), LQ_OK);
    assert_code(lq_database_number(database,
                                   "SELECT count(*) FROM pragma_integrity_check"
                                   " WHERE integrity_check <> 'ok'",
                                   &faults, &err),
                LQ_OK);
    ck_assert_int_eq(faults, 0);
    lq_database_close(&database);
}
END_TEST

START_TEST(a_database_killed_while_it_is_made_is_finished_by_the_next)
{
    for (useconds_t delay_us = 0; delay_us <= 40000; delay_us += 8000) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            open_store();
            _exit(0);
        }
        usleep(delay_us);
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        struct lq_store *store = open_store();
        ck_assert_uint_eq(count_points(store), SHIPPED);
        lq_store_close(store);
        remove_directory();
        make_directory();
    }
}
END_TEST

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0) {
        abort();
    }
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        abort();
    }
}

START_TEST(a_full_disk_is_never_acknowledged_and_passes)
{
    struct lq_store *store = open_store();
    char ids[64][LQ_ID_MAX];
    size_t duplicates = 0;
    struct stat status;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(stat(in_directory("llmquote.db-wal"), &status), 0);
    limit_file_size((rlim_t)status.st_size + 4096); /* files cannot grow by more than a page */
    size_t acknowledged = 0;
    enum lq_code code = LQ_OK;
    for (int number = 0; code == LQ_OK && number < 6400; number += 64) {
        code = post_points(store, number, 64, NULL, ids, &duplicates);
        acknowledged += code == LQ_OK ? 64 : 0;
    }
    assert_code(code, LQ_ESTORE);
    ck_assert_uint_eq(count_points(store), SHIPPED + acknowledged);
    limit_file_size(0); /* not a byte more, and none for the test's own log either */
    code = lq_store_ready(store, &(struct lq_error){0});
    limit_file_size(RLIM_INFINITY);
    assert_code(code, LQ_ESTORE);
    const struct lq_catalog *catalog = lq_store_acquire(store); /* reading goes on */
    ck_assert_ptr_nonnull(lq_catalog_gpu(catalog, "A40"));
    lq_store_release(store, catalog);
    assert_code(lq_store_ready(store, &(struct lq_error){0}), LQ_OK);
    assert_code(post_points(store, 7000, 64, NULL, ids, &duplicates), LQ_OK);
    lq_store_close(store);
    store = open_store();
    ck_assert_uint_eq(count_points(store), SHIPPED + acknowledged + 64);
    lq_store_close(store);
}
END_TEST

START_TEST(a_file_taken_away_is_not_ready)
{
    struct lq_store *store = open_store();
    assert_code(lq_store_ready(store, &(struct lq_error){0}), LQ_OK);
    ck_assert_int_eq(unlink(in_directory("llmquote.db")), 0);
    assert_code(lq_store_ready(store, &(struct lq_error){0}), LQ_ESTORE);
    lq_store_close(store);
}
END_TEST

static atomic_bool writing;

/* Acquires and releases for as long as the other thread writes: no catalog is older than the one
 * before it. */
static void *read_along(void *context)
{
    size_t last = 0;
    while (atomic_load(&writing)) {
        const struct lq_catalog *catalog = lq_store_acquire(context);
        const size_t now = catalog->point_count;
        lq_store_release(context, catalog);
        if (now < last) {
            return (void *)1; /* went back in time */
        }
        last = now;
    }
    return NULL;
}

START_TEST(readers_run_beside_writers)
{
    struct lq_store *store = open_store();
    atomic_store(&writing, true);
    pthread_t reader;
    ck_assert_int_eq(pthread_create(&reader, NULL, read_along, store), 0);
    for (int number = 0; number < 20; number++) {
        char ids[1][LQ_ID_MAX];
        size_t duplicates = 0;
        assert_code(post_points(store, number, 1, NULL, ids, &duplicates), LQ_OK);
        ck_assert_uint_eq(count_points(store), SHIPPED + (size_t)number + 1);
    }
    atomic_store(&writing, false);
    void *failed = NULL;
    ck_assert_int_eq(pthread_join(reader, &failed), 0);
    ck_assert_ptr_null(failed);
    lq_store_close(store);
}
END_TEST

START_TEST(files_are_private)
{
    struct lq_store *store = open_store();
    static const char *const FILES[] = {"llmquote.db", "llmquote.db-wal", "llmquote.db-shm"};
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        struct stat status;
        ck_assert_int_eq(stat(in_directory(FILES[i]), &status), 0);
        ck_assert_int_eq(status.st_mode & 0777, 0600);
    }
    lq_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_durability");
    TCase *cases = tcase_create("durability");
    tcase_add_checked_fixture(cases, make_directory, remove_directory);
    tcase_add_test(cases, acknowledged_points_survive_kill_9_and_no_batch_is_torn);
    tcase_add_test(cases, a_database_killed_while_it_is_made_is_finished_by_the_next);
    tcase_add_test(cases, a_full_disk_is_never_acknowledged_and_passes);
    tcase_add_test(cases, a_file_taken_away_is_not_ready);
    tcase_add_test(cases, readers_run_beside_writers);
    tcase_add_test(cases, files_are_private);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
