/* Numbers of 8 and 4 bits: each of them against the list of their values, which ml_dtypes wrote; rounding between each
 * two neighbours; and each with each scale. */
#include "inputs.h"

#include "kernels/kernels.h"

/* F8_E4M3 from code 0 on; code 127 is NaN, those from 128 on are the negatives. */
static const double e4m3[127] = {
    0,           0.001953125, 0.00390625,  0.005859375, 0.0078125,   0.009765625, 0.01171875,  0.013671875, 0.015625,
    0.017578125, 0.01953125,  0.021484375, 0.0234375,   0.025390625, 0.02734375,  0.029296875, 0.03125,     0.03515625,
    0.0390625,   0.04296875,  0.046875,    0.05078125,  0.0546875,   0.05859375,  0.0625,      0.0703125,   0.078125,
    0.0859375,   0.09375,     0.1015625,   0.109375,    0.1171875,   0.125,       0.140625,    0.15625,     0.171875,
    0.1875,      0.203125,    0.21875,     0.234375,    0.25,        0.28125,     0.3125,      0.34375,     0.375,
    0.40625,     0.4375,      0.46875,     0.5,         0.5625,      0.625,       0.6875,      0.75,        0.8125,
    0.875,       0.9375,      1,           1.125,       1.25,        1.375,       1.5,         1.625,       1.75,
    1.875,       2,           2.25,        2.5,         2.75,        3,           3.25,        3.5,         3.75,
    4,           4.5,         5,           5.5,         6,           6.5,         7,           7.5,         8,
    9,           10,          11,          12,          13,          14,          15,          16,          18,
    20,          22,          24,          26,          28,          30,          32,          36,          40,
    44,          48,          52,          56,          60,          64,          72,          80,          88,
    96,          104,         112,         120,         128,         144,         160,         176,         192,
    208,         224,         240,         256,         288,         320,         352,         384,         416,
    448,
};

/* F4 from code 0 on; those from 8 on are the negatives. */
static const double e2m1[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

static float value_of(alloy_dtype dtype, int code)
{
    int half = dtype == ALLOY_F4 ? 8 : 128, size = code % half;
    if (dtype == ALLOY_F8_E8M0)
        return code == 255 ? NAN : (float)ldexp(1, code - 127);
    if (dtype == ALLOY_F8_E4M3 && size == 127)
        return NAN;
    double value = dtype == ALLOY_F4 ? e2m1[size] : e4m3[size];
    return (float)(code < half ? value : -value);
}

static bool same_number(float found, float expected)
{
    return isnan(expected) ? isnan(found) : bits_of(found) == bits_of(expected);
}

/* The code that a table narrows x to. */
static int narrowed(const alloy_kernels *kernels, alloy_dtype dtype, float x)
{
    const float pair[2] = {x, x};
    uint8_t codes[2] = {0xaa, 0xaa};
    kernels->narrow(codes, pair, dtype, dtype == ALLOY_F4 ? 2 : 1);
    assert_int_equal(codes[1], 0xaa);
    if (dtype == ALLOY_F4)
        assert_int_equal(codes[0] >> 4, codes[0] & 15);
    return dtype == ALLOY_F4 ? codes[0] & 15 : codes[0];
}

static void expect_narrowed(const alloy_kernels *kernels, alloy_dtype dtype, float x, int expected)
{
    int found = narrowed(kernels, dtype, x);
    if (found != expected)
        fail_msg("%s narrows %a to %s %02x, expected %02x", kernels->name, x, alloy_dtype_name(dtype), found, expected);
}

static void for_each_table(void (*test)(const alloy_kernels *kernels))
{
    for (int i = 0; i < alloy_kernels_count(); i++) {
        const alloy_kernels *kernels = alloy_kernels_get(alloy_kernels_name(i));
        if (kernels) /* test_tables.c says which are missing */
            test(kernels);
    }
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static void widen_all(const alloy_kernels *kernels, alloy_dtype dtype, int count)
{
    uint8_t codes[256];
    float found[256];
    for (int i = 0; i < count; i++)
        codes[i] = (uint8_t)(dtype == ALLOY_F4 ? (2 * i) % 16 | ((2 * i + 1) % 16) << 4 : i);
    kernels->widen(found, codes, dtype, count);
    for (int i = 0; i < count; i++)
        if (!same_number(found[i], value_of(dtype, i)))
            fail_msg("%s widens %s %02x to %a, expected %a", kernels->name, alloy_dtype_name(dtype), i, found[i],
                     value_of(dtype, i));
}

static void widen_codes(const alloy_kernels *kernels)
{
    widen_all(kernels, ALLOY_F8_E4M3, 256);
    widen_all(kernels, ALLOY_F8_E8M0, 256);
    widen_all(kernels, ALLOY_F4, 16);
}

static void every_code_widens_to_its_value(void **state)
{
    (void)state;
    for_each_table(widen_codes);
}

/* Each code's element with each scale: the exact product, rounded once. */
static void scale_codes(const alloy_kernels *kernels, alloy_dtype dtype, int codes, const alloy_scales *scales)
{
    uint8_t row[256];
    float found[256];
    for (int i = 0; i < 256; i++)
        row[i] = (uint8_t)(dtype == ALLOY_F4 ? (2 * i) % 16 | ((2 * i + 1) % 16) << 4 : i);
    for (int s = 0; s < 256; s++) {
        float scale = scales->dtype == ALLOY_F32 ? ((const float *)scales->data)[s] : value_of(ALLOY_F8_E8M0, s);
        kernels->widen_row(found, row, dtype, scales, s, 256);
        for (int i = 0; i < 256; i++) {
            float value = value_of(dtype, i % codes), expected = (float)((double)value * (double)scale);
            if (!same_number(found[i], expected))
                fail_msg("%s: %s %02x at scale %a is %a, expected %a", kernels->name, alloy_dtype_name(dtype),
                         i % codes, scale, found[i], expected);
        }
    }
}

static void scale_all(const alloy_kernels *kernels)
{
    uint8_t exponents[256];
    float factors[256];
    source s = {.seed = 7};
    for (int i = 0; i < 256; i++)
        exponents[i] = (uint8_t)i, factors[i] = draw(&s, i < 64 ? SPECIAL : i < 128 ? TINY : ANY_BITS, 1);
    const alloy_scales powers = {exponents, ALLOY_F8_E8M0, 1, 256, 1, 0};
    const alloy_scales any = {factors, ALLOY_F32, 1, 256, sizeof *factors, 0};
    scale_codes(kernels, ALLOY_F8_E4M3, 256, &powers);
    scale_codes(kernels, ALLOY_F8_E4M3, 256, &any);
    scale_codes(kernels, ALLOY_F4, 16, &powers);
    scale_codes(kernels, ALLOY_F4, 16, &any);
}

static void every_code_is_scaled_with_one_rounding(void **state)
{
    (void)state;
    for_each_table(scale_all);
}

/* ---- Rounding ---------------------------------------------------------------------------------------------------- */

/* Codes 0 to `last` and their negatives: themselves, the middle between neighbours, and next to it. */
static void round_codes(const alloy_kernels *kernels, alloy_dtype dtype, int last)
{
    const int minus = dtype == ALLOY_F4 ? 8 : 128;
    for (int code = 0; code <= last; code++) {
        float value = value_of(dtype, code);
        expect_narrowed(kernels, dtype, value, code);
        expect_narrowed(kernels, dtype, -value, code + minus);
        if (code == last)
            break;
        float middle = value + (value_of(dtype, code + 1) - value) / 2;
        for (int sign = 0; sign < 2; sign++) {
            int offset = sign ? minus : 0;
            float x = sign ? -middle : middle;
            expect_narrowed(kernels, dtype, x, code + code % 2 + offset);
            expect_narrowed(kernels, dtype, nextafterf(x, 0), code + offset);
            expect_narrowed(kernels, dtype, nextafterf(x, 2 * x), code + 1 + offset);
        }
    }
}

static void round_all(const alloy_kernels *kernels)
{
    round_codes(kernels, ALLOY_F8_E4M3, 126);
    round_codes(kernels, ALLOY_F4, 7);
    static const struct {
        float x;
        int e4m3, e2m1;
    } ends[] = {
        {0x1p-149f, 0x00, 0},
        {-0x1p-149f, 0x80, 8},
        {464, 0x7e, 7},
        {0x1.d00002p+8f, 0x7f, 7},
        {-464, 0xfe, 15},
        {INFINITY, 0x7f, 7},
        {-INFINITY, 0xff, 15},
        {0x1.fffffep+127f, 0x7f, 7},
        {NAN, 0x7f, 8},
        {7, 0x4e, 7},
        {-0x1.d00002p+8f, 0xff, 15},
    };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        expect_narrowed(kernels, ALLOY_F8_E4M3, ends[i].x, ends[i].e4m3);
        expect_narrowed(kernels, ALLOY_F4, ends[i].x, ends[i].e2m1);
    }
}

static void narrowing_rounds_to_nearest_even(void **state)
{
    (void)state;
    for_each_table(round_all);
}

static void round_up_to_powers(const alloy_kernels *kernels)
{
    for (int code = 0; code < 255; code++) {
        float power = value_of(ALLOY_F8_E8M0, code);
        expect_narrowed(kernels, ALLOY_F8_E8M0, power, code);
        expect_narrowed(kernels, ALLOY_F8_E8M0, nextafterf(power, 0), code);
        expect_narrowed(kernels, ALLOY_F8_E8M0, nextafterf(power, INFINITY), code < 254 ? code + 1 : 254);
    }
    expect_narrowed(kernels, ALLOY_F8_E8M0, 0, 0);
    expect_narrowed(kernels, ALLOY_F8_E8M0, 0x1p-149f, 0);
    expect_narrowed(kernels, ALLOY_F8_E8M0, INFINITY, 254);
    expect_narrowed(kernels, ALLOY_F8_E8M0, NAN, 255);
}

static void a_scale_is_rounded_up_to_a_power_of_two(void **state)
{
    (void)state;
    for_each_table(round_up_to_powers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_widens_to_its_value),
        cmocka_unit_test(every_code_is_scaled_with_one_rounding),
        cmocka_unit_test(narrowing_rounds_to_nearest_even),
        cmocka_unit_test(a_scale_is_rounded_up_to_a_power_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
