/* What every handler reads of a request. */
#include "server/api/call.h"

#include <string.h>

const char *lq_query_get(const struct lq_request *request, const char *name)
{
    for (size_t i = 0; i < request->query_count; i++) {
        if (strcmp(request->query[i].name, name) == 0) {
            return request->query[i].value;
        }
    }
    return NULL;
}
