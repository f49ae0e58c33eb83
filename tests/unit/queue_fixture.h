/* A queue, and jobs for it that wait, fail or spread, for the tests of the queue. */
#pragma once

#include "server/jobs/control.h"
#include "server/jobs/queue.h"

#include <stdatomic.h>

enum { PARTS = 64, PATIENCE_MS = 5000 };

extern struct lq_queue *queue;
extern atomic_bool open_gate; /* what wait_at_gate waits at */
extern atomic_int released;   /* contexts given back */
extern atomic_int begun;      /* jobs begun by wait_at_gate and spread_parts */
extern atomic_int parts_done[PARTS];
extern atomic_int most_together; /* parts at one time */

/* For checked fixtures. */
void reset_queue(void);
void stop_queue(void);

void start_queue(int threads, size_t waiting, size_t finished, int kept_s);

typedef enum lq_code (*run_function)(void *, struct lq_control *, char **, struct lq_error *);

/* Waits at the gate until it opens or the job is cancelled; its result is {"passed":true}. */
enum lq_code wait_at_gate(void *context, struct lq_control *control, char **result,
                          struct lq_error *err);
enum lq_code fail_at_once(void *context, struct lq_control *control, char **result,
                          struct lq_error *err);
/* PARTS steps of two milliseconds each. */
enum lq_code spread_parts(void *context, struct lq_control *control, char **result,
                          struct lq_error *err);

/* Posts as "owner". */
enum lq_code post_task(run_function run, void *context, char id[LQ_TASK_ID_SIZE]);

/* The result is new. */
struct lq_task_status status_of(const char *id);
enum lq_task_state state_of(const char *id);

void pause_ms(int ms);
/* The test fails where it does not come to that in time. */
void wait_for(const char *id, enum lq_task_state state);
void wait_until(const atomic_int *number, int value);
