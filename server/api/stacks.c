/* Lists stack labels: those whose costs the estimator knows and those that only occur in stored
 * measurements, each with the evidence behind it, source by source. */
#include "server/api/stacks.h"

#include "core/arch/parallelism.h"
#include "core/finetune/efficiency.h"
#include "server/api/page.h"
#include "server/json/member.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum evidence_kind { EVIDENCE_NONE, EVIDENCE_POINT, EVIDENCE_CAPACITY, EVIDENCE_RUN };

/* One measurement, or the mere fact that the estimator knows the label. */
struct evidence {
    const char *stack;
    const char *source;
    enum evidence_kind kind;
};

/* All evidence by label and source, and where each label's begins. */
struct stacks {
    struct evidence *evidence;
    size_t *starts; /* one more than labels */
    size_t labels;
};

static int by_label_and_source(const void *a, const void *b)
{
    const struct evidence *left = a;
    const struct evidence *right = b;
    int order = strcasecmp(left->stack, right->stack);
    return order != 0 ? order : strcasecmp(left->source, right->source);
}

static size_t collect(const struct lq_catalog *catalog, struct evidence *out)
{
    size_t n = 0;
    for (size_t i = 0; i < LQ_STACK_COUNT; i++) {
        out[n++] = (struct evidence){LQ_STACKS[i].id, "", EVIDENCE_NONE};
    }
    for (size_t i = 0; i < catalog->point_count; i++) {
        const struct lq_point *point = &catalog->points[i];
        out[n++] = (struct evidence){point->identity.stack, point->source, EVIDENCE_POINT};
    }
    for (size_t i = 0; i < catalog->capacity_count; i++) {
        const struct lq_capacity *capacity = &catalog->capacities[i];
        out[n++] = (struct evidence){capacity->identity.stack, capacity->source, EVIDENCE_CAPACITY};
    }
    for (size_t i = 0; i < catalog->run_count; i++) {
        const struct lq_point *run = &catalog->runs[i];
        out[n++] = (struct evidence){run->identity.stack, run->source, EVIDENCE_RUN};
    }
    for (size_t i = 0; i < catalog->run_capacity_count; i++) {
        const struct lq_capacity *capacity = &catalog->run_capacities[i];
        out[n++] = (struct evidence){capacity->identity.stack, capacity->source, EVIDENCE_CAPACITY};
    }
    return n;
}

/* False when out of memory; free both arrays either way. */
static bool gather(const struct lq_catalog *catalog, struct stacks *stacks)
{
    size_t most = LQ_STACK_COUNT + catalog->point_count + catalog->capacity_count +
                  catalog->run_count + catalog->run_capacity_count;
    stacks->evidence = calloc(most, sizeof *stacks->evidence);
    stacks->starts = calloc(most + 1, sizeof *stacks->starts);
    if (stacks->evidence == NULL || stacks->starts == NULL) {
        return false;
    }
    size_t n = collect(catalog, stacks->evidence);
    qsort(stacks->evidence, n, sizeof *stacks->evidence, by_label_and_source);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcasecmp(stacks->evidence[i].stack, stacks->evidence[i - 1].stack) != 0) {
            stacks->starts[stacks->labels++] = i;
        }
    }
    stacks->starts[stacks->labels] = n;
    return true;
}

static size_t count_kind(const struct evidence *evidence, size_t n, enum evidence_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += evidence[i].kind == kind;
    }
    return count;
}

/* How much of each kind there is. */
static size_t tally(json_t *object, const struct evidence *evidence, size_t n)
{
    const size_t points = count_kind(evidence, n, EVIDENCE_POINT);
    const size_t runs = count_kind(evidence, n, EVIDENCE_RUN);
    const size_t capacities = count_kind(evidence, n, EVIDENCE_CAPACITY);
    json_object_set_new(object, "points", json_integer((json_int_t)points));
    json_object_set_new(object, "runs", json_integer((json_int_t)runs));
    json_object_set_new(object, "capacities", json_integer((json_int_t)capacities));
    return points + runs + capacities;
}

static json_t *sources_encode(const struct evidence *evidence, size_t n)
{
    json_t *array = json_array();
    size_t end = 0;
    for (size_t i = 0; i < n; i = end) {
        for (end = i + 1; end < n; end++) {
            if (strcasecmp(evidence[end].source, evidence[i].source) != 0) {
                break;
            }
        }
        json_t *source = json_pack("{s:o}", "source", lq_text_or_null(evidence[i].source));
        if (tally(source, evidence + i, end - i) > 0) {
            json_array_append_new(array, source);
        } else {
            json_decref(source);
        }
    }
    return array;
}

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct stacks *stacks = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", stacks->evidence[stacks->starts[i]].stack);
}

static json_t *kinds_encode(uint32_t kinds)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < LQ_PARALLELISM_COUNT; i++) {
        if ((kinds & LQ_PARALLELISM_BIT(i)) != 0) {
            json_array_append_new(array, json_string(LQ_PARALLELISM_NAMES[i]));
        }
    }
    return array;
}

static json_t *encode(const void *context, size_t i)
{
    const struct stacks *stacks = context;
    const struct evidence *evidence = stacks->evidence + stacks->starts[i];
    size_t n = stacks->starts[i + 1] - stacks->starts[i];
    const struct lq_stack *known = lq_stack_find(evidence->stack);
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(evidence->stack));
    json_object_set_new(object, "description", lq_text_or_null(known ? known->description : ""));
    json_object_set_new(object, "modelled", json_boolean(known != NULL));
    json_object_set_new(object, "parallelism",
                        known != NULL ? kinds_encode(known->parallelism) : json_null());
    json_object_set_new(object, "quantized_parallelism",
                        known != NULL ? kinds_encode(known->quantized_parallelism) : json_null());
    (void)tally(object, evidence, n);
    json_object_set_new(object, "sources", sources_encode(evidence, n));
    return object;
}

enum lq_code lq_stacks_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    if (lq_reply_unchanged(call, call->catalog->data_version, reply)) {
        return LQ_OK;
    }
    struct stacks stacks = {0};
    enum lq_code code;
    if (gather(call->catalog, &stacks)) {
        const struct lq_list list = {.name = "stacks",
                                     .context = &stacks,
                                     .count = stacks.labels,
                                     .sorted = true,
                                     .key = key,
                                     .encode = encode};
        code = lq_list_reply(call, &list, reply);
    } else {
        code = lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the stacks");
    }
    free(stacks.evidence);
    free(stacks.starts);
    return code;
}
