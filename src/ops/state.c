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

/* Rows to allocate for `length` tokens: a growing list doubles, a ring is made once. */
static alloy_status rows_needed(const alloy_state_store *store, const alloy_part_spec *part, int64_t length,
                                int64_t chunk, int64_t *out)
{
    int64_t rows = length / part->rate;
    if (part->window > 0) {
        int64_t ring;
        if (!alloy_int64_add(part->window - 1, chunk, &ring))
            return alloy_fail(ALLOY_LIMIT, "a window of %lld tokens and a chunk of %lld", (long long)part->window,
                              (long long)chunk);
        rows = ring;
    } else if (rows > store->capacity && store->capacity > 0 && rows < store->capacity + store->capacity / 2) {
        rows = store->capacity + store->capacity / 2;
    }
    if (!alloy_int64_add(rows, ALLOY_ATTENTION_BLOCK - 1, &rows))
        return alloy_fail(ALLOY_LIMIT, "a cache of %lld tokens", (long long)length);
    *out = rows / ALLOY_ATTENTION_BLOCK * ALLOY_ATTENTION_BLOCK;
    return ALLOY_OK;
}

static alloy_status reserve_rows(alloy_state_store *store, const alloy_part_spec *part, alloy_dtype rows_dtype,
                                 int64_t length, int64_t chunk)
{
    int64_t rows = 0;
    alloy_status status = rows_needed(store, part, length, chunk, &rows);
    if (status || rows <= store->capacity)
        return status;
    if (part->window > 0 && store->data)
        return alloy_fail(ALLOY_ARG, "a ring for chunks of %lld rows cannot take a chunk of %lld",
                          (long long)(store->capacity - part->window + 1), (long long)chunk);
    void *grown = alloy_memory_resize(store->data, (size_t)rows, row_bytes(part, rows_dtype));
    if (!grown)
        return ALLOY_NOMEM;
    store->data = grown;
    store->capacity = rows;
    return ALLOY_OK;
}

alloy_status alloy_state_reserve(alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype,
                                 int64_t length, int64_t chunk)
{
    for (int i = 0; i < spec->count; i++) {
        const alloy_part_spec *part = &spec->part[i];
        alloy_status status = part->kind == ALLOY_STATE_FIXED
                                  ? reserve_fixed(&block->store[i], part, rows_dtype)
                                  : reserve_rows(&block->store[i], part, rows_dtype, length, chunk);
        if (status)
            return status;
    }
    return ALLOY_OK;
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

void alloy_state_clear(alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype)
{
    for (int i = 0; i < spec->count; i++)
        if (spec->part[i].kind == ALLOY_STATE_FIXED && block->store[i].data)
            memset(block->store[i].data, 0, fixed_bytes(&spec->part[i], rows_dtype));
}

static size_t store_bytes(const alloy_state_store *store, const alloy_part_spec *part, alloy_dtype rows_dtype)
{
    if (!store->data)
        return 0;
    return part->kind == ALLOY_STATE_FIXED ? fixed_bytes(part, rows_dtype)
                                           : (size_t)store->capacity * row_bytes(part, rows_dtype);
}

alloy_status alloy_state_copy(alloy_state_block *to, const alloy_state_block *from, const alloy_state_spec *spec,
                              alloy_dtype rows_dtype)
{
    for (int i = 0; i < spec->count; i++) {
        size_t bytes = store_bytes(&from->store[i], &spec->part[i], rows_dtype);
        if (bytes == 0)
            continue;
        void *data = alloy_memory_resize(to->store[i].data, bytes, 1);
        if (!data)
            return ALLOY_NOMEM;
        to->store[i].data = memcpy(data, from->store[i].data, bytes);
        to->store[i].capacity = from->store[i].capacity;
    }
    return ALLOY_OK;
}

void alloy_state_free(alloy_state_block *block)
{
    for (int i = 0; i < ALLOY_MOST_STATE_PARTS; i++)
        alloy_memory_free(block->store[i].data);
    *block = (alloy_state_block){0};
}

uint64_t alloy_state_bytes(const alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype)
{
    uint64_t bytes = 0;
    for (int i = 0; i < spec->count; i++)
        bytes += store_bytes(&block->store[i], &spec->part[i], rows_dtype);
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
