/* Answers losses. Nothing is stored. */
#include "server/api/losses.h"

#include "server/api/lookup.h"
#include "server/api/page.h"
#include "server/json/loss.h"

enum lq_code lq_losses_post(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    json_t *answer = lq_losses_answer(root, &lookup, call->faults);
    json_decref(root);
    return answer != NULL ? lq_reply_computed(call, answer, reply) : call->faults->items[0].code;
}
