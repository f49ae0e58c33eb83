/* What this machine says of itself in /proc and /sys, all of which may be missing: its processor,
 * memory, clock, load and temperature. Limits of control groups are in cgroup.c. */
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { PATH_SIZE = 128, TEXT_SIZE = 64, INDEX_MAX = 16 };
static const double KIB = 1024.0;

/* The first line of a file, without its end; "" where there is none. */
static void read_text(const char *path, char text[TEXT_SIZE])
{
    text[0] = '\0';
    FILE *stream = fopen(path, "re");
    if (stream == NULL) {
        return;
    }
    if (fgets(text, TEXT_SIZE, stream) == NULL) {
        text[0] = '\0';
    }
    text[strcspn(text, "\n")] = '\0';
    fclose(stream);
}

/* The number a file begins with; negative where there is none. */
static double read_number(const char *path)
{
    char text[TEXT_SIZE];
    read_text(path, text);
    char *end = text;
    const double value = strtod(text, &end);
    return end == text ? -1.0 : value;
}

/* What /proc/cpuinfo says: of the first processor, and the highest clock of all. */
struct processor {
    char name[LQ_DEVICE_NAME_MAX];
    char vendor[LQ_DEVICE_TEXT_MAX];
    char vectors[LQ_DEVICE_TEXT_MAX];
    double clock_hz;
    double cache_bytes;
};

static const struct {
    const char *reported;
    const char *name;
} VENDORS[] = {{"GenuineIntel", "Intel"}, {"AuthenticAMD", "AMD"}, {"HygonGenuine", "Hygon"},
               {"0x41", "ARM"},           {"0x61", "Apple"},       {"0xc0", "Ampere"}};

/* Best first: the flags of the processor, and what those instructions are called. */
static const struct {
    const char *flag;
    const char *name;
} VECTORS[] = {{"avx512f", "AVX-512"}, {"avx2", "AVX2"},          {"avx", "AVX"},
               {"sse4_2", "SSE4.2"},   {"sse2", "SSE2"},          {"sve2", "SVE2"},
               {"sve", "SVE"},         {"asimd", "Advanced SIMD"}};

static bool has_word(const char *text, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == text || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static void note_vendor(const char *reported, struct processor *p)
{
    snprintf(p->vendor, sizeof p->vendor, "%.*s", LQ_DEVICE_TEXT_MAX - 1, reported);
    for (size_t i = 0; i < sizeof VENDORS / sizeof VENDORS[0]; i++) {
        if (strcmp(reported, VENDORS[i].reported) == 0) {
            snprintf(p->vendor, sizeof p->vendor, "%s", VENDORS[i].name);
        }
    }
}

static void note_vectors(const char *flags, struct processor *p)
{
    for (size_t i = 0; i < sizeof VECTORS / sizeof VECTORS[0]; i++) {
        if (has_word(flags, VECTORS[i].flag)) {
            snprintf(p->vectors, sizeof p->vectors, "%s", VECTORS[i].name);
            return;
        }
    }
}

static void note(const char *key, const char *value, struct processor *p)
{
    if (strncmp(key, "model name", 10) == 0 && p->name[0] == '\0') {
        snprintf(p->name, sizeof p->name, "%.*s", LQ_DEVICE_NAME_MAX - 1, value);
    } else if ((strncmp(key, "vendor_id", 9) == 0 || strncmp(key, "CPU implementer", 15) == 0) &&
               p->vendor[0] == '\0') {
        note_vendor(value, p);
    } else if ((strncmp(key, "flags", 5) == 0 || strncmp(key, "Features", 8) == 0) &&
               p->vectors[0] == '\0') {
        note_vectors(value, p);
    } else if (strncmp(key, "cpu MHz", 7) == 0) {
        p->clock_hz = fmax(p->clock_hz, 1e6 * strtod(value, NULL));
    } else if (strncmp(key, "cache size", 10) == 0) {
        p->cache_bytes = KIB * strtod(value, NULL);
    }
}

static void read_processor(struct processor *p)
{
    *p = (struct processor){0};
    FILE *stream = fopen("/proc/cpuinfo", "re");
    if (stream == NULL) {
        return;
    }
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stream) > 0) {
        line[strcspn(line, "\n")] = '\0';
        const char *colon = strchr(line, ':');
        if (colon != NULL) {
            note(line, colon + 1 + strspn(colon + 1, " "), p);
        }
    }
    free(line);
    fclose(stream);
}

/* The size of the cache of the highest level; `otherwise` where the system does not say. */
static double last_cache_bytes(double otherwise)
{
    double bytes = otherwise;
    double highest = 0.0;
    for (int i = 0; i < INDEX_MAX; i++) {
        char path[PATH_SIZE];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        const double level = read_number(path);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        char size[TEXT_SIZE];
        read_text(path, size);
        char *unit = size;
        const double value = strtod(size, &unit);
        if (level > highest && unit != size) {
            highest = level;
            bytes = value * (*unit == 'K' ? KIB : 1.0) * (*unit == 'M' ? KIB * KIB : 1.0);
        }
    }
    return bytes;
}

/* A line of /proc/meminfo, in bytes; negative where it is missing. */
static double meminfo_bytes(const char *key)
{
    FILE *stream = fopen("/proc/meminfo", "re");
    if (stream == NULL) {
        return -1.0;
    }
    double bytes = -1.0;
    char line[TEXT_SIZE];
    while (bytes < 0.0 && fgets(line, sizeof line, stream) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            bytes = KIB * strtod(line + strlen(key), NULL);
        }
    }
    fclose(stream);
    return bytes;
}

int lq_cpu_cores(void)
{
    struct lq_cgroup limits;
    lq_cpu_cgroup(&limits);
    cpu_set_t set;
    const int allowed = sched_getaffinity(0, sizeof set, &set) == 0
                            ? CPU_COUNT(&set)
                            : (int)sysconf(_SC_NPROCESSORS_ONLN); /* more cores than a set holds */
    const double cores = fmin((double)allowed, ceil(limits.cores));
    return cores < 1.0 ? 1 : (int)cores;
}

double lq_cpu_available_bytes(void)
{
    struct lq_cgroup limits;
    lq_cpu_cgroup(&limits);
    const double machine = meminfo_bytes("MemAvailable:");
    const double available =
        machine < 0.0 ? limits.available_bytes : fmin(machine, limits.available_bytes);
    return isinf(available) ? -1.0 : available;
}

void lq_cpu_describe(struct lq_device_info *info)
{
    struct processor p;
    read_processor(&p);
    struct lq_cgroup limits;
    lq_cpu_cgroup(&limits);
    struct utsname system = {0};
    uname(&system);
    *info = (struct lq_device_info){.units = lq_cpu_cores(),
                                    .elements = LQ_ELEMENT_BIT(LQ_ELEMENT_F32),
                                    .arithmetics = LQ_ARITHMETIC_BIT(LQ_ARITHMETIC_NATIVE)};
    snprintf(info->name, sizeof info->name, "%s", p.name);
    snprintf(info->vendor, sizeof info->vendor, "%s", p.vendor);
    snprintf(info->capability, sizeof info->capability, "%s", p.vectors);
    snprintf(info->architecture, sizeof info->architecture, "%.*s", LQ_DEVICE_TEXT_MAX - 1,
             system.machine);
    lq_cpu_blas_describe(info->driver, sizeof info->driver);
    if (info->name[0] == '\0') { /* processors of some architectures give only numbers */
        snprintf(info->name, sizeof info->name, "%.32s %.32s", p.vendor[0] ? p.vendor : "unnamed",
                 system.machine);
    }
    info->memory_bytes = fmin(fmax(0.0, meminfo_bytes("MemTotal:")), limits.memory_bytes);
    info->cache_bytes = last_cache_bytes(p.cache_bytes);
    const double highest_khz = read_number("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
    info->clock_hz = highest_khz > 0.0 ? 1e3 * highest_khz : p.clock_hz;
}

/* The hottest zone of the processor; negative where none is readable. */
static double temperature_c(void)
{
    double hottest = -1.0;
    for (int i = 0; i < INDEX_MAX; i++) {
        char path[PATH_SIZE];
        char type[TEXT_SIZE];
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/type", i);
        read_text(path, type);
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", i);
        const double milli_c = read_number(path);
        if (strstr(type, "pkg") != NULL || strcasestr(type, "cpu") != NULL) {
            hottest = fmax(hottest, 1e-3 * milli_c);
        }
    }
    return hottest;
}

/* 1 where the processor was slowed since the last reading, 0 where not. */
static int throttled(struct lq_device *device)
{
    const double before = device->throttle_count;
    device->throttle_count =
        read_number("/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count");
    if (device->throttle_count < 0.0) {
        return -1;
    }
    return before >= 0.0 && device->throttle_count > before ? 1 : 0;
}

void lq_cpu_state(struct lq_device *device, struct lq_device_state *state)
{
    struct processor p;
    read_processor(&p);
    const double khz = read_number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq");
    const double load = read_number("/proc/loadavg"); /* of the last minute */
    *state = (struct lq_device_state){.temperature_c = temperature_c(),
                                      .load = load < 0.0 ? -1.0 : load / lq_cpu_cores(),
                                      .free_bytes = lq_cpu_available_bytes(),
                                      .throttled = throttled(device)};
    state->clock_hz = p.clock_hz > 0.0 ? p.clock_hz : (khz > 0.0 ? 1e3 * khz : -1.0);
}
