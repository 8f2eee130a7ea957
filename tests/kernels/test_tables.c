/* Every instruction set gives the bits of plain C. For each row of the table and each set that this processor has: the
 * same inputs, from a seed, to both; then outputs are compared by their bits, with all memory around and between them.
 * Inputs are of every kind (inputs.h), sizes are odd, pointers are unaligned, and a crash is a failure of the kernel
 * that it happened in. ALLOY_TEST_SEED in the environment chooses the seed, ALLOY_TEST_KERNELS the one set to
 * compare, which then must be there. */
#include "conversions.h"

#include <signal.h>

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/kernels.h"

/* ---- Dots -------------------------------------------------------------------------------------------------------- */

static void linear_of(trial *t, alloy_dtype dtype, int64_t n, int64_t rows, int64_t k)
{
    source *s = &t->source;
    char what[120];
    int64_t size = dtype == ALLOY_F32 ? 4 : 2, x_stride = k + between(s, 0, 3), w_stride = k * size + between(s, 0, 3);
    int64_t x_count = (n - 1) * x_stride + k, w_bytes = (rows - 1) * w_stride + k * size,
            y_stride = rows + between(s, 0, 3);
    float *x = numbers(s, t->kind, x_count), *values = numbers(s, t->kind, rows * k), *bias = numbers(s, t->kind, rows);
    char *memory = malloc((size_t)w_bytes + 1), *w = memory + 1;
    memset(memory, 0, (size_t)w_bytes + 1);
    for (int64_t r = 0; r < rows; r++)
        t->plain->narrow(w + r * w_stride, values + r * k, dtype, k);
    alloy_linear_job job = {.y_stride = y_stride,
                            .x = x,
                            .x_stride = x_stride,
                            .n = n,
                            .k = k,
                            .w = w,
                            .dtype = dtype,
                            .w_stride = w_stride,
                            .rows = rows,
                            .bias = between(s, 0, 1) ? bias : NULL,
                            .scale = between(s, 0, 1) ? 1 : 0.37f};
    outputs o = make_outputs(NULL, n * y_stride);
    for (int run = 0; run < 2; run++) {
        job.y = output(&o, run);
        table(t, run)->linear(&job, t->scratch);
    }
    snprintf(what, sizeof what, "%s n=%lld rows=%lld k=%lld", alloy_dtype_name(dtype), (long long)n, (long long)rows,
             (long long)k);
    compare_outputs(t, &o, what);
    free(x), free(values), free(bias), free(memory);
}

/* Scales of random tiles for `rows` weights of k, whose first row is not the first of its tile. */
static alloy_scales scales_of(trial *t, alloy_dtype dtype, int64_t rows, int64_t k)
{
    static const int64_t columns[] = {16, 32, 48, 128};
    source *s = &t->source;
    static const alloy_dtype dtypes[] = {ALLOY_F8_E8M0, ALLOY_F8_E8M0, ALLOY_F32, ALLOY_BF16};
    alloy_scales scales = {.dtype = dtypes[between(s, 0, 3)],
                           .rows = between(s, 0, 1) ? 1 : between(s, 1, 5),
                           .columns = columns[between(s, 0, 3)],
                           .first = between(s, 0, 7)};
    const int64_t across = (k + scales.columns - 1) / scales.columns, down = (scales.first + rows) / scales.rows + 1;
    if (dtype == ALLOY_F4 && between(s, 0, 3) == 0)
        return (alloy_scales){0};
    scales.stride = across * alloy_dtype_bits(scales.dtype) / 8 + between(s, 0, 3);
    float *factors = numbers(s, t->kind, across * down);
    uint8_t *data = malloc((size_t)(scales.stride * down));
    for (int64_t r = 0; r < down; r++)
        for (int64_t c = 0; c < across; c++)
            if (scales.dtype != ALLOY_F8_E8M0)
                t->plain->narrow(data + r * scales.stride + c * alloy_dtype_bits(scales.dtype) / 8,
                                 &factors[r * across + c], scales.dtype, 1);
            else
                data[r * scales.stride + c] =
                    (uint8_t)(t->kind == PLAIN ? between(s, 120, 130) : between(s, 0, t->kind == WIDE ? 254 : 255));
    free(factors);
    scales.data = data;
    return scales;
}

/* Weights of random bytes, all of which mean something; NaN among them where numbers are special. */
static void scaled_linear_of(trial *t, alloy_dtype dtype, int64_t n, int64_t rows, int64_t k)
{
    source *s = &t->source;
    char what[160];
    k += dtype == ALLOY_F4 ? k % 2 : 0;
    const int64_t row = k * alloy_dtype_bits(dtype) / 8, stride = row + between(s, 0, 3),
                  bytes = (rows - 1) * stride + row;
    float *x = numbers(s, t->kind, n * k);
    uint8_t *w = malloc((size_t)bytes);
    for (int64_t i = 0; i < bytes; i++) {
        w[i] = (uint8_t)between(s, 0, 255);
        if (dtype == ALLOY_F8_E4M3 && (w[i] & 0x7f) == 0x7f && (t->kind != SPECIAL || between(s, 0, 7)))
            w[i] ^= 1;
    }
    alloy_linear_job job = {.y_stride = rows, .x = x, .x_stride = k, .n = n, .k = k, .w = w, .dtype = dtype};
    job.w_stride = stride, job.rows = rows, job.scale = 1;
    job.scales = scales_of(t, dtype, rows, k);
    outputs o = make_outputs(NULL, n * rows);
    for (int run = 0; run < 2; run++) {
        job.y = output(&o, run);
        table(t, run)->linear(&job, t->scratch);
    }
    snprintf(what, sizeof what, "%s n=%lld rows=%lld k=%lld, scales %s in tiles of %lld x %lld from row %lld",
             alloy_dtype_name(dtype), (long long)n, (long long)rows, (long long)k,
             job.scales.data ? alloy_dtype_name(job.scales.dtype) : "none", (long long)job.scales.rows,
             (long long)job.scales.columns, (long long)job.scales.first);
    compare_outputs(t, &o, what);
    free(x), free(w), free((void *)job.scales.data);
}

static void scaled_linear(trial *t)
{
    static const int64_t ks[] = {1,  2,  7,  15, 16,  17,  24,  31,  32,  33,  47,
                                 48, 63, 64, 80, 127, 128, 129, 160, 511, 513, 785};
    static const alloy_dtype dtypes[] = {ALLOY_F8_E4M3, ALLOY_F4};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
        for (int d = 0; d < 2; d++)
            for (int64_t n = 1; n <= 2; n++)
                scaled_linear_of(t, dtypes[d], n, between(&t->source, 1, 12), ks[i]);
    for (int64_t n = 1; n <= 12; n++)
        for (int64_t rows = 1; rows <= 9; rows++)
            scaled_linear_of(t, dtypes[(n + rows) % 2], n, rows, between(&t->source, 1, 200));
    for (int d = 0; d < 2; d++) {
        scaled_linear_of(t, dtypes[d], 1, 131, 385);
        scaled_linear_of(t, dtypes[d], 72, between(&t->source, 127, 133), between(&t->source, 500, 600));
    }
    scaled_linear_of(t, ALLOY_F8_E4M3, 1, 24, 50001); /* more scales than are made ready at a time */
}

static void linear(trial *t)
{
    scaled_linear(t);
    static const alloy_dtype dtypes[] = {ALLOY_F32, ALLOY_BF16, ALLOY_F16};
    static const int64_t ks[] = {1,  2,   7,   8,   9,   15,  16,  17,  24,  31, 32,
                                 33, 255, 256, 257, 264, 265, 300, 511, 513, 769};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
        for (int d = 0; d < 3; d++) {
            linear_of(t, dtypes[d], between(&t->source, 1, 12), between(&t->source, 1, 12), ks[i]);
            linear_of(t, dtypes[d], between(&t->source, 9, 64), between(&t->source, 1, 20), ks[i]);
        }
    for (int64_t n = 1; n <= 18; n++)
        for (int64_t rows = 1; rows <= 9; rows++)
            linear_of(t, dtypes[(n + rows) % 3], n, rows, between(&t->source, 1, 70));
    for (int d = 0; d < 3; d++)
        linear_of(t, dtypes[d], between(&t->source, 96, 101), between(&t->source, 127, 133),
                  between(&t->source, 500, 600));
}

static void norm_of(trial *t, int64_t rows, int64_t d, int which, bool in_place)
{
    char what[80];
    source *s = &t->source;
    float *x = numbers(s, t->kind, rows * d), *w = numbers(s, t->kind, d), eps = between(s, 0, 3) ? 1e-6f : 0,
          scale = (float)uniform(s);
    const float *weights = between(s, 0, 3) ? w : NULL;
    outputs o = make_outputs(x, rows * d);
    for (int run = 0; run < 2; run++) {
        float *y = output(&o, run);
        const float *from = in_place ? y : x;
        if (which == 0)
            table(t, run)->rms_norm(y, from, weights, rows, d, eps);
        else if (which == 1)
            table(t, run)->l2_norm(y, from, rows, d, eps, scale);
        else
            table(t, run)->softmax(y, from, rows, d);
    }
    snprintf(what, sizeof what, "rows=%lld d=%lld%s", (long long)rows, (long long)d, in_place ? " in place" : "");
    compare_outputs(t, &o, what);
    free(x), free(w);
}

static void norms(trial *t, int which)
{
    for (int64_t d = 1; d <= 130; d += d < 70 ? 1 : 57)
        norm_of(t, between(&t->source, 1, 4), d, which, d % 2);
    norm_of(t, 3, 300, which, false);
}

static void rms_norm(trial *t)
{
    norms(t, 0);
}

static void l2_norm(trial *t)
{
    norms(t, 1);
}

static void softmax(trial *t)
{
    norms(t, 2);
}

/* ---- Attention --------------------------------------------------------------------------------------------------- */

/* Which places each row sees: all of them, a diagonal, a window, nothing, anything. */
static void see(source *s, int32_t *from, int32_t *to, int64_t rows, int64_t places)
{
    int64_t shape = between(s, 0, 4), first = between(s, 0, places - 1);
    for (int64_t i = 0; i < rows; i++) {
        from[i] = (int32_t)(shape == 3 ? between(s, 0, places) : shape == 2 ? (first + i / 2) % places : 0);
        to[i] = (int32_t)(shape == 3   ? between(s, 0, places)
                          : shape == 1 ? 1 + (first + i / 2) % places
                          : shape == 2 ? (from[i] + 9 < places ? from[i] + 9 : places)
                          : shape == 4 ? first
                                       : places);
    }
}

/* Keys and values that no row sees must not matter, so they are NaN. */
static void spoil_unseen(float *k, float *v, const alloy_attention_block *b, int64_t places)
{
    for (int64_t j = 0; j < places; j++) {
        bool seen = false;
        for (int64_t i = 0; i < b->rows; i++)
            seen |= b->from[i] <= j && j < b->to[i];
        for (int64_t e = 0; !seen && e < b->d; e++)
            k[j * b->k_stride + e] = NAN;
        for (int64_t e = 0; !seen && e < b->dv; e++)
            v[j * b->v_stride + e] = NAN;
    }
}

static void attention_of(trial *t, int64_t rows, int64_t d, int64_t dv)
{
    char what[80];
    source *s = &t->source;
    int32_t from[64], to[64];
    int64_t places = between(s, 0, 2) ? between(s, 1, 64) : 64, o_stride = dv + between(s, 0, 3);
    alloy_attention_block b = {.q_stride = d + between(s, 0, 3),
                               .rows = rows,
                               .k_stride = d + between(s, 0, 3),
                               .v_stride = dv + between(s, 0, 3),
                               .from = from,
                               .to = to,
                               .d = d,
                               .dv = dv,
                               .scale = (float)uniform(s),
                               .o_stride = o_stride};
    float *q = numbers(s, t->kind, (rows - 1) * b.q_stride + d),
          *k = numbers(s, t->kind, (places - 1) * b.k_stride + d);
    float *v = numbers(s, t->kind, (places - 1) * b.v_stride + dv), *m = numbers(s, PLAIN, rows),
          *l = numbers(s, PLAIN, rows);
    float *start = numbers(s, t->kind, rows * o_stride);
    see(s, from, to, rows, places);
    spoil_unseen(k, v, &b, places);
    for (int64_t i = 0; i < rows; i++)
        m[i] = between(s, 0, 2) ? m[i] : -INFINITY;
    outputs ms = make_outputs(m, rows), ls = make_outputs(l, rows), os = make_outputs(start, rows * o_stride);
    b.q = q, b.k = k, b.v = v;
    for (int run = 0; run < 2; run++) {
        b.m = output(&ms, run), b.l = output(&ls, run), b.o = output(&os, run);
        table(t, run)->attention_block(&b, t->scratch);
    }
    snprintf(what, sizeof what, "rows=%lld d=%lld dv=%lld", (long long)rows, (long long)d, (long long)dv);
    compare_outputs(t, &ms, what), compare_outputs(t, &ls, what), compare_outputs(t, &os, what);
    free(q), free(k), free(v), free(m), free(l), free(start);
}

static void attention_block(trial *t)
{
    for (int64_t rows = 1; rows <= 20; rows++)
        for (int i = 0; i < 3; i++)
            attention_of(t, rows, between(&t->source, 1, 70), between(&t->source, 1, 70));
    attention_of(t, 64, 129, 127);
    attention_of(t, 63, 64, 64);
    attention_of(t, 12, 128, 128);
}

static void attention_merge(trial *t)
{
    for (int64_t dv = 1; dv < 40; dv++) {
        source *s = &t->source;
        int64_t rows = between(s, 1, 5);
        float *m = numbers(s, t->kind, rows), *l = numbers(s, t->kind, rows), *o = numbers(s, t->kind, rows * dv);
        float *m2 = numbers(s, t->kind, rows), *l2 = numbers(s, t->kind, rows), *o2 = numbers(s, t->kind, rows * dv);
        for (int64_t i = 0; i < rows; i++) {
            m[i] = between(s, 0, 2) ? m[i] : -INFINITY;
            m2[i] = between(s, 0, 2) ? m2[i] : -INFINITY;
        }
        outputs ms = make_outputs(m, rows), ls = make_outputs(l, rows), os = make_outputs(o, rows * dv);
        for (int run = 0; run < 2; run++)
            table(t, run)->attention_merge(output(&ms, run), output(&ls, run), output(&os, run), m2, l2, o2, rows, dv);
        compare_outputs(t, &ms, "m"), compare_outputs(t, &ls, "l"), compare_outputs(t, &os, "o");
        free(m), free(l), free(o), free(m2), free(l2), free(o2);
    }
}

static void attention_finish(trial *t)
{
    for (int64_t dv = 1; dv < 40; dv++) {
        int64_t rows = between(&t->source, 1, 5), stride = dv + between(&t->source, 0, 3);
        float *l = numbers(&t->source, t->kind, rows), *o = numbers(&t->source, t->kind, rows * dv);
        outputs y = make_outputs(NULL, rows * stride);
        for (int run = 0; run < 2; run++)
            table(t, run)->attention_finish(output(&y, run), stride, l, o, rows, dv);
        compare_outputs(t, &y, "y");
        free(l), free(o);
    }
}

/* ---- Column sums ------------------------------------------------------------------------------------------------- */

static void conv1d(trial *t)
{
    for (int64_t channels = 1; channels <= 130; channels += channels < 40 ? 1 : 30)
        for (int64_t taps = 1; taps <= 5; taps++) {
            float *x[5], *w = numbers(&t->source, t->kind, taps * channels);
            for (int64_t j = 0; j < taps; j++)
                x[j] = numbers(&t->source, t->kind, channels);
            outputs y = make_outputs(NULL, channels);
            for (int run = 0; run < 2; run++)
                table(t, run)->vector.conv1d(output(&y, run), (const float *const *)x, w, taps, channels);
            compare_outputs(t, &y, "y");
            for (int64_t j = 0; j < taps; j++)
                free(x[j]);
            free(w);
        }
}

static void dots(trial *t)
{
    for (int64_t n = 1; n <= 300; n += n < 70 ? 1 : 57) {
        int64_t rows = between(&t->source, 1, 9), stride = n + between(&t->source, 0, 3);
        float *x = numbers(&t->source, t->kind, n), *w = numbers(&t->source, t->kind, rows * stride);
        outputs y = make_outputs(NULL, rows);
        for (int run = 0; run < 2; run++)
            table(t, run)->vector.dots(output(&y, run), x, w, stride, rows, n);
        compare_outputs(t, &y, "y");
        free(x), free(w);
    }
}

static void decay_add_outer(trial *t)
{
    for (int64_t n = 1; n <= 130; n += n < 40 ? 1 : 30) {
        int64_t rows = between(&t->source, 1, 9), stride = n + between(&t->source, 0, 3);
        float *a = numbers(&t->source, t->kind, rows), *x = numbers(&t->source, t->kind, n);
        float *state = numbers(&t->source, t->kind, rows * stride);
        outputs s = make_outputs(state, rows * stride);
        for (int run = 0; run < 2; run++)
            table(t, run)->vector.decay_add_outer(output(&s, run), stride, 0.9f, a, x, rows, n);
        compare_outputs(t, &s, "s");
        free(a), free(x), free(state);
    }
}

static void delta_of(trial *t, int64_t keys, int64_t columns, int64_t tokens)
{
    char what[80];
    source *s = &t->source;
    int64_t stride = columns + between(s, 0, 3);
    alloy_delta_job job = {.state_stride = stride,
                           .keys = keys,
                           .columns = columns,
                           .tokens = tokens,
                           .q_stride = keys + between(s, 0, 3),
                           .k_stride = keys + between(s, 0, 3),
                           .v_stride = columns + between(s, 0, 3),
                           .decay_stride = between(s, 1, 3),
                           .beta_stride = between(s, 1, 3),
                           .y_stride = columns + between(s, 0, 3)};
    float *q = numbers(s, t->kind, (tokens - 1) * job.q_stride + keys),
          *k = numbers(s, t->kind, (tokens - 1) * job.k_stride + keys);
    float *v = numbers(s, t->kind, (tokens - 1) * job.v_stride + columns), *state = numbers(s, t->kind, keys * stride);
    float *decay = numbers(s, t->kind, tokens * job.decay_stride),
          *beta = numbers(s, t->kind, tokens * job.beta_stride);
    outputs states = make_outputs(state, keys * stride), y = make_outputs(NULL, tokens * job.y_stride);
    job.q = q, job.k = k, job.v = v, job.decay = decay, job.beta = beta;
    for (int run = 0; run < 2; run++) {
        job.state = output(&states, run), job.y = output(&y, run);
        table(t, run)->vector.delta_rule(&job);
    }
    snprintf(what, sizeof what, "keys=%lld columns=%lld tokens=%lld", (long long)keys, (long long)columns,
             (long long)tokens);
    compare_outputs(t, &states, what), compare_outputs(t, &y, what);
    free(q), free(k), free(v), free(state), free(decay), free(beta);
}

static void delta_rule(trial *t)
{
    for (int64_t keys = 1; keys <= 20; keys++)
        for (int64_t columns = 1; columns <= 40; columns += 1 + keys % 4)
            delta_of(t, keys, columns, between(&t->source, 1, 7));
    delta_of(t, 128, 64, 5);
    delta_of(t, 256, 33, 4);
    delta_of(t, 257, 33, 4);
}

/* ---- One element at a time --------------------------------------------------------------------------------------- */

/* A row as y, a, b; those with fewer inputs leave b. */
static void call(const alloy_kernels *k, int which, float *y, const float *a, const float *b, int64_t n)
{
    switch (which) {
    case 0:
        k->vector.add(y, a, b, n);
        break;
    case 1:
        k->vector.multiply(y, a, b, n);
        break;
    case 2:
        k->vector.silu(y, a, n);
        break;
    case 3:
        k->vector.sigmoid(y, a, n);
        break;
    case 4:
        k->vector.exp(y, a, n);
        break;
    case 5:
        k->vector.multiply_silu(y, a, b, n);
        break;
    case 6:
        k->vector.multiply_sigmoid(y, a, b, n);
        break;
    case 8:
        k->sqrt_softplus(y, a, n);
        break;
    case 9:
        k->clamped_swiglu(y, a, b, 0.7f, n);
        break;
    default:
        k->vector.add_scaled(y, b[0], a, n);
        break;
    }
}

static void elements(trial *t, int which)
{
    for (int64_t n = 0; n <= 300; n += n < 70 ? 1 : n < 127 || n >= 130 ? 57 : 1)
        for (int place = 0; place < 3; place++) { /* y apart, y is a, y is b */
            float *a = numbers(&t->source, t->kind, n), *b = numbers(&t->source, t->kind, n + 1);
            for (int64_t i = 0; which >= 2 && t->kind == WIDE && i < n; i++)
                a[i] = 120 * (float)uniform(&t->source) - 60, b[i] = 220 * (float)uniform(&t->source) - 110;
            outputs y = make_outputs(place == 2 ? b : a, n);
            for (int run = 0; run < 2; run++)
                call(table(t, run), which, output(&y, run), place == 1 ? output(&y, run) : a,
                     place == 2 && which != 7 ? output(&y, run) : b, n);
            compare_outputs(t, &y, place == 0 ? "apart" : "in place");
            free(a), free(b);
        }
}

#define ELEMENTS(NAME, WHICH)                                                                                          \
    static void NAME(trial *t)                                                                                         \
    {                                                                                                                  \
        elements(t, WHICH);                                                                                            \
    }
ELEMENTS(add, 0)
ELEMENTS(multiply, 1)
ELEMENTS(silu, 2)
ELEMENTS(sigmoid, 3)
ELEMENTS(exponential, 4)
ELEMENTS(multiply_silu, 5)
ELEMENTS(multiply_sigmoid, 6)
ELEMENTS(add_scaled, 7)
ELEMENTS(sqrt_softplus, 8)
ELEMENTS(clamped_swiglu, 9)

static void rotary(trial *t)
{
    for (int64_t d = 2; d <= 130; d += d < 70 ? 1 : 29) {
        int64_t heads = between(&t->source, 1, 3), half = between(&t->source, 1, d / 2);
        float *x = numbers(&t->source, t->kind, heads * d), *cosines = numbers(&t->source, t->kind, half);
        float *sines = numbers(&t->source, t->kind, half);
        outputs y = make_outputs(x, heads * d);
        for (int run = 0; run < 2; run++)
            table(t, run)->rotary(output(&y, run), d % 2 ? output(&y, run) : x, heads, d, half, cosines, sines);
        compare_outputs(t, &y, d % 2 ? "in place" : "apart");
        free(x), free(cosines), free(sines);
    }
}

static void rotary_pairs(trial *t)
{
    for (int64_t d = 2; d <= 130; d += d < 70 ? 1 : 29) {
        int64_t heads = between(&t->source, 1, 3), channels = 2 * between(&t->source, 1, d / 2);
        float *x = numbers(&t->source, t->kind, heads * d), *cosines = numbers(&t->source, t->kind, channels);
        float *sines = numbers(&t->source, t->kind, channels);
        outputs y = make_outputs(x, heads * d);
        for (int run = 0; run < 2; run++)
            table(t, run)->rotary_pairs(output(&y, run), d % 2 ? output(&y, run) : x, heads, d, channels, cosines,
                                        sines);
        compare_outputs(t, &y, d % 2 ? "in place" : "apart");
        free(x), free(cosines), free(sines);
    }
}

/* ---- DeepSeek-V4 ------------------------------------------------------------------------------------------------- */

/* Windows of one to three segments, whose rows are apart. */
static void compress(trial *t)
{
    source *s = &t->source;
    for (int64_t channels = 1; channels <= 70; channels += channels < 36 ? 1 : 17) {
        alloy_compress_segment segments[3];
        float *made[3];
        int count = (int)between(s, 1, 3);
        for (int i = 0; i < count; i++) {
            int64_t rows = between(s, 1, 6), stride = channels + between(s, 0, 3);
            float *all = made[i] = numbers(s, t->kind, 3 * rows * stride);
            segments[i] =
                (alloy_compress_segment){all, all + rows * stride, all + 2 * rows * stride, stride, stride, rows};
        }
        outputs y = make_outputs(NULL, channels);
        for (int run = 0; run < 2; run++)
            table(t, run)->compress(output(&y, run), segments, count, channels);
        compare_outputs(t, &y, "channels of a window");
        for (int i = 0; i < count; i++)
            free(made[i]);
    }
}

static void index_scores(trial *t)
{
    source *s = &t->source;
    for (int64_t entries = 1; entries <= 40; entries++) {
        int64_t heads = between(s, 1, 70), stride = entries + between(s, 0, 3);
        float *dots = numbers(s, t->kind, (heads - 1) * stride + entries), *w = numbers(s, t->kind, heads);
        outputs y = make_outputs(NULL, entries);
        for (int run = 0; run < 2; run++)
            table(t, run)->index_scores(output(&y, run), dots, stride, w, heads, entries);
        compare_outputs(t, &y, "scores");
        free(dots), free(w);
    }
}

static void hyper_weights(trial *t)
{
    source *s = &t->source;
    for (int64_t n = 1; n <= 9; n++)
        for (int64_t iterations = 0; iterations <= 3; iterations++) {
            int64_t count = iterations ? (2 + n) * n : n;
            float *mixes = numbers(s, t->kind, count), *base = numbers(s, t->kind, count),
                  *scale = numbers(s, PLAIN, 3);
            outputs y = make_outputs(NULL, count);
            for (int run = 0; run < 2; run++)
                table(t, run)->hyper_weights(output(&y, run), mixes, base, scale, n, iterations, 1e-6f);
            compare_outputs(t, &y, "streams");
            free(mixes), free(base), free(scale);
        }
}

/* ---- All rows ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(trial *t);
} rows[] = {
    {"linear", linear},
    {"rms_norm", rms_norm},
    {"l2_norm", l2_norm},
    {"softmax", softmax},
    {"attention_block", attention_block},
    {"conv1d", conv1d},
    {"dots", dots},
    {"decay_add_outer", decay_add_outer},
    {"delta_rule", delta_rule},
    {"add_scaled", add_scaled},
    {"attention_merge", attention_merge},
    {"attention_finish", attention_finish},
    {"add", add},
    {"multiply", multiply},
    {"silu", silu},
    {"sigmoid", sigmoid},
    {"exp", exponential},
    {"multiply_silu", multiply_silu},
    {"multiply_sigmoid", multiply_sigmoid},
    {"rotary", rotary},
    {"rotary_pairs", rotary_pairs},
    {"sqrt_softplus", sqrt_softplus},
    {"clamped_swiglu", clamped_swiglu},
    {"compress", compress},
    {"index_scores", index_scores},
    {"hyper_weights", hyper_weights},
    {"widen", widen},
    {"widen_row", widen_row},
    {"narrow", narrow},
    {"all_finite", all_finite},
    {"read", read_all},
    {"fill", fill},
    {"copy", copy},
};
enum { ROWS = sizeof rows / sizeof *rows };
_Static_assert(ROWS * sizeof(void (*)(void)) + sizeof(char *) + sizeof(size_t) == sizeof(alloy_kernels),
               "a new row of the table needs its comparison here");

static sigjmp_buf before_crash;

static void crashed(int signal)
{
    siglongjmp(before_crash, signal);
}

/* The differences of a row over all kinds of numbers; a crash counts as one. */
static int64_t try_row(trial *t, int row, uint64_t seed)
{
    static const int signals[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE};
    t->row = rows[row].name;
    t->differences = 0;
    int signal = sigsetjmp(before_crash, 1);
    if (signal) {
        print_error("%s %s: crashed: %s\n", t->tried->name, t->row, strsignal(signal));
        return 1;
    }
    for (int i = 0; !ALLOY_TEST_SANITIZED && i < 4; i++)
        sigaction(signals[i], &(struct sigaction){.sa_handler = crashed, .sa_flags = SA_NODEFER}, NULL);
    for (int i = 0; i < KINDS; i++) {
        t->kind = (kind)i;
        t->source = (source){.seed = seed + (uint64_t)i};
        rows[row].run(t);
    }
    for (int i = 0; !ALLOY_TEST_SANITIZED && i < 4; i++)
        sigaction(signals[i], &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    return t->differences;
}

static trial against_plain(const alloy_kernels *tried)
{
    return (trial){
        .plain = alloy_kernels_get("generic"), .tried = tried, .scratch = alloy_memory_aligned(ALLOY_SCRATCH_BYTES, 1)};
}

static uint64_t seed_of_run(void)
{
    const char *seed = getenv("ALLOY_TEST_SEED");
    return seed ? strtoull(seed, NULL, 10) : 1;
}

static void every_set_gives_the_bits_of_plain_c(void **state)
{
    (void)state;
    int64_t differences = 0, compared = 0;
    const char *only = getenv("ALLOY_TEST_KERNELS");
    for (int i = 1; i < alloy_kernels_count(); i++) {
        if (only && strcmp(alloy_kernels_name(i), only) != 0)
            continue;
        const alloy_kernels *tried = alloy_kernels_get(alloy_kernels_name(i));
        if (!tried && only)
            fail_msg("%s", alloy_error());
        if (!tried) {
            print_message("not run: %s\n", alloy_error());
            continue;
        }
        trial t = against_plain(tried);
        for (int row = 0; row < ROWS; row++)
            differences += try_row(&t, row, seed_of_run());
        alloy_memory_free(t.scratch);
        compared++;
    }
    assert_int_equal(differences, 0);
    if (only)
        assert_int_equal(compared, 1);
}

/* ---- The comparison can fail ------------------------------------------------------------------------------------- */

static void broken_add(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
    if (n == 67)
        y[66] = nextafterf(y[66], INFINITY);
}

static void broken_margin(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
    y[n] = 0;
}

/* 8 lanes instead of 16 */
static void broken_linear(const alloy_linear_job *job, void *scratch)
{
    (void)scratch;
    for (int64_t t = 0; t < job->n; t++)
        for (int64_t r = 0; r < job->rows; r++) {
            float lanes[8] = {0}, *w = malloc((size_t)job->k * sizeof *w);
            alloy_kernels_get("generic")->widen_row(w, (const char *)job->w + r * job->w_stride, job->dtype,
                                                    &job->scales, r, job->k);
            for (int64_t k = 0; k < job->k; k++)
                lanes[k % 8] = fmaf(job->x[t * job->x_stride + k], w[k], lanes[k % 8]);
            free(w);
            float sum =
                ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
            job->y[t * job->y_stride + r] = (sum + (job->bias ? job->bias[r] : 0)) * job->scale;
        }
}

static void broken_exp(float *y, const float *x, int64_t n)
{
    alloy_kernels_get("generic")->vector.exp(y, x, n);
    if (n == 9)
        raise(SIGSEGV);
}

static int64_t differences_of(const alloy_kernels *broken, const char *row)
{
    trial t = against_plain(broken);
    int64_t found = 0;
    t.silent = true;
    for (int i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, row) == 0)
            found = try_row(&t, i, 1);
    alloy_memory_free(t.scratch);
    return found;
}

static void a_broken_kernel_is_found(void **state)
{
    (void)state;
    alloy_kernels broken = *alloy_kernels_get("generic");
    broken.name = "broken";
    broken.vector.add = broken_add;
    broken.vector.multiply = broken_margin;
    broken.linear = broken_linear;
    assert_true(differences_of(&broken, "add") > 0);
    assert_true(differences_of(&broken, "multiply") > 0);
    assert_true(differences_of(&broken, "linear") > 0);
    assert_true(differences_of(&broken, "silu") == 0);
}

static void a_crash_is_laid_to_its_kernel(void **state)
{
    (void)state;
    if (ALLOY_TEST_SANITIZED)
        skip(); /* the sanitizer reports it by itself */
    alloy_kernels broken = *alloy_kernels_get("generic");
    broken.name = "broken, as it should be,";
    broken.vector.exp = broken_exp;
    assert_true(differences_of(&broken, "exp") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_gives_the_bits_of_plain_c),
        cmocka_unit_test(a_broken_kernel_is_found),
        cmocka_unit_test(a_crash_is_laid_to_its_kernel),
    };
    if (getenv("ALLOY_TEST_KERNELS"))
        cmocka_set_test_filter("every_set_*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
