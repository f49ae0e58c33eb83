/* Short lists of distinct names in one fixed text: "a,b,c". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the list has exactly that name (not just as a part of one). */
bool lq_names_contain(const char *list, const char *name);

/* Adds a name unless it is empty, there already, or does not fit whole any more. */
void lq_names_add(char *list, size_t size, const char *name);
