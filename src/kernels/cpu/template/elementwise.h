/* Kernels whose elements do not meet, and short column sums (kernels.h). `map1` and `map2` are loops over n elements
 * with a function of vectors that the compiler inlines. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_ELEMENTWISE_H
#define ALLOY_KERNELS_CPU_TEMPLATE_ELEMENTWISE_H

ALLOY_INLINE void map1(float *y, const float *a, int64_t n, vec (*function)(vec))
{
    int64_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(y + i, function(v_load(a + i)));
    if (i < n)
        v_store_first(y + i, function(v_load_first(a + i, n - i)), n - i);
}

ALLOY_INLINE void map2(float *y, const float *a, const float *b, int64_t n, vec (*function)(vec, vec))
{
    int64_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(y + i, function(v_load(a + i), v_load(b + i)));
    if (i < n)
        v_store_first(y + i, function(v_load_first(a + i, n - i), v_load_first(b + i, n - i)), n - i);
}

/* y = fma(a, x, y) */
ALLOY_INLINE void add_scaled_row(float *y, float a, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(y + i, v_fma(v_set(a), v_load(x + i), v_load(y + i)));
    if (i < n)
        v_store_first(y + i, v_fma(v_set(a), v_load_first(x + i, n - i), v_load_first(y + i, n - i)), n - i);
}

ALLOY_INLINE vec times_silu(vec x, vec gate)
{
    return v_mul(v_silu(gate), x);
}

ALLOY_INLINE vec times_sigmoid(vec x, vec gate)
{
    return v_mul(x, v_sigmoid(gate));
}

static void dots(float *y, const float *x, const float *w, int64_t w_stride, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        y[r] = dot(x, w + r * w_stride, n);
}

static void decay_add_outer(float *s, int64_t s_stride, float decay, const float *a, const float *x, int64_t rows,
                            int64_t n)
{
    for (int64_t r = 0; r < rows; r++) {
        float *row = s + r * s_stride;
        int64_t i = 0;
        for (; i + WIDTH <= n; i += WIDTH)
            v_store(row + i, v_fma(v_load(row + i), v_set(decay), v_mul(v_set(a[r]), v_load(x + i))));
        if (i < n) {
            vec product = v_mul(v_set(a[r]), v_load_first(x + i, n - i));
            v_store_first(row + i, v_fma(v_load_first(row + i, n - i), v_set(decay), product), n - i);
        }
    }
}

static void add_scaled(float *y, float a, const float *x, int64_t n)
{
    add_scaled_row(y, a, x, n);
}

static void add(float *y, const float *a, const float *b, int64_t n)
{
    map2(y, a, b, n, v_add);
}

static void multiply(float *y, const float *a, const float *b, int64_t n)
{
    map2(y, a, b, n, v_mul);
}

static void silu(float *y, const float *x, int64_t n)
{
    map1(y, x, n, v_silu);
}

static void sigmoid(float *y, const float *x, int64_t n)
{
    map1(y, x, n, v_sigmoid);
}

static void exponential(float *y, const float *x, int64_t n)
{
    map1(y, x, n, v_exp);
}

ALLOY_INLINE vec root_of_softplus(vec x)
{
    return v_sqrt(v_softplus(x));
}

static void sqrt_softplus(float *y, const float *x, int64_t n)
{
    map1(y, x, n, root_of_softplus);
}

static void multiply_silu(float *y, const float *x, const float *gate, int64_t n)
{
    map2(y, x, gate, n, times_silu);
}

static void multiply_sigmoid(float *y, const float *x, const float *gate, int64_t n)
{
    map2(y, x, gate, n, times_sigmoid);
}

ALLOY_INLINE void rotate(float *y, const float *x, int64_t half, vec cosine, vec sine, int64_t count)
{
    bool whole = count >= WIDTH;
    vec a = whole ? v_load(x) : v_load_first(x, count), b = whole ? v_load(x + half) : v_load_first(x + half, count);
    vec first = v_fma(a, cosine, v_negate(v_mul(b, sine))), second = v_fma(b, cosine, v_mul(a, sine));
    if (whole) {
        v_store(y, first);
        v_store(y + half, second);
    } else {
        v_store_first(y, first, count);
        v_store_first(y + half, second, count);
    }
}

static void rotary(float *y, const float *x, int64_t heads, int64_t d, int64_t half, const float *cosines,
                   const float *sines)
{
    for (int64_t head = 0; head < heads; head++, x += d, y += d) {
        int64_t i = 0;
        for (; i + WIDTH <= half; i += WIDTH)
            rotate(y + i, x + i, half, v_load(cosines + i), v_load(sines + i), WIDTH);
        if (i < half)
            rotate(y + i, x + i, half, v_load_first(cosines + i, half - i), v_load_first(sines + i, half - i),
                   half - i);
        for (i = 2 * half; i < d; i++)
            y[i] = x[i];
    }
}

static void conv1d(float *y, const float *const *x, const float *w, int64_t taps, int64_t channels)
{
    int64_t c = 0;
    for (; c + WIDTH <= channels; c += WIDTH) {
        vec total = v_set(0);
        for (int64_t j = 0; j < taps; j++)
            total = v_fma(v_load(w + j * channels + c), v_load(x[j] + c), total);
        v_store(y + c, total);
    }
    if (c < channels) {
        vec total = v_set(0);
        for (int64_t j = 0; j < taps; j++)
            total =
                v_fma(v_load_first(w + j * channels + c, channels - c), v_load_first(x[j] + c, channels - c), total);
        v_store_first(y + c, total, channels - c);
    }
}

#endif
