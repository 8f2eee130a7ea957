/* Runs of verify: every two values of two settings meet. */
#include "support.h"

#include "compare/plan.h"

static bool meet(const alloy_plan *plan, int a, int value_a, int b, int value_b)
{
    for (int i = 0; i < plan->runs; i++)
        if (plan->run[i][a] == value_a && plan->run[i][b] == value_b)
            return true;
    return false;
}

static void check_plan(alloy_plan *plan)
{
    alloy_plan_pairs(plan);
    for (int a = 0; a < plan->settings; a++)
        for (int b = a + 1; b < plan->settings; b++)
            for (int x = 0; x < plan->values[a]; x++)
                for (int y = 0; y < plan->values[b]; y++)
                    if (!meet(plan, a, x, b, y))
                        fail_msg("value %d of setting %d never meets value %d of setting %d", x, a, y, b);
}

static void all_pairs_meet_in_few_runs(void **state)
{
    (void)state;
    alloy_plan plan = {.settings = 5, .values = {4, 5, 2, 3, 3}};
    check_plan(&plan);
    assert_true(plan.runs >= 20); /* 4 x 5 pairs of the two largest settings */
    assert_true(plan.runs <= 25);
}

static void one_value_and_many_values_are_covered(void **state)
{
    (void)state;
    alloy_plan one = {.settings = 5, .values = {1, 1, 1, 1, 1}};
    check_plan(&one);
    assert_int_equal(one.runs, 1);
    alloy_plan many = {.settings = 5, .values = {4, 5, 2, 3, 1}};
    check_plan(&many);
    alloy_plan wide = {.settings = 3, .values = {7, 7, 2}};
    check_plan(&wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_pairs_meet_in_few_runs),
        cmocka_unit_test(one_value_and_many_values_are_covered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
