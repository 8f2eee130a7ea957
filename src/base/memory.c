/* Allocation (memory.h). */
#include "base/memory.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/status.h"

static _Atomic int64_t allocations_left = -1; /* negative: never fails on purpose */

void alloy_memory_fail_after(int64_t n)
{
    atomic_store(&allocations_left, n);
}

static bool fails_on_purpose(void)
{
    int64_t left = atomic_load(&allocations_left);
    if (left < 0)
        return false;
    if (left > 0)
        atomic_store(&allocations_left, left - 1);
    return left == 0;
}

static _Atomic bool watching;
static _Atomic int64_t watched, watched_most; /* bytes in use since the watch began, and the most there were */

void alloy_memory_watch(bool on)
{
    atomic_store(&watched, 0);
    atomic_store(&watched_most, 0);
    atomic_store(&watching, on);
}

size_t alloy_memory_peak(void)
{
    return (size_t)atomic_load(&watched_most);
}

static bool is_watching(void)
{
    return atomic_load_explicit(&watching, memory_order_relaxed);
}

static void watch(int64_t bytes)
{
    int64_t now = atomic_fetch_add(&watched, bytes) + bytes, most = atomic_load(&watched_most);
    while (now > most && !atomic_compare_exchange_weak(&watched_most, &most, now))
        continue;
}

/* Memory that was asked for, or that grew from `before` bytes. */
static void *checked_from(void *memory, size_t count, size_t size, int64_t before)
{
    if (memory && is_watching())
        watch((int64_t)malloc_usable_size(memory) - before);
    if (!memory)
        alloy_fail(ALLOY_NOMEM, "out of memory: %zu x %zu bytes could not be allocated", count, size);
    return memory;
}

static void *checked(void *memory, size_t count, size_t size)
{
    return checked_from(memory, count, size, 0);
}

/* Bytes of an allocation, at least 1; 0 where it overflows or is meant to fail. */
static size_t bytes_of(size_t count, size_t size)
{
    size_t bytes;
    if (fails_on_purpose() || !alloy_size_multiply(count, size, &bytes) || bytes > PTRDIFF_MAX)
        return 0;
    return bytes ? bytes : 1;
}

void *alloy_memory_new(size_t count, size_t size)
{
    size_t bytes = bytes_of(count, size);
    return checked(bytes ? malloc(bytes) : NULL, count, size);
}

void *alloy_memory_zeroed(size_t count, size_t size)
{
    size_t bytes = bytes_of(count, size);
    return checked(bytes ? calloc(1, bytes) : NULL, count, size);
}

void *alloy_memory_aligned(size_t count, size_t size)
{
    size_t bytes = bytes_of(count, size);
    if (bytes == 0 || !alloy_size_round_up(bytes, ALLOY_ALIGNMENT, &bytes))
        return checked(NULL, count, size);
    return checked(aligned_alloc(ALLOY_ALIGNMENT, bytes), count, size);
}

void *alloy_memory_resize(void *old, size_t count, size_t size)
{
    size_t bytes = bytes_of(count, size);
    int64_t before = old && is_watching() ? (int64_t)malloc_usable_size(old) : 0;
    return checked_from(bytes ? realloc(old, bytes) : NULL, count, size, before);
}

char *alloy_memory_copy(const void *bytes, size_t size)
{
    size_t with_end;
    if (!alloy_size_add(size, 1, &with_end))
        return checked(NULL, size, 1);
    char *copy = alloy_memory_new(with_end, 1);
    if (!copy)
        return NULL;
    if (size)
        memcpy(copy, bytes, size);
    copy[size] = 0;
    return copy;
}

char *alloy_memory_string(const char *text)
{
    return alloy_memory_copy(text, strlen(text));
}

void alloy_memory_free(void *memory)
{
    if (memory && is_watching())
        watch(-(int64_t)malloc_usable_size(memory));
    free(memory);
}

void *alloy_memory_map(size_t bytes)
{
    size_t whole = bytes_of(bytes, 1);
    void *memory = whole ? mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                         : MAP_FAILED;
    return checked(memory == MAP_FAILED ? NULL : memory, bytes, 1);
}

void alloy_memory_discard(void *memory, size_t bytes)
{
    madvise(memory, bytes, MADV_DONTNEED);
}

void alloy_memory_unmap(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

size_t alloy_memory_of_machine(void)
{
    static _Atomic size_t known; /* it is asked for at each token, and the system once */
    size_t bytes = atomic_load(&known);
    long pages = bytes ? 0 : sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (bytes == 0 && !(pages > 0 && page > 0 && alloy_size_multiply((size_t)pages, (size_t)page, &bytes)))
        bytes = SIZE_MAX;
    atomic_store(&known, bytes);
    return bytes;
}

void *alloy_memory_grow(void *items, int64_t count, int64_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    int64_t doubled = *capacity < 8 ? 8 : *capacity * 2;
    void *grown = alloy_memory_resize(items, (size_t)doubled, size);
    if (grown)
        *capacity = doubled;
    return grown;
}
