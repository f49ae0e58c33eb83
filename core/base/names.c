/* Comma-separated names. They are ids, so none contains a comma. */
#include "core/base/names.h"

#include <stdio.h>
#include <string.h>

bool lq_names_contain(const char *list, const char *name)
{
    const size_t length = strlen(name);
    const char *at = list;
    while (length > 0 && (at = strstr(at, name)) != NULL) {
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
        at += length;
    }
    return false;
}

void lq_names_add(char *list, size_t size, const char *name)
{
    const size_t used = strlen(list);
    const size_t comma = used > 0 ? 1 : 0;
    if (name[0] == '\0' || lq_names_contain(list, name) || used + comma + strlen(name) >= size) {
        return;
    }
    snprintf(list + used, size - used, "%s%s", comma != 0 ? "," : "", name);
}
