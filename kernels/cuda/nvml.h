/* What the driver's management library tells of a device while it works. */
#pragma once

#include "kernels/cuda/cuda.h"

struct lq_nvml;

/* The device at that PCI address; NULL where the library is not there or does not know it. */
struct lq_nvml *lq_nvml_open(const char *pci_address);
void lq_nvml_close(struct lq_nvml *nvml);
/* Fills in clock, temperature and throttling where they can be read. */
void lq_nvml_read(const struct lq_nvml *nvml, struct lq_device_state *state);
