/* A store over a database in a directory of its own, with the real configuration decoder and a
 * refit that only counts, for the tests of the store. */
#pragma once

#include "server/store/store.h"

#include <check.h>

/* Sums up what refits have seen: one fit whose `points` is the number of points. */
extern const struct lq_hooks COUNTING_HOOKS;

/* Makes, and with everything in it removes, the directory; for checked fixtures. */
void make_directory(void);
void remove_directory(void);

/* The path of a file in that directory; static, overwritten by the next call. */
const char *in_directory(const char *name);

/* Opens the store at in_directory("llmquote.db"); the test fails where that fails. */
struct lq_store *open_store(void);

/* A valid point that differs for each `number`, and its document in static memory. */
struct lq_new_point make_point(int number);

/* Posts points first .. first + count - 1 and returns the code. */
enum lq_code post_points(struct lq_store *store, int first, size_t count, const char *key,
                         char (*ids)[LQ_ID_MAX], size_t *duplicates);

/* Waits until the current catalog has all points that are stored; fails after 10 s. */
void settle(struct lq_store *store);

/* Points in the catalog that has all of them. */
size_t count_points(struct lq_store *store);

/* A stored point's document, new (free()). */
enum lq_code get_document(struct lq_store *store, const char *id, char **document);

#define assert_code(call, expected)                                                                \
    do {                                                                                           \
        enum lq_code got_code = (call);                                                            \
        ck_assert_msg(got_code == (expected), "%s: got %s, expected %s", #call,                    \
                      lq_code_slug(got_code), lq_code_slug(expected));                             \
    } while (0)
