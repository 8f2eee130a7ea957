/* Arena (arena.h): a list of blocks that doubles in size; the block in use is the last with anything in it. */
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

enum { FIRST_BLOCK = 64 * 1024, MOST_BLOCKS = 48 }; /* doubling: 48 blocks pass any memory, and no size overflows */

struct block {
    char *memory;
    size_t size; /* bytes */
};

struct alloy_arena {
    struct block blocks[MOST_BLOCKS];
    size_t count;   /* blocks that exist */
    size_t current; /* the block in use */
    size_t used;    /* bytes used of it */
};

alloy_arena *alloy_arena_new(void)
{
    return alloy_memory_zeroed(1, sizeof(alloy_arena));
}

void alloy_arena_free(alloy_arena *arena)
{
    if (!arena)
        return;
    for (size_t i = 0; i < arena->count; i++)
        alloy_memory_free(arena->blocks[i].memory);
    alloy_memory_free(arena);
}

/* Makes the block after the current one the current one, with room for `bytes`. A kept block that is too small is
 * replaced. */
static bool next_block(alloy_arena *arena, size_t bytes)
{
    size_t next = arena->count == 0 ? 0 : arena->current + 1;
    if (next >= MOST_BLOCKS)
        return false;
    struct block *block = &arena->blocks[next];
    if (next == arena->count || block->size < bytes) {
        size_t size = next == 0 ? FIRST_BLOCK : arena->blocks[next - 1].size * 2;
        size = size < bytes ? bytes : size;
        char *memory = alloy_memory_aligned(size, 1);
        if (!memory)
            return false;
        if (next < arena->count)
            alloy_memory_free(block->memory);
        else
            arena->count++;
        *block = (struct block){memory, size};
    }
    arena->current = next;
    arena->used = 0;
    return true;
}

void *alloy_arena_take(alloy_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!alloy_size_multiply(count, size, &bytes) || !alloy_size_round_up(bytes ? bytes : 1, ALLOY_ALIGNMENT, &bytes))
        return alloy_memory_new(count, SIZE_MAX); /* fails, and says so */
    bool fits = arena->count > 0 && bytes <= arena->blocks[arena->current].size - arena->used;
    if (!fits && !next_block(arena, bytes))
        return NULL;
    void *taken = arena->blocks[arena->current].memory + arena->used;
    arena->used += bytes;
    return taken;
}

void *alloy_arena_take_zeroed(alloy_arena *arena, size_t count, size_t size)
{
    void *taken = alloy_arena_take(arena, count, size);
    return taken ? memset(taken, 0, count * size) : NULL;
}

char *alloy_arena_copy(alloy_arena *arena, const char *bytes, size_t size)
{
    char *copy = size < SIZE_MAX ? alloy_arena_take(arena, size + 1, 1) : NULL;
    if (!copy)
        return NULL;
    if (size)
        memcpy(copy, bytes, size);
    copy[size] = 0;
    return copy;
}

alloy_arena_mark alloy_arena_here(const alloy_arena *arena)
{
    return (alloy_arena_mark){arena->current, arena->used};
}

void alloy_arena_cut(alloy_arena *arena, alloy_arena_mark mark)
{
    arena->current = mark.block;
    arena->used = mark.used;
}
