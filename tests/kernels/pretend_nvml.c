/* A management library with one device, for what the CUDA backend makes of its answers: what it
 * says comes from LQ_NVML, "MHz degrees reasons", and it knows no device without it. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **device);
int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *value);
int nvmlDeviceGetTemperature(void *device, int kind, unsigned *value);
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons);

struct answers {
    unsigned clock_mhz;
    unsigned temperature_c;
    unsigned reasons;
};

/* NVML_ERROR_NOT_FOUND where nothing is pretended. */
static int read_answers(struct answers *answers)
{
    const char *text = getenv("LQ_NVML");
    const bool told = text != NULL && sscanf(text, "%u %u %x", &answers->clock_mhz,
                                             &answers->temperature_c, &answers->reasons) == 3;
    return told ? 0 : 6;
}

int nvmlInit_v2(void)
{
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **device)
{
    struct answers answers = {0};
    (void)address;
    *device = NULL;
    return read_answers(&answers);
}

int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *value)
{
    struct answers answers = {0};
    (void)device;
    (void)kind;
    const int status = read_answers(&answers);
    *value = answers.clock_mhz;
    return status;
}

int nvmlDeviceGetTemperature(void *device, int kind, unsigned *value)
{
    struct answers answers = {0};
    (void)device;
    (void)kind;
    const int status = read_answers(&answers);
    *value = answers.temperature_c;
    return status;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons)
{
    struct answers answers = {0};
    (void)device;
    const int status = read_answers(&answers);
    *reasons = answers.reasons;
    return status;
}
