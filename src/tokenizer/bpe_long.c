/* Merging long pieces (bpe.h).
 *
 * Symbols are a linked list over their places. A place whose symbol and the next one have a merge waits in the bucket
 * of that merge's rank; a heap holds the ranks of buckets in use. The lowest rank is served, its places from left to
 * right; a place whose pair has changed since is skipped. Serving a rank can fill lower buckets, which are then served
 * first, but never its own: every symbol that it makes, and every one made of that, is longer than the merge's parts.
 *
 * Most buckets fill in rising order of places, since those that fill them are served so; one that did not is sorted
 * once, when it comes up. So a piece of n symbols takes O(n) but for the heap and the sorts. */
#include "tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define NONE UINT32_MAX

/* Places that wait for the merge of one rank: a list of nodes. */
struct bucket {
    uint32_t first, last; /* nodes + 1; 0: none */
    uint32_t last_place;
    bool queued; /* its rank is in the heap */
    bool unordered;
};

struct node {
    uint32_t place;
    uint32_t next; /* node + 1; 0: none */
};

struct alloy_long_scratch {
    uint32_t *before, *after; /* [capacity] by place: its neighbours; NONE at the ends */
    size_t capacity;
    struct node *nodes; /* [node_capacity] */
    int64_t node_count, node_capacity;
    uint32_t spare;         /* nodes to use again, + 1 */
    struct bucket *buckets; /* [bucket_count] by rank; all empty between pieces */
    int64_t bucket_count;
    uint32_t *heap; /* [heap_count] ranks, the lowest first */
    int64_t heap_count, heap_capacity;
    uint32_t *order; /* [order_capacity] for sorting */
    int64_t order_count, order_capacity;
};

void alloy_long_scratch_close(alloy_long_scratch *s)
{
    if (!s)
        return;
    alloy_memory_free(s->before);
    alloy_memory_free(s->after);
    alloy_memory_free(s->nodes);
    alloy_memory_free(s->buckets);
    alloy_memory_free(s->heap);
    alloy_memory_free(s->order);
    alloy_memory_free(s);
}

static bool reserve(alloy_long_scratch *s, const alloy_bpe *bpe, size_t count)
{
    if (s->bucket_count < bpe->merge_count) {
        alloy_memory_free(s->buckets);
        s->buckets = alloy_memory_zeroed((size_t)bpe->merge_count, sizeof *s->buckets);
        s->bucket_count = s->buckets ? bpe->merge_count : 0;
        if (!s->buckets)
            return false;
    }
    if (count <= s->capacity)
        return true;
    uint32_t *before = alloy_memory_resize(s->before, count, sizeof *before);
    if (before)
        s->before = before;
    uint32_t *after = before ? alloy_memory_resize(s->after, count, sizeof *after) : NULL;
    if (!after)
        return false;
    s->after = after;
    s->capacity = count;
    return true;
}

/* ---- The heap of ranks ------------------------------------------------------------------------------------------- */

static bool heap_push(alloy_long_scratch *s, uint32_t rank)
{
    uint32_t *heap = alloy_memory_grow(s->heap, s->heap_count, &s->heap_capacity, sizeof *heap);
    if (!heap)
        return false;
    s->heap = heap;
    int64_t at = s->heap_count++;
    for (; at > 0 && heap[(at - 1) / 2] > rank; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = rank;
    return true;
}

static void heap_pop(alloy_long_scratch *s)
{
    uint32_t *heap = s->heap, rank = heap[--s->heap_count];
    int64_t at = 0, child;
    while ((child = 2 * at + 1) < s->heap_count) {
        if (child + 1 < s->heap_count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= rank)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = rank;
}

/* ---- Buckets ----------------------------------------------------------------------------------------------------- */

/* A node + 1; 0 when memory is short. */
static inline uint32_t take_node(alloy_long_scratch *s)
{
    uint32_t node = s->spare;
    if (node) {
        s->spare = s->nodes[node - 1].next;
        return node;
    }
    if (s->node_count == s->node_capacity) {
        struct node *nodes = alloy_memory_grow(s->nodes, s->node_count, &s->node_capacity, sizeof *nodes);
        if (!nodes)
            return 0;
        s->nodes = nodes;
    }
    return (uint32_t)++s->node_count;
}

static inline bool bucket_add(alloy_long_scratch *s, uint32_t rank, uint32_t place)
{
    struct bucket *bucket = &s->buckets[rank];
    uint32_t node = take_node(s);
    if (!node)
        return false;
    s->nodes[node - 1] = (struct node){place, 0};
    if (bucket->first == 0) {
        bucket->first = node;
    } else {
        bucket->unordered |= bucket->last_place > place;
        s->nodes[bucket->last - 1].next = node;
    }
    bucket->last = node;
    bucket->last_place = place;
    if (bucket->queued)
        return true;
    bucket->queued = true;
    return heap_push(s, rank);
}

static int by_place(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool bucket_sort(alloy_long_scratch *s, struct bucket *bucket)
{
    s->order_count = 0;
    for (uint32_t node = bucket->first; node; node = s->nodes[node - 1].next) {
        uint32_t *order = alloy_memory_grow(s->order, s->order_count, &s->order_capacity, sizeof *order);
        if (!order)
            return false;
        s->order = order;
        order[s->order_count++] = s->nodes[node - 1].place;
    }
    qsort(s->order, (size_t)s->order_count, sizeof *s->order, by_place);
    int64_t i = 0;
    for (uint32_t node = bucket->first; node; node = s->nodes[node - 1].next)
        s->nodes[node - 1].place = bucket->last_place = s->order[i++];
    bucket->unordered = false;
    return true;
}

/* ---- Merging ----------------------------------------------------------------------------------------------------- */

/* The pair that begins at `place` waits for its turn, if it has a merge. */
static bool wait_at(const alloy_bpe *bpe, alloy_long_scratch *s, const uint32_t *symbols, uint32_t place)
{
    const struct alloy_merge_slot *merge = alloy_bpe_find(bpe, symbols[place], symbols[s->after[place]]);
    return !merge || bucket_add(s, merge->rank, place);
}

static bool merge_at(const alloy_bpe *bpe, alloy_long_scratch *s, uint32_t *symbols, uint32_t place,
                     const alloy_merge *merge)
{
    uint32_t right = s->after[place];
    if (symbols[place] != merge->left || right == NONE || symbols[right] != merge->right)
        return true; /* changed since it was put here, or swallowed */
    symbols[place] = merge->id;
    symbols[right] = ALLOY_NO_TOKEN;
    uint32_t next = s->after[place] = s->after[right];
    if (next != NONE) {
        s->before[next] = place;
        if (!wait_at(bpe, s, symbols, place))
            return false;
    }
    return s->before[place] == NONE || wait_at(bpe, s, symbols, s->before[place]);
}

/* Serves the lowest rank until no bucket is left. */
static bool serve(const alloy_bpe *bpe, alloy_long_scratch *s, uint32_t *symbols)
{
    while (s->heap_count > 0) {
        uint32_t rank = s->heap[0];
        struct bucket *bucket = &s->buckets[rank];
        if (bucket->unordered && !bucket_sort(s, bucket))
            return false;
        uint32_t node = bucket->first;
        if (node == 0) {
            bucket->queued = false;
            heap_pop(s);
            continue;
        }
        uint32_t place = s->nodes[node - 1].place;
        bucket->first = s->nodes[node - 1].next;
        s->nodes[node - 1].next = s->spare;
        s->spare = node;
        if (!merge_at(bpe, s, symbols, place, &bpe->merges[rank]))
            return false;
    }
    return true;
}

/* After a failure: what still waits is forgotten. */
static void clear(alloy_long_scratch *s)
{
    for (int64_t i = 0; i < s->heap_count; i++)
        s->buckets[s->heap[i]] = (struct bucket){0};
    s->heap_count = 0;
}

alloy_status alloy_bpe_merge_long(const alloy_bpe *bpe, alloy_long_scratch **scratch, uint32_t *symbols, size_t *count)
{
    if (!*scratch && !(*scratch = alloy_memory_zeroed(1, sizeof **scratch)))
        return ALLOY_NOMEM;
    alloy_long_scratch *s = *scratch;
    uint32_t n = (uint32_t)*count;
    if (n < 2 || bpe->merge_count == 0)
        return ALLOY_OK;
    if (!reserve(s, bpe, n))
        return ALLOY_NOMEM;
    s->node_count = 0;
    s->spare = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->before[i] = i == 0 ? NONE : i - 1;
        s->after[i] = i + 1 == n ? NONE : i + 1;
    }
    bool done = true;
    for (uint32_t i = 0; i + 1 < n && done; i++)
        done = wait_at(bpe, s, symbols, i);
    if (!done || !serve(bpe, s, symbols)) {
        clear(s);
        return ALLOY_NOMEM;
    }
    size_t kept = 0;
    for (uint32_t i = 0; i != NONE; i = s->after[i])
        symbols[kept++] = symbols[i];
    *count = kept;
    return ALLOY_OK;
}
