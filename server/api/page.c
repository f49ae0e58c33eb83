/* Pages of lists, entity tags and replies, as every call that reads does them. A cursor is the hex
 * form of the key of the last item seen: in a list sorted by key it survives any change, in others
 * until that item is deleted. */
#include "server/api/page.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Stored decimals come back as they were written; computed numbers are not worth more than ten. */
enum { STORED_DIGITS = 15 };

struct page {
    size_t limit;
    bool has_after;
    char after[LQ_PAGE_KEY_MAX]; /* key of the last item of the page before */
};

enum lq_code lq_call_fail(struct lq_call *call, const struct lq_error *err)
{
    return lq_faults_take(call->faults, "", err);
}

static bool is_listed(const char *name, const char *const *names)
{
    return lq_name_index(name, names) >= 0;
}

enum lq_code lq_query_check(struct lq_call *call, const char *const *names)
{
    const struct lq_request *request = call->request;
    enum lq_code code = LQ_OK;
    for (size_t i = 0; i < request->query_count; i++) {
        const char *name = request->query[i].name;
        char pointer[LQ_POINTER_MAX];
        snprintf(pointer, sizeof pointer, "/%.100s", name);
        if (!is_listed(name, names)) {
            code = lq_faults_add(call->faults, LQ_EFIELD, pointer,
                                 "is not a query parameter of this call");
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(request->query[j].name, name) == 0) {
                code = lq_faults_add(call->faults, LQ_EFIELD, pointer, "is given more than once");
                break;
            }
        }
    }
    return code;
}

/* A whole decimal number of at most four digits; -1 for anything else. */
static long small_number(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > 4 || strspn(text, "0123456789") != length) {
        return -1;
    }
    return strtol(text, NULL, 10);
}

static void hex_encode(const char *key, char out[2 * LQ_PAGE_KEY_MAX])
{
    static const char DIGITS[] = "0123456789abcdef";
    size_t n = 0;
    for (const char *p = key; *p != '\0'; p++) {
        out[n++] = DIGITS[((unsigned char)*p >> 4) & 15];
        out[n++] = DIGITS[(unsigned char)*p & 15];
    }
    out[n] = '\0';
}

/* False where `text` is not what hex_encode makes. */
static bool hex_decode(const char *text, char key[LQ_PAGE_KEY_MAX])
{
    size_t length = strlen(text);
    if (length == 0 || length % 2 != 0 || length / 2 >= LQ_PAGE_KEY_MAX ||
        strspn(text, "0123456789abcdef") != length) {
        return false;
    }
    for (size_t i = 0; i < length / 2; i++) {
        const char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        key[i] = (char)strtol(pair, NULL, 16);
        if (key[i] == '\0') {
            return false;
        }
    }
    key[length / 2] = '\0';
    return true;
}

static enum lq_code refuse_cursor(struct lq_call *call)
{
    return lq_faults_add(call->faults, LQ_EFIELD, "/cursor",
                         "is not a next_cursor of this list as it is now; begin again without it");
}

static enum lq_code read_page(struct lq_call *call, struct page *page)
{
    *page = (struct page){.limit = LQ_PAGE_LIMIT_DEFAULT};
    enum lq_code code = LQ_OK;
    const char *limit = lq_query_get(call->request, "limit");
    if (limit != NULL) {
        long number = small_number(limit);
        if (number < 1 || number > LQ_PAGE_LIMIT_MAX) {
            code = lq_faults_add(call->faults, LQ_EFIELD, "/limit",
                                 "must be a whole number from 1 to %d, got \"%.40s\"",
                                 LQ_PAGE_LIMIT_MAX, limit);
        }
        page->limit = (size_t)number;
    }
    const char *cursor = lq_query_get(call->request, "cursor");
    if (cursor != NULL) {
        page->has_after = true;
        if (!hex_decode(cursor, page->after)) {
            code = refuse_cursor(call);
        }
    }
    return code;
}

/* The item to begin with: behind the one the cursor names, or behind where it would stand. */
static bool find_start(const struct lq_list *list, const struct page *page, size_t *start)
{
    *start = 0;
    if (!page->has_after) {
        return true;
    }
    for (size_t i = 0; i < list->count; i++) {
        char key[LQ_PAGE_KEY_MAX];
        list->key(list->context, i, key);
        int order = strcasecmp(key, page->after);
        if (order == 0 || (list->sorted && order > 0)) {
            *start = order == 0 ? i + 1 : i;
            return true;
        }
    }
    *start = list->count;
    return list->sorted;
}

/* Appends the page's items; `*next` is the number of the first matching one left out, or count. */
static size_t take_items(const struct lq_list *list, size_t start, size_t limit, json_t *items)
{
    size_t last = start;
    for (size_t i = start; i < list->count; i++) {
        if (list->match != NULL && !list->match(list->context, i)) {
            continue;
        }
        if (json_array_size(items) == limit) {
            return last;
        }
        json_array_append_new(items, list->encode(list->context, i));
        last = i;
    }
    return list->count;
}

enum lq_code lq_list_reply(struct lq_call *call, const struct lq_list *list, struct lq_reply *reply)
{
    struct page page;
    LQ_TRY(read_page(call, &page));
    size_t start;
    if (!find_start(list, &page, &start)) {
        return refuse_cursor(call);
    }
    json_t *items = json_array();
    size_t last = take_items(list, start, page.limit, items);
    json_t *next = json_null();
    if (last < list->count) {
        char key[LQ_PAGE_KEY_MAX];
        char cursor[2 * LQ_PAGE_KEY_MAX];
        list->key(list->context, last, key);
        hex_encode(key, cursor);
        next = json_string(cursor);
    }
    json_t *answer = list->head != NULL ? list->head(list->context) : json_object();
    json_object_set_new(answer, list->name, items);
    json_object_set_new(answer, "next_cursor", next);
    return lq_reply_json(call, answer, 200, reply);
}

json_t *lq_pending_encode(int64_t pending_points)
{
    return json_pack("{s:I}", "pending_points", (json_int_t)pending_points);
}

bool lq_etag_matches(const char *field, const char *etag)
{
    if (field == NULL) {
        return false;
    }
    size_t size = strlen(etag);
    for (const char *p = field; *p != '\0';) {
        p += strspn(p, " \t,");
        if (*p == '*') {
            return true;
        }
        p += strncmp(p, "W/", 2) == 0 ? 2 : 0;
        if (size > 0 && strncmp(p, etag, size) == 0) {
            return true;
        }
        /* Over this tag, commas inside its quotes included. */
        const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
        p = end != NULL ? end + 1 : p + strcspn(p, ",");
    }
    return false;
}

bool lq_reply_unchanged(const struct lq_call *call, const char *version, struct lq_reply *reply)
{
    snprintf(reply->etag, sizeof reply->etag, "\"%.40s-%.20s\"", version, LQ_VERSION);
    if (!lq_etag_matches(call->request->if_none_match, reply->etag)) {
        return false;
    }
    reply->status = 304;
    return true;
}

static enum lq_code reply_body(struct lq_call *call, char *text, size_t size, int status,
                               struct lq_reply *reply)
{
    if (text == NULL) {
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the answer");
    }
    reply->status = status;
    reply->body = text;
    reply->body_size = size;
    reply->free_body = lq_text_free;
    return LQ_OK;
}

static enum lq_code reply_with(struct lq_call *call, json_t *value, int digits, int status,
                               struct lq_reply *reply)
{
    size_t size = 0;
    char *text = value != NULL ? lq_dump(value, digits, &size) : NULL;
    lq_json_release(value);
    return reply_body(call, text, size, status, reply);
}

enum lq_code lq_reply_json(struct lq_call *call, json_t *value, int status, struct lq_reply *reply)
{
    return reply_with(call, value, STORED_DIGITS, status, reply);
}

enum lq_code lq_reply_computed(struct lq_call *call, json_t *value, struct lq_reply *reply)
{
    reply->repeatable = true;
    return reply_with(call, value, LQ_COMPUTED_DIGITS, 200, reply);
}

enum lq_code lq_reply_computed_text(struct lq_call *call, struct lq_text *text,
                                    struct lq_reply *reply)
{
    const size_t size = text->size;
    reply->repeatable = true;
    reply->body_lasts = text->lasting;
    return reply_body(call, lq_text_end(text), size, 200, reply);
}

json_t *lq_provenance_encode(const struct lq_provenance *provenance)
{
    json_t *object = json_object();
    json_object_set_new(object, "source", json_string(provenance->source));
    json_object_set_new(object, "note", json_string(provenance->note));
    json_object_set_new(object, "recalled", json_boolean(provenance->recalled));
    json_object_set_new(object, "shipped", json_boolean(provenance->shipped));
    return object;
}

enum lq_code lq_path_id(struct lq_call *call, char id[LQ_ID_MAX])
{
    static const char ALLOWED[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *param = call->request->param != NULL ? call->request->param : "";
    size_t length = strlen(param);
    if (length == 0 || length >= LQ_ID_MAX || strspn(param, ALLOWED) != length ||
        !isalnum((unsigned char)param[0])) {
        return lq_faults_add(call->faults, LQ_EREQUEST, NULL,
                             "the id in the path must be 1..%d letters, digits, '.', '_' or '-', "
                             "beginning with a letter or digit, got \"%.80s\"",
                             LQ_ID_MAX - 1, param);
    }
    memcpy(id, param, length + 1);
    return LQ_OK;
}

enum lq_code lq_reply_changed(struct lq_call *call, lq_change_of change, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    char id[LQ_ID_MAX];
    LQ_TRY(lq_path_id(call, id));
    struct lq_error err = {0};
    if (change(call->store, id, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    reply->status = 204;
    return LQ_OK;
}
