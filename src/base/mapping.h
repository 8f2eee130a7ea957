/* What is mapped: each part of a file that this process has mapped, so that a page which cannot be read can be named.
 *
 * A mapped page that lies beyond the end of its file (the file was cut short) or that its disk cannot deliver raises
 * SIGBUS in the thread that touches it. The library installs no handler; a program that installs one asks
 * alloy_mapping_find (alloy.h) there, which takes no lock, allocates nothing and may run in any thread at any moment.
 *
 * Invariant: a mapping is on the list from before its pages are first touched until after they are last touched. The
 * list is changed under a lock and read without one: what is taken off it is freed only when nobody is reading. */
#ifndef ALLOY_BASE_MAPPING_H
#define ALLOY_BASE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"

typedef struct alloy_mapping alloy_mapping;

/* `size` bytes at the address `begin` are those of the file `path` from byte `offset` on. */
alloy_status alloy_mapping_add(alloy_mapping **out, uintptr_t begin, size_t size, uint64_t offset, const char *path);
void alloy_mapping_identify(alloy_mapping *mapping, uint64_t device, uint64_t inode); /* of that file */
void alloy_mapping_remove(alloy_mapping *mapping);                                    /* NULL is fine */

/* Is a part of this file mapped? */
bool alloy_mapping_holds(uint64_t device, uint64_t inode);

#endif
