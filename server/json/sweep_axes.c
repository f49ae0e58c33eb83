/* Decodes axes and sets their values in jobs. A value's range is the job decoder's business: what
 * it refuses is the problem of one point, not of the sweep. */
#include "server/json/sweep_axes.h"

#include "server/json/field.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct lq_sweep_kind KINDS[] = {
    {"active_experts", "active_experts", LQ_SWEEP_COUNT, "experts"},
    {"attention", "attention", LQ_SWEEP_TEXT, NULL},
    {"batch_size", "batch_size", LQ_SWEEP_COUNT, "rows"},
    {"confidence", "confidence", LQ_SWEEP_NUMBER, NULL},
    {"cutoff_tokens", "dataset/cutoff_tokens", LQ_SWEEP_COUNT, "tokens"},
    {"epochs", "epochs", LQ_SWEEP_NUMBER, "epochs"},
    {"estimator", "estimator", LQ_SWEEP_TEXT, NULL},
    {"gpu", "gpu", LQ_SWEEP_TEXT, NULL},
    {"gpu_count", "gpu_count", LQ_SWEEP_COUNT, "GPUs"},
    {"gpu_memory_bytes", NULL, LQ_SWEEP_NUMBER, "bytes"},
    {"gradient_accumulation_steps", "gradient_accumulation_steps", LQ_SWEEP_COUNT, "steps"},
    {"internode_gb_s", "internode_gb_s", LQ_SWEEP_NUMBER, "GB/s"},
    {"method", "method/kind", LQ_SWEEP_TEXT, NULL},
    {"model", "model", LQ_SWEEP_TEXT, NULL},
    {"optimizer", "optimizer", LQ_SWEEP_TEXT, NULL},
    {"padding_multiple", "dataset/padding_multiple", LQ_SWEEP_COUNT, "tokens"},
    {"precision", "precision", LQ_SWEEP_TEXT, NULL},
    {"queries", "dataset/queries", LQ_SWEEP_COUNT, "queries"},
    {"rank", "method/rank", LQ_SWEEP_COUNT, NULL},
    {"sequence_tokens", "dataset/lengths/fixed_tokens", LQ_SWEEP_COUNT, "tokens"},
    {"stack", "stack", LQ_SWEEP_TEXT, NULL},
    {"usd_per_gpu_hour", "usd_per_gpu_hour", LQ_SWEEP_NUMBER, "USD/h"},
};
enum { KIND_COUNT = sizeof KINDS / sizeof KINDS[0], NAME_MAX_BYTES = 40 };

/* A device below that trains nothing, and nobody builds one above. */
static const double MEMORY_MIN_BYTES = 1e8;
static const double MEMORY_MAX_BYTES = 1e15;

static const char *const SCALES[] = {"linear", "log", NULL};

struct members {
    char name[NAME_MAX_BYTES];
    const json_t *values;
    const json_t *from;
    const json_t *to;
    int64_t steps;
    int scale;
};

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "name", .kind = LQ_FIELD_ID, .required = true, AT(name), .size = NAME_MAX_BYTES},
    {.name = "values", .kind = LQ_FIELD_JSON, AT(values)},
    {.name = "from", .kind = LQ_FIELD_JSON, AT(from)},
    {.name = "to", .kind = LQ_FIELD_JSON, AT(to)},
    {.name = "steps", .kind = LQ_FIELD_COUNT, AT(steps), .min = 2, .max = LQ_SWEEP_POINTS_MAX},
    {.name = "scale", .kind = LQ_FIELD_NAME, AT(scale), .names = SCALES},
};
#undef AT

/* What the functions below share. */
struct context {
    const char *pointer;
    const struct lq_sweep_kind *kind;
    struct lq_faults *faults;
};

static enum lq_code fault(const struct context *c, const char *member, const char *detail)
{
    char at[LQ_POINTER_MAX];
    snprintf(at, sizeof at, "%s%s%s", c->pointer, member[0] != '\0' ? "/" : "", member);
    return lq_faults_add(c->faults, LQ_EFIELD, at, "%s", detail);
}

static const struct lq_sweep_kind *find_kind(const char *name)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(KINDS[i].name, name) == 0) {
            return &KINDS[i];
        }
    }
    return NULL;
}

static enum lq_code refuse_name(const struct context *c, const char *name)
{
    char detail[LQ_DETAIL_MAX];
    int used = snprintf(detail, sizeof detail, "\"%s\" is not one of", name);
    for (size_t i = 0; i < KIND_COUNT && used < (int)sizeof detail; i++) {
        used += snprintf(detail + used, sizeof detail - (size_t)used, "%s %s", i > 0 ? "," : "",
                         KINDS[i].name);
    }
    return fault(c, "name", detail);
}

/* One value of the list, or one end of a range. */
static bool read_number(const struct context *c, const char *member, const json_t *value,
                        double *number)
{
    char at[LQ_POINTER_MAX];
    snprintf(at, sizeof at, "%s/%s", c->pointer, member);
    const bool is_memory = c->kind->path == NULL;
    const double min = is_memory ? MEMORY_MIN_BYTES : 0.0;
    const double max = is_memory ? MEMORY_MAX_BYTES : 0.0;
    int64_t whole = 0;
    if (c->kind->value != LQ_SWEEP_COUNT) {
        return lq_decode_number(value, at, min, max, number, c->faults);
    }
    const bool good = lq_decode_count(value, at, min, max, &whole, c->faults);
    *number = (double)whole;
    return good;
}

static enum lq_code take_values(const struct context *c, const json_t *values, json_t *out)
{
    if (!json_is_array(values) || json_array_size(values) == 0) {
        return fault(c, "values", "must be a list of at least one value");
    }
    const size_t before = c->faults->count;
    size_t i;
    json_t *value;
    json_array_foreach(values, i, value)
    {
        char member[32];
        double number = 0.0;
        snprintf(member, sizeof member, "values/%zu", i);
        if (c->kind->value == LQ_SWEEP_TEXT) {
            if (!json_is_string(value)) {
                fault(c, member, "must be a string");
            }
        } else {
            (void)read_number(c, member, value, &number);
        }
        json_array_append(out, value);
    }
    return c->faults->count > before ? LQ_EFIELD : LQ_OK;
}

/* Both ends included; whole numbers are rounded, and each stands once. */
static void spread(const struct context *c, const struct members *m, const double ends[2],
                   json_t *out)
{
    double last = (double)NAN;
    for (int64_t i = 0; i < m->steps; i++) {
        const double share = (double)i / (double)(m->steps - 1);
        double value = m->scale == 0 ? ends[0] + share * (ends[1] - ends[0])
                                     : ends[0] * pow(ends[1] / ends[0], share);
        value = i == m->steps - 1 ? ends[1] : value;
        if (c->kind->value == LQ_SWEEP_COUNT) {
            value = round(value);
            if (value != last) {
                json_array_append_new(out, json_integer((json_int_t)value));
            }
        } else {
            json_array_append_new(out, json_real(value));
        }
        last = value;
    }
}

static enum lq_code take_range(const struct context *c, const struct members *m, json_t *out)
{
    double ends[2] = {0.0, 0.0};
    if (c->kind->value == LQ_SWEEP_TEXT) {
        return fault(c, "values", "is required: this axis has names, which are listed");
    }
    if (m->from == NULL || m->to == NULL || m->steps == 0) {
        return fault(c, "", "must have values, or from, to and steps");
    }
    const bool good = read_number(c, "from", m->from, &ends[0]);
    if (!read_number(c, "to", m->to, &ends[1]) || !good) {
        return LQ_EFIELD;
    }
    if (!(ends[0] < ends[1])) {
        return fault(c, "to", "must be greater than from");
    }
    if (m->scale > 0 && !(ends[0] > 0.0)) {
        return fault(c, "from", "must be positive on a logarithmic scale");
    }
    spread(c, m, ends, out);
    return LQ_OK;
}

enum lq_code lq_sweep_axis_decode(const json_t *value, const char *pointer,
                                  struct lq_sweep_axis *out, struct lq_faults *faults)
{
    struct members m = {.scale = 0};
    struct context c = {.pointer = pointer, .faults = faults};
    LQ_TRY(lq_decode(value, pointer, FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults));
    c.kind = find_kind(m.name);
    if (c.kind == NULL) {
        return refuse_name(&c, m.name);
    }
    const bool ranged =
        m.from != NULL || m.to != NULL || m.steps > 0 || json_object_get(value, "scale") != NULL;
    if (m.values != NULL && ranged) {
        return fault(&c, "values", "excludes from, to, steps and scale");
    }
    out->kind = c.kind;
    return m.values != NULL ? take_values(&c, m.values, out->values)
                            : take_range(&c, &m, out->values);
}

/* The object that stands at `name` while it is changed: a copy, or a new one. */
static json_t *opened(const json_t *parent, const char *name)
{
    const json_t *child = json_object_get(parent, name);
    if (strcmp(name, "lengths") == 0) {
        return json_object(); /* lengths have one spelling at a time */
    }
    if (json_is_object(child)) {
        return json_copy((json_t *)(uintptr_t)child);
    }
    json_t *object = json_object();
    if (strcmp(name, "method") == 0) { /* its name alone, or what a job without one means */
        json_object_set_new(object, "kind",
                            json_is_string(child) ? json_string(json_string_value(child))
                                                  : json_string("lora"));
    }
    return object;
}

void lq_sweep_axis_set(const struct lq_sweep_axis *axis, size_t i, json_t *job)
{
    if (axis->kind->path == NULL) {
        return;
    }
    char path[64];
    snprintf(path, sizeof path, "%s", axis->kind->path);
    json_t *parent = job;
    char *name = path;
    for (char *slash = strchr(name, '/'); slash != NULL; slash = strchr(name, '/')) {
        *slash = '\0';
        json_t *child = opened(parent, name);
        json_object_set_new(parent, name, child);
        parent = child;
        name = slash + 1;
    }
    json_object_set(parent, name, json_array_get(axis->values, i));
}

bool lq_sweep_axis_is_memory(const struct lq_sweep_axis *axis)
{
    return axis->kind->path == NULL;
}
