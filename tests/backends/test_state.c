/* What a sequence keeps: rows that stay when there are more, rings of one size, fixed parts that begin as zeros, and
 * copies that go their own way. */
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

static void capacities_are_whole_blocks(void **state)
{
    (void)state;
    alloy_state_spec spec;
    alloy_state_block block = {0};
    declare(&spec);
    assert_int_equal(alloy_state_bytes(&block, &spec, ALLOY_F32), 0);
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 1, 50));
    assert_int_equal(block.store[0].capacity, 64);
    assert_int_equal(block.store[1].capacity, 128); /* 19 + 50, up to a multiple of 64 */
    assert_int_equal(alloy_state_bytes(&block, &spec, ALLOY_F32), ((64 + 128) * WIDTH + FIXED) * 4);
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 65, 50));
    assert_true(block.store[0].capacity >= 65 && block.store[0].capacity % 64 == 0);
    assert_int_equal(block.store[1].capacity, 128);
    alloy_state_free(&block);
    assert_null(block.store[0].data);
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_BF16, 1, 50));
    assert_int_equal(alloy_state_bytes(&block, &spec, ALLOY_BF16), (64 + 128) * WIDTH * 2 + FIXED * 4);
    alloy_state_free(&block);
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
    alloy_state_spec spec = {.count = 0};
    alloy_state_block block = {0};
    size_t bytes;
    alloy_state_keep_entries(&spec, "entries", WIDTH, 4);
    assert_true(alloy_state_bytes_at(&spec, ALLOY_F32, 4003, 50, &bytes));
    assert_int_equal(bytes, 1000 * WIDTH * 4);
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 3, 50));
    assert_int_equal(block.store[0].capacity, 0);
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 259, 50));
    assert_int_equal(block.store[0].capacity, 64);
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 260, 50));
    assert_int_equal(block.store[0].capacity, 128);
    alloy_state_free(&block);
}

/* A token at a time, memory grows by half as much again or more: not once a token. */
static void rows_stay_while_memory_grows_ahead(void **state)
{
    (void)state;
    enum { LENGTH = 20000 };
    alloy_state_spec spec;
    alloy_state_block block = {0};
    declare(&spec);
    int grown = 0;
    for (int64_t t = 0; t < LENGTH; t++) {
        int64_t before = block.store[0].capacity;
        expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, t + 1, 1));
        grown += block.store[0].capacity != before;
        ((float *)block.store[0].data)[t * WIDTH] = (float)t;
    }
    for (int64_t t = 0; t < LENGTH; t++)
        assert_true(((float *)block.store[0].data)[t * WIDTH] == (float)t);
    assert_true(grown < 20);
    assert_true(block.store[0].capacity < 2 * LENGTH);
    alloy_state_free(&block);
}

static void a_ring_takes_no_longer_chunk_than_it_was_made_for(void **state)
{
    (void)state;
    alloy_state_spec spec;
    alloy_state_block block = {0};
    declare(&spec);
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 10, 10));
    expect_failure(alloy_state_reserve(&block, &spec, ALLOY_F32, 500, 500), ALLOY_ARG, "ring", "500");
    alloy_state_free(&block);
}

static void fixed_parts_begin_as_zeros_and_do_again(void **state)
{
    (void)state;
    static const float zeros[FIXED];
    alloy_state_spec spec;
    alloy_state_block block = {0};
    declare(&spec);
    alloy_state_clear(&block, &spec, ALLOY_F32); /* nothing there yet */
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 1, 1));
    float *fixed = block.store[2].data;
    expect_equal_bits(fixed, zeros, FIXED, "new");
    for (int i = 0; i < FIXED; i++)
        fixed[i] = 3;
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 2, 1));
    assert_ptr_equal(block.store[2].data, fixed);
    assert_true(fixed[FIXED - 1] == 3);
    alloy_state_clear(&block, &spec, ALLOY_F32);
    expect_equal_bits(fixed, zeros, FIXED, "cleared");
    alloy_state_free(&block);
}

static void a_copy_shares_nothing(void **state)
{
    (void)state;
    alloy_state_spec spec;
    alloy_state_block block = {0}, copy = {0}, empty = {0};
    declare(&spec);
    expect_ok(alloy_state_copy(&copy, &empty, &spec, ALLOY_F32));
    assert_int_equal(alloy_state_bytes(&copy, &spec, ALLOY_F32), 0);
    expect_ok(alloy_state_reserve(&block, &spec, ALLOY_F32, 64, 1));
    for (int64_t i = 0; i < 64 * WIDTH; i++)
        ((float *)block.store[0].data)[i] = ((float *)block.store[1].data)[i] = random_number(1, i);
    expect_ok(alloy_state_copy(&copy, &block, &spec, ALLOY_F32));
    for (int p = 0; p < 3; p++)
        assert_ptr_not_equal(copy.store[p].data, block.store[p].data);
    expect_equal_bits(copy.store[0].data, block.store[0].data, (int64_t)64 * WIDTH, "rows");
    expect_equal_bits(copy.store[1].data, block.store[1].data, (int64_t)64 * WIDTH, "ring");
    alloy_state_free(&block);
    assert_true(((float *)copy.store[0].data)[7] == random_number(1, 7));
    alloy_state_free(&copy);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    alloy_state_spec spec;
    alloy_state_block block = {0};
    declare(&spec);
    expect_failure(alloy_state_reserve(&block, &spec, ALLOY_F32, INT64_MAX, 1), ALLOY_LIMIT, "tokens");
    expect_failure(alloy_state_reserve(&block, &spec, ALLOY_F32, 1, INT64_MAX), ALLOY_LIMIT, "window of 20");
    expect_failure(alloy_state_reserve(&block, &spec, ALLOY_F32, INT64_MAX / 2, 1), ALLOY_NOMEM, "memory");
    for (int i = 0; i < ALLOY_MOST_STATE_PARTS; i++)
        alloy_state_keep_fixed(&spec, "more", 1);
    expect_failure(spec.status, ALLOY_LIMIT, "more", "at most 8");
    assert_int_equal(spec.count, ALLOY_MOST_STATE_PARTS);
    alloy_state_free(&block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacities_are_whole_blocks),
        cmocka_unit_test(bytes_are_known_before_any_is_allocated),
        cmocka_unit_test(entries_take_a_row_each),
        cmocka_unit_test(rows_stay_while_memory_grows_ahead),
        cmocka_unit_test(a_ring_takes_no_longer_chunk_than_it_was_made_for),
        cmocka_unit_test(fixed_parts_begin_as_zeros_and_do_again),
        cmocka_unit_test(a_copy_shares_nothing),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
