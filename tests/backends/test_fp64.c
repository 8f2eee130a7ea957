/* The backend fp64: ops that no golden case has, and the way to the CPU of those that it lacks. All others are held to
 * transformers in double precision (tests/compare/test_oracle.c). */
#include "passes.h"

#include "backends/fp64/fp64.h"

enum { N = 7, D = 5 };

static struct bench *open_fp64(void)
{
    struct bench *b = open_bench(2);
    b->pass.backend = &alloy_fp64;
    set_span(b, N, 0);
    return b;
}

static alloy_tensor *random_f64(struct bench *b, uint64_t seed)
{
    alloy_tensor *x = alloy_tensor_new(&b->pass, 2, (int64_t[]){N, D});
    assert_true(x && x->dtype == ALLOY_F64);
    for (int64_t i = 0; i < N * D; i++)
        alloy_f64(x)[i] = 3 * (double)random_number(seed, i);
    return x;
}

static void ops_of_elements_are_their_formulas(void **state)
{
    (void)state;
    struct bench *b = open_fp64();
    alloy_tensor *x = random_f64(b, 1), *y = random_f64(b, 2);
    alloy_tensor *product = alloy_multiply(&b->pass, x, y), *silu = alloy_silu(&b->pass, x),
                 *sigmoid = alloy_sigmoid(&b->pass, x), *clamped = alloy_swiglu_clamped(&b->pass, x, y, 1.5);
    expect_ok(b->pass.status);
    for (int64_t i = 0; i < N * D; i++) {
        double a = alloy_f64(x)[i], c = alloy_f64(y)[i], s = 1 / (1 + exp(-a)), gate = fmin(a, 1.5);
        expect_near(alloy_f64(product)[i], a * c, 0, "product", i);
        expect_near(alloy_f64(sigmoid)[i], s, 1e-15, "sigmoid", i);
        expect_near(alloy_f64(silu)[i], a * s, 1e-15, "silu", i);
        expect_near(alloy_f64(clamped)[i], gate / (1 + exp(-gate)) * fmax(-1.5, fmin(c, 1.5)), 1e-15, "clamped", i);
    }
    close_bench(b);
}

/* y = x + what the sequence keeps, which then grows by x's first row. */
static void run_own(const alloy_args *a)
{
    float *kept = alloy_state_fixed(a, 0, 0);
    for (int64_t i = 0; i < N * D; i++)
        alloy_f32(a->out[0])[i] = alloy_f32(a->in[0])[i] + kept[i % D];
    for (int64_t i = 0; i < D; i++)
        kept[i] += alloy_f32(a->in[0])[i];
}

static const alloy_op own = {"own", run_own, NULL}, lacking = {"lacking", NULL, NULL};

static void an_op_that_it_lacks_runs_on_the_cpu_through_copies(void **state)
{
    (void)state;
    struct bench *b = open_fp64();
    double kept[D] = {1, 2, 3, 4, 5};
    alloy_state_spec spec = {.part = {{"sum", ALLOY_STATE_FIXED, D, 0, 1}}, .count = 1};
    alloy_state_block block = {.store = {{kept, 0}}}, *blocks[] = {&block};
    alloy_state s = {&spec, blocks, ALLOY_F64};
    alloy_tensor *x = random_f64(b, 3), *y = alloy_tensor_like(&b->pass, x);
    assert_ptr_equal(alloy_apply(&b->pass, &own, &(alloy_args){.in = {x}, .out = {y}, .state = {{&s, 0}}}), y);
    for (int64_t i = 0; i < N * D; i++)
        expect_near(alloy_f64(y)[i], (double)((float)alloy_f64(x)[i] + (float)(i % D + 1)), 0, "y", i);
    for (int64_t i = 0; i < D; i++)
        expect_near(kept[i], (double)((float)(i + 1) + (float)alloy_f64(x)[i]), 0, "kept", i);
    expect_pass_failure(b, alloy_apply(&b->pass, &lacking, &(alloy_args){.in = {x}, .out = {y}}), ALLOY_UNSUPPORTED,
                        "lacking", "F32");
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_of_elements_are_their_formulas),
        cmocka_unit_test(an_op_that_it_lacks_runs_on_the_cpu_through_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
