/* Rotary positions: inverse frequencies against their formulas in long double, and the rotation against cos and sin of
 * long double angles. */
#include "passes.h"

#include "backends/cpu/rotary_table.h"

static const long double PI = 3.14159265358979323846264338327950288L;

static const alloy_rope PLAIN = {.type = ALLOY_ROPE_DEFAULT, .theta = 10000, .partial_rotary_factor = 1};
static const alloy_rope LINEAR = {.type = ALLOY_ROPE_LINEAR, .theta = 10000, .partial_rotary_factor = 1, .factor = 2.5};
static const alloy_rope YARN = {.type = ALLOY_ROPE_YARN,
                                .theta = 1e6,
                                .partial_rotary_factor = 1,
                                .factor = 4,
                                .original_max_position_embeddings = 32768,
                                .beta_fast = 32,
                                .beta_slow = 1,
                                .truncate = true};
static const alloy_rope LLAMA3 = {.type = ALLOY_ROPE_LLAMA3,
                                  .theta = 500000,
                                  .partial_rotary_factor = 1,
                                  .factor = 8,
                                  .original_max_position_embeddings = 8192,
                                  .low_freq_factor = 1,
                                  .high_freq_factor = 4};

/* theta^(-2i / width) */
static long double plain_frequency(const alloy_rope *rope, int64_t width, int64_t i)
{
    return powl((long double)rope->theta, -2 * (long double)i / (long double)width);
}

/* Pairs that turn more than beta_fast times in the original context are kept, those that turn less than beta_slow times
 * are slowed by the factor, and between them the share kept falls with the pair's number (YaRN, section 3.2). */
static long double yarn_frequency(const alloy_rope *rope, int64_t width, int64_t i)
{
    long double ends[2];
    for (int j = 0; j < 2; j++) {
        long double turns = (long double)(j == 0 ? rope->beta_fast : rope->beta_slow);
        ends[j] = (long double)width * logl((long double)rope->original_max_position_embeddings / (turns * 2 * PI)) /
                  (2 * logl((long double)rope->theta));
    }
    if (rope->truncate) {
        ends[0] = floorl(ends[0]);
        ends[1] = ceill(ends[1]);
    }
    ends[0] = fmaxl(ends[0], 0);
    ends[1] = fminl(ends[1], (long double)width - 1);
    long double slowed = fminl(fmaxl(((long double)i - ends[0]) / (ends[1] - ends[0]), 0), 1);
    long double f = plain_frequency(rope, width, i);
    return f * (1 - slowed) + f / (long double)rope->factor * slowed;
}

/* By wavelength: those of less than context / high are kept, those of more than context / low slowed, between them the
 * share kept falls with the wavelength's inverse. */
static long double llama3_frequency(const alloy_rope *rope, int64_t width, int64_t i)
{
    long double f = plain_frequency(rope, width, i),
                turns = (long double)rope->original_max_position_embeddings * f / (2 * PI);
    long double low = (long double)rope->low_freq_factor, high = (long double)rope->high_freq_factor;
    long double kept = fminl(fmaxl((turns - low) / (high - low), 0), 1);
    return f * kept + f / (long double)rope->factor * (1 - kept);
}

static long double linear_frequency(const alloy_rope *rope, int64_t width, int64_t i)
{
    return plain_frequency(rope, width, i) / (long double)rope->factor;
}

static void expect_frequencies(const alloy_rope *rope, int64_t width,
                               long double (*expected)(const alloy_rope *, int64_t, int64_t))
{
    double f[256];
    alloy_rotary_frequencies(rope, width, f);
    for (int64_t i = 0; i < (width + 1) / 2; i++) {
        long double e = expected(rope, width, i), error = fabsl((long double)f[i] - e) / e;
        if (!(error < 4e-15L))
            fail_msg("frequency %lld of %lld is %.17g, expected %.17Lg", (long long)i, (long long)width, f[i], e);
    }
}

static void plain_frequencies_are_powers_of_theta(void **state)
{
    (void)state;
    for (int64_t width = 2; width <= 256; width += 7)
        expect_frequencies(&PLAIN, width, plain_frequency);
    alloy_rope large = PLAIN;
    large.theta = 1e7;
    expect_frequencies(&large, 128, plain_frequency);
    double f[2];
    assert_true(alloy_rotary_frequencies(&PLAIN, 4, f) == 1);
    assert_true(f[0] == 1);
    assert_true(fabs(f[1] - 0.01) < 1e-17);
}

static void linear_frequencies_are_slower_by_a_factor(void **state)
{
    (void)state;
    expect_frequencies(&LINEAR, 16, linear_frequency);
    expect_frequencies(&LINEAR, 128, linear_frequency);
}

static void yarn_slows_what_turns_slowly(void **state)
{
    (void)state;
    alloy_rope rope = YARN;
    expect_frequencies(&rope, 128, yarn_frequency);
    expect_frequencies(&rope, 64, yarn_frequency);
    rope.truncate = false;
    expect_frequencies(&rope, 128, yarn_frequency);
    rope.beta_fast = 20;
    rope.beta_slow = 0.5;
    rope.original_max_position_embeddings = 4096;
    expect_frequencies(&rope, 128, yarn_frequency);
}

/* 0.1 ln(factor) + 1, a quotient of two such, or as given (section 3.4). */
static void yarn_scales_cos_and_sin(void **state)
{
    (void)state;
    double f[64];
    alloy_rope rope = YARN;
    double plain = 0.1 * log(4) + 1;
    assert_true(fabs(alloy_rotary_frequencies(&rope, 128, f) - plain) < 1e-15);
    rope.mscale = 0.7;
    rope.mscale_all_dim = 1;
    assert_true(fabs(alloy_rotary_frequencies(&rope, 128, f) - (0.07 * log(4) + 1) / plain) < 1e-15);
    rope.attention_factor = 1.25;
    assert_true(alloy_rotary_frequencies(&rope, 128, f) == 1.25);
    rope = YARN;
    rope.factor = 1;
    assert_true(alloy_rotary_frequencies(&rope, 128, f) == 1);
}

static void llama3_slows_long_wavelengths(void **state)
{
    (void)state;
    expect_frequencies(&LLAMA3, 128, llama3_frequency);
    expect_frequencies(&LLAMA3, 64, llama3_frequency);
    double f[64];
    alloy_rotary_frequencies(&LLAMA3, 128, f);
    assert_true(f[0] == 1);                                                               /* kept */
    assert_true(fabs(f[63] * 8 / (double)plain_frequency(&LLAMA3, 128, 63) - 1) < 1e-15); /* slowed */
}

/* ---- The rotation ------------------------------------------------------------------------------------------------ */

/* x and y [count, heads, d] of tokens from position `past` on. */
static void expect_rotated(const alloy_tensor *x, const alloy_tensor *y, const alloy_rope *rope, int64_t first,
                           int64_t count, int64_t past)
{
    int64_t d = x->shape[2], width = alloy_rotary_width(rope, d), half = (width + 1) / 2;
    for (int64_t row = first * x->shape[1]; row < (first + count) * x->shape[1]; row++) {
        const float *from = alloy_f32(x) + row * d, *to = alloy_f32(y) + row * d;
        long double position = (long double)(past + row / x->shape[1] - first);
        for (int64_t i = 0; i < half; i++) {
            long double angle = fmodl(position * plain_frequency(rope, width, i), 2 * PI);
            expect_near(to[i], (double)(from[i] * cosl(angle) - from[i + half] * sinl(angle)), 3e-7, "rotated",
                        row * d + i);
            expect_near(to[i + half], (double)(from[i + half] * cosl(angle) + from[i] * sinl(angle)), 3e-7, "rotated",
                        row * d + i + half);
        }
        expect_equal_bits(to + 2 * half, from + 2 * half, d - 2 * half, "channels that are not rotated");
    }
}

static void heads_are_turned_by_their_position(void **state)
{
    (void)state;
    static const double shares[] = {1, 0.5, 0.25, 0.3};
    for (int i = 0; i < 4; i++) {
        struct bench *b = open_bench(2);
        alloy_rope rope = PLAIN;
        rope.partial_rotary_factor = shares[i];
        set_spans(b, 3, (int64_t[]){40, 1, 9}, (int64_t[]){0, 131071, 1000});
        alloy_tensor *x = random_tensor(b, 1, 3, (int64_t[]){50, 3, 20}), *y = alloy_rotary(&b->pass, x, &rope);
        expect_ok(b->pass.status);
        expect_rotated(x, y, &rope, 0, 40, 0);
        expect_rotated(x, y, &rope, 40, 1, 131071);
        expect_rotated(x, y, &rope, 41, 9, 1000);
        close_bench(b);
    }
}

/* A pass makes a table once for each rope and width. */
static void tables_are_shared(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    set_span(b, 5, 3);
    alloy_rope same = PLAIN, other = PLAIN;
    other.theta = 5000;
    const alloy_rotary_table *t = alloy_rotary_table_of(&b->pass, &PLAIN, 16, 1);
    assert_non_null(t);
    assert_ptr_equal(alloy_rotary_table_of(&b->pass, &same, 16, 1), t);
    assert_ptr_not_equal(alloy_rotary_table_of(&b->pass, &PLAIN, 8, 1), t);
    assert_ptr_not_equal(alloy_rotary_table_of(&b->pass, &other, 16, 1), t);
    close_bench(b);
}

static void channels_beyond_a_head_are_refused(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    set_span(b, 2, 0);
    alloy_tensor *odd = random_tensor(b, 1, 3, (int64_t[]){2, 1, 15}),
                 *flat = random_tensor(b, 1, 2, (int64_t[]){2, 16});
    expect_pass_failure(b, alloy_rotary(&b->pass, odd, &PLAIN), ALLOY_ARG, "rotary", "16", "15");
    expect_pass_failure(b, alloy_rotary(&b->pass, flat, &PLAIN), ALLOY_ARG, "rotary");
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_frequencies_are_powers_of_theta),
        cmocka_unit_test(linear_frequencies_are_slower_by_a_factor),
        cmocka_unit_test(yarn_slows_what_turns_slowly),
        cmocka_unit_test(yarn_scales_cos_and_sin),
        cmocka_unit_test(llama3_slows_long_wavelengths),
        cmocka_unit_test(heads_are_turned_by_their_position),
        cmocka_unit_test(tables_are_shared),
        cmocka_unit_test(channels_beyond_a_head_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
