/* Names that people type: the nearest known one for an error message. */
#ifndef ALLOY_BASE_NAMES_H
#define ALLOY_BASE_NAMES_H

#include <stddef.h>

/* The candidate nearest to `name` by edit distance (insert, delete, replace, swap), or NULL when none is near enough to
 * be meant. */
const char *alloy_nearest_name(const char *name, const char *const *candidates, size_t count);

#endif
