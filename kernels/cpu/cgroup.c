/* What the control groups of this process allow it: memory and shares of cores. Files that are
 * absent or unreadable set no limit. */
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 768, LINE_SIZE = 512 };

/* One version of control groups: where the files are, and what they are called. */
struct layout {
    const char *mount;
    const char *limit;
    const char *used;
    const char *cached; /* of memory.stat */
};
static const struct layout V2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                 "inactive_file "};
static const struct layout V1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                 "memory.usage_in_bytes", "total_inactive_file "};

/* What follows `key` at the start of a line of a file of the group ("" for its first line). */
static bool read_after(const char *mount, const char *group, const char *file, const char *key,
                       char line[LINE_SIZE])
{
    char path[PATH_SIZE];
    const int length = snprintf(path, sizeof path, "%s%s/%s", mount, group, file);
    FILE *stream = length < (int)sizeof path ? fopen(path, "re") : NULL;
    if (stream == NULL) {
        return false;
    }
    bool found = false;
    while (!found && fgets(line, LINE_SIZE, stream) != NULL) {
        found = strncmp(line, key, strlen(key)) == 0;
    }
    fclose(stream);
    if (found) {
        memmove(line, line + strlen(key), strlen(line + strlen(key)) + 1);
    }
    return found;
}

/* A number of such a file; "max" and what is missing are `otherwise`. */
static double number(const char *mount, const char *group, const char *file, const char *key,
                     double otherwise)
{
    char line[LINE_SIZE];
    if (!read_after(mount, group, file, key, line)) {
        return otherwise;
    }
    char *end = line;
    const double value = strtod(line, &end);
    return end == line ? otherwise : value;
}

static void limit_memory(const struct layout *v, const char *group, struct lq_cgroup *limits)
{
    const double limit = number(v->mount, group, v->limit, "", HUGE_VAL);
    const double used = number(v->mount, group, v->used, "", 0.0);
    const double cached = number(v->mount, group, "memory.stat", v->cached, 0.0);
    limits->memory_bytes = fmin(limits->memory_bytes, limit);
    limits->available_bytes = fmin(limits->available_bytes, fmax(0.0, limit - used + cached));
}

static void limit_cores(const char *group, struct lq_cgroup *limits)
{
    char line[LINE_SIZE];
    double quota = -1.0;
    double period = 0.0;
    if (read_after(V2.mount, group, "cpu.max", "", line)) {
        char *end = line;
        quota = strtod(line, &end);
        period = end == line ? 0.0 : strtod(end, NULL);
    } else {
        quota = number("/sys/fs/cgroup/cpu", group, "cpu.cfs_quota_us", "", -1.0);
        period = number("/sys/fs/cgroup/cpu", group, "cpu.cfs_period_us", "", 0.0);
    }
    if (quota > 0.0 && period > 0.0) {
        limits->cores = fmin(limits->cores, quota / period);
    }
}

/* From the group up to the root: each level limits all below. In a container the path may be the
 * host's, and only the last of these is there. */
static void limit_levels(char *group, bool memory_v1, bool v2, bool cores, struct lq_cgroup *limits)
{
    for (;;) {
        if (memory_v1) {
            limit_memory(&V1, group, limits);
        }
        if (v2) {
            limit_memory(&V2, group, limits);
        }
        if (cores) {
            limit_cores(group, limits);
        }
        char *last = strrchr(group, '/');
        if (last == NULL) {
            return;
        }
        *last = '\0';
    }
}

static bool lists(const char *controllers, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = strstr(controllers, name); at != NULL; at = strstr(at + 1, name)) {
        const bool begins = at == controllers || at[-1] == ',';
        if (begins && (at[length] == '\0' || at[length] == ',')) {
            return true;
        }
    }
    return false;
}

void lq_cpu_cgroup(struct lq_cgroup *limits)
{
    *limits = (struct lq_cgroup){HUGE_VAL, HUGE_VAL, HUGE_VAL};
    FILE *stream = fopen("/proc/self/cgroup", "re");
    if (stream == NULL) {
        return;
    }
    char line[LINE_SIZE];
    while (fgets(line, sizeof line, stream) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        /* number:controllers:path; version 2 has no controllers here */
        char *controllers = strchr(line, ':');
        char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (group == NULL) {
            continue;
        }
        controllers++;
        *group = '\0';
        group++;
        const bool v2 = controllers[0] == '\0';
        limit_levels(group, lists(controllers, "memory"), v2, v2 || lists(controllers, "cpu"),
                     limits);
    }
    fclose(stream);
}
