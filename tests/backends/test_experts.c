/* Routing and routed experts: which experts a token goes to, with what weights, and what they give. */
#include "passes.h"

#include "backends/cpu/routes.h"

enum { MOST_EXPERTS = 16 };

static alloy_tensor *logits_of(struct bench *b, int64_t rows, int64_t experts, const float *values)
{
    alloy_tensor *x = alloy_tensor_new(&b->pass, 2, (int64_t[]){rows, experts});
    assert_non_null(x);
    memcpy(alloy_f32(x), values, (size_t)(rows * experts) * sizeof *values);
    set_span(b, rows, 0);
    return x;
}

static void expect_experts(const alloy_routes *r, int64_t token, const int32_t *expected)
{
    for (int64_t i = 0; i < r->expert->shape[1]; i++)
        if (alloy_i32(r->expert)[token * r->expert->shape[1] + i] != expected[i])
            fail_msg("token %lld, choice %lld: expert %d, expected %d", (long long)token, (long long)i,
                     alloy_i32(r->expert)[token * r->expert->shape[1] + i], expected[i]);
}

/* ---- Routing ----------------------------------------------------------------------------------------------------- */

static void ties_go_to_the_lower_expert(void **state)
{
    (void)state;
    static const float logits[5][6] = {
        {0, 0, 0, 0, 0, 0},  {1, 2, 2, 2, 1, 2},      {-0.0f, 0, -0.0f, 0, -1, -1},
        {3, -1, 3, 5, 3, 5}, {-7, -7, -7, -7, -7, 9},
    };
    static const int32_t expected[5][3] = {{0, 1, 2}, {1, 2, 3}, {0, 1, 2}, {0, 3, 5}, {0, 1, 5}};
    struct bench *b = open_bench(1);
    alloy_routes r = alloy_route_softmax(&b->pass, logits_of(b, 5, 6, &logits[0][0]), 3, true);
    expect_ok(b->pass.status);
    for (int t = 0; t < 5; t++)
        expect_experts(&r, t, expected[t]);
    close_bench(b);
}

/* The k largest by another way: an expert is chosen if fewer than k are before it. */
static bool is_chosen(const float *logits, int64_t experts, int64_t k, int64_t e)
{
    int64_t before = 0;
    for (int64_t i = 0; i < experts; i++)
        before += logits[i] > logits[e] || (logits[i] == logits[e] && i < e);
    return before < k;
}

static void expect_route(const alloy_routes *r, const float *logits, int64_t t, bool normalize)
{
    double most = -INFINITY, all = 0, chosen = 0;
    int64_t at = t * r->expert->shape[1];
    for (int64_t e = 0; e < r->experts; e++)
        most = fmax(most, (double)logits[e]);
    for (int64_t e = 0; e < r->experts; e++) {
        all += exp((double)logits[e] - most);
        chosen += is_chosen(logits, r->experts, r->expert->shape[1], e) ? exp((double)logits[e] - most) : 0;
    }
    for (int64_t e = 0; e < r->experts; e++) {
        if (!is_chosen(logits, r->experts, r->expert->shape[1], e))
            continue;
        assert_int_equal(alloy_i32(r->expert)[at], e);
        double weight = exp((double)logits[e] - most) / (normalize ? chosen : all);
        expect_near(alloy_f32(r->weight)[at], weight, 1e-6 * weight, "weight", at);
        at++;
    }
    assert_int_equal(at, (t + 1) * r->expert->shape[1]);
}

static void weights_are_probabilities_of_the_chosen(void **state)
{
    (void)state;
    for (int64_t k = 1; k <= MOST_EXPERTS; k += 5)
        for (int normalize = 0; normalize < 2; normalize++) {
            struct bench *b = open_bench(2);
            set_span(b, 70, 0);
            alloy_tensor *logits = random_tensor(b, (uint64_t)k, 2, (int64_t[]){70, MOST_EXPERTS});
            for (int64_t i = 0; i < 70 * MOST_EXPERTS; i++)
                alloy_f32(logits)[i] = floorf(alloy_f32(logits)[i] * 8); /* with ties */
            alloy_routes r = alloy_route_softmax(&b->pass, logits, k, normalize);
            expect_ok(b->pass.status);
            for (int64_t t = 0; t < 70; t++)
                expect_route(&r, alloy_f32(logits) + t * MOST_EXPERTS, t, normalize);
            close_bench(b);
        }
}

static void scores_that_are_not_finite_are_an_error(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        struct bench *b = open_bench(1);
        float logits[8] = {1, 2, 3, 4, 5, 6, bad[i], 8};
        expect_pass_failure(b, alloy_route_softmax(&b->pass, logits_of(b, 2, 4, logits), 2, true).expert, ALLOY_RANGE,
                            "router", "not finite");
        close_bench(b);
    }
}

static void more_experts_than_there_are_are_refused(void **state)
{
    (void)state;
    static const float logits[4] = {1, 2, 3, 4};
    struct bench *b = open_bench(1);
    expect_pass_failure(b, alloy_route_softmax(&b->pass, logits_of(b, 1, 4, logits), 5, true).expert, ALLOY_ARG,
                        "route_softmax", "5 of 4");
    expect_pass_failure(b, alloy_route_softmax(&b->pass, logits_of(b, 1, 4, logits), 0, true).expert, ALLOY_ARG,
                        "0 of 4");
    close_bench(b);
}

/* ---- Experts ----------------------------------------------------------------------------------------------------- */

enum { EXPERTS = 7, HIDDEN = 24, INNER = 20, CHOSEN = 3, TOKENS = 40 };

struct layer {
    alloy_weight gate[EXPERTS], up[EXPERTS], down[EXPERTS];
    alloy_expert_weights experts;
    alloy_tensor *x, *logits;
};

static void make_layer(struct bench *b, struct layer *l)
{
    static const alloy_dtype dtypes[] = {ALLOY_BF16, ALLOY_F32, ALLOY_F16};
    for (int e = 0; e < EXPERTS; e++) {
        uint64_t seed = 100 + 3 * (uint64_t)e;
        l->gate[e] = random_weight(b, seed, dtypes[e % 3], 1, 2, (int64_t[]){INNER, HIDDEN});
        l->up[e] = random_weight(b, seed + 1, dtypes[e % 3], 1, 2, (int64_t[]){INNER, HIDDEN});
        l->down[e] = random_weight(b, seed + 2, dtypes[e % 3], 1, 2, (int64_t[]){HIDDEN, INNER});
    }
    l->experts = (alloy_expert_weights){EXPERTS, l->gate, l->up, l->down};
    set_span(b, TOKENS, 0);
    l->x = random_tensor(b, 1, 2, (int64_t[]){TOKENS, HIDDEN});
    l->logits = random_tensor(b, 2, 2, (int64_t[]){TOKENS, EXPERTS});
    for (int64_t t = 0; t < TOKENS; t++)
        alloy_f32(l->logits)[t * EXPERTS + 5] = -9; /* nobody goes to expert 5 */
}

/* y [HIDDEN] += weight * down(silu(gate x) * up x) */
static void add_expert(const struct layer *l, int64_t e, const float *x, double weight, double *y)
{
    double inner[INNER];
    for (int64_t i = 0; i < INNER; i++) {
        double gate = 0, up = 0;
        for (int64_t j = 0; j < HIDDEN; j++) {
            gate += weight_at(&l->gate[e], i * HIDDEN + j) * (double)x[j];
            up += weight_at(&l->up[e], i * HIDDEN + j) * (double)x[j];
        }
        inner[i] = silu64(gate) * up;
    }
    for (int64_t i = 0; i < HIDDEN; i++)
        for (int64_t j = 0; j < INNER; j++)
            y[i] += weight * weight_at(&l->down[e], i * INNER + j) * inner[j];
}

static void experts_are_a_weighted_sum(void **state)
{
    (void)state;
    struct bench *b = open_bench(2);
    struct layer l;
    make_layer(b, &l);
    alloy_routes r = alloy_route_softmax(&b->pass, l.logits, CHOSEN, true);
    alloy_tensor *y = alloy_experts(&b->pass, l.x, r, &l.experts);
    expect_ok(b->pass.status);
    for (int64_t t = 0; t < TOKENS; t++) {
        double expected[HIDDEN] = {0};
        for (int64_t i = t * CHOSEN; i < (t + 1) * CHOSEN; i++) {
            assert_int_not_equal(alloy_i32(r.expert)[i], 5);
            add_expert(&l, alloy_i32(r.expert)[i], alloy_f32(l.x) + t * HIDDEN, (double)alloy_f32(r.weight)[i],
                       expected);
        }
        for (int64_t i = 0; i < HIDDEN; i++)
            expect_near(alloy_f32(y)[t * HIDDEN + i], expected[i], 2e-5, "y", t * HIDDEN + i);
    }
    close_bench(b);
}

static void a_token_does_not_depend_on_its_neighbours(void **state)
{
    (void)state;
    struct bench *b = open_bench(3);
    struct layer l;
    make_layer(b, &l);
    alloy_tensor *all = alloy_experts(&b->pass, l.x, alloy_route_softmax(&b->pass, l.logits, CHOSEN, true), &l.experts);
    expect_ok(b->pass.status);
    for (int64_t t = 0; t < TOKENS; t++) {
        set_span(b, 1, t);
        alloy_routes r = alloy_route_softmax(&b->pass, rows_of(b, l.logits, t, 1), CHOSEN, true);
        alloy_tensor *alone = alloy_experts(&b->pass, rows_of(b, l.x, t, 1), r, &l.experts);
        expect_ok(b->pass.status);
        expect_equal_bits(alloy_f32(alone), alloy_f32(all) + t * HIDDEN, HIDDEN, "a token alone");
    }
    close_bench(b);
}

static void routes_over_other_experts_are_refused(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    struct layer l;
    make_layer(b, &l);
    alloy_routes r = alloy_route_softmax(&b->pass, l.logits, CHOSEN, true);
    alloy_expert_weights fewer = {EXPERTS - 1, l.gate, l.up, l.down};
    expect_pass_failure(b, alloy_experts(&b->pass, l.x, r, &fewer), ALLOY_ARG, "experts", "6", "7");
    alloy_tensor *wide = random_tensor(b, 1, 2, (int64_t[]){TOKENS, HIDDEN + 1});
    expect_pass_failure(b, alloy_experts(&b->pass, wide, r, &l.experts), ALLOY_ARG, "experts", "24", "25");
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_go_to_the_lower_expert),
        cmocka_unit_test(weights_are_probabilities_of_the_chosen),
        cmocka_unit_test(scores_that_are_not_finite_are_an_error),
        cmocka_unit_test(more_experts_than_there_are_are_refused),
        cmocka_unit_test(experts_are_a_weighted_sum),
        cmocka_unit_test(a_token_does_not_depend_on_its_neighbours),
        cmocka_unit_test(routes_over_other_experts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
