/* Plain C, the definition, against the contracts: dots against a transcription of their own, functions against long
 * double with the bounds that functions.h states, conversions against their formats' arithmetic. */
#include "inputs.h"

#include <fenv.h>

#include "base/threads.h"
#include "kernels/cpu/generic/dot.h"
#include "kernels/cpu/generic/functions.h"
#include "kernels/kernels.h"

/* ---- Dots ---- */

/* The contract, word by word. */
static float transcribed_dot(const float *a, const float *b, int64_t n)
{
    float lane[16];
    for (int i = 0; i < 16; i++)
        lane[i] = 0;
    for (int64_t k = 0; k < (n + 15) / 16 * 16; k++)
        lane[k % 16] = k < n ? fmaf(a[k], b[k], lane[k % 16]) : fmaf(+0.0f, +0.0f, lane[k % 16]);
    for (int i = 0; i < 8; i++)
        lane[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++)
        lane[i] = lane[i] + lane[i + 4];
    for (int i = 0; i < 2; i++)
        lane[i] = lane[i] + lane[i + 2];
    return lane[0] + lane[1];
}

static void a_dot_is_the_contract_word_by_word(void **state)
{
    (void)state;
    source s = {.seed = 7};
    for (int of = 0; of < KINDS; of++)
        for (int64_t n = 1; n <= 300; n += n < 70 ? 1 : 23) {
            float *a = numbers(&s, (kind)of, n), *b = numbers(&s, (kind)of, n), y;
            float expected = transcribed_dot(a, b, n), found = alloy_dot(a, b, n);
            if (first_difference(&expected, &found, 1) >= 0)
                fail_msg("%s numbers, n=%lld: %a, expected %a", kind_names[of], (long long)n, found, expected);
            alloy_linear_job job = {.y = &y, .x = a, .n = 1, .k = n, .w = b, .dtype = ALLOY_F32, .rows = 1, .scale = 1};
            alloy_kernels_get("generic")->linear(&job, NULL);
            if (first_difference(&expected, &y, 1) >= 0)
                fail_msg("linear, %s numbers, n=%lld: %a, expected %a", kind_names[of], (long long)n, y, expected);
            free(a), free(b);
        }
}

/* fma(0, 0, -0) is +0, so a lane that underflowed to -0 does not survive a missing element. */
static void a_missing_element_is_plus_zero(void **state)
{
    (void)state;
    float tiny[17] = {[16] = -0x1p-149f}, small[17] = {[16] = 0x1p-149f};
    assert_int_equal(bits_of(alloy_dot(tiny, small, 17)), 0);
    float negative[16], positive[16];
    for (int i = 0; i < 16; i++)
        negative[i] = -0x1p-149f, positive[i] = 0x1p-149f;
    assert_int_equal(bits_of(alloy_dot(negative, positive, 16)), 0x80000000);
    assert_int_equal(bits_of(alloy_dot(negative, positive, 1)), 0);
}

/* ---- Functions ---- */

/* The distance in units of the last place of the float nearest to `exact`. */
static double ulps(float found, long double exact)
{
    int exponent;
    frexpl(exact, &exponent);
    return (double)(fabsl(found - exact) / ldexpl(1, (exponent < -125 ? -125 : exponent) - 24));
}

static long double exact_exp(float x)
{
    return expl(x);
}

static long double exact_softplus(float x)
{
    return x > 60 ? x : log1pl(expl(x));
}

static long double exact_sigmoid(float x)
{
    return 1 / (1 + expl(-(long double)x));
}

static long double exact_silu(float x)
{
    return x * exact_sigmoid(x);
}

/* Over every STEP-th float from `low` to `high`. */
static void expect_within(const char *name, float (*function)(float), long double (*exact)(float), float low,
                          float high, double bound)
{
    enum { STEP = 1999 };
    double worst = 0;
    float where = 0;
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += STEP) {
        float x = from_bits((uint32_t)bits);
        if (!(x >= low && x <= high))
            continue;
        double off = ulps(function(x), exact(x));
        if (!(off <= worst))
            worst = off, where = x;
        if (!(worst <= bound))
            break;
    }
    if (!(worst <= bound))
        fail_msg("%s(%a) is %.3f ulp off, at most %.3f", name, where, worst, bound);
}

static float exponential(float x)
{
    return alloy_exp(x);
}

static float softplus(float x)
{
    return alloy_softplus(x);
}

static float sigmoid(float x)
{
    return alloy_sigmoid(x);
}

static float silu(float x)
{
    return alloy_silu(x);
}

static void functions_are_as_near_as_they_say(void **state)
{
    (void)state;
    expect_within("exp", exponential, exact_exp, -150, 0x1.62e42ep+6f, 0.89);
    expect_within("softplus", softplus, exact_softplus, -200, 0x1.fffffep+127f, 1.64);
    expect_within("sigmoid", sigmoid, exact_sigmoid, -88, 0x1.fffffep+127f, 2.5);
    expect_within("silu", silu, exact_silu, -88, 0x1.fffffep+127f, 2.9);
}

static void expect_bits(float found, uint32_t expected)
{
    if (bits_of(found) != expected)
        fail_msg("%a (%08x), expected %a", found, bits_of(found), from_bits(expected));
}

static void functions_hold_at_their_ends(void **state)
{
    (void)state;
    expect_bits(alloy_exp(-INFINITY), 0);
    expect_bits(alloy_exp(-104), 0);
    expect_bits(alloy_exp(-103.5f), 1); /* 1.12e-45, the smallest denormal is 1.4e-45 */
    expect_bits(alloy_exp(0), 0x3f800000);
    expect_bits(alloy_exp(-0.0f), 0x3f800000);
    expect_bits(alloy_exp(0x1.62e43p+6f), 0x7f800000);
    expect_bits(alloy_exp(INFINITY), 0x7f800000);
    assert_true(isnan(alloy_exp(NAN)) && isnan(alloy_exp(-NAN)));
    expect_bits(alloy_softplus(-INFINITY), 0);
    expect_bits(alloy_softplus(INFINITY), 0x7f800000);
    assert_true(isnan(alloy_softplus(NAN)));
    expect_bits(alloy_sigmoid(-INFINITY), 0);
    expect_bits(alloy_sigmoid(INFINITY), 0x3f800000);
    assert_true(isnan(alloy_sigmoid(NAN)) && isnan(alloy_silu(NAN)));
    expect_bits(alloy_silu(-1000), 0x80000000);
}

/* ---- Conversions ---- */

/* The value of a 16-bit float by its definition: `mantissa` bits of fraction, exponents biased by `bias`. */
static double value_of(uint16_t half, int mantissa, int bias)
{
    int all = (1 << (15 - mantissa)) - 1, exponent = half >> mantissa & all, fraction = half & ((1 << mantissa) - 1);
    double value = exponent == all ? (fraction ? NAN : INFINITY)
                   : exponent      ? ldexp(1 + ldexp(fraction, -mantissa), exponent - bias)
                                   : ldexp(fraction, 1 - bias - mantissa);
    return half & 0x8000 ? -value : value;
}

/* Every 16-bit number widens to its value, and narrows back to itself. */
static void all_of(const alloy_kernels *kernels, alloy_dtype dtype, int mantissa, int bias)
{
    static uint16_t halves[65536], back[65536];
    static float wide[65536];
    for (int i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    kernels->widen(wide, halves, dtype, 65536);
    kernels->narrow(back, wide, dtype, 65536);
    for (int i = 0; i < 65536; i++) {
        float expected = (float)value_of((uint16_t)i, mantissa, bias);
        bool nan = isnan(expected);
        if (nan ? !isnan(wide[i]) : bits_of(wide[i]) != bits_of(expected))
            fail_msg("%s widens %s %04x to %a, expected %a", kernels->name, alloy_dtype_name(dtype), i, wide[i],
                     expected);
        if (nan ? !isnan(value_of(back[i], mantissa, bias)) : back[i] != i)
            fail_msg("%s narrows %a to %s %04x, expected %04x", kernels->name, wide[i], alloy_dtype_name(dtype),
                     back[i], i);
    }
}

/* To nearest even by the definition: the multiple of the last place that rint chooses. */
static double rounded(float x, int mantissa, int lowest, double largest)
{
    int exponent;
    if (isnan(x) || isinf(x) || x == 0)
        return x;
    frexp(x, &exponent);
    double unit = ldexp(1, (exponent - 1 < lowest ? lowest : exponent - 1) - mantissa), value = rint(x / unit) * unit;
    return fabs(value) > largest ? copysign(INFINITY, x) : value;
}

static void rounding_of(const alloy_kernels *kernels, alloy_dtype dtype, int mantissa, int bias)
{
    enum { COUNT = 1 << 16 };
    static float x[COUNT];
    static uint16_t halves[COUNT];
    source s = {.seed = 3};
    double largest = value_of((uint16_t)((((1 << (15 - mantissa)) - 1) << mantissa) - 1), mantissa, bias);
    for (int i = 0; i < COUNT; i++) { /* any; and the middle between two neighbours, and next to it */
        float below = (float)value_of((uint16_t)i, mantissa, bias),
              above = (float)value_of((uint16_t)(i + 1), mantissa, bias);
        float middle = below + (above - below) / 2;
        x[i] = i % 4 == 0   ? from_bits((uint32_t)ldexp(uniform(&s), 32))
               : i % 4 == 1 ? middle
                            : nextafterf(middle, i % 4 == 2 ? INFINITY : -INFINITY);
    }
    kernels->narrow(halves, x, dtype, COUNT);
    for (int i = 0; i < COUNT; i++) {
        double found = value_of(halves[i], mantissa, bias), expected = rounded(x[i], mantissa, 1 - bias, largest);
        bool same = isnan(expected) ? isnan(found) : found == expected && signbit(found) == signbit(expected);
        if (!same)
            fail_msg("%s narrows %a to %s %a, expected %a", kernels->name, x[i], alloy_dtype_name(dtype), found,
                     expected);
    }
}

static void every_16_bit_number_is_converted(void **state)
{
    (void)state;
    for (int i = 0; i < alloy_kernels_count(); i++) {
        const alloy_kernels *kernels = alloy_kernels_get(alloy_kernels_name(i));
        if (!kernels)
            continue; /* test_tables.c says so */
        all_of(kernels, ALLOY_BF16, 7, 127);
        all_of(kernels, ALLOY_F16, 10, 15);
        rounding_of(kernels, ALLOY_BF16, 7, 127);
        rounding_of(kernels, ALLOY_F16, 10, 15);
    }
}

/* ---- Flush to zero ---- */

#if defined(__x86_64__) && !defined(__clang__)
#define FLUSH 0x8040u /* of the control register: denormal results and inputs become zero */

static void halve(void *context, int64_t index, void *scratch)
{
    float denormal = 0x1p-140f, *y = context;
    (void)index, (void)scratch;
    alloy_kernels_get(NULL)->vector.multiply(y, &denormal, &(float){0.5f}, 1);
}

/* Another library may have switched denormals off in this thread: kernels work without that, and leave it as it was. */
static void denormals_live_in_tasks(void **state)
{
    (void)state;
    alloy_team team;
    float y = 1;
    expect_ok(alloy_team_open(&team, 1));
    unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | FLUSH);
    alloy_parallel(&team, 1, halve, &y);
    unsigned after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before);
    alloy_team_close(&team);
    expect_bits(y, bits_of(0x1p-141f));
    assert_int_equal(after & FLUSH, FLUSH);
}
#else
static void denormals_live_in_tasks(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dot_is_the_contract_word_by_word), cmocka_unit_test(a_missing_element_is_plus_zero),
        cmocka_unit_test(functions_are_as_near_as_they_say),  cmocka_unit_test(functions_hold_at_their_ends),
        cmocka_unit_test(every_16_bit_number_is_converted),   cmocka_unit_test(denormals_live_in_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
