/* What spool.c and spool_load.c share: the state of an open spool and its records. */
#pragma once

#include "kernels/delivery/spool.h"

#include <stdint.h>
#include <sys/types.h>

#define LQ_SPOOL_HEADER "llmquote-spool 1\n"
enum { LQ_SPOOL_HEADER_SIZE = sizeof LQ_SPOOL_HEADER - 1 };

/* Kinds of records. The payload of a point is its text; that of the others is
 * "KEY RANGES", ranges of point numbers as "1-500,507", which may be empty. */
enum {
    LQ_SPOOL_POINT = 'p',
    LQ_SPOOL_BATCH = 'b',    /* these points are sent under this key */
    LQ_SPOOL_DONE = 'd',     /* these points are delivered */
    LQ_SPOOL_DISSOLVED = 'x' /* the key is given up, and so are these points */
};

enum lq_spool_state { LQ_SPOOL_WAITING, LQ_SPOOL_SENT, LQ_SPOOL_REJECTED, LQ_SPOOL_GONE };

struct lq_spool_entry {
    uint64_t number; /* rising */
    off_t at;        /* of the text */
    size_t size;
    enum lq_spool_state state;
};

struct lq_spool {
    char *dir;
    char *path;
    int dir_fd;
    int lock_fd;
    int fd;
    off_t end;      /* of the whole records */
    off_t reserved; /* blocks are allocated up to there */
    uint64_t next;  /* number of the next point */
    struct lq_spool_entry *entries;
    size_t count;
    size_t capacity;
    char key[LQ_SPOOL_KEY_MAX]; /* of the batch that is sent; "" for none */
    bool is_lazy;               /* records are written together and synchronised at the end */
};

/* What stands in a file. */
struct lq_spool_scan {
    off_t end;         /* behind the last whole record */
    size_t torn_bytes; /* behind that, of an append that never returned */
    bool is_damaged;
};

/* "cannot WHAT PATH: the system's words". */
enum lq_code lq_spool_file_fail(const char *what, const char *path, struct lq_error *err);

/* Writes a record at spool->end and waits until it is on the disk. */
LQ_MUST_USE enum lq_code lq_spool_write(struct lq_spool *spool, char kind, uint64_t number,
                                        const char *payload, size_t size, struct lq_error *err);

/* Writes the record that gives points with this state to the key. */
LQ_MUST_USE enum lq_code lq_spool_write_batch(struct lq_spool *spool, char kind, const char *key,
                                              enum lq_spool_state state, struct lq_error *err);

/* Makes PATH.new with nothing but a header and opens it in `spool`; lq_spool_adopt gives it its
 * name once it is complete. */
LQ_MUST_USE enum lq_code lq_spool_create(struct lq_spool *spool, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_spool_adopt(struct lq_spool *spool, struct lq_error *err);

/* Empties the file where nothing waits. */
LQ_MUST_USE enum lq_code lq_spool_empty(struct lq_spool *spool, struct lq_error *err);

/* Remembers a point that stands in the file. */
LQ_MUST_USE enum lq_code lq_spool_remember(struct lq_spool *spool, uint64_t number, off_t at,
                                           size_t size, struct lq_error *err);

/* Reads all records of spool->fd into the entries, past whatever is damaged. */
LQ_MUST_USE enum lq_code lq_spool_load(struct lq_spool *spool, struct lq_spool_scan *scan,
                                       struct lq_error *err);

/* Keeps the file under a name that goes to `aside` and puts a new one with what still waits into
 * its place: at any instant one of the two has the spool's name. */
LQ_MUST_USE enum lq_code lq_spool_renew(struct lq_spool *spool, char *aside, size_t aside_size,
                                        struct lq_error *err);
