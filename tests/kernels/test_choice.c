/* Which table is taken. */
#include "support.h"

#include "base/status.h"
#include "kernels/kernels.h"

static void generic_is_always_there(void **state)
{
    (void)state;
    expect_text(alloy_kernels_name(0), "generic");
    assert_non_null(alloy_kernels_get("generic"));
    expect_text(alloy_kernels_get("generic")->name, "generic");
}

static void without_a_name_it_is_the_best(void **state)
{
    (void)state;
    const alloy_kernels *best = NULL;
    for (int i = 0; i < alloy_kernels_count(); i++)
        if (alloy_kernels_get(alloy_kernels_name(i)))
            best = alloy_kernels_get(alloy_kernels_name(i));
    assert_ptr_equal(alloy_kernels_get(NULL), best);
    assert_null(alloy_kernels_name(-1));
    assert_null(alloy_kernels_name(alloy_kernels_count()));
}

static void an_unknown_name_is_an_error_that_lists_the_known(void **state)
{
    (void)state;
    assert_null(alloy_kernels_get("avx3"));
    expect_failure(alloy_last_status(), ALLOY_ARG, "\"avx3\"", "generic", "did you mean avx2?");
    assert_null(alloy_kernels_get(""));
    expect_failure(alloy_last_status(), ALLOY_ARG, "not known");
    assert_null(alloy_kernels_get("a\nb"));
    assert_null(strchr(alloy_error(), '\n'));
}

static void a_table_that_is_not_here_says_what_lacks_it(void **state)
{
    (void)state;
    bool all = true;
    for (int i = 0; i < alloy_kernels_count(); i++)
        if (!alloy_kernels_get(alloy_kernels_name(i))) {
            expect_failure(alloy_last_status(), ALLOY_UNSUPPORTED, alloy_kernels_name(i), "does not have it");
            all = false;
        }
    if (all)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generic_is_always_there),
        cmocka_unit_test(without_a_name_it_is_the_best),
        cmocka_unit_test(an_unknown_name_is_an_error_that_lists_the_known),
        cmocka_unit_test(a_table_that_is_not_here_says_what_lacks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
