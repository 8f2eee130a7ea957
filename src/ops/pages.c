/* The pool of pages (pages.h). A page follows its head; free pages of one size are a list. */
#include "ops/pages.h"

#include "base/memory.h"
#include "base/status.h"

/* Before each page. */
struct head {
    struct head *next; /* of a free page */
    size_t bytes;      /* of the page */
    int64_t owners;
    char fill[ALLOY_ALIGNMENT - sizeof(void *) - sizeof(size_t) - sizeof(int64_t)];
};

/* Pages of one size that are free. */
struct free_pages {
    size_t bytes;
    struct head *first;
};

struct alloy_pages {
    char *memory;
    size_t limit, begun; /* address space; what has been handed out of it at some time */
    size_t used;         /* in pages that have owners, with their heads */
    bool is_short;       /* there was less address space than memory */
    struct free_pages *sizes;
    int64_t size_count, size_capacity;
    int64_t owners;
};

static const size_t LEAST = (size_t)1 << 20, MOST = (size_t)1 << 46;

/* A process may have less address space than the machine has memory: half of it then, and so on, and of what can be had
 * half again, since others need some too. */
static bool take_space(alloy_pages *pages)
{
    while (!(pages->memory = alloy_memory_map(pages->limit)) && pages->limit > LEAST) {
        pages->limit /= 2;
        pages->is_short = true;
    }
    if (!pages->memory || !pages->is_short)
        return pages->memory;
    alloy_memory_unmap(pages->memory, pages->limit);
    pages->limit /= 2;
    pages->memory = alloy_memory_map(pages->limit);
    return pages->memory;
}

alloy_status alloy_pages_open(alloy_pages **out, uint64_t limit)
{
    alloy_pages *pages = *out = alloy_memory_zeroed(1, sizeof *pages);
    if (!pages)
        return ALLOY_NOMEM;
    uint64_t machine = alloy_memory_of_machine(), wanted = limit && limit < machine ? limit : machine;
    pages->owners = 1;
    pages->limit = wanted < MOST ? (size_t)wanted : MOST;
    if (take_space(pages))
        return ALLOY_OK;
    alloy_pages_close(pages);
    *out = NULL;
    return ALLOY_NOMEM;
}

alloy_pages *alloy_pages_hold(alloy_pages *pages)
{
    pages->owners++;
    return pages;
}

void alloy_pages_close(alloy_pages *pages)
{
    if (!pages || --pages->owners > 0)
        return;
    alloy_memory_unmap(pages->memory, pages->limit);
    alloy_memory_free(pages->sizes);
    alloy_memory_free(pages);
}

static size_t whole_page(size_t bytes)
{
    return sizeof(struct head) + (bytes + ALLOY_ALIGNMENT - 1) / ALLOY_ALIGNMENT * ALLOY_ALIGNMENT;
}

static void fail_full(const alloy_pages *pages, double needed)
{
    alloy_fail(pages->is_short ? ALLOY_NOMEM : ALLOY_LIMIT, "%s: %zu of %zu bytes are in use, %.0f more are needed",
               pages->is_short ? "no address space for the KV cache" : "the KV cache is full", pages->used,
               pages->limit, needed);
}

bool alloy_pages_could_hold(const alloy_pages *pages, int64_t count, size_t bytes)
{
    size_t whole = whole_page(bytes);
    bool could = (size_t)count <= pages->limit / whole;
    if (!could)
        fail_full(pages, (double)count * (double)whole);
    return could;
}

/* The free pages of a size. */
static struct free_pages *of_size(alloy_pages *pages, size_t bytes)
{
    for (int64_t i = 0; i < pages->size_count; i++)
        if (pages->sizes[i].bytes == bytes)
            return &pages->sizes[i];
    struct free_pages *grown = alloy_memory_grow(pages->sizes, pages->size_count, &pages->size_capacity, sizeof *grown);
    if (!grown)
        return NULL;
    pages->sizes = grown;
    grown[pages->size_count] = (struct free_pages){bytes, NULL};
    return &grown[pages->size_count++];
}

/* A page that has never been one. */
static struct head *begin_page(alloy_pages *pages, size_t whole)
{
    if (whole > pages->limit - pages->begun) {
        fail_full(pages, (double)whole);
        return NULL;
    }
    struct head *head = (struct head *)(void *)(pages->memory + pages->begun);
    pages->begun += whole;
    return head;
}

void *alloy_page_take(alloy_pages *pages, size_t bytes)
{
    size_t whole = whole_page(bytes);
    bytes = whole - sizeof(struct head);
    struct free_pages *free = of_size(pages, bytes);
    struct head *head = free ? free->first : NULL;
    if (free && !head)
        head = begin_page(pages, whole);
    if (!head)
        return NULL;
    if (head == free->first)
        free->first = head->next;
    head->bytes = bytes;
    head->owners = 1;
    pages->used += whole;
    return head + 1;
}

static struct head *head_of(void *page)
{
    return (struct head *)page - 1;
}

void alloy_page_share(void *page)
{
    head_of(page)->owners++;
}

bool alloy_page_is_shared(void *page)
{
    return head_of(page)->owners > 1;
}

void alloy_page_release(alloy_pages *pages, void *page)
{
    struct head *head = head_of(page);
    if (--head->owners > 0)
        return;
    struct free_pages *free = of_size(pages, head->bytes); /* it has had one of this size */
    head->next = free->first;
    free->first = head;
    pages->used -= sizeof *head + head->bytes;
    if (pages->used > 0)
        return;
    alloy_memory_discard(pages->memory, pages->begun);
    pages->begun = 0;
    pages->size_count = 0;
}

uint64_t alloy_pages_used(const alloy_pages *pages)
{
    return pages->used;
}
