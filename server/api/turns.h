/* How many large bodies are decoded at once. A batch takes many times its size as values, and who
 * decodes one takes a core that short requests wait for. */
#pragma once

struct lq_turns;

/* For `most` >= 1 at once; NULL when out of memory. free(NULL) is allowed. */
struct lq_turns *lq_turns_new(int most);
void lq_turns_free(struct lq_turns *turns);

/* Waits for a turn, and gives it back. NULL: there is always one. */
void lq_turns_take(struct lq_turns *turns);
void lq_turns_give(struct lq_turns *turns);
