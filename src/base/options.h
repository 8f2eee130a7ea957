/* Option structs that begin with their size (alloy/compare.h): a caller may have been built with another header. */
#ifndef ALLOY_BASE_OPTIONS_H
#define ALLOY_BASE_OPTIONS_H

#include "alloy/alloy.h"

/* Copies the caller's struct into `out` of `size` bytes, this library's own, whose size it is given and which is zero
 * from the end of the caller's on; all of the rest where `given` is NULL. ARG for a size that none can be, and for a
 * field set that is not known here. `name` is the struct's. */
alloy_status alloy_options_take(void *out, size_t size, const void *given, const char *name);

#endif
