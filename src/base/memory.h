/* Allocation. All of the library's memory comes from here, so that the tests can make any allocation fail
 * (alloy_memory_fail_after) and every size is checked. A failure sets the thread's text and returns NULL; the caller
 * returns ALLOY_NOMEM. Memory that was passed to alloy_memory_resize stays valid when it fails. Thread safe. */
#ifndef ALLOY_BASE_MEMORY_H
#define ALLOY_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ALLOY_ALIGNMENT = 64 }; /* bytes: a cache line, and the widest vector register */

/* count * size bytes, not initialised. A count of 0 gives a valid pointer. Free with alloy_memory_free. */
void *alloy_memory_new(size_t count, size_t size);

/* The same, all bytes zero. */
void *alloy_memory_zeroed(size_t count, size_t size);

/* The same, aligned to ALLOY_ALIGNMENT. Free with alloy_memory_free; never resized. */
void *alloy_memory_aligned(size_t count, size_t size);

/* Grows or shrinks, keeping what fits; `old` may be NULL. */
void *alloy_memory_resize(void *old, size_t count, size_t size);

/* A copy of `size` bytes with a NUL after them, or of a string. */
char *alloy_memory_copy(const void *bytes, size_t size);
char *alloy_memory_string(const char *text);

/* NULL is fine. */
void alloy_memory_free(void *memory);

/* Address space of `bytes`, all zero, which becomes memory page by page as it is written; NULL where the process has
 * not so much. Discarded memory goes back to the system, and is zero when it is read again. */
void *alloy_memory_map(size_t bytes);
void alloy_memory_discard(void *memory, size_t bytes);
void alloy_memory_unmap(void *memory, size_t bytes); /* NULL is fine */

/* Room for one more element in a growing array: *items has room for *capacity elements of `size` bytes and holds
 * `count`. Doubles; returns NULL, with *items untouched, where that fails, else *items. */
void *alloy_memory_grow(void *items, int64_t count, int64_t *capacity, size_t size);

/* Bytes of memory that this machine has; SIZE_MAX where that is not known. */
size_t alloy_memory_of_machine(void);

/* For tests: the n-th allocation from now fails, and all that follow (n < 0: none). */
void alloy_memory_fail_after(int64_t n);

/* For tests: counts the bytes that are in use beyond those at this call, from now on or no more; alloy_memory_peak is
 * the most there were since. */
void alloy_memory_watch(bool on);
size_t alloy_memory_peak(void);

#endif
