/* Classes of characters (class_map.h). The edges of all sets cut the code points into runs; runs with the same
 * memberships are one class. Pages that lie within one run share a block with all others of their class. */
#include "tokenizer/class_map.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

enum { PAGE = 256, PAGES = ALLOY_UNICODE_END >> 8, MOST_CLASSES = 256 };

/* Runs of code points: the next begins at edges[i]. */
struct runs {
    uint32_t *edges;  /* [count], rising, begins with 0 */
    uint8_t *classes; /* [count] */
    size_t count;
    const alloy_code_set *sets;
    size_t set_count;
    bool (*of_set)[256];
};

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static alloy_status collect_edges(struct runs *runs)
{
    size_t total = 1, count = 0;
    for (size_t s = 0; s < runs->set_count; s++)
        total += runs->sets[s].count;
    runs->edges = alloy_memory_new(total, sizeof *runs->edges);
    runs->classes = alloy_memory_new(total, 1);
    if (!runs->edges || !runs->classes)
        return ALLOY_NOMEM;
    runs->edges[count++] = 0;
    for (size_t s = 0; s < runs->set_count; s++)
        for (size_t i = 0; i < runs->sets[s].count; i++)
            if (runs->sets[s].edges[i] < ALLOY_UNICODE_END)
                runs->edges[count++] = runs->sets[s].edges[i];
    qsort(runs->edges, count, sizeof *runs->edges, by_value);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || runs->edges[i] != runs->edges[i - 1])
            runs->edges[runs->count++] = runs->edges[i];
    return ALLOY_OK;
}

/* The class of a run whose membership in set s is in[s]; -1 when there are too many. */
static int class_for(struct runs *runs, const bool *in, int *class_count)
{
    for (int c = 0; c < *class_count; c++) {
        size_t s = 0;
        while (s < runs->set_count && runs->of_set[s][c] == in[s])
            s++;
        if (s == runs->set_count)
            return c;
    }
    if (*class_count == MOST_CLASSES)
        return -1;
    for (size_t s = 0; s < runs->set_count; s++)
        runs->of_set[s][*class_count] = in[s];
    return (*class_count)++;
}

static alloy_status find_classes(struct runs *runs, int *class_count)
{
    bool *in = alloy_memory_zeroed(runs->set_count + 1, sizeof *in);
    size_t *next = alloy_memory_zeroed(runs->set_count + 1, sizeof *next);
    alloy_status status = in && next ? ALLOY_OK : ALLOY_NOMEM;
    for (size_t i = 0; i < runs->count && !status; i++) {
        for (size_t s = 0; s < runs->set_count; s++)
            while (next[s] < runs->sets[s].count && runs->sets[s].edges[next[s]] <= runs->edges[i]) {
                in[s] = !in[s];
                next[s]++;
            }
        int class = class_for(runs, in, class_count);
        if (class < 0)
            status = alloy_fail(ALLOY_LIMIT, "more than %d different classes of characters", MOST_CLASSES);
        else
            runs->classes[i] = (uint8_t) class;
    }
    alloy_memory_free(in);
    alloy_memory_free(next);
    return status;
}

/* Pages in which an edge lies after their first code point: those of more than one run. */
static size_t mixed_pages(const struct runs *runs)
{
    size_t count = 0;
    uint32_t last = PAGES;
    for (size_t i = 0; i < runs->count; i++) {
        uint32_t page = runs->edges[i] / PAGE;
        count += runs->edges[i] % PAGE != 0 && page != last;
        last = runs->edges[i] % PAGE != 0 ? page : last;
    }
    return count;
}

static alloy_status fill_pages(alloy_class_map *map, const struct runs *runs)
{
    size_t capacity = (size_t)map->class_count + mixed_pages(runs);
    map->blocks = alloy_memory_new(capacity, PAGE);
    if (!map->blocks)
        return ALLOY_NOMEM;
    for (int c = 0; c < map->class_count; c++)
        memset(map->blocks + (size_t)c * PAGE, c, PAGE);
    map->block_count = (size_t)map->class_count;
    size_t run = 0;
    for (uint32_t page = 0; page < PAGES; page++) {
        uint32_t at = page * PAGE, end = at + PAGE;
        while (run + 1 < runs->count && runs->edges[run + 1] <= at)
            run++;
        if (run + 1 == runs->count || runs->edges[run + 1] >= end) {
            map->pages[page] = runs->classes[run];
            continue;
        }
        uint8_t *block = map->blocks + map->block_count * PAGE;
        for (uint32_t c = at; c < end; c++) {
            while (run + 1 < runs->count && runs->edges[run + 1] <= c)
                run++;
            block[c - at] = runs->classes[run];
        }
        map->pages[page] = (uint16_t)map->block_count++;
    }
    return ALLOY_OK;
}

alloy_status alloy_class_map_open(alloy_class_map *map, const alloy_code_set *sets, size_t count, bool (*of_set)[256])
{
    *map = (alloy_class_map){0};
    struct runs runs = {.sets = sets, .set_count = count, .of_set = of_set};
    for (size_t s = 0; s < count; s++) {
        if (sets[s].failed)
            return alloy_fail(ALLOY_NOMEM, "out of memory: a class of characters");
        memset(of_set[s], 0, sizeof of_set[s]);
    }
    alloy_status status = collect_edges(&runs);
    if (!status)
        status = find_classes(&runs, &map->class_count);
    if (!status)
        status = fill_pages(map, &runs);
    alloy_memory_free(runs.edges);
    alloy_memory_free(runs.classes);
    if (status)
        alloy_class_map_close(map);
    return status;
}

void alloy_class_map_close(alloy_class_map *map)
{
    alloy_memory_free(map->blocks);
    *map = (alloy_class_map){0};
}

size_t alloy_class_map_text(const alloy_class_map *map, const char *text, size_t size, uint8_t *classes)
{
    const uint8_t *s = (const uint8_t *)text, *end = s + size;
    const uint8_t *low = map->blocks + ((size_t)map->pages[0] << 8);
    uint8_t *to = classes;
    while (s < end) {
        if (*s < 0x80) {
            *to++ = low[*s++];
            continue;
        }
        size_t length;
        uint32_t code = alloy_code_at(s, &length);
        *to++ = alloy_class_of(map, code);
        s += length;
    }
    return (size_t)(to - classes);
}
