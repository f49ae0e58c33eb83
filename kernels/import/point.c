/* Facts of a run as a point: every text is checked and put where it belongs, and what is needed and
 * said nowhere is named all at once. */
#include "kernels/document/point.h"
#include "core/arch/lengths.h"
#include "core/arch/method.h"
#include "kernels/base/choice.h"
#include "kernels/import/import.h"
#include "kernels/import/rate.h"

#include <stdio.h>
#include <string.h>

enum kind { KIND_TEXT, KIND_COUNT, KIND_NUMBER, KIND_NAME, KIND_FLAG };

/* Where a fact goes. */
struct row {
    enum lq_fact fact;
    enum kind kind;
    size_t offset;
    size_t size;              /* of a text */
    const char *const *names; /* of a name */
};
#define AT(member) offsetof(struct lq_measured_point, member)
#define TEXT(fact, member)                                                                         \
    {                                                                                              \
        fact, KIND_TEXT, AT(member), sizeof((struct lq_measured_point *)0)->member, NULL           \
    }
static const struct row ROWS[] = {
    TEXT(LQ_FACT_MODEL, model),
    TEXT(LQ_FACT_GPU, gpu),
    TEXT(LQ_FACT_STACK, stack),
    TEXT(LQ_FACT_LENGTHS, lengths),
    TEXT(LQ_FACT_MEASURED_AT, measured_at),
    TEXT(LQ_FACT_SOURCE, source),
    TEXT(LQ_FACT_DATASET, dataset),
    {LQ_FACT_ACTIVE_EXPERTS, KIND_COUNT, AT(active_experts), 0, NULL},
    {LQ_FACT_BATCH_SIZE, KIND_COUNT, AT(batch_size), 0, NULL},
    {LQ_FACT_CUTOFF_TOKENS, KIND_COUNT, AT(cutoff_tokens), 0, NULL},
    {LQ_FACT_GPU_COUNT, KIND_COUNT, AT(gpu_count), 0, NULL},
    {LQ_FACT_GRADIENT_ACCUMULATION_STEPS, KIND_COUNT, AT(accumulation_steps), 0, NULL},
    {LQ_FACT_PADDING_MULTIPLE, KIND_COUNT, AT(padding_multiple), 0, NULL},
    {LQ_FACT_RANK, KIND_COUNT, AT(rank), 0, NULL},
    {LQ_FACT_SEQUENCE_TOKENS, KIND_COUNT, AT(sequence_tokens), 0, NULL},
    {LQ_FACT_QUERIES_PER_S, KIND_NUMBER, AT(queries_per_s), 0, NULL},
    {LQ_FACT_STEP_TIME_S, KIND_NUMBER, AT(step_time_s), 0, NULL},
    {LQ_FACT_PEAK_MEMORY_BYTES, KIND_NUMBER, AT(peak_memory_bytes), 0, NULL},
    {LQ_FACT_ATTENTION, KIND_NAME, AT(attention), 0, LQ_ATTENTION_NAMES},
    {LQ_FACT_METHOD, KIND_NAME, AT(method), 0, LQ_METHOD_NAMES},
    {LQ_FACT_OPTIMIZER, KIND_NAME, AT(optimizer), 0, LQ_OPTIMIZER_NAMES},
    {LQ_FACT_PADDING, KIND_NAME, AT(padding), 0, LQ_PADDING_NAMES},
    {LQ_FACT_PRECISION, KIND_NAME, AT(precision), 0, LQ_PRECISION_NAMES},
    {LQ_FACT_QUANTIZATION, KIND_NAME, AT(quantization), 0, LQ_QUANTIZATION_NAMES},
    {LQ_FACT_MASTER_WEIGHTS, KIND_FLAG, AT(master_weights), 0, NULL},
    {LQ_FACT_TRAIN_EMBEDDINGS, KIND_FLAG, AT(train_embeddings), 0, NULL},
};
#undef TEXT
#undef AT

/* What a run is called in messages, beside its facts. */
struct context {
    const char *name;
    const struct lq_import_run *run;
    struct lq_measured_point *point;
};

static enum lq_code refuse(const struct context *c, enum lq_fact fact, const char *takes,
                           struct lq_error *err)
{
    const struct lq_fact_value *value = &c->run->facts.value[fact];
    return lq_fail(err, LQ_EFIELD, NULL, "%.150s: %s must be %.100s, got \"%.48s\" from %.48s",
                   c->name, LQ_FACT_NAMES[fact], takes, value->text, value->from);
}

static enum lq_code put_name(const struct context *c, const struct row *row, void *member,
                             struct lq_error *err)
{
    const int index = lq_choice_index(c->run->facts.value[row->fact].text, row->names);
    if (index == LQ_UNSAID) {
        char takes[100] = "one of";
        for (size_t i = 0, at = 6; row->names[i] != NULL && at < sizeof takes; i++) {
            at += (size_t)snprintf(takes + at, sizeof takes - at, " %s", row->names[i]);
        }
        return refuse(c, row->fact, takes, err);
    }
    *(int *)member = index;
    return LQ_OK;
}

static enum lq_code put_number(const struct context *c, const struct row *row, void *member,
                               struct lq_error *err)
{
    const double number = lq_fact_number(&c->run->facts, row->fact, -1.0);
    if (!(number > 0.0)) {
        return refuse(c, row->fact, "a number above 0", err);
    }
    if (row->kind == KIND_NUMBER) {
        *(double *)member = number;
        return LQ_OK;
    }
    /* 2^53: beyond, doubles skip whole numbers */
    if (number > 9007199254740992.0 || (double)(int64_t)number < number) {
        return refuse(c, row->fact, "a whole number", err);
    }
    *(int64_t *)member = (int64_t)number;
    return LQ_OK;
}

static enum lq_code put(const struct context *c, const struct row *row, struct lq_error *err)
{
    const char *text = c->run->facts.value[row->fact].text;
    void *member = (char *)c->point + row->offset;
    switch (row->kind) {
    case KIND_TEXT:
        if (strlen(text) >= row->size) {
            return refuse(c, row->fact, "shorter", err);
        }
        memcpy(member, text, strlen(text) + 1);
        return LQ_OK;
    case KIND_COUNT:
    case KIND_NUMBER:
        return put_number(c, row, member, err);
    case KIND_NAME:
        return put_name(c, row, member, err);
    case KIND_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return refuse(c, row->fact, "true or false", err);
        }
        *(int *)member = text[0] == 't';
        return LQ_OK;
    }
    return LQ_OK;
}

/* Adds the bits of each name of a list in one text. */
static bool read_names(const char *text, uint32_t (*bits_of)(const char *name), uint32_t *bits)
{
    static const char BETWEEN[] = ",;+ []\"'";
    while (*(text += strspn(text, BETWEEN)) != '\0') {
        char name[32];
        const size_t size = strcspn(text, BETWEEN);
        if (size >= sizeof name) {
            return false;
        }
        memcpy(name, text, size);
        name[size] = '\0';
        text += size;
        const uint32_t named = bits_of(name);
        if (named == 0) {
            return false;
        }
        *bits |= named;
    }
    return true;
}

static uint32_t option_named(const char *name)
{
    const int index = lq_choice_index(name, LQ_OPTION_NAMES);
    return index < 0 ? 0 : LQ_OPTION_BIT((unsigned)index);
}

/* Facts that are no single member. */
static enum lq_code put_lists(const struct context *c, struct lq_error *err)
{
    const struct lq_facts *facts = &c->run->facts;
    struct lq_measured_point *p = c->point;
    if (!read_names(facts->value[LQ_FACT_TARGETS].text, lq_targets_named, &p->targets)) {
        return refuse(c, LQ_FACT_TARGETS,
                      "of q k v o gate up down router embedding head attention mlp experts "
                      "all-linear",
                      err);
    }
    p->has_optimizations = lq_fact_known(facts, LQ_FACT_OPTIMIZATIONS);
    if (p->has_optimizations && !lq_fact_is(facts, LQ_FACT_OPTIMIZATIONS, "none") &&
        !read_names(facts->value[LQ_FACT_OPTIMIZATIONS].text, option_named, &p->optimizations)) {
        return refuse(c, LQ_FACT_OPTIMIZATIONS,
                      "none, or of compile chunked-loss optimizer-in-backward offload-activations "
                      "offload-optimizer",
                      err);
    }
    return LQ_OK;
}

static enum lq_code put_choices(const struct context *c, struct lq_error *err)
{
    static const char *const CHECKPOINTING[] = {"false", "true", "selective", NULL};
    const struct lq_facts *facts = &c->run->facts;
    struct lq_measured_point *p = c->point;
    if (lq_fact_known(facts, LQ_FACT_GRADIENT_CHECKPOINTING)) {
        p->checkpointing =
            lq_choice_index(facts->value[LQ_FACT_GRADIENT_CHECKPOINTING].text, CHECKPOINTING);
        if (p->checkpointing == LQ_UNSAID) {
            return refuse(c, LQ_FACT_GRADIENT_CHECKPOINTING, "true, false or selective", err);
        }
    }
    p->out_of_memory = lq_fact_is(facts, LQ_FACT_OUT_OF_MEMORY, "true");
    if (lq_fact_known(facts, LQ_FACT_OUT_OF_MEMORY) && !p->out_of_memory &&
        !lq_fact_is(facts, LQ_FACT_OUT_OF_MEMORY, "false")) {
        return refuse(c, LQ_FACT_OUT_OF_MEMORY, "true or false", err);
    }
    if (lq_fact_known(facts, LQ_FACT_ZERO_STAGE)) {
        const int stage = lq_choice_index(facts->value[LQ_FACT_ZERO_STAGE].text,
                                          (const char *const[]){"0", "1", "2", "3", NULL});
        if (stage == LQ_UNSAID) {
            return refuse(c, LQ_FACT_ZERO_STAGE, "0, 1, 2 or 3", err);
        }
        p->has_layout = stage > 0;
        p->layout.zero_stage = stage;
    }
    return LQ_OK;
}

/* What does not go together is dropped: the method has no place for it. */
static void tidy(struct lq_measured_point *p)
{
    if (p->method == LQ_METHOD_LORA) {
        p->quantization = LQ_UNSAID;
    }
    if (p->sequence_tokens > 0) { /* rows of one length: how others would be padded says nothing */
        p->padding = LQ_UNSAID;
        p->padding_multiple = 0;
        p->cutoff_tokens = 0;
    }
}

static enum lq_code check_method(const struct context *c, struct lq_error *err)
{
    const struct lq_facts *facts = &c->run->facts;
    const bool quantized = lq_fact_known(facts, LQ_FACT_QUANTIZATION) &&
                           !lq_fact_is(facts, LQ_FACT_QUANTIZATION, "none");
    const bool qlora = lq_fact_is(facts, LQ_FACT_METHOD, "qlora");
    if (quantized && !qlora) {
        return refuse(c, LQ_FACT_METHOD, "qlora where the base is quantised (quantization)", err);
    }
    return qlora && lq_fact_is(facts, LQ_FACT_QUANTIZATION, "none")
               ? refuse(c, LQ_FACT_QUANTIZATION, "nf4-dq, nf4, int4 or int8 for qlora", err)
               : LQ_OK;
}

/* Facts that a point cannot do without; those that the API has a default for are asked of logs,
 * since a log of another setting would be taken for the default. */
static enum lq_code check_known(const char *name, const struct lq_import_run *run,
                                struct lq_error *err)
{
    const struct lq_facts *f = &run->facts;
    const bool by_name = lq_fact_known(f, LQ_FACT_LENGTHS);
    const bool adapters =
        !run->table && lq_fact_known(f, LQ_FACT_METHOD) && !lq_fact_is(f, LQ_FACT_METHOD, "full");
    const bool rated = lq_fact_known(f, LQ_FACT_QUERIES_PER_S) ||
                       lq_fact_known(f, LQ_FACT_STEP_TIME_S) ||
                       lq_fact_known(f, LQ_FACT_OUT_OF_MEMORY);
    const bool counted = run->rate.tokens_per_s_per_gpu > 0.0;
    const struct {
        enum lq_fact fact;
        bool needed;
    } needs[] = {
        {LQ_FACT_MODEL, true},
        {LQ_FACT_GPU, true},
        {LQ_FACT_GPU_COUNT, !run->table},
        {LQ_FACT_METHOD, true},
        {LQ_FACT_RANK, adapters},
        {LQ_FACT_TARGETS, adapters},
        {LQ_FACT_GRADIENT_CHECKPOINTING, !run->table},
        {LQ_FACT_BATCH_SIZE, true},
        {LQ_FACT_GRADIENT_ACCUMULATION_STEPS, !run->table},
        {LQ_FACT_SEQUENCE_TOKENS, !by_name},
        {LQ_FACT_ROW_TOKENS, counted && !rated},
        {LQ_FACT_ZERO_STAGE, run->sharded},
        {LQ_FACT_STACK, true},
        {LQ_FACT_SOURCE, true},
    };
    char missing[LQ_DETAIL_MAX] = "";
    for (size_t i = 0, at = 0; i < sizeof needs / sizeof needs[0]; i++) {
        if (needs[i].needed && !lq_fact_known(f, needs[i].fact) && at < sizeof missing) {
            at += (size_t)snprintf(missing + at, sizeof missing - at, " --%s",
                                   LQ_FACT_OPTIONS[needs[i].fact]);
        }
    }
    if (missing[0] != '\0') {
        return lq_fail(err, LQ_EFIELD, NULL, "%.120s does not say all that is needed; give%s", name,
                       missing);
    }
    return rated ? LQ_OK
                 : lq_fail(err, LQ_EFIELD, NULL,
                           "%.150s: one of queries_per_s, step_time_s and out_of_memory is needed",
                           name);
}

static void tell_defaults(struct lq_import_run *run)
{
    static const struct {
        enum lq_fact fact;
        const char *otherwise;
    } DEFAULTS[] = {{LQ_FACT_PRECISION, "bf16"}, {LQ_FACT_OPTIMIZER, "adamw"}};
    for (size_t i = 0; !run->table && i < sizeof DEFAULTS / sizeof DEFAULTS[0]; i++) {
        if (!lq_fact_known(&run->facts, DEFAULTS[i].fact)) {
            lq_notice(&run->notices, "%s: said nowhere; counts as %s unless --%s says otherwise",
                      LQ_FACT_NAMES[DEFAULTS[i].fact], DEFAULTS[i].otherwise,
                      LQ_FACT_OPTIONS[DEFAULTS[i].fact]);
        }
    }
}

enum lq_code lq_import_finish(const char *name, struct lq_import_run *run, char **json,
                              struct lq_error *err)
{
    struct lq_measured_point point = lq_measured_point_new();
    const struct context c = {name, run, &point};
    LQ_TRY(lq_import_rate_resolve(name, run, err));
    LQ_TRY(check_known(name, run, err));
    LQ_TRY(check_method(&c, err));
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (lq_fact_known(&run->facts, ROWS[i].fact)) {
            LQ_TRY(put(&c, &ROWS[i], err));
        }
    }
    LQ_TRY(put_lists(&c, err));
    LQ_TRY(put_choices(&c, err));
    tidy(&point);
    tell_defaults(run);
    snprintf(point.note, sizeof point.note, "%s", run->note);
    struct lq_error wrong = {0};
    const enum lq_code code = lq_point_write(&point, json, &wrong);
    return code == LQ_OK
               ? LQ_OK
               : lq_fail(err, code, NULL, "%.150s: %s: %s", name,
                         wrong.pointer[0] != '\0' ? wrong.pointer + 1 : "point", wrong.detail);
}
