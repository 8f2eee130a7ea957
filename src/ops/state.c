/* State of sequences (state.h). */
#include "ops/state.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/status.h"
#include "ops/pass.h"

static void keep(alloy_state_spec *spec, alloy_part_spec part)
{
    if (spec->count == ALLOY_MOST_STATE_PARTS) {
        spec->status =
            alloy_fail(ALLOY_LIMIT, "state part %s: a mixer keeps at most %d parts", part.name, ALLOY_MOST_STATE_PARTS);
        return;
    }
    spec->part[spec->count++] = part;
}

void alloy_state_keep_rows(alloy_state_spec *spec, const char *name, int64_t width, int64_t window)
{
    keep(spec, (alloy_part_spec){name, ALLOY_STATE_ROWS, width, window, 1});
}

void alloy_state_keep_entries(alloy_state_spec *spec, const char *name, int64_t width, int64_t rate)
{
    keep(spec, (alloy_part_spec){name, ALLOY_STATE_ROWS, width, 0, rate});
}

void alloy_state_keep_fixed(alloy_state_spec *spec, const char *name, int64_t count)
{
    keep(spec, (alloy_part_spec){name, ALLOY_STATE_FIXED, count, 0, 1});
}

static size_t row_bytes(const alloy_part_spec *part, alloy_dtype rows_dtype)
{
    return (size_t)part->width * (size_t)alloy_dtype_bits(rows_dtype) / 8;
}

/* Fixed parts are in F32 whatever rows are, but in F64 where rows are. */
static size_t fixed_bytes(const alloy_part_spec *part, alloy_dtype rows_dtype)
{
    return (size_t)part->width * (rows_dtype == ALLOY_F64 ? sizeof(double) : sizeof(float));
}

static alloy_status reserve_fixed(alloy_state_store *store, const alloy_part_spec *part, alloy_dtype rows_dtype)
{
    if (!store->data)
        store->data = alloy_memory_zeroed(fixed_bytes(part, rows_dtype), 1);
    return store->data ? ALLOY_OK : ALLOY_NOMEM;
}

static bool is_paged(const alloy_part_spec *part)
{
    return part->kind == ALLOY_STATE_ROWS && part->window == 0;
}

static size_t page_bytes(const alloy_part_spec *part, alloy_dtype rows_dtype)
{
    return ALLOY_ATTENTION_BLOCK * row_bytes(part, rows_dtype);
}

/* A ring is made once. */
static alloy_status reserve_ring(alloy_state_store *store, const alloy_part_spec *part, alloy_dtype rows_dtype,
                                 int64_t chunk)
{
    int64_t rows;
    if (!alloy_int64_add(part->window - 1, chunk, &rows) || !alloy_int64_add(rows, ALLOY_ATTENTION_BLOCK - 1, &rows))
        return alloy_fail(ALLOY_LIMIT, "a window of %lld tokens and a chunk of %lld", (long long)part->window,
                          (long long)chunk);
    rows = rows / ALLOY_ATTENTION_BLOCK * ALLOY_ATTENTION_BLOCK;
    if (rows <= store->capacity)
        return ALLOY_OK;
    if (store->data)
        return alloy_fail(ALLOY_ARG, "a ring for chunks of %lld rows cannot take a chunk of %lld",
                          (long long)(store->capacity - part->window + 1), (long long)chunk);
    store->data = alloy_memory_new((size_t)rows, row_bytes(part, rows_dtype));
    store->capacity = store->data ? rows : 0;
    return store->data ? ALLOY_OK : ALLOY_NOMEM;
}

/* Room in the list of pages grows by doubling: sequences of 4,096 rows take none after the first. */
static bool make_page_room(alloy_state_store *store, int64_t pages)
{
    enum { AT_FIRST = 64 };
    int64_t room = store->page_room ? 2 * store->page_room : AT_FIRST;
    if (pages <= store->page_room)
        return true;
    room = room < pages ? pages : room;
    char **grown = alloy_memory_resize(store->pages, (size_t)room, sizeof *grown);
    if (!grown)
        return false;
    store->pages = grown;
    store->page_room = room;
    return true;
}

/* The page that rows are to be written into after row `past` becomes this sequence's alone. */
static bool own_page(alloy_state_store *store, alloy_pages *pages, int64_t past, size_t bytes)
{
    int64_t page = past / ALLOY_ATTENTION_BLOCK;
    if (past == store->capacity || !alloy_page_is_shared(store->pages[page]))
        return true;
    char *copy = alloy_page_take(pages, bytes);
    if (!copy)
        return false;
    memcpy(copy, store->pages[page], bytes);
    alloy_page_release(pages, store->pages[page]);
    store->pages[page] = copy;
    return true;
}

static alloy_status reserve_pages(alloy_state_store *store, const alloy_part_spec *part, alloy_dtype rows_dtype,
                                  alloy_pages *pages, int64_t past, int64_t length)
{
    int64_t rows = length / part->rate, needed;
    size_t bytes = page_bytes(part, rows_dtype);
    if (!alloy_int64_add(rows, ALLOY_ATTENTION_BLOCK - 1, &needed))
        return alloy_fail(ALLOY_LIMIT, "a cache of %lld tokens", (long long)length);
    needed /= ALLOY_ATTENTION_BLOCK;
    bool sound = alloy_pages_could_hold(pages, needed, bytes) && make_page_room(store, needed) &&
                 (rows == past / part->rate || own_page(store, pages, past / part->rate, bytes));
    for (int64_t page = store->capacity / ALLOY_ATTENTION_BLOCK; sound && page < needed; page++) {
        store->pages[page] = alloy_page_take(pages, bytes);
        sound = store->pages[page];
        store->capacity += sound ? ALLOY_ATTENTION_BLOCK : 0;
    }
    return sound ? ALLOY_OK : alloy_last_status();
}

alloy_status alloy_state_reserve(alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype,
                                 alloy_pages *pages, int64_t past, int64_t length, int64_t chunk)
{
    alloy_status status = ALLOY_OK;
    for (int i = 0; i < spec->count && !status; i++) {
        const alloy_part_spec *part = &spec->part[i];
        alloy_state_store *store = &block->store[i];
        if (part->kind == ALLOY_STATE_FIXED)
            status = reserve_fixed(store, part, rows_dtype);
        else if (part->window > 0)
            status = reserve_ring(store, part, rows_dtype, chunk);
        else
            status = reserve_pages(store, part, rows_dtype, pages, past, length);
    }
    return status;
}

bool alloy_state_bytes_at(const alloy_state_spec *spec, alloy_dtype rows_dtype, int64_t length, int64_t chunk,
                          size_t *out)
{
    *out = 0;
    for (int i = 0; i < spec->count; i++) {
        const alloy_part_spec *part = &spec->part[i];
        bool fixed = part->kind == ALLOY_STATE_FIXED;
        size_t rows = fixed ? 1 : (size_t)(length / part->rate), bytes;
        if (part->window > 0 && !alloy_size_add((size_t)part->window - 1, (size_t)chunk, &rows))
            return false;
        size_t row = fixed ? fixed_bytes(part, rows_dtype) : row_bytes(part, rows_dtype);
        if (!alloy_size_multiply(rows, row, &bytes) || !alloy_size_add(*out, bytes, out))
            return false;
    }
    return true;
}

void alloy_state_cut(alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype, alloy_pages *pages,
                     int64_t length)
{
    for (int i = 0; i < spec->count; i++) {
        const alloy_part_spec *part = &spec->part[i];
        alloy_state_store *store = &block->store[i];
        if (part->kind == ALLOY_STATE_FIXED && store->data && length == 0)
            memset(store->data, 0, fixed_bytes(part, rows_dtype));
        while (is_paged(part) && store->capacity >= length / part->rate + ALLOY_ATTENTION_BLOCK) {
            store->capacity -= ALLOY_ATTENTION_BLOCK;
            alloy_page_release(pages, store->pages[store->capacity / ALLOY_ATTENTION_BLOCK]);
        }
    }
}

/* Of memory that is a sequence's own. */
static size_t store_bytes(const alloy_state_store *store, const alloy_part_spec *part, alloy_dtype rows_dtype)
{
    if (!store->data)
        return 0;
    return part->kind == ALLOY_STATE_FIXED ? fixed_bytes(part, rows_dtype)
                                           : (size_t)store->capacity * row_bytes(part, rows_dtype);
}

static bool share_pages(alloy_state_store *to, const alloy_state_store *from, int64_t rows)
{
    int64_t pages = (rows + ALLOY_ATTENTION_BLOCK - 1) / ALLOY_ATTENTION_BLOCK;
    if (!make_page_room(to, pages))
        return false;
    for (int64_t i = 0; i < pages; i++)
        alloy_page_share(to->pages[i] = from->pages[i]);
    to->capacity = pages * ALLOY_ATTENTION_BLOCK;
    return true;
}

static bool copy_data(alloy_state_store *to, const alloy_state_store *from, size_t bytes)
{
    to->data = bytes > 0 ? alloy_memory_new(bytes, 1) : NULL;
    if (!to->data)
        return bytes == 0;
    memcpy(to->data, from->data, bytes);
    to->capacity = from->capacity;
    return true;
}

alloy_status alloy_state_copy(alloy_state_block *to, const alloy_state_block *from, const alloy_state_spec *spec,
                              alloy_dtype rows_dtype, int64_t length)
{
    bool sound = true;
    for (int i = 0; i < spec->count && sound; i++) {
        const alloy_part_spec *part = &spec->part[i];
        const alloy_state_store *store = &from->store[i];
        sound = is_paged(part) ? share_pages(&to->store[i], store, length / part->rate)
                               : copy_data(&to->store[i], store, store_bytes(store, part, rows_dtype));
    }
    return sound ? ALLOY_OK : ALLOY_NOMEM;
}

void alloy_state_free(alloy_state_block *block, alloy_pages *pages)
{
    for (int i = 0; i < ALLOY_MOST_STATE_PARTS; i++) {
        alloy_state_store *store = &block->store[i];
        for (int64_t page = 0; store->pages && page < store->capacity / ALLOY_ATTENTION_BLOCK; page++)
            alloy_page_release(pages, store->pages[page]);
        alloy_memory_free(store->pages);
        alloy_memory_free(store->data);
    }
    *block = (alloy_state_block){0};
}

uint64_t alloy_state_bytes(const alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype)
{
    uint64_t bytes = 0;
    for (int i = 0; i < spec->count; i++)
        bytes += block->store[i].pages ? (size_t)block->store[i].capacity * row_bytes(&spec->part[i], rows_dtype)
                                       : store_bytes(&block->store[i], &spec->part[i], rows_dtype);
    return bytes;
}

float *alloy_state_fixed(const alloy_args *args, int i, int64_t span)
{
    return alloy_store_of(args->state[i], span)->data;
}

int64_t alloy_entries_of_pass(const alloy_pass *p, int64_t rate)
{
    int64_t entries = 0; /* at most one a token */
    for (int64_t i = 0; i < p->span_count; i++)
        entries += p->spans[i].repeat * alloy_entries_closed(&p->spans[i], rate);
    return entries;
}
