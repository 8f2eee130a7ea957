/* What a mixer keeps of a sequence between forwards.
 *
 * A layout is what a mixer declares: parts, each either rows (one a token, all or the last `window`; or one for each
 * `rate` tokens, an entry) or a fixed block of floats. A block is the memory of one layer of one sequence: one store a
 * part. Plain arrays and counts, so that any mixer's state is copied, cut and saved by the same code.
 *
 * Rows. A block of 64 positions, aligned, is contiguous. Rows of all tokens, and entries, lie in pages of such a block
 * each, which copies of the sequence share (pages.h): none is written while it has two owners. A ring of the window
 * holds window - 1 rows and a whole chunk after them, and position t lies in slot t mod its capacity, a multiple of 64.
 * Fixed parts begin as zeros. How many entries there are follows from the length alone. */
#ifndef ALLOY_OPS_STATE_H
#define ALLOY_OPS_STATE_H

#include "alloy/extend.h"
#include "kernels/kernels.h"
#include "ops/pages.h"

enum { ALLOY_MOST_STATE_PARTS = 8 };

typedef enum alloy_state_kind { ALLOY_STATE_ROWS, ALLOY_STATE_FIXED } alloy_state_kind;

typedef struct alloy_part_spec {
    const char *name;
    alloy_state_kind kind;
    int64_t width;  /* rows: floats a row; fixed: floats in all */
    int64_t window; /* rows: 0 for all tokens */
    int64_t rate;   /* rows: tokens a row; 1, or of entries their rate */
} alloy_part_spec;

/* What `state` of a mixer fills. */
struct alloy_state_spec {
    alloy_part_spec part[ALLOY_MOST_STATE_PARTS];
    int count;
    alloy_status status; /* LIMIT: too many parts */
};

typedef struct alloy_state_store {
    void *data;        /* a ring: [capacity, width] of the cache's dtype; fixed: [width] F32, or F64 where rows are */
    char **pages;      /* of other rows: [capacity / 64] */
    int64_t page_room; /* pages that `pages` has room for */
    int64_t capacity;  /* rows that there is memory for */
} alloy_state_store;

/* A row; those after it to the end of its block lie after it. */
static inline char *alloy_store_row(const alloy_state_store *store, int64_t row, int64_t row_bytes)
{
    return store->pages ? store->pages[row / ALLOY_ATTENTION_BLOCK] + row % ALLOY_ATTENTION_BLOCK * row_bytes
                        : (char *)store->data + row % store->capacity * row_bytes;
}

/* One layer of one sequence. */
typedef struct alloy_state_block {
    alloy_state_store store[ALLOY_MOST_STATE_PARTS];
} alloy_state_block;

/* One layer of every sequence in the batch: what a forward is given. */
struct alloy_state {
    const alloy_state_spec *spec;
    alloy_state_block *const *blocks; /* [spans]; NULL in count */
    alloy_dtype rows_dtype;           /* F32, BF16 or F16; F64 of the backend fp64 */
};

static inline const alloy_part_spec *alloy_part_spec_of(alloy_state_part part)
{
    return &part.state->spec->part[part.part];
}

/* Where a part of one sequence lies. */
static inline const alloy_state_store *alloy_store_of(alloy_state_part part, int64_t span)
{
    return &part.state->blocks[span]->store[part.part];
}

/* Does the state have such a part, which keeps rows of `width` (fixed: so many floats)? */
static inline bool alloy_state_has(const alloy_state *s, int part, alloy_state_kind kind, int64_t width)
{
    return part >= 0 && part < s->spec->count && s->spec->part[part].kind == kind && s->spec->part[part].width == width;
}

/* Makes the memory for `length` tokens in all, of which a forward brings at most `chunk` at once, after the `past`
 * ones that are there and stay: the rows to come are this sequence's alone. NOMEM, LIMIT. */
alloy_status alloy_state_reserve(alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype,
                                 alloy_pages *pages, int64_t past, int64_t length, int64_t chunk);

/* Bytes that a block for `length` tokens needs; false where they pass 64 bits. */
bool alloy_state_bytes_at(const alloy_state_spec *spec, alloy_dtype rows_dtype, int64_t length, int64_t chunk,
                          size_t *out);

/* Keeps the rows of the first `length` tokens alone; 0: begins anew, fixed parts are zeros. */
void alloy_state_cut(alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype, alloy_pages *pages,
                     int64_t length);

/* Makes of `to`, an empty block, a copy of `from`, which holds `length` tokens: pages are shared, the rest is copied.
 * To be freed also where it fails: NOMEM. */
alloy_status alloy_state_copy(alloy_state_block *to, const alloy_state_block *from, const alloy_state_spec *spec,
                              alloy_dtype rows_dtype, int64_t length);

void alloy_state_free(alloy_state_block *block, alloy_pages *pages);

/* Entries of a rate that the tokens of a span close, and those that are closed before them. */
static inline int64_t alloy_entries_before(const alloy_span *span, int64_t rate)
{
    return span->past / rate;
}

static inline int64_t alloy_entries_closed(const alloy_span *span, int64_t rate)
{
    return (span->past + span->count) / rate - span->past / rate;
}

/* Those that a whole pass closes, repeats included. */
int64_t alloy_entries_of_pass(const alloy_pass *p, int64_t rate);

/* Bytes that a block holds now; shared pages too. */
uint64_t alloy_state_bytes(const alloy_state_block *block, const alloy_state_spec *spec, alloy_dtype rows_dtype);

#endif
