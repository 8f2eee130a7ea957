/* Ops that work row by row or element by element, each against its formula in fp64; those that only move numbers; and
 * shapes that do not fit. */
#include "passes.h"

enum { ROWS = 37, HEADS = 3, WIDTH = 22 };

static struct bench *open_rows(void)
{
    struct bench *b = open_bench(2);
    set_span(b, ROWS, 0);
    return b;
}

static alloy_tensor *three(struct bench *b, uint64_t seed)
{
    return random_tensor(b, seed, 3, (int64_t[]){ROWS, HEADS, WIDTH});
}

/* ---- Norms ------------------------------------------------------------------------------------------------------- */

static double sum_of_squares(const alloy_tensor *x, int64_t at)
{
    double sum = 0;
    for (int64_t i = at / WIDTH * WIDTH; i < at / WIDTH * WIDTH + WIDTH; i++)
        sum += (double)alloy_f32(x)[i] * (double)alloy_f32(x)[i];
    return sum;
}

static void norms_divide_by_a_root_mean_square(void **state)
{
    (void)state;
    struct bench *b = open_rows();
    alloy_weight w = random_weight(b, 9, ALLOY_BF16, 1, 1, (int64_t[]){WIDTH});
    alloy_tensor *x = three(b, 1), *gate = three(b, 2);
    alloy_tensor *plain = alloy_rms_norm(&b->pass, x, &w, 1e-3, false),
                 *offset = alloy_rms_norm(&b->pass, x, &w, 1e-3, true),
                 *bare = alloy_rms_norm(&b->pass, x, NULL, 1e-3, false),
                 *gated = alloy_gated_rms_norm(&b->pass, x, &w, gate, 1e-3),
                 *l2 = alloy_l2_norm(&b->pass, x, 1e-3, 0.25f);
    expect_ok(b->pass.status);
    for (int64_t i = 0; i < ROWS * HEADS * WIDTH; i++) {
        double sum = sum_of_squares(x, i), y = (double)alloy_f32(x)[i] / sqrt(sum / WIDTH + 1e-3),
               scale = weight_at(&w, i % WIDTH);
        expect_near(alloy_f32(bare)[i], y, 1e-6, "without a weight", i);
        expect_near(alloy_f32(plain)[i], y * scale, 1e-6, "with a weight", i);
        expect_near(alloy_f32(offset)[i], y * (1 + scale), 1e-6, "with one more", i);
        expect_near(alloy_f32(gated)[i], y * scale * silu64((double)alloy_f32(gate)[i]), 1e-6, "gated", i);
        expect_near(alloy_f32(l2)[i], (double)alloy_f32(x)[i] / sqrt(sum + 1e-3) / 4, 1e-6, "l2", i);
    }
    close_bench(b);
}

static void norms_of_other_widths_are_refused(void **state)
{
    (void)state;
    struct bench *b = open_rows();
    alloy_weight w = random_weight(b, 9, ALLOY_F32, 1, 1, (int64_t[]){WIDTH + 1});
    alloy_tensor *x = three(b, 1), *narrow = random_tensor(b, 2, 2, (int64_t[]){ROWS, WIDTH});
    expect_pass_failure(b, alloy_rms_norm(&b->pass, x, &w, 1e-6, false), ALLOY_ARG, "rms_norm", "23", "22");
    expect_pass_failure(b, alloy_gated_rms_norm(&b->pass, x, NULL, narrow, 1e-6), ALLOY_ARG, "gated_rms_norm");
    close_bench(b);
}

/* ---- One element at a time --------------------------------------------------------------------------------------- */

static void elements_follow_their_formulas(void **state)
{
    (void)state;
    struct bench *b = open_rows();
    alloy_tensor *x = three(b, 1), *z = three(b, 2), *gate = random_tensor(b, 3, 2, (int64_t[]){ROWS, 1});
    alloy_tensor *y[] = {
        alloy_add(&b->pass, x, z),           alloy_multiply(&b->pass, x, z), alloy_silu(&b->pass, x),
        alloy_sigmoid(&b->pass, x),          alloy_swiglu(&b->pass, x, z),   alloy_mul_sigmoid(&b->pass, x, z),
        alloy_mul_sigmoid(&b->pass, x, gate)};
    expect_ok(b->pass.status);
    for (int64_t i = 0; i < ROWS * HEADS * WIDTH; i++) {
        double p = (double)alloy_f32(x)[i], q = (double)alloy_f32(z)[i],
               g = (double)alloy_f32(gate)[i / (HEADS * WIDTH)];
        double expected[] = {
            p + q, p * q, silu64(p), 1 / (1 + exp(-p)), silu64(p) * q, p / (1 + exp(-q)), p / (1 + exp(-g))};
        for (int j = 0; j < 7; j++)
            expect_near(alloy_f32(y[j])[i], expected[j], 3e-7, "element", i);
    }
    alloy_tensor *fewer = rows_of(b, x, 0, ROWS - 1);
    expect_pass_failure(b, alloy_add(&b->pass, x, fewer), ALLOY_ARG, "add", "37", "36");
    expect_pass_failure(b, alloy_swiglu(&b->pass, x, gate), ALLOY_ARG, "swiglu", "66", "rows of 1");
    close_bench(b);
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

/* Rows of heads count as one row; more rows of weights than one piece has. */
static void a_linear_is_a_product_and_a_bias(void **state)
{
    (void)state;
    enum { OUT = 300 };
    static const alloy_dtype dtypes[] = {ALLOY_F32, ALLOY_BF16, ALLOY_F16};
    for (int d = 0; d < 3; d++) {
        struct bench *b = open_rows();
        alloy_tensor *x = three(b, 1);
        alloy_weight w = random_weight(b, 2, dtypes[d], 1, 2, (int64_t[]){OUT, HEADS * WIDTH}),
                     bias = random_weight(b, 3, dtypes[d], 1, 1, (int64_t[]){OUT});
        alloy_tensor *y = alloy_linear(&b->pass, x, &w, &bias);
        expect_ok(b->pass.status);
        for (int64_t t = 0; t < ROWS; t++)
            for (int64_t o = 0; o < OUT; o++) {
                double sum = weight_at(&bias, o);
                for (int64_t i = 0; i < HEADS * WIDTH; i++)
                    sum += (double)alloy_f32(x)[t * HEADS * WIDTH + i] * weight_at(&w, o * HEADS * WIDTH + i);
                expect_near(alloy_f32(y)[t * OUT + o], sum, 5e-6, "y", t * OUT + o);
            }
        alloy_weight narrow = random_weight(b, 4, ALLOY_F32, 1, 2, (int64_t[]){OUT, 65});
        expect_pass_failure(b, alloy_linear(&b->pass, x, &narrow, NULL), ALLOY_ARG, "linear", "65", "66");
        expect_pass_failure(b, alloy_linear(&b->pass, x, NULL, NULL), ALLOY_ARG, "linear", "no weight");
        alloy_weight short_bias = random_weight(b, 5, ALLOY_F32, 1, 1, (int64_t[]){OUT - 1});
        expect_pass_failure(b, alloy_linear(&b->pass, x, &w, &short_bias), ALLOY_ARG, "299", "300");
        close_bench(b);
    }
}

static void rows_of_an_embedding_are_copied(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    static const int64_t ids[4] = {6, 0, 6, 3}, bad[4] = {6, 0, 7, 3}, negative[4] = {6, 0, -1, 3};
    alloy_weight w = random_weight(b, 2, ALLOY_BF16, 1, 2, (int64_t[]){7, WIDTH});
    set_span(b, 4, 0);
    b->pass.ids = indices(b, ids, b->pass.tokens);
    alloy_tensor *y = alloy_embedding(&b->pass, &w);
    expect_ok(b->pass.status);
    for (int64_t i = 0; i < 4 * WIDTH; i++)
        expect_near(alloy_f32(y)[i], weight_at(&w, ids[i / WIDTH] * WIDTH + i % WIDTH), 0, "row", i);
    b->pass.ids = indices(b, bad, b->pass.tokens);
    expect_pass_failure(b, alloy_embedding(&b->pass, &w), ALLOY_RANGE, "7", "0 to 6");
    b->pass.ids = indices(b, negative, b->pass.tokens);
    expect_pass_failure(b, alloy_embedding(&b->pass, &w), ALLOY_RANGE, "-1", "0 to 6");
    close_bench(b);
}

/* ---- Numbers that only move -------------------------------------------------------------------------------------- */

/* Groups of (2, 5, 4) side by side; what split takes apart, one group at a time, concat puts together. */
static void split_takes_groups_apart(void **state)
{
    (void)state;
    struct bench *b = open_rows();
    static const int64_t widths[3] = {2, 5, 4}, starts[3] = {0, 2, 7};
    alloy_tensor *x = random_tensor(b, 1, 2, (int64_t[]){ROWS, 33}), *parts[3];
    const alloy_tensor *first = alloy_split(&b->pass, x, 3, 3, widths, parts);
    assert_non_null(first);
    assert_ptr_equal(first, parts[0]);
    for (int p = 0; p < 3; p++)
        for (int64_t t = 0; t < ROWS; t++)
            for (int64_t g = 0; g < 3; g++)
                expect_equal_bits(alloy_f32(parts[p]) + (t * 3 + g) * widths[p],
                                  alloy_f32(x) + t * 33 + g * 11 + starts[p], widths[p], "part");
    static const int64_t whole[2] = {13, 20};
    assert_non_null(alloy_split(&b->pass, x, 1, 2, whole, parts));
    alloy_tensor *again = alloy_concat(&b->pass, 2, parts);
    assert_non_null(again);
    expect_equal_bits(alloy_f32(again), alloy_f32(x), ROWS * 33, "put together");
    expect_pass_failure(b, alloy_split(&b->pass, x, 2, 3, widths, parts), ALLOY_ARG, "split", "33");
    assert_null(parts[0]);
    expect_pass_failure(b, alloy_concat(&b->pass, 9, parts), ALLOY_ARG, "concat", "1 to 8");
    close_bench(b);
}

static void views_are_the_same_numbers(void **state)
{
    (void)state;
    struct bench *b = open_rows();
    alloy_tensor *x = three(b, 1), *flat = alloy_flatten(&b->pass, x), *heads = alloy_heads(&b->pass, flat, 6);
    assert_true(flat->ndim == 2 && flat->shape[1] == HEADS * WIDTH && alloy_f32(flat) == alloy_f32(x));
    assert_true(heads->ndim == 3 && heads->shape[1] == 6 && heads->shape[2] == 11 && alloy_f32(heads) == alloy_f32(x));
    assert_true(flat->base == x && heads->base == flat && heads->buffer == x->buffer);
    expect_pass_failure(b, alloy_heads(&b->pass, flat, 7), ALLOY_ARG, "heads", "66", "7");
    expect_pass_failure(b, alloy_view(&b->pass, flat, 1, (int64_t[]){7}), ALLOY_ARG, "view", "7 elements");
    static const int64_t rows[3] = {36, 0, 36};
    alloy_tensor *picked = alloy_pick_rows(&b->pass, flat, indices(b, rows, 3));
    for (int i = 0; i < 3; i++)
        expect_equal_bits(alloy_f32(picked) + i * 66, alloy_f32(flat) + rows[i] * 66, 66, "picked row");
    close_bench(b);
}

static void a_copy_goes_into_a_tensor_of_the_same_shape(void **state)
{
    (void)state;
    struct bench *b = open_rows();
    alloy_tensor *x = three(b, 1), *to = alloy_tensor_like(&b->pass, x);
    assert_ptr_equal(alloy_copy_to(&b->pass, to, x), to);
    assert_ptr_not_equal(alloy_f32(to), alloy_f32(x));
    expect_equal_bits(alloy_f32(to), alloy_f32(x), alloy_tensor_size(x), "copy");
    expect_pass_failure(b, alloy_copy_to(&b->pass, to, alloy_flatten(&b->pass, x)), ALLOY_ARG, "copy", "rows of");
    close_bench(b);
}

/* ---- Passes ------------------------------------------------------------------------------------------------------ */

static void ops_on_nothing_give_nothing(void **state)
{
    (void)state;
    struct bench *b = open_rows();
    alloy_tensor *x = three(b, 1);
    assert_null(alloy_add(&b->pass, NULL, x));
    assert_null(alloy_add(&b->pass, x, NULL));
    assert_null(alloy_mul_sigmoid(&b->pass, x, NULL));
    assert_null(alloy_flatten(&b->pass, NULL));
    assert_null(alloy_rms_norm(&b->pass, NULL, NULL, 1e-6, false));
    assert_null(alloy_experts(&b->pass, x, (alloy_routes){0}, NULL));
    assert_int_equal(b->pass.status, ALLOY_OK);
    assert_null(alloy_pass_fail(&b->pass, ALLOY_LIMIT, "at most %d", 3));
    assert_null(alloy_pass_fail(&b->pass, ALLOY_RANGE, "second"));
    assert_null(alloy_silu(&b->pass, x));
    assert_null(alloy_tensor_like(&b->pass, x));
    expect_failure(b->pass.status, ALLOY_LIMIT, "at most 3");
    close_bench(b);
}

static void tensors_too_large_to_count_are_refused(void **state)
{
    (void)state;
    struct bench *b = open_rows();
    expect_pass_failure(b, alloy_tensor_new(&b->pass, 3, (int64_t[]){INT64_C(1) << 31, INT64_C(1) << 31, 4}),
                        ALLOY_LIMIT, "2^63");
    expect_pass_failure(b, alloy_tensor_new(&b->pass, 1, (int64_t[]){-1}), ALLOY_LIMIT, "2^63");
    expect_pass_failure(b, alloy_tensor_new(&b->pass, 2, (int64_t[]){INT64_C(1) << 31, INT64_C(1) << 31}), ALLOY_NOMEM,
                        "memory");
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_divide_by_a_root_mean_square),
        cmocka_unit_test(norms_of_other_widths_are_refused),
        cmocka_unit_test(elements_follow_their_formulas),
        cmocka_unit_test(a_linear_is_a_product_and_a_bias),
        cmocka_unit_test(rows_of_an_embedding_are_copied),
        cmocka_unit_test(split_takes_groups_apart),
        cmocka_unit_test(a_copy_goes_into_a_tensor_of_the_same_shape),
        cmocka_unit_test(views_are_the_same_numbers),
        cmocka_unit_test(ops_on_nothing_give_nothing),
        cmocka_unit_test(tensors_too_large_to_count_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
