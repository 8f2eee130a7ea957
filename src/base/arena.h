/* An arena: memory that is given back all at once, for the tensors of a forward pass and for objects that live and die
 * together.
 *
 * Invariants: blocks are never moved, so pointers stay valid until the arena is cut back past them; every piece is
 * aligned to ALLOY_ALIGNMENT; blocks are kept when the arena is cut back, so that a warm arena allocates nothing. Not
 * thread safe. */
#ifndef ALLOY_BASE_ARENA_H
#define ALLOY_BASE_ARENA_H

#include <stddef.h>

typedef struct alloy_arena alloy_arena;

typedef struct alloy_arena_mark {
    size_t block; /* index of the block in use */
    size_t used;  /* bytes used of it */
} alloy_arena_mark;

/* NULL with the thread's text set when memory is short. */
alloy_arena *alloy_arena_new(void);
void alloy_arena_free(alloy_arena *arena);

/* count * size bytes, not initialised; NULL with the thread's text set when memory is short. */
void *alloy_arena_take(alloy_arena *arena, size_t count, size_t size);
void *alloy_arena_take_zeroed(alloy_arena *arena, size_t count, size_t size);
char *alloy_arena_copy(alloy_arena *arena, const char *bytes, size_t size); /* with a NUL after them */

/* Everything taken since the mark is given back. */
alloy_arena_mark alloy_arena_here(const alloy_arena *arena);
void alloy_arena_cut(alloy_arena *arena, alloy_arena_mark mark);

#endif
