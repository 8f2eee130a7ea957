/* Reading weights that have scales: any range of elements, rows and matrices, is what whole rows are. */
#include "passes.h"

enum { MATRICES = 3, ROWS = 7, COLUMNS = 38, TILE_ROWS = 3, MOST = MATRICES * ROWS * COLUMNS };

/* A weight of bytes that count on, with scales of its own for each tile of 3 x 16 (FP4: 3 x 32). */
static alloy_weight scaled(struct bench *b, alloy_dtype dtype, int ndim)
{
    const int64_t matrices = ndim == 3 ? MATRICES : 1, columns = dtype == ALLOY_F4 ? 32 : 16,
                  in_a_row = (COLUMNS + columns - 1) / columns, tile_rows = (ROWS + TILE_ROWS - 1) / TILE_ROWS;
    uint8_t *data = calloc(MOST, 1);
    float *scales = calloc((size_t)(matrices * tile_rows * in_a_row), sizeof *scales);
    assert_true(data && scales);
    for (int i = 0; i < MOST; i++)
        data[i] = (uint8_t)(i * 37 % 127);
    for (int64_t i = 0; i < matrices * tile_rows * in_a_row; i++)
        scales[i] = 1 + (float)i * 0.37f;
    b->owned[b->owned_count++] = data;
    b->owned[b->owned_count++] = scales;
    alloy_weight w = {.name = "w", .dtype = dtype, .ndim = ndim, .shape = {ROWS, COLUMNS, 1, 1}, .data = data};
    if (ndim == 3)
        memcpy(w.shape, (int64_t[]){MATRICES, ROWS, COLUMNS, 1}, sizeof w.shape);
    w.scales = (alloy_scales){.data = scales,
                              .dtype = ALLOY_F32,
                              .rows = TILE_ROWS,
                              .columns = columns,
                              .stride = in_a_row * (int64_t)sizeof *scales};
    return w;
}

/* Row by row, by the kernel's own contract. */
static void widen_rows(const struct bench *b, const alloy_weight *w, float *out)
{
    const int64_t matrices = w->ndim == 3 ? MATRICES : 1, tile_rows = (ROWS + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t m = 0; m < matrices; m++)
        for (int64_t r = 0; r < ROWS; r++) {
            alloy_scales scales = w->scales;
            scales.data = (const char *)scales.data + m * tile_rows * scales.stride;
            const char *row = (const char *)w->data + (m * ROWS + r) * COLUMNS * alloy_dtype_bits(w->dtype) / 8;
            b->pass.kernels->widen_row(out + (m * ROWS + r) * COLUMNS, row, w->dtype, &scales, r, COLUMNS);
        }
}

static void expect_ranges(const alloy_weight *w, const float *expected, int64_t size)
{
    static const int64_t counts[] = {1, 2, 15, 17, 33, 100, MOST};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int64_t first = 0; first < size; first++) {
            float out[MOST];
            const int64_t count = counts[i] < size - first ? counts[i] : size - first;
            alloy_weight_read(w, first, count, out);
            for (int64_t k = 0; k < count; k++)
                if (memcmp(&out[k], &expected[first + k], sizeof *out) != 0)
                    fail_msg("%s, %lld from %lld: number %lld is %.9g, expected %.9g", alloy_dtype_name(w->dtype),
                             (long long)count, (long long)first, (long long)k, (double)out[k],
                             (double)expected[first + k]);
        }
}

static void any_range_is_what_whole_rows_are(void **state)
{
    (void)state;
    static const alloy_dtype dtypes[] = {ALLOY_F8_E4M3, ALLOY_F4};
    struct bench *b = open_bench(1);
    for (int i = 0; i < 4; i++) {
        float expected[MOST];
        const alloy_weight w = scaled(b, dtypes[i / 2], 2 + i % 2);
        const int64_t size = (i % 2 ? MATRICES : 1) * ROWS * COLUMNS;
        widen_rows(b, &w, expected);
        expect_ranges(&w, expected, size);
        const float *whole = alloy_weight_widened(&b->pass, &w);
        assert_memory_equal(whole, expected, (size_t)size * sizeof *whole);
    }
    close_bench(b);
}

/* A view that begins within a tile keeps its place there. */
static void rows_of_a_stack_are_what_they_were(void **state)
{
    (void)state;
    static const alloy_dtype dtypes[] = {ALLOY_F8_E4M3, ALLOY_F4};
    struct bench *b = open_bench(1);
    for (int i = 0; i < 2; i++) {
        float expected[MOST], out[MOST];
        const alloy_weight w = scaled(b, dtypes[i], 3);
        widen_rows(b, &w, expected);
        for (int64_t m = 0; m < MATRICES; m++)
            for (int64_t at = 0; at < ROWS; at++) {
                const alloy_weight rows = alloy_weight_rows(&w, m, at, ROWS - at);
                assert_int_equal(rows.shape[0], ROWS - at);
                assert_int_equal(rows.scales.first, at % TILE_ROWS);
                alloy_weight_read(&rows, 0, (ROWS - at) * COLUMNS, out);
                assert_memory_equal(out, expected + (m * ROWS + at) * COLUMNS,
                                    (size_t)((ROWS - at) * COLUMNS) * sizeof *out);
            }
    }
    close_bench(b);
}

static void scales_are_counted_by_what_they_cover(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    const alloy_weight plain = {.dtype = ALLOY_F32, .ndim = 2, .shape = {4, 4, 1, 1}}, f8 = scaled(b, ALLOY_F8_E4M3, 2),
                       stack = scaled(b, ALLOY_F8_E4M3, 3), last = alloy_weight_rows(&stack, 0, 5, 2);
    assert_int_equal(alloy_weight_scale_bytes(&plain), 0);
    assert_int_equal(alloy_weight_scale_bytes(&f8), 3 * 3 * 4);        /* rows 0-2, 3-5, 6; columns by 16 */
    assert_int_equal(alloy_weight_scale_bytes(&stack), 3 * 3 * 3 * 4); /* the same thrice */
    assert_int_equal(alloy_weight_scale_bytes(&last), 2 * 3 * 4);      /* rows 5 and 6 lie in two tiles */
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_range_is_what_whole_rows_are),
        cmocka_unit_test(rows_of_a_stack_are_what_they_were),
        cmocka_unit_test(scales_are_counted_by_what_they_cover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
