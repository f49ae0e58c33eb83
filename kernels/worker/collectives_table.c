/* The tables of measured collectives, and what they say to a catalog. */
#include "kernels/worker/collectives_table.h"

#include "kernels/base/choice.h"
#include "kernels/measure/collectives.h"

#include <math.h>
#include <stdio.h>

/* Groups of 2, 4, 8 and 16 devices, or as many as there are. */
enum { GROUPS_MAX = 4, TIMES_MAX = GROUPS_MAX * LQ_GROUP_COLLECTIVE_COUNT };

struct table {
    const struct lq_node *node;
    const struct lq_gpu *gpu;
    struct lq_collective_times times[TIMES_MAX];
    size_t count;
};

/* A column of that width; "-" for what is infinite: not known. */
static void print_number(int width, double value)
{
    if (isfinite(value)) {
        printf(" %*.2f", width, value);
    } else {
        printf(" %*s", width, "-");
    }
}

static double estimate_s(const struct table *table, const struct lq_collective_times *t,
                         double bytes)
{
    return table->gpu != NULL
               ? lq_collective_estimate_s(table->gpu, table->node, t->collective, t->members, bytes)
               : HUGE_VAL;
}

static void print_times(const struct table *table, const struct lq_collective_times *t)
{
    const double share = lq_bus_share(t->collective, t->members);
    for (int i = 0; i < t->count; i++) {
        printf("%-16s %7zu %10.0f", LQ_COLLECTIVE_NAMES[t->collective], t->members, t->bytes[i]);
        print_number(12, t->seconds[i] * 1e6);
        print_number(10, share * t->bytes[i] / t->seconds[i] * 1e-9);
        print_number(14, estimate_s(table, t, t->bytes[i]) * 1e6);
        printf("\n");
    }
    fflush(stdout);
}

/* A line's bandwidth on the bus, in GB/s. */
static double bus_gb_s(const struct lq_collective_times *t, const struct lq_line *line)
{
    return line->bytes_per_s > 0.0
               ? lq_bus_share(t->collective, t->members) * line->bytes_per_s * 1e-9
               : HUGE_VAL;
}

/* The estimator's line by the same fit: its times lie on one. */
static struct lq_line estimated_line(const struct table *table, const struct lq_collective_times *t)
{
    double seconds[LQ_COLLECTIVE_SIZES_MAX];
    for (int i = 0; i < t->count; i++) {
        seconds[i] = estimate_s(table, t, t->bytes[i]);
        if (!isfinite(seconds[i])) {
            return (struct lq_line){.latency_s = HUGE_VAL};
        }
    }
    return lq_line_fit(t->bytes, seconds, t->count);
}

static void print_lines(const struct table *table)
{
    printf("%-16s %7s %12s %10s %14s %14s\n", "latency + bytes", "devices", "latency us",
           "bus GB/s", "estimated us", "estimated GB/s");
    for (size_t i = 0; i < table->count; i++) {
        const struct lq_collective_times *t = &table->times[i];
        const struct lq_line estimated = estimated_line(table, t);
        printf("%-16s %7zu", LQ_COLLECTIVE_NAMES[t->collective], t->members);
        print_number(12, t->line.latency_s * 1e6);
        print_number(10, bus_gb_s(t, &t->line));
        print_number(14, estimated.latency_s * 1e6);
        print_number(14, bus_gb_s(t, &estimated));
        printf("\n");
    }
}

/* The catalog's figure by the last all-reduce, that over all devices. */
static void print_interconnect(const struct table *table)
{
    const struct lq_collective_times *all = &table->times[table->count - LQ_GROUP_COLLECTIVE_COUNT];
    const struct lq_gpu unknown = {.id = ""};
    const struct lq_gpu *gpu = table->gpu != NULL ? table->gpu : &unknown;
    const double bus = lq_bus_share(all->collective, all->members) * all->line.bytes_per_s;
    const double figure = lq_interconnect_of(gpu, all->members, bus);
    if (figure > 0.0) {
        printf("interconnect     %10.2f GB/s (interconnect_bytes_per_s, both directions) in %s "
               "would give this all_reduce\n",
               figure * 1e-9, table->gpu != NULL ? gpu->id : "an entry without pcie_generation");
    }
}

static enum lq_code measure_group(struct table *table, struct lq_group *group, size_t members,
                                  struct lq_error *err)
{
    for (int i = 0; i < LQ_GROUP_COLLECTIVE_COUNT; i++) {
        struct lq_collective_times *t = &table->times[table->count];
        LQ_TRY(lq_collective_measure(table->node, group, members, (enum lq_group_collective)i, t,
                                     err));
        table->count++;
        print_times(table, t);
    }
    return LQ_OK;
}

static void print_head(const struct lq_node *node, const char *version)
{
    printf("%s, fp32, %zu devices", version, node->count);
    if (node->others > 0) {
        printf(" (%zu of another kind left out)", node->others);
    }
    printf("\n%-16s %7s %10s %12s %10s %14s\n", "collective", "devices", "bytes", "us", "bus GB/s",
           "estimated us");
}

static void print_none(struct lq_error *why)
{
    lq_text_clean(why->detail);
    printf("collectives      %s\n", why->detail);
}

/* That there is no group at all is told; what once could be opened must work. */
static enum lq_code measure_all(struct table *table, const char *library, struct lq_error *err)
{
    const struct lq_group_functions *functions = table->node->backend->group;
    size_t members = 0;
    while ((members = lq_node_next(table->node, members)) > 0) {
        struct lq_group *group = NULL;
        struct lq_error why = {0};
        enum lq_code code = functions->open(library, table->node->devices, members, &group, &why);
        if (code != LQ_OK && table->count == 0) {
            print_none(&why);
            return LQ_OK;
        }
        if (code != LQ_OK) {
            return lq_fail(err, code, NULL, "%s", why.detail);
        }
        if (table->count == 0) {
            print_head(table->node, functions->version(group));
        }
        code = measure_group(table, group, members, err);
        functions->close(group);
        LQ_TRY(code);
    }
    print_lines(table);
    print_interconnect(table);
    return LQ_OK;
}

enum lq_code lq_collectives_print(const struct lq_rig *rig, const char *library,
                                  const struct lq_gpu *gpu, struct lq_error *err)
{
    struct lq_node node;
    struct lq_error why = {0};
    if (lq_node_find(rig, &node, &why) != LQ_OK) {
        print_none(&why);
        return LQ_OK;
    }
    struct table table = {.node = &node, .gpu = gpu};
    return measure_all(&table, library, err);
}
