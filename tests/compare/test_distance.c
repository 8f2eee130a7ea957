/* Distances: what is within a bound where numbers are not finite, on either side. */
#include "support.h"

#include <float.h>
#include <math.h>

#include "compare/distance.h"

/* Every number of these beside every other, and within a bound that a 1e9 in the reference makes as wide as it gets. */
static void only_the_same_infinity_is_near_an_infinity(void **state)
{
    (void)state;
    static const float numbers[] = {0, -0.0f, 1, -1, FLT_MIN / 4, FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    for (int e = 0; e < COUNT; e++)
        for (int a = 0; a < COUNT; a++) {
            const double expected[] = {1, (double)numbers[e], 1e9};
            const float actual[] = {1, numbers[a], 1e9f};
            alloy_distance d = {0};
            alloy_distance_add(&d, 7, expected, actual, 3);
            bool finite = isfinite(numbers[e]) && isfinite(numbers[a]), same = numbers[e] == numbers[a];
            assert_true(isfinite(d.largest));
            assert_int_equal(d.not_finite, !finite && !same);
            if (alloy_distance_within(&d, DBL_MAX) != (finite || same))
                fail_msg("%g beside %g: not what was expected within any bound", (double)numbers[a], expected[1]);
            assert_int_equal(alloy_distance_within(&d, 0), same);
            assert_false(alloy_distance_within(&d, INFINITY));
            assert_false(alloy_distance_within(&d, NAN));
            if (!finite && !same) {
                assert_int_equal(d.token, 7);
                assert_int_equal(d.element, 1);
            }
        }
}

static void the_first_that_is_not_finite_is_kept(void **state)
{
    (void)state;
    const double expected[] = {0, NAN, INFINITY, 5};
    const float actual[] = {1e30f, 2, 3, NAN};
    alloy_distance d = {0};
    alloy_distance_add(&d, 0, expected, actual, 4);
    assert_int_equal(d.not_finite, 3);
    assert_int_equal(d.element, 1);
    assert_true(isnan(d.expected) && d.actual == 2);
    assert_true(d.largest == 5);
}

static void nan_is_no_choice(void **state)
{
    (void)state;
    const double expected[] = {NAN, 1, 3, NAN};
    const float actual[] = {0, 1, 3, 2};
    alloy_choices c = {0};
    alloy_choices_add(&c, 0, expected, actual, 4);
    assert_int_equal(c.equal, 1);
    assert_int_equal(c.last, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_same_infinity_is_near_an_infinity),
        cmocka_unit_test(the_first_that_is_not_finite_is_kept),
        cmocka_unit_test(nan_is_no_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
