/* What memory a run touches (counting.h): a map of bytes by pages. */
#include "counting/counting.h"

#include <stdlib.h>
#include <string.h>

struct counting counting_op;

enum { PAGE = 4096, MOST_PAGES = 1 << 16, MOST_CACHES = 4096 };

/* What is known of a byte. */
enum { READ_BY_OP = 1, READ = 2, WRITTEN = 4, KEPT = 8 };

static struct page {
    uintptr_t number; /* address / PAGE; 0: no page */
    uint8_t bytes[PAGE];
} * pages[MOST_PAGES]; /* by hash, open addressing */

static struct {
    uintptr_t begin, end;
} caches[MOST_CACHES];
static int cache_count;

/* The page of this number, made when first asked for. A test that needs more than there are must not go on counting. */
static struct page *page_of(uintptr_t number)
{
    size_t at = number * UINT64_C(0x9E3779B97F4A7C15) >> 48;
    for (; pages[at]; at = (at + 1) % MOST_PAGES)
        if (pages[at]->number == number)
            return pages[at];
    pages[at] = calloc(1, sizeof *pages[at]);
    if (!pages[at])
        abort();
    pages[at]->number = number;
    return pages[at];
}

/* Marks bytes; how many of them had none of `unless` and all of `when` before. */
static int64_t mark(const void *memory, size_t size, uint8_t marks, uint8_t when, uint8_t unless)
{
    int64_t count = 0;
    uintptr_t at = (uintptr_t)memory, end = at + size;
    while (at < end) {
        struct page *page = page_of(at / PAGE);
        for (; at < end && at / PAGE == page->number; at++) {
            uint8_t *byte = &page->bytes[at % PAGE];
            count += (*byte & when) == when && !(*byte & unless);
            *byte |= marks;
        }
    }
    return count;
}

static void clear(uint8_t marks)
{
    for (size_t i = 0; i < MOST_PAGES; i++)
        for (size_t j = 0; pages[i] && j < PAGE; j++)
            pages[i]->bytes[j] &= (uint8_t)~marks;
}

static bool in_cache(const void *memory)
{
    for (int i = 0; i < cache_count; i++)
        if ((uintptr_t)memory >= caches[i].begin && (uintptr_t)memory < caches[i].end)
            return true;
    return false;
}

void counting_cache(const void *memory, size_t size)
{
    if (cache_count == MOST_CACHES)
        abort();
    caches[cache_count].begin = (uintptr_t)memory;
    caches[cache_count++].end = (uintptr_t)memory + size;
}

void counting_begin(void)
{
    counting_op = (struct counting){0};
    clear(READ_BY_OP);
}

void counting_forward_ends(void)
{
    for (size_t i = 0; i < MOST_PAGES; i++)
        for (size_t j = 0; pages[i] && j < PAGE; j++)
            if (pages[i]->bytes[j] & WRITTEN)
                pages[i]->bytes[j] |= KEPT;
    clear(READ | WRITTEN);
}

void counting_forget(void)
{
    for (size_t i = 0; i < MOST_PAGES; i++) {
        free(pages[i]);
        pages[i] = NULL;
    }
    cache_count = 0;
}

void counting_read_parameter(const void *memory, size_t size)
{
    counting_op.parameters_read += mark(memory, size, READ_BY_OP, 0, READ_BY_OP);
}

const double *counting_read_cache(const double *memory, int64_t elements)
{
    size_t size = (size_t)elements * sizeof *memory;
    if (in_cache(memory))
        counting_op.cache_read += mark(memory, size, READ, KEPT, READ | WRITTEN) / (int64_t)sizeof *memory;
    return memory;
}

double *counting_write_cache(double *memory, int64_t elements)
{
    size_t size = (size_t)elements * sizeof *memory;
    if (in_cache(memory))
        counting_op.cache_written += mark(memory, size, WRITTEN, 0, WRITTEN) / (int64_t)sizeof *memory;
    return memory;
}
