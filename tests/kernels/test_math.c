/* fp64 functions of our own against libm's long double, with the bounds that math.h states. */
#include "inputs.h"

#include "kernels/math.h"

enum { DRAWS = 200000 };

static double ulps(double found, long double exact)
{
    int exponent;
    frexpl(exact, &exponent);
    return (double)(fabsl(found - exact) / ldexpl(1, (exponent < -1021 ? -1021 : exponent) - 53));
}

static double from_to(source *s, double low, double high)
{
    return low + (high - low) * uniform(s);
}

static void exp_is_within_an_ulp(void **state)
{
    (void)state;
    source s = {.seed = 1};
    for (int i = 0; i < DRAWS; i++) {
        double x = i % 2 ? from_to(&s, -745, 709.7) : from_to(&s, -1, 1), off = ulps(alloy_exp64(x), expl(x));
        if (!(off <= 1))
            fail_msg("exp(%a) is %.3f ulp off", x, off);
    }
    assert_true(alloy_exp64(INFINITY) == INFINITY && alloy_exp64(710) == INFINITY);
    assert_true(alloy_exp64(-INFINITY) == 0 && alloy_exp64(-750) == 0);
    assert_true(alloy_exp64(0) == 1 && isnan(alloy_exp64(NAN)));
}

static void log_is_within_an_ulp(void **state)
{
    (void)state;
    source s = {.seed = 2};
    for (int i = 0; i < DRAWS; i++) {
        double x = i % 3 == 0   ? ldexp(1 + uniform(&s), (int)between(&s, -1060, 1020))
                   : i % 3 == 1 ? from_to(&s, 0.5, 2)
                                : 1 + ldexp(uniform(&s) - 0.5, -(int)between(&s, 1, 40));
        double off = x == 1 ? 0 : ulps(alloy_log64(x), logl(x));
        if (!(off <= 1))
            fail_msg("log(%a) is %.3f ulp off", x, off);
    }
    assert_true(alloy_log64(1) == 0 && alloy_log64(0) == -INFINITY && alloy_log64(INFINITY) == INFINITY);
    assert_true(isnan(alloy_log64(-1)) && isnan(alloy_log64(NAN)));
}

static void pow_is_as_near_as_it_says(void **state)
{
    (void)state;
    source s = {.seed = 3};
    for (int i = 0; i < DRAWS; i++) {
        double x = i % 2 ? from_to(&s, 1, 1e7) : exp(from_to(&s, -20, 20));
        double y = i % 2 ? -uniform(&s) : from_to(&s, -230, 230) / (fabs(log(x)) + 1e-6);
        double off = (double)(fabsl(alloy_pow64(x, y) / powl(x, y) - 1));
        if (!(off <= 1e-15))
            fail_msg("pow(%a, %a) is %.3g off", x, y, off);
    }
    assert_true(alloy_pow64(1e6, 0) == 1 && alloy_pow64(2, 10) == 1024 && alloy_pow64(10, 400) == INFINITY);
    assert_true(alloy_pow64(10, -400) == 0 && alloy_pow64(1, INFINITY) == 1 && isnan(alloy_pow64(2, NAN)));
}

static void sin_and_cos_are_as_near_as_they_say(void **state)
{
    (void)state;
    source s = {.seed = 4};
    for (int i = 0; i < DRAWS; i++) {
        double most = i % 3 == 0 ? 4 : i % 3 == 1 ? 0x1p20 : 0x1p40, x = from_to(&s, -most, most), sine, cosine;
        alloy_sin_cos64(x, &sine, &cosine);
        double off = (double)(fabsl(sine - sinl(x)) + fabsl(cosine - cosl(x)));
        if (!(off <= 1e-15))
            fail_msg("sin and cos of %a: %.3g off", x, off);
    }
    double sine, cosine;
    alloy_sin_cos64(0, &sine, &cosine);
    assert_true(sine == 0 && cosine == 1);
    alloy_sin_cos64(INFINITY, &sine, &cosine);
    assert_true(isnan(sine) && isnan(cosine));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_an_ulp),
        cmocka_unit_test(log_is_within_an_ulp),
        cmocka_unit_test(pow_is_as_near_as_it_says),
        cmocka_unit_test(sin_and_cos_are_as_near_as_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
