/* The ops of the delta net that keep something of a sequence, and its decay: the delta rule and the convolution against
 * their formulas in long double, and the same bits and states however a sequence is cut into forwards. */
#include "passes.h"

enum { KEY_HEADS = 2, HEADS = 4, K = 12, V = 40, TOKENS = 90, CHANNELS = 10, MOST_TAPS = 6 };

/* ---- The delta rule ---------------------------------------------------------------------------------------------- */

struct rule {
    alloy_tensor *q, *k, *v, *decay, *beta;
};

static struct rule make_rule(struct bench *b)
{
    struct rule r = {random_tensor(b, 1, 3, (int64_t[]){TOKENS, KEY_HEADS, K}),
                     random_tensor(b, 2, 3, (int64_t[]){TOKENS, KEY_HEADS, K}),
                     random_tensor(b, 3, 3, (int64_t[]){TOKENS, HEADS, V}),
                     random_tensor(b, 4, 2, (int64_t[]){TOKENS, HEADS}),
                     random_tensor(b, 5, 2, (int64_t[]){TOKENS, HEADS})};
    for (int64_t i = 0; i < TOKENS * KEY_HEADS * K; i++)
        alloy_f32(r.k)[i] *= 0.5f; /* of length about 1, as normalised keys are */
    for (int64_t i = 0; i < TOKENS * HEADS; i++) {
        alloy_f32(r.decay)[i] = 0.5f + 0.25f * (1 + alloy_f32(r.decay)[i]);
        alloy_f32(r.beta)[i] = 0.5f * (1 + alloy_f32(r.beta)[i]);
    }
    return r;
}

/* Of one value head: y [TOKENS, V] and the state S [K, V] behind the last token. */
static void follow_the_rule(const struct rule *r, int head, long double *y, long double *S)
{
    memset(S, 0, K * V * sizeof *S);
    for (int t = 0; t < TOKENS; t++) {
        const float *q = alloy_f32(r->q) + (t * KEY_HEADS + head / (HEADS / KEY_HEADS)) * K,
                    *k = alloy_f32(r->k) + (t * KEY_HEADS + head / (HEADS / KEY_HEADS)) * K,
                    *v = alloy_f32(r->v) + (t * HEADS + head) * V;
        long double decay = alloy_f32(r->decay)[t * HEADS + head], beta = alloy_f32(r->beta)[t * HEADS + head];
        for (int c = 0; c < V; c++) {
            long double known = 0, out = 0;
            for (int i = 0; i < K; i++)
                known += (S[i * V + c] *= decay) * k[i];
            for (int i = 0; i < K; i++)
                out += (S[i * V + c] += k[i] * beta * (v[c] - known)) * q[i];
            y[t * V + c] = out;
        }
    }
}

/* The whole sequence in forwards of `chunk` tokens, into y [TOKENS, HEADS, V]; the state is left in `kept`. */
static void run_rule(struct bench *b, const struct rule *r, struct kept *kept, int64_t chunk, float *y)
{
    begin_kept(kept, ALLOY_F32);
    alloy_state_keep_fixed(&kept->spec, "recurrent", HEADS * K * V);
    for (int64_t at = 0; at < TOKENS; at += chunk) {
        int64_t n = TOKENS - at < chunk ? TOKENS - at : chunk;
        set_span(b, n, at);
        reserve_kept(kept, b, chunk);
        alloy_tensor *part =
            alloy_delta_rule(&b->pass, rows_of(b, r->q, at, n), rows_of(b, r->k, at, n), rows_of(b, r->v, at, n),
                             rows_of(b, r->decay, at, n), rows_of(b, r->beta, at, n), &kept->state, 0);
        expect_ok(b->pass.status);
        memcpy(y + at * HEADS * V, alloy_f32(part), (size_t)(n * HEADS * V) * sizeof *y);
    }
}

static void the_delta_rule_is_what_its_formula_says(void **state)
{
    (void)state;
    static long double expected[TOKENS * V], S[K * V];
    static float y[TOKENS * HEADS * V];
    struct bench *b = open_bench(1);
    struct rule r = make_rule(b);
    struct kept kept;
    run_rule(b, &r, &kept, 33, y);
    for (int h = 0; h < HEADS; h++) {
        follow_the_rule(&r, h, expected, S);
        for (int t = 0; t < TOKENS; t++)
            for (int c = 0; c < V; c++)
                expect_near(y[(t * HEADS + h) * V + c], (double)expected[t * V + c], 5e-6, "y",
                            (t * HEADS + h) * V + c);
        const float *kept_state = (const float *)kept.block[0].store[0].data + h * K * V;
        for (int i = 0; i < K * V; i++)
            expect_near(kept_state[i], (double)S[i], 5e-6, "state", h * K * V + i);
    }
    end_kept(&kept);
    close_bench(b);
}

static void the_delta_rule_does_not_depend_on_the_chunk(void **state)
{
    (void)state;
    static float expected[TOKENS * HEADS * V], y[TOKENS * HEADS * V];
    static const int64_t chunks[] = {1, 7, 64};
    struct bench *b = open_bench(3);
    struct rule r = make_rule(b);
    struct kept whole, kept;
    run_rule(b, &r, &whole, TOKENS, expected);
    for (int i = 0; i < 3; i++) {
        run_rule(b, &r, &kept, chunks[i], y);
        expect_equal_bits(y, expected, TOKENS * HEADS * V, "y in chunks");
        expect_equal_bits(kept.block[0].store[0].data, whole.block[0].store[0].data, HEADS * K * V, "state");
        end_kept(&kept);
    }
    end_kept(&whole);
    close_bench(b);
}

static void a_delta_rule_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    struct rule r = make_rule(b);
    struct kept kept;
    begin_kept(&kept, ALLOY_F32);
    alloy_state_keep_fixed(&kept.spec, "recurrent", HEADS * K * V + 1);
    set_span(b, TOKENS, 0);
    reserve_kept(&kept, b, TOKENS);
    expect_pass_failure(b, alloy_delta_rule(&b->pass, r.q, r.k, r.v, r.decay, r.beta, &kept.state, 0), ALLOY_ARG,
                        "delta_rule", "part 0");
    expect_pass_failure(b, alloy_delta_rule(&b->pass, r.q, r.k, r.v, r.decay, r.v, &kept.state, 0), ALLOY_ARG,
                        "delta_rule");
    end_kept(&kept);
    close_bench(b);
}

/* ---- The convolution --------------------------------------------------------------------------------------------- */

static double convolved(const alloy_tensor *x, const alloy_weight *w, int64_t taps, int64_t first, int64_t t, int64_t c)
{
    double sum = 0;
    for (int64_t j = 0; j < taps; j++)
        if (t - taps + 1 + j >= first)
            sum += weight_at(w, c * taps + j) * (double)alloy_f32(x)[(t - taps + 1 + j) * CHANNELS + c];
    return silu64(sum);
}

/* x in forwards of `chunk` tokens, into y. */
static void convolve(struct bench *b, alloy_tensor *x, const alloy_weight *w, int64_t taps, struct kept *kept,
                     int64_t chunk, float *y)
{
    begin_kept(kept, ALLOY_F32);
    alloy_state_keep_fixed(&kept->spec, "tail", (taps - 1) * CHANNELS);
    for (int64_t at = 0; at < TOKENS; at += chunk) {
        int64_t n = TOKENS - at < chunk ? TOKENS - at : chunk;
        set_span(b, n, at);
        reserve_kept(kept, b, chunk);
        alloy_tensor *part = alloy_conv1d_silu(&b->pass, rows_of(b, x, at, n), w, &kept->state, 0);
        expect_ok(b->pass.status);
        memcpy(y + at * CHANNELS, alloy_f32(part), (size_t)(n * CHANNELS) * sizeof *y);
    }
}

/* With every number of taps, in chunks shorter and longer than the tail; the tail is the last rows of x. */
static void the_convolution_is_what_its_formula_says(void **state)
{
    (void)state;
    static const int64_t chunks[] = {1, 2, 3, 50, TOKENS};
    static float y[TOKENS * CHANNELS], first[TOKENS * CHANNELS];
    for (int64_t taps = 2; taps <= MOST_TAPS; taps++) {
        struct bench *b = open_bench(2);
        alloy_tensor *x = random_tensor(b, 1, 2, (int64_t[]){TOKENS, CHANNELS});
        alloy_weight w = random_weight(b, 2, ALLOY_BF16, 1, 3, (int64_t[]){CHANNELS, 1, taps});
        for (int i = 0; i < 5; i++) {
            struct kept kept;
            convolve(b, x, &w, taps, &kept, chunks[i], y);
            for (int64_t at = 0; i == 0 && at < TOKENS * CHANNELS; at++)
                expect_near(y[at], convolved(x, &w, taps, 0, at / CHANNELS, at % CHANNELS), 1e-6, "y", at);
            if (i == 0)
                memcpy(first, y, sizeof y);
            expect_equal_bits(y, first, TOKENS * CHANNELS, "y in chunks");
            expect_equal_bits(kept.block[0].store[0].data, alloy_f32(x) + (TOKENS - taps + 1) * CHANNELS,
                              (taps - 1) * CHANNELS, "tail");
            end_kept(&kept);
        }
        close_bench(b);
    }
}

/* The second sequence does not see the first one's rows. */
static void sequences_have_tails_of_their_own(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    alloy_tensor *x = random_tensor(b, 1, 2, (int64_t[]){TOKENS, CHANNELS});
    alloy_weight w = random_weight(b, 2, ALLOY_F32, 1, 2, (int64_t[]){CHANNELS, 4});
    struct kept kept;
    begin_kept(&kept, ALLOY_F32);
    alloy_state_keep_fixed(&kept.spec, "tail", 3 * CHANNELS);
    set_spans(b, 2, (int64_t[]){2, TOKENS - 2}, (int64_t[]){0, 0});
    reserve_kept(&kept, b, TOKENS);
    alloy_tensor *y = alloy_conv1d_silu(&b->pass, x, &w, &kept.state, 0);
    expect_ok(b->pass.status);
    for (int64_t at = 0; at < TOKENS * CHANNELS; at++)
        expect_near(alloy_f32(y)[at], convolved(x, &w, 4, at < 2 * CHANNELS ? 0 : 2, at / CHANNELS, at % CHANNELS),
                    1e-6, "y", at);
    const float *tail = kept.block[0].store[0].data;
    static const float zeros[CHANNELS];
    expect_equal_bits(tail, zeros, CHANNELS, "a tail longer than its sequence");
    expect_equal_bits(tail + CHANNELS, alloy_f32(x), 2 * CHANNELS, "a tail longer than its sequence");
    end_kept(&kept);
    close_bench(b);
}

static void a_convolution_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    struct kept kept;
    begin_kept(&kept, ALLOY_F32);
    alloy_state_keep_fixed(&kept.spec, "tail", 3 * CHANNELS);
    set_span(b, 4, 0);
    reserve_kept(&kept, b, 4);
    alloy_tensor *x = random_tensor(b, 1, 2, (int64_t[]){4, CHANNELS});
    alloy_weight one = random_weight(b, 2, ALLOY_F32, 1, 3, (int64_t[]){CHANNELS, 1, 1}),
                 five = random_weight(b, 2, ALLOY_F32, 1, 3, (int64_t[]){CHANNELS, 1, 5}),
                 narrow = random_weight(b, 2, ALLOY_F32, 1, 3, (int64_t[]){CHANNELS - 1, 1, 4});
    expect_pass_failure(b, alloy_conv1d_silu(&b->pass, x, &one, &kept.state, 0), ALLOY_ARG, "conv1d_silu", "2 to 32");
    expect_pass_failure(b, alloy_conv1d_silu(&b->pass, x, &five, &kept.state, 0), ALLOY_ARG, "part 0", "4 rows");
    expect_pass_failure(b, alloy_conv1d_silu(&b->pass, x, &narrow, &kept.state, 0), ALLOY_ARG, "10 channels");
    end_kept(&kept);
    close_bench(b);
}

/* ---- The decay --------------------------------------------------------------------------------------------------- */

/* Rounded once: the error is half a unit in the last place, wherever softplus bends. */
static void the_decay_is_the_nearest_float(void **state)
{
    (void)state;
    enum { ROWS = 41 };
    struct bench *b = open_bench(1);
    set_span(b, ROWS, 0);
    alloy_tensor *a = random_tensor(b, 1, 2, (int64_t[]){ROWS, HEADS});
    for (int64_t i = 0; i < ROWS * HEADS; i++)
        alloy_f32(a)[i] = (float)(i / HEADS - ROWS / 2) * 2 + alloy_f32(a)[i];
    alloy_weight A_log = random_weight(b, 2, ALLOY_F32, 2, 1, (int64_t[]){HEADS}),
                 dt_bias = random_weight(b, 3, ALLOY_BF16, 1, 1, (int64_t[]){HEADS}),
                 other = random_weight(b, 3, ALLOY_F32, 1, 1, (int64_t[]){HEADS + 1});
    alloy_tensor *y = alloy_decay(&b->pass, a, &A_log, &dt_bias);
    expect_ok(b->pass.status);
    for (int64_t i = 0; i < ROWS * HEADS; i++) {
        long double x = (long double)((double)alloy_f32(a)[i] + weight_at(&dt_bias, i % HEADS));
        long double exact = expl(-expl((long double)weight_at(&A_log, i % HEADS)) * log1pl(expl(x)));
        expect_near(alloy_f32(y)[i], (double)exact, (double)exact * 0x1.0001p-24 + 0x1p-149, "decay", i);
    }
    expect_pass_failure(b, alloy_decay(&b->pass, a, &other, &dt_bias), ALLOY_ARG, "decay");
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_delta_rule_is_what_its_formula_says),
        cmocka_unit_test(the_delta_rule_does_not_depend_on_the_chunk),
        cmocka_unit_test(a_delta_rule_that_does_not_fit_is_refused),
        cmocka_unit_test(the_convolution_is_what_its_formula_says),
        cmocka_unit_test(sequences_have_tails_of_their_own),
        cmocka_unit_test(a_convolution_that_does_not_fit_is_refused),
        cmocka_unit_test(the_decay_is_the_nearest_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
