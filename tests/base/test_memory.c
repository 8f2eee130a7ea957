/* Allocation and arenas: sizes that overflow, memory that runs out, pieces that stay where they are. */
#include "support.h"

#include "base/arena.h"
#include "base/memory.h"

static void sizes_are_checked_and_told(void **state)
{
    (void)state;
    assert_null(alloy_memory_new(SIZE_MAX / 2 + 1, 2));
    assert_non_null(strstr(alloy_error(), "out of memory"));
    assert_null(alloy_memory_zeroed(SIZE_MAX, SIZE_MAX));
    assert_null(alloy_memory_aligned(SIZE_MAX, 1));
    assert_null(alloy_memory_new(SIZE_MAX / 2 + 1, 1));
    assert_null(alloy_memory_resize(NULL, SIZE_MAX, 2));
    assert_null(alloy_memory_copy("", SIZE_MAX));
    void *none = alloy_memory_new(0, 8);
    assert_non_null(none);
    alloy_memory_free(none);
    alloy_memory_free(NULL);
}

static void aligned_memory_begins_a_cache_line(void **state)
{
    (void)state;
    for (size_t size = 1; size < 300; size += 37) {
        char *memory = alloy_memory_aligned(size, 1);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % ALLOY_ALIGNMENT, 0);
        memset(memory, 1, size);
        alloy_memory_free(memory);
    }
    char *zeros = alloy_memory_zeroed(100, 3);
    for (int i = 0; i < 300; i++)
        assert_int_equal(zeros[i], 0);
    alloy_memory_free(zeros);
}

static void the_nth_allocation_fails_and_those_after_it(void **state)
{
    (void)state;
    alloy_memory_fail_after(1);
    char *first = alloy_memory_string("first"), *second = alloy_memory_string("second"),
         *third = alloy_memory_string("third");
    alloy_memory_fail_after(-1);
    expect_text(first, "first");
    assert_null(second);
    assert_null(third);
    alloy_memory_free(first);
}

static void an_array_grows_and_survives_a_failure(void **state)
{
    (void)state;
    int *items = NULL;
    int64_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        items = alloy_memory_grow(items, i, &capacity, sizeof *items);
        assert_non_null(items);
        items[i] = i;
    }
    int64_t before = capacity;
    alloy_memory_fail_after(0);
    void *grown = alloy_memory_grow(items, capacity, &capacity, sizeof *items);
    alloy_memory_fail_after(-1);
    assert_null(grown);
    assert_int_equal(capacity, before);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
    alloy_memory_free(items);
}

static void pieces_of_an_arena_stay_where_they_are(void **state)
{
    (void)state;
    enum { PIECES = 300 };
    alloy_arena *arena = alloy_arena_new();
    uint8_t *pieces[PIECES];
    for (int i = 0; i < PIECES; i++) {
        pieces[i] = alloy_arena_take(arena, (size_t)i * 7 + 1, 1);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % ALLOY_ALIGNMENT, 0);
        memset(pieces[i], i & 0xFF, (size_t)i * 7 + 1);
    }
    for (int i = 0; i < PIECES; i++)
        for (int j = 0; j <= i * 7; j++)
            assert_int_equal(pieces[i][j], i & 0xFF);
    char *copy = alloy_arena_copy(arena, "a\0b", 3);
    assert_memory_equal(copy, "a\0b", 4);
    alloy_arena_free(arena);
}

static void a_warm_arena_allocates_nothing(void **state)
{
    (void)state;
    alloy_arena *arena = alloy_arena_new();
    alloy_arena_mark start = alloy_arena_here(arena);
    for (int round = 0; round < 3; round++) {
        alloy_memory_fail_after(round == 0 ? -1 : 0);
        for (int i = 0; i < 100; i++)
            assert_non_null(alloy_arena_take(arena, 10000, 1));
        alloy_arena_cut(arena, start);
    }
    alloy_memory_fail_after(-1);
    alloy_arena_free(arena);
}

static void what_was_taken_before_a_mark_survives_the_cut(void **state)
{
    (void)state;
    alloy_arena *arena = alloy_arena_new();
    char *kept = alloy_arena_copy(arena, "kept", 4);
    for (int round = 0; round < 5; round++) {
        alloy_arena_mark mark = alloy_arena_here(arena);
        for (int i = 0; i < 20; i++)
            memset(alloy_arena_take(arena, 1 << round * 4, 1), 0xFF, (size_t)1 << round * 4);
        alloy_arena_cut(arena, mark);
        expect_text(kept, "kept");
        int *zeros = alloy_arena_take_zeroed(arena, 64, sizeof *zeros);
        for (int i = 0; i < 64; i++)
            assert_int_equal(zeros[i], 0);
    }
    alloy_arena_free(arena);
}

static void an_arena_tells_when_memory_is_short(void **state)
{
    (void)state;
    alloy_arena *arena = alloy_arena_new();
    assert_null(alloy_arena_take(arena, SIZE_MAX, 2));
    assert_null(alloy_arena_take(arena, SIZE_MAX, 1));
    assert_null(alloy_arena_copy(arena, "", SIZE_MAX));
    alloy_memory_fail_after(0);
    assert_null(alloy_arena_take(arena, 1 << 20, 1));
    alloy_memory_fail_after(-1);
    assert_non_null(alloy_arena_take(arena, 1 << 20, 1));
    alloy_arena_free(arena);
    alloy_arena_free(NULL);
    alloy_memory_fail_after(0);
    assert_null(alloy_arena_new());
    alloy_memory_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_checked_and_told),
        cmocka_unit_test(aligned_memory_begins_a_cache_line),
        cmocka_unit_test(the_nth_allocation_fails_and_those_after_it),
        cmocka_unit_test(an_array_grows_and_survives_a_failure),
        cmocka_unit_test(pieces_of_an_arena_stay_where_they_are),
        cmocka_unit_test(a_warm_arena_allocates_nothing),
        cmocka_unit_test(what_was_taken_before_a_mark_survives_the_cut),
        cmocka_unit_test(an_arena_tells_when_memory_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
