/* DeepSeek-V4's routers, clamped SwiGLU, grouped linear and hyper-connections against their definitions in fp64. */
#include "passes.h"

#include "backends/cpu/routes.h"

enum { TOKENS = 37, EXPERTS = 11, CHOSEN = 4, HIDDEN = 18 };

/* ---- Routers ----------------------------------------------------------------------------------------------------- */

static double score64(const char *scoring, double x)
{
    return strcmp(scoring, "sigmoid") == 0 ? 1 / (1 + exp(-x)) : sqrt(log1p(exp(x)));
}

/* Is the expert among the k with the largest score + bias? */
static bool is_chosen(const double *ranks, int64_t e)
{
    int64_t before = 0;
    for (int64_t i = 0; i < EXPERTS; i++)
        before += ranks[i] > ranks[e] || (ranks[i] == ranks[e] && i < e);
    return before < CHOSEN;
}

static void expect_weights(const alloy_routes *r, const alloy_tensor *logits, const alloy_weight *bias,
                           const char *scoring, int64_t t)
{
    double scores[EXPERTS], ranks[EXPERTS], sum = 0;
    int64_t at = t * CHOSEN;
    for (int64_t e = 0; e < EXPERTS; e++) {
        scores[e] = score64(scoring, (double)alloy_f32(logits)[t * EXPERTS + e]);
        ranks[e] = scores[e] + weight_at(bias, e);
    }
    for (int64_t e = 0; e < EXPERTS; e++)
        sum += is_chosen(ranks, e) ? scores[e] : 0;
    for (int64_t e = 0; e < EXPERTS; e++) {
        if (!is_chosen(ranks, e))
            continue;
        assert_int_equal(alloy_i32(r->expert)[at], e);
        expect_near(alloy_f32(r->weight)[at], scores[e] / sum * 2.5, 1e-6, scoring, at);
        at++;
    }
    assert_int_equal(at, (t + 1) * CHOSEN);
}

static void experts_rank_by_score_and_bias_and_weigh_by_score(void **state)
{
    (void)state;
    static const char *const scorings[] = {"sqrtsoftplus", "sigmoid"};
    for (int i = 0; i < 2; i++) {
        struct bench *b = open_bench(2);
        set_span(b, TOKENS, 0);
        alloy_tensor *logits = random_tensor(b, 1, 2, (int64_t[]){TOKENS, EXPERTS});
        for (int64_t j = 0; j < alloy_tensor_size(logits); j++)
            alloy_f32(logits)[j] *= 5;
        alloy_weight bias = random_weight(b, 2, ALLOY_F32, 2, 1, (int64_t[]){EXPERTS});
        alloy_routes r = alloy_route_scores(&b->pass, logits, &bias, CHOSEN, scorings[i], 2.5);
        expect_ok(b->pass.status);
        for (int64_t t = 0; t < TOKENS; t++)
            expect_weights(&r, logits, &bias, scorings[i], t);
        alloy_f32(logits)[3] = NAN;
        expect_pass_failure(b, alloy_route_scores(&b->pass, logits, &bias, CHOSEN, scorings[i], 2.5).expert,
                            ALLOY_RANGE, "router");
        close_bench(b);
    }
}

static void ties_go_to_the_lower_expert(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    set_span(b, 1, 0);
    alloy_tensor *logits = alloy_tensor_new(&b->pass, 2, (int64_t[]){1, EXPERTS});
    memset(alloy_f32(logits), 0, EXPERTS * sizeof(float));
    alloy_weight bias = random_weight(b, 2, ALLOY_F32, 0, 1, (int64_t[]){EXPERTS});
    alloy_routes r = alloy_route_scores(&b->pass, logits, &bias, CHOSEN, "sqrtsoftplus", 1);
    for (int32_t i = 0; i < CHOSEN; i++) {
        assert_int_equal(alloy_i32(r.expert)[i], i);
        expect_near(alloy_f32(r.weight)[i], 1.0 / CHOSEN, 1e-7, "weight", i);
    }
    close_bench(b);
}

/* The same weights as by score, for the experts that the table names; in both widths of indices. */
static void a_table_names_the_experts_of_an_id(void **state)
{
    (void)state;
    static const int64_t wide[3][2] = {{7, 2}, {0, 10}, {5, 6}};
    static const int32_t narrow[3][2] = {{7, 2}, {0, 10}, {5, 6}};
    static const int64_t ids[] = {2, 0, 0, 1};
    struct bench *b = open_bench(1);
    set_span(b, 4, 0);
    b->pass.ids = indices(b, ids, b->pass.tokens);
    alloy_tensor *x = random_tensor(b, 1, 2, (int64_t[]){4, HIDDEN});
    alloy_weight gate = random_weight(b, 2, ALLOY_BF16, 1, 2, (int64_t[]){EXPERTS, HIDDEN});
    for (int i = 0; i < 2; i++) {
        alloy_weight table = {.name = "table",
                              .dtype = i ? ALLOY_I32 : ALLOY_I64,
                              .ndim = 2,
                              .shape = {3, 2, 1, 1},
                              .data = i ? (const void *)narrow : wide};
        alloy_routes r = alloy_route_by_id(&b->pass, x, &gate, &table, "sqrtsoftplus", 1.5);
        alloy_tensor *logits = alloy_linear(&b->pass, x, &gate, NULL);
        expect_ok(b->pass.status);
        for (int64_t t = 0; t < 4; t++) {
            int64_t low = wide[ids[t]][0] < wide[ids[t]][1] ? 0 : 1, first = wide[ids[t]][low],
                    second = wide[ids[t]][1 - low];
            double a = score64("", (double)alloy_f32(logits)[t * EXPERTS + first]),
                   c = score64("", (double)alloy_f32(logits)[t * EXPERTS + second]);
            assert_int_equal(alloy_i32(r.expert)[2 * t], first);
            assert_int_equal(alloy_i32(r.expert)[2 * t + 1], second);
            expect_near(alloy_f32(r.weight)[2 * t], a / (a + c) * 1.5, 1e-6, "weight", 2 * t);
            expect_near(alloy_f32(r.weight)[2 * t + 1], c / (a + c) * 1.5, 1e-6, "weight", 2 * t + 1);
        }
    }
    close_bench(b);
}

/* ---- Feed-forward and output projection -------------------------------------------------------------------------- */

static void swiglu_is_clamped(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    set_span(b, TOKENS, 0);
    alloy_tensor *gate = random_tensor(b, 1, 2, (int64_t[]){TOKENS, HIDDEN}),
                 *up = random_tensor(b, 2, 2, (int64_t[]){TOKENS, HIDDEN});
    alloy_tensor *y = alloy_swiglu_clamped(&b->pass, gate, up, 0.5), *all = alloy_swiglu_clamped(&b->pass, gate, up, 0),
                 *plain = alloy_swiglu(&b->pass, gate, up);
    expect_ok(b->pass.status);
    for (int64_t i = 0; i < TOKENS * HIDDEN; i++) {
        double g = fmin((double)alloy_f32(gate)[i], 0.5), u = fmax(fmin((double)alloy_f32(up)[i], 0.5), -0.5);
        expect_near(alloy_f32(y)[i], silu64(g) * u, 1e-7, "clamped", i);
    }
    expect_equal_bits(alloy_f32(all), alloy_f32(plain), TOKENS * HIDDEN, "without a limit");
    close_bench(b);
}

/* Each group is a linear of its own. */
static void a_grouped_linear_is_a_linear_for_each_group(void **state)
{
    (void)state;
    struct bench *b = open_bench(2);
    set_span(b, TOKENS, 0);
    alloy_tensor *x = random_tensor(b, 1, 2, (int64_t[]){TOKENS, 3 * HIDDEN});
    alloy_weight w = random_weight(b, 2, ALLOY_BF16, 1, 2, (int64_t[]){3 * 5, HIDDEN});
    alloy_tensor *y = alloy_grouped_linear(&b->pass, x, &w, 3), *parts[3];
    alloy_split(&b->pass, x, 1, 3, (int64_t[]){HIDDEN, HIDDEN, HIDDEN}, parts);
    for (int64_t g = 0; g < 3; g++) {
        alloy_weight rows = w;
        rows.shape[0] = 5;
        rows.data = (const char *)w.data + g * 5 * HIDDEN * 2;
        alloy_tensor *alone = alloy_linear(&b->pass, parts[g], &rows, NULL);
        expect_ok(b->pass.status);
        for (int64_t t = 0; t < TOKENS; t++)
            expect_equal_bits(alloy_f32(y) + t * 15 + g * 5, alloy_f32(alone) + t * 5, 5, "a group");
    }
    expect_pass_failure(b, alloy_grouped_linear(&b->pass, x, &w, 2), ALLOY_ARG, "grouped_linear", "2 groups");
    close_bench(b);
}

/* ---- Hyper-connections ------------------------------------------------------------------------------------------- */

enum { STREAMS = 3, MIXES = (2 + STREAMS) * STREAMS, ROUNDS = 4 };

static const double EPS = 1e-3, NORM_EPS = 1e-5;

struct connection {
    alloy_weight fn, base, scale;
};

static double mix_of(const struct connection *c, const float *h, int64_t mix, int64_t scale)
{
    double square = 0, dot = 0;
    for (int64_t i = 0; i < STREAMS * HIDDEN; i++) {
        square += (double)h[i] * (double)h[i];
        dot += (double)h[i] * weight_at(&c->fn, mix * STREAMS * HIDDEN + i);
    }
    dot /= sqrt(square / (STREAMS * HIDDEN) + NORM_EPS);
    return dot * weight_at(&c->scale, scale) + weight_at(&c->base, mix);
}

static void balance(double comb[STREAMS][STREAMS], bool columns)
{
    for (int i = 0; i < STREAMS; i++) {
        double sum = EPS;
        for (int j = 0; j < STREAMS; j++)
            sum += columns ? comb[j][i] : comb[i][j];
        for (int j = 0; j < STREAMS; j++)
            *(columns ? &comb[j][i] : &comb[i][j]) /= sum;
    }
}

static void combine(const struct connection *c, const float *h, double comb[STREAMS][STREAMS])
{
    for (int j = 0; j < STREAMS; j++) {
        double sum = 0;
        for (int k = 0; k < STREAMS; k++)
            sum += comb[j][k] = exp(mix_of(c, h, (2 + j) * STREAMS + k, 2));
        for (int k = 0; k < STREAMS; k++)
            comb[j][k] = comb[j][k] / sum + EPS;
    }
    balance(comb, true);
    for (int i = 1; i < ROUNDS; i++) {
        balance(comb, false);
        balance(comb, true);
    }
}

static double sigmoid64(double x)
{
    return 1 / (1 + exp(-x));
}

/* x and the new streams of one token. */
static void expect_token(const struct connection *c, const float *h, const float *y, const float *x, const float *fresh)
{
    double comb[STREAMS][STREAMS];
    combine(c, h, comb);
    for (int64_t i = 0; i < HIDDEN; i++) {
        double sum = 0;
        for (int64_t j = 0; j < STREAMS; j++)
            sum += (sigmoid64(mix_of(c, h, j, 0)) + EPS) * (double)h[j * HIDDEN + i];
        expect_near(x[i], sum, 2e-6, "collapsed", i);
        for (int64_t k = 0; k < STREAMS; k++) {
            sum = 2 * sigmoid64(mix_of(c, h, STREAMS + k, 1)) * (double)y[i];
            for (int64_t j = 0; j < STREAMS; j++)
                sum += comb[j][k] * (double)h[j * HIDDEN + i];
            expect_near(fresh[k * HIDDEN + i], sum, 2e-6, "expanded", k * HIDDEN + i);
        }
    }
}

static void streams_collapse_and_expand(void **state)
{
    (void)state;
    struct bench *b = open_bench(2);
    set_span(b, TOKENS, 0);
    struct connection c = {random_weight(b, 1, ALLOY_F32, 1, 2, (int64_t[]){MIXES, STREAMS * HIDDEN}),
                           random_weight(b, 2, ALLOY_F32, 1, 1, (int64_t[]){MIXES}),
                           random_weight(b, 3, ALLOY_F32, 2, 1, (int64_t[]){3})};
    alloy_pass *p = &b->pass;
    alloy_tensor *h = random_tensor(b, 4, 2, (int64_t[]){TOKENS, STREAMS * HIDDEN}),
                 *y = random_tensor(b, 5, 2, (int64_t[]){TOKENS, HIDDEN});
    alloy_tensor *weights = alloy_hyper_weights(p, h, &c.fn, &c.base, &c.scale, STREAMS, ROUNDS, EPS, NORM_EPS);
    alloy_tensor *x = alloy_hyper_collapse(p, h, weights, STREAMS),
                 *fresh = alloy_hyper_expand(p, h, weights, y, STREAMS);
    expect_ok(p->status);
    for (int64_t t = 0; t < TOKENS; t++)
        expect_token(&c, alloy_f32(h) + t * STREAMS * HIDDEN, alloy_f32(y) + t * HIDDEN, alloy_f32(x) + t * HIDDEN,
                     alloy_f32(fresh) + t * STREAMS * HIDDEN);
    close_bench(b);
}

/* Rounds enough, and every row and column of comb sums to 1. */
static void comb_becomes_doubly_stochastic(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    set_span(b, TOKENS, 0);
    alloy_weight fn = random_weight(b, 1, ALLOY_F32, 1, 2, (int64_t[]){MIXES, STREAMS * HIDDEN}),
                 base = random_weight(b, 2, ALLOY_F32, 1, 1, (int64_t[]){MIXES}),
                 scale =
                     random_weight(b, 3, ALLOY_F32, 0.2f, 1, (int64_t[]){3}); /* far from 0 and 1: quick to settle */
    alloy_tensor *h = random_tensor(b, 4, 2, (int64_t[]){TOKENS, STREAMS * HIDDEN});
    alloy_tensor *weights = alloy_hyper_weights(&b->pass, h, &fn, &base, &scale, STREAMS, 60, 1e-9, NORM_EPS);
    expect_ok(b->pass.status);
    for (int64_t t = 0; t < TOKENS; t++)
        for (int j = 0; j < STREAMS; j++) {
            float row = 0, column = 0;
            for (int k = 0; k < STREAMS; k++) {
                row += alloy_f32(weights)[t * MIXES + (2 + j) * STREAMS + k];
                column += alloy_f32(weights)[t * MIXES + (2 + k) * STREAMS + j];
            }
            expect_near(row, 1, 1e-5, "sum of a row", j);
            expect_near(column, 1, 1e-5, "sum of a column", j);
        }
    close_bench(b);
}

static void a_head_has_one_weight_a_stream(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    set_span(b, TOKENS, 0);
    struct connection c = {random_weight(b, 1, ALLOY_F32, 1, 2, (int64_t[]){STREAMS, STREAMS * HIDDEN}),
                           random_weight(b, 2, ALLOY_F32, 1, 1, (int64_t[]){STREAMS}),
                           random_weight(b, 3, ALLOY_F32, 1, 1, (int64_t[]){1})};
    alloy_tensor *h = random_tensor(b, 4, 2, (int64_t[]){TOKENS, STREAMS * HIDDEN});
    alloy_tensor *weights = alloy_hyper_weights(&b->pass, h, &c.fn, &c.base, &c.scale, STREAMS, 0, EPS, NORM_EPS);
    expect_ok(b->pass.status);
    for (int64_t t = 0; t < TOKENS; t++)
        for (int64_t j = 0; j < STREAMS; j++)
            expect_near(alloy_f32(weights)[t * STREAMS + j],
                        sigmoid64(mix_of(&c, alloy_f32(h) + t * STREAMS * HIDDEN, j, 0)) + EPS, 1e-6, "weight", j);
    expect_pass_failure(b, alloy_hyper_weights(&b->pass, h, &c.fn, &c.base, &c.scale, STREAMS, 2, EPS, NORM_EPS),
                        ALLOY_ARG, "hyper_weights", "3 streams");
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(experts_rank_by_score_and_bias_and_weigh_by_score),
        cmocka_unit_test(ties_go_to_the_lower_expert),
        cmocka_unit_test(a_table_names_the_experts_of_an_id),
        cmocka_unit_test(swiglu_is_clamped),
        cmocka_unit_test(a_grouped_linear_is_a_linear_for_each_group),
        cmocka_unit_test(streams_collapse_and_expand),
        cmocka_unit_test(comb_becomes_doubly_stochastic),
        cmocka_unit_test(a_head_has_one_weight_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
