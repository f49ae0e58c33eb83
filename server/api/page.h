/* What calls that read have in common: query parameters, pages, entity tags, provenance, replies.
 */
#pragma once

#include "server/api/call.h"
#include "server/json/field.h"
#include "server/json/text.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LQ_PAGE_LIMIT_DEFAULT = 100, LQ_PAGE_LIMIT_MAX = 1000, LQ_PAGE_KEY_MAX = 160 };

/* Significant digits of what was computed: more than it is worth, and no noise of arithmetic. */
enum { LQ_COMPUTED_DIGITS = 10 };

/* A list that can be read page by page. Items are numbered; the numbering holds for one call. */
struct lq_list {
    const char *name;    /* member of the answer that holds the items */
    const void *context; /* handed to the functions below */
    /* The answer's members in front of the list as a new object; NULL: there are none. */
    json_t *(*head)(const void *context);
    size_t count;
    /* Ascending by key without regard to case: a page can go on behind an item that is gone. */
    bool sorted;
    /* Whether an item is asked for; NULL: all are. */
    bool (*match)(const void *context, size_t i);
    /* Writes what tells the item from all others; it becomes the cursor. */
    void (*key)(const void *context, size_t i, char key[LQ_PAGE_KEY_MAX]);
    /* The item as a new value. */
    json_t *(*encode)(const void *context, size_t i);
};

/* Answers one page by the query parameters `limit` (1..1000, default 100) and `cursor`:
 * {NAME: [...], "next_cursor": "..." or null}. Errors: LQ_EFIELD at /limit or /cursor. */
LQ_MUST_USE enum lq_code lq_list_reply(struct lq_call *call, const struct lq_list *list,
                                       struct lq_reply *reply);

/* The head of a list that rests on stored points: how many the catalog lacks yet, as a new object.
 */
json_t *lq_pending_encode(int64_t pending_points);

/* Checks that every query parameter is one of `names` (NULL-terminated) and given once.
 * Errors: LQ_EFIELD at /NAME. */
LQ_MUST_USE enum lq_code lq_query_check(struct lq_call *call, const char *const *names);

/* Sets the entity tag that belongs to a version of the data and of this program. True where the
 * caller has that one already: the reply is then complete as a 304. */
bool lq_reply_unchanged(const struct lq_call *call, const char *version, struct lq_reply *reply);

/* Whether an If-None-Match field (RFC 9110 section 13.1.2; may be NULL) names `etag`. */
bool lq_etag_matches(const char *field, const char *etag);

/* Fills the reply with a value, which it releases. Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_reply_json(struct lq_call *call, json_t *value, int status,
                                       struct lq_reply *reply);

/* The same with status 200 for what was computed: LQ_COMPUTED_DIGITS. */
LQ_MUST_USE enum lq_code lq_reply_computed(struct lq_call *call, json_t *value,
                                           struct lq_reply *reply);

/* The same for a document that was written already; the reply takes the text over. */
LQ_MUST_USE enum lq_code lq_reply_computed_text(struct lq_call *call, struct lq_text *text,
                                                struct lq_reply *reply);

/* Where a catalog entry comes from, as a new object. */
json_t *lq_provenance_encode(const struct lq_provenance *provenance);

/* Copies the id of the path: letters, digits, '.', '_' and '-', beginning with a letter or digit,
 * shorter than LQ_ID_MAX. Errors: LQ_EREQUEST. */
LQ_MUST_USE enum lq_code lq_path_id(struct lq_call *call, char id[LQ_ID_MAX]);

/* What the store does to the one thing that an id names. */
typedef enum lq_code (*lq_change_of)(struct lq_store *store, const char *id, struct lq_error *err);

/* Answers a call without query parameters and body: does `change` to what the path names, and
 * replies 204. Errors: those of lq_query_check, lq_path_id and the change. */
LQ_MUST_USE enum lq_code lq_reply_changed(struct lq_call *call, lq_change_of change,
                                          struct lq_reply *reply);

/* Adds a core or store failure to the call's faults and returns its code. */
enum lq_code lq_call_fail(struct lq_call *call, const struct lq_error *err);
