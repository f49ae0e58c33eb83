/* What SkyPilot's catalogs call accelerators, and what the catalog here calls them. A name that is
 * an id of the catalog, punctuation aside, needs no row. Source: the names in
 * skypilot-org/skypilot-catalog, catalogs/v5 to v9; recalled in part. */
#include "server/json/price_sheet.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* The first row with the name whose `instance` occurs in the instance type counts. Where only the
 * instance type tells the form factor and none of its rows fits, the last row is ASSUMED, as in
 * the shipped prices; a data sheet of the provider settles it. */
static const struct {
    const char *name;
    const char *instance; /* "" = any */
    const char *gpu;
} NAMES[] = {
    {"A100", "standard_nc", "A100-80GB-PCIe"},
    {"A100", "pci", "A100-40GB-PCIe"},
    {"A100", "sxm", "A100-40GB-SXM"},
    {"A100", "gpu_1x_a100", "A100-40GB-PCIe"}, /* Lambda's small ones */
    {"A100", "gpu_2x_a100", "A100-40GB-PCIe"},
    {"A100", "gpu_4x_a100", "A100-40GB-PCIe"},
    {"A100", "", "A100-40GB-SXM"},
    {"A100-40GB", "pci", "A100-40GB-PCIe"},
    {"A100-40GB", "", "A100-40GB-SXM"},
    {"A100-80GB", "standard_nc", "A100-80GB-PCIe"},
    {"A100-80GB", "pci", "A100-80GB-PCIe"},
    {"A100-80GB", "", "A100-80GB-SXM"},
    {"A100-PCIe", "", "A100-40GB-PCIe"},
    {"A100-SXM4", "80GB", "A100-80GB-SXM"},
    {"A100-SXM4", "", "A100-40GB-SXM"},
    {"A800", "", "A800-80GB-PCIe"},
    {"A4000", "", "RTX-A4000"},
    {"A4500", "", "RTX-A4500"},
    {"A5000", "", "RTX-A5000"},
    {"A6000", "", "RTX-A6000"},
    {"B200-SXM", "", "B200"},
    {"GH200", "", "GH200-96GB"},
    {"H100", "standard_nc", "H100-NVL-94GB"},
    {"H100", "nvl", "H100-NVL-94GB"},
    {"H100", "pci", "H100-PCIe-80GB"},
    {"H100", "n3-h100", "H100-PCIe-80GB"}, /* Hyperstack */
    {"H100", "", "H100-SXM-80GB"},
    {"H100-80GB", "pci", "H100-PCIe-80GB"},
    {"H100-80GB", "", "H100-SXM-80GB"},
    {"H100-MEGA", "", "H100-SXM-80GB"}, /* Google's a3-megagpu */
    {"H100-MEGA-80GB", "", "H100-SXM-80GB"},
    {"H100-NVL", "", "H100-NVL-94GB"},
    {"H100-PCIe", "", "H100-PCIe-80GB"},
    {"H100-SXM", "", "H100-SXM-80GB"},
    {"H100-SXM5", "", "H100-SXM-80GB"},
    {"H200", "nvl", "H200-NVL-141GB"},
    {"H200", "", "H200-SXM-141GB"},
    {"H200-NVL", "", "H200-NVL-141GB"},
    {"H200-SXM", "", "H200-SXM-141GB"},
    {"P100", "", "P100-PCIe-16GB"},
    {"RTX6000", "", "Quadro-RTX-6000"},
    {"RTXPRO6000", "", "RTX-PRO-6000-SE"},
    {"RTXPRO6000-WK", "", "RTX-PRO-6000-WS"},
    {"V100", "standard_nc", "V100-PCIe-16GB"},
    {"V100", "v100-32g", "V100-PCIe-32GB"}, /* Paperspace */
    {"V100", "p3dn", "V100-SXM2-32GB"},
    {"V100", "", "V100-SXM2-16GB"},
    {"V100-16GB", "", "V100-SXM2-16GB"},
    {"V100-32GB", "v100-32g", "V100-PCIe-32GB"},
    {"V100-32GB", "", "V100-SXM2-32GB"},
};
enum { NAME_COUNT = sizeof NAMES / sizeof NAMES[0] };

static const char *next_letter(const char *text)
{
    while (*text != '\0' && !isalnum((unsigned char)*text)) {
        text++;
    }
    return text;
}

bool lq_price_is_same_name(const char *a, const char *b)
{
    for (;;) {
        a = next_letter(a);
        b = next_letter(b);
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) {
            return false;
        }
        if (*a == '\0') {
            return true;
        }
        a++;
        b++;
    }
}

const char *lq_price_gpu(const char *name, const char *instance_type)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (lq_price_is_same_name(NAMES[i].name, name) &&
            strcasestr(instance_type, NAMES[i].instance) != NULL) {
            return NAMES[i].gpu;
        }
    }
    return NULL;
}

const char *lq_price_gpu_at(size_t k)
{
    return k < NAME_COUNT ? NAMES[k].gpu : NULL;
}
