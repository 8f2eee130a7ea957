/* What a sequence keeps: rows that stay when there are more, rings of one size, fixed parts that begin as zeros, and
 * copies that share what neither has written since. */
#include "passes.h"

enum { WIDTH = 6, FIXED = 10 };

/* Part 0: all rows; part 1: a ring of 20; part 2: fixed. */
static void declare(alloy_state_spec *spec)
{
    memset(spec, 0, sizeof *spec);
    alloy_state_keep_rows(spec, "all", WIDTH, 0);
    alloy_state_keep_rows(spec, "ring", WIDTH, 20);
    alloy_state_keep_fixed(spec, "fixed", FIXED);
}

/* A block's memory, of `length` tokens after `past`, in a pool of its own. */
struct held {
    alloy_state_spec spec;
    alloy_state_block block;
    alloy_pages *pages;
    alloy_dtype dtype;
};

static void hold(struct held *h, alloy_dtype dtype, uint64_t limit)
{
    *h = (struct held){.dtype = dtype};
    declare(&h->spec);
    expect_ok(alloy_pages_open(&h->pages, limit));
}

static alloy_status reserve(struct held *h, int64_t past, int64_t length, int64_t chunk)
{
    return alloy_state_reserve(&h->block, &h->spec, h->dtype, h->pages, past, length, chunk);
}

static void let_go(struct held *h)
{
    alloy_state_free(&h->block, h->pages);
    assert_int_equal(alloy_pages_used(h->pages), 0);
    alloy_pages_close(h->pages);
}

static float *row_of(const alloy_state_block *block, int64_t row)
{
    return (float *)(void *)alloy_store_row(&block->store[0], row, WIDTH * (int64_t)sizeof(float));
}

static void capacities_are_whole_blocks(void **state)
{
    (void)state;
    struct held h;
    hold(&h, ALLOY_F32, 0);
    assert_int_equal(alloy_state_bytes(&h.block, &h.spec, ALLOY_F32), 0);
    expect_ok(reserve(&h, 0, 1, 50));
    assert_int_equal(h.block.store[0].capacity, 64);
    assert_int_equal(h.block.store[1].capacity, 128); /* 19 + 50, up to a multiple of 64 */
    assert_int_equal(alloy_state_bytes(&h.block, &h.spec, ALLOY_F32), ((64 + 128) * WIDTH + FIXED) * 4);
    expect_ok(reserve(&h, 1, 65, 50));
    assert_int_equal(h.block.store[0].capacity, 128);
    assert_int_equal(h.block.store[1].capacity, 128);
    let_go(&h);
    assert_null(h.block.store[0].pages);
    hold(&h, ALLOY_BF16, 0);
    expect_ok(reserve(&h, 0, 1, 50));
    assert_int_equal(alloy_state_bytes(&h.block, &h.spec, ALLOY_BF16), (64 + 128) * WIDTH * 2 + FIXED * 4);
    let_go(&h);
}

static void bytes_are_known_before_any_is_allocated(void **state)
{
    (void)state;
    alloy_state_spec spec;
    size_t bytes;
    declare(&spec);
    assert_true(alloy_state_bytes_at(&spec, ALLOY_F32, 0, 50, &bytes));
    assert_int_equal(bytes, (69 * WIDTH + FIXED) * 4);
    assert_true(alloy_state_bytes_at(&spec, ALLOY_BF16, 1000000000, 50, &bytes));
    assert_int_equal(bytes, (size_t)(1000000000 + 69) * WIDTH * 2 + FIXED * 4);
    assert_false(alloy_state_bytes_at(&spec, ALLOY_F32, INT64_MAX, 50, &bytes));
    assert_false(alloy_state_bytes_at(&spec, ALLOY_F32, INT64_MAX / 12, INT64_MAX, &bytes));
}

/* An entry for every 4 tokens: none before the fourth. */
static void entries_take_a_row_each(void **state)
{
    (void)state;
    struct held h;
    size_t bytes;
    hold(&h, ALLOY_F32, 0);
    h.spec.count = 0;
    alloy_state_keep_entries(&h.spec, "entries", WIDTH, 4);
    assert_true(alloy_state_bytes_at(&h.spec, ALLOY_F32, 4003, 50, &bytes));
    assert_int_equal(bytes, 1000 * WIDTH * 4);
    expect_ok(reserve(&h, 0, 3, 50));
    assert_int_equal(h.block.store[0].capacity, 0);
    expect_ok(reserve(&h, 3, 259, 50));
    assert_int_equal(h.block.store[0].capacity, 64);
    expect_ok(reserve(&h, 259, 260, 50));
    assert_int_equal(h.block.store[0].capacity, 128);
    let_go(&h);
}

/* A token at a time: no row moves when more come. */
static void rows_stay_where_they_are(void **state)
{
    (void)state;
    enum { LENGTH = 20000 };
    struct held h;
    hold(&h, ALLOY_F32, 0);
    const float *first = NULL;
    for (int64_t t = 0; t < LENGTH; t++) {
        expect_ok(reserve(&h, t, t + 1, 1));
        *row_of(&h.block, t) = (float)t;
        first = t == 0 ? row_of(&h.block, 0) : first;
    }
    for (int64_t t = 0; t < LENGTH; t++)
        assert_true(*row_of(&h.block, t) == (float)t);
    assert_ptr_equal(row_of(&h.block, 0), first);
    assert_true(h.block.store[0].capacity < LENGTH + 64);
    let_go(&h);
}

static void a_ring_takes_no_longer_chunk_than_it_was_made_for(void **state)
{
    (void)state;
    struct held h;
    hold(&h, ALLOY_F32, 0);
    expect_ok(reserve(&h, 0, 10, 10));
    expect_failure(reserve(&h, 10, 500, 500), ALLOY_ARG, "ring", "500");
    let_go(&h);
}

static void fixed_parts_begin_as_zeros_and_do_again(void **state)
{
    (void)state;
    static const float zeros[FIXED];
    struct held h;
    hold(&h, ALLOY_F32, 0);
    alloy_state_cut(&h.block, &h.spec, ALLOY_F32, h.pages, 0); /* nothing there yet */
    expect_ok(reserve(&h, 0, 1, 1));
    float *fixed = h.block.store[2].data;
    expect_equal_bits(fixed, zeros, FIXED, "new");
    for (int i = 0; i < FIXED; i++)
        fixed[i] = 3;
    expect_ok(reserve(&h, 1, 2, 1));
    assert_ptr_equal(h.block.store[2].data, fixed);
    assert_true(fixed[FIXED - 1] == 3);
    alloy_state_cut(&h.block, &h.spec, ALLOY_F32, h.pages, 0);
    expect_equal_bits(fixed, zeros, FIXED, "cleared");
    assert_int_equal(alloy_pages_used(h.pages), 0); /* rows are given back */
    let_go(&h);
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

static void fill_rows(struct held *h, int64_t from, int64_t to)
{
    for (int64_t t = from; t < to; t++)
        for (int i = 0; i < WIDTH; i++)
            row_of(&h->block, t)[i] = random_number(1, t * WIDTH + i);
}

/* 100 rows: a full page, which stays shared, and one that each writes on in its own way. */
static void a_copy_shares_pages_until_one_is_written(void **state)
{
    (void)state;
    struct held h, copy;
    hold(&h, ALLOY_F32, 0);
    expect_ok(reserve(&h, 0, 100, 1));
    fill_rows(&h, 0, 100);
    uint64_t page = alloy_pages_used(h.pages) / 2;
    copy = h;
    copy.block = (alloy_state_block){0};
    expect_ok(alloy_state_copy(&copy.block, &h.block, &h.spec, ALLOY_F32, 100));
    assert_int_equal(alloy_pages_used(h.pages), 2 * page);
    assert_ptr_not_equal(copy.block.store[1].data, h.block.store[1].data);
    expect_ok(reserve(&copy, 100, 101, 1));
    assert_int_equal(alloy_pages_used(h.pages), 3 * page);
    assert_ptr_equal(row_of(&copy.block, 63), row_of(&h.block, 63));
    assert_ptr_not_equal(row_of(&copy.block, 64), row_of(&h.block, 64));
    row_of(&copy.block, 100)[0] = 7;
    expect_ok(reserve(&h, 100, 101, 1)); /* the last one writes in place */
    assert_int_equal(alloy_pages_used(h.pages), 3 * page);
    row_of(&h.block, 100)[0] = 8;
    assert_true(row_of(&copy.block, 100)[0] == 7);
    alloy_state_free(&h.block, h.pages);
    assert_int_equal(alloy_pages_used(h.pages), 2 * page);
    for (int64_t t = 0; t < 100; t++)
        for (int i = 0; i < WIDTH; i++)
            assert_true(row_of(&copy.block, t)[i] == random_number(1, t * WIDTH + i));
    let_go(&copy);
}

/* Rows that are reserved and not written are not shared, and a cut gives pages back. */
static void only_what_is_there_is_shared(void **state)
{
    (void)state;
    struct held h, copy;
    hold(&h, ALLOY_F32, 0);
    expect_ok(reserve(&h, 0, 1000, 1));
    copy = h;
    copy.block = (alloy_state_block){0};
    expect_ok(alloy_state_copy(&copy.block, &h.block, &h.spec, ALLOY_F32, 128));
    assert_int_equal(copy.block.store[0].capacity, 128);
    expect_ok(reserve(&copy, 128, 130, 1));
    assert_ptr_not_equal(row_of(&copy.block, 128), row_of(&h.block, 128));
    alloy_state_cut(&h.block, &h.spec, ALLOY_F32, h.pages, 65);
    assert_int_equal(h.block.store[0].capacity, 128);
    alloy_state_cut(&h.block, &h.spec, ALLOY_F32, h.pages, 64);
    assert_int_equal(h.block.store[0].capacity, 64);
    alloy_state_free(&h.block, h.pages);
    let_go(&copy);
}

/* A pool of 1 MiB: what is full says so with its bytes, and pages that come back serve others. */
static void a_full_pool_is_a_limit(void **state)
{
    (void)state;
    enum { LONG = 40000 };
    struct held h, other;
    hold(&h, ALLOY_F32, 1 << 20);
    other = h;
    expect_failure(reserve(&h, 0, 45000, 1), ALLOY_LIMIT, "KV cache is full", "0 of 1048576 bytes");
    expect_ok(reserve(&h, 0, LONG, 1));
    expect_failure(reserve(&other, 0, 5000, 1), ALLOY_LIMIT, "KV cache is full", "of 1048576 bytes");
    alloy_state_cut(&h.block, &h.spec, ALLOY_F32, h.pages, 64);
    expect_ok(reserve(&other, 0, 10000, 1));
    alloy_state_free(&other.block, h.pages);
    let_go(&h);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct held h;
    hold(&h, ALLOY_F32, 0);
    expect_failure(reserve(&h, 0, INT64_MAX, 1), ALLOY_LIMIT, "tokens");
    expect_failure(reserve(&h, 0, 1, INT64_MAX), ALLOY_LIMIT, "window of 20");
    expect_failure(reserve(&h, 0, INT64_MAX / 2, 1), ALLOY_LIMIT, "KV cache is full");
    for (int i = 0; i < ALLOY_MOST_STATE_PARTS; i++)
        alloy_state_keep_fixed(&h.spec, "more", 1);
    expect_failure(h.spec.status, ALLOY_LIMIT, "more", "at most 8");
    assert_int_equal(h.spec.count, ALLOY_MOST_STATE_PARTS);
    let_go(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacities_are_whole_blocks),
        cmocka_unit_test(bytes_are_known_before_any_is_allocated),
        cmocka_unit_test(entries_take_a_row_each),
        cmocka_unit_test(rows_stay_where_they_are),
        cmocka_unit_test(a_ring_takes_no_longer_chunk_than_it_was_made_for),
        cmocka_unit_test(fixed_parts_begin_as_zeros_and_do_again),
        cmocka_unit_test(a_copy_shares_pages_until_one_is_written),
        cmocka_unit_test(only_what_is_there_is_shared),
        cmocka_unit_test(a_full_pool_is_a_limit),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
