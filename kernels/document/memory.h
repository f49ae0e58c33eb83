/* Whether memory sufficed for a JSON document: jansson leaves out in silence what it has none for.
 */
#pragma once

#include <stdbool.h>

/* From here on the calling thread's allocations for JSON are watched. */
void lq_json_memory_watch(void);

/* Whether one of them failed. */
bool lq_json_memory_failed(void);
