/* A counting semaphore that no signal interrupts. */
#include "server/api/turns.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

struct lq_turns {
    sem_t left;
};

struct lq_turns *lq_turns_new(int most)
{
    struct lq_turns *made = calloc(1, sizeof *made);
    if (made != NULL) {
        sem_init(&made->left, 0, (unsigned int)most); /* cannot fail for a count of ours */
    }
    return made;
}

void lq_turns_free(struct lq_turns *turns)
{
    if (turns != NULL) {
        sem_destroy(&turns->left);
        free(turns);
    }
}

void lq_turns_take(struct lq_turns *turns)
{
    while (turns != NULL && sem_wait(&turns->left) != 0 && errno == EINTR) {
    }
}

void lq_turns_give(struct lq_turns *turns)
{
    if (turns != NULL) {
        sem_post(&turns->left);
    }
}
