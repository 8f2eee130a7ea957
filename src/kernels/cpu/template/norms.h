/* Norms and softmax (kernels.h). */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_NORMS_H
#define ALLOY_KERNELS_CPU_TEMPLATE_NORMS_H

/* y = x * r, times w when there is one */
ALLOY_INLINE void scale_row(float *y, const float *x, float r, const float *w, int64_t d)
{
    int64_t i = 0;
    for (; i + WIDTH <= d; i += WIDTH) {
        vec scaled = v_mul(v_load(x + i), v_set(r));
        v_store(y + i, w ? v_mul(scaled, v_load(w + i)) : scaled);
    }
    if (i < d) {
        vec scaled = v_mul(v_load_first(x + i, d - i), v_set(r));
        v_store_first(y + i, w ? v_mul(scaled, v_load_first(w + i, d - i)) : scaled, d - i);
    }
}

static void rms_norm(float *y, const float *x, const float *w, int64_t rows, int64_t d, float eps)
{
    for (int64_t row = 0; row < rows; row++, x += d, y += d)
        scale_row(y, x, 1 / sqrtf(dot(x, x, d) / (float)d + eps), w, d);
}

static void l2_norm(float *y, const float *x, int64_t rows, int64_t d, float eps, float scale)
{
    for (int64_t row = 0; row < rows; row++, x += d, y += d) {
        vec r = v_set(1 / sqrtf(dot(x, x, d) + eps)), factor = v_set(scale);
        int64_t i = 0;
        for (; i + WIDTH <= d; i += WIDTH)
            v_store(y + i, v_mul(v_mul(v_load(x + i), r), factor));
        if (i < d)
            v_store_first(y + i, v_mul(v_mul(v_load_first(x + i, d - i), r), factor), d - i);
    }
}

ALLOY_INLINE float row_max(const float *x, int64_t d)
{
    vec most = v_set(-INFINITY);
    int64_t i = 0;
    for (; i + WIDTH <= d; i += WIDTH)
        most = v_max(most, v_load(x + i));
    float m = v_largest(most);
    for (; i < d; i++)
        m = alloy_max(m, x[i]);
    return m;
}

/* y = exp(x - m) */
ALLOY_INLINE void exp_row(float *y, const float *x, float m, int64_t d)
{
    int64_t i = 0;
    for (; i + WIDTH <= d; i += WIDTH)
        v_store(y + i, v_exp(v_sub(v_load(x + i), v_set(m))));
    if (i < d)
        v_store_first(y + i, v_exp(v_sub(v_load_first(x + i, d - i), v_set(m))), d - i);
}

static void softmax(float *y, const float *x, int64_t rows, int64_t d)
{
    for (int64_t row = 0; row < rows; row++, x += d, y += d) {
        exp_row(y, x, row_max(x, d), d);
        vec total = v_set(sum(y, d));
        int64_t i = 0;
        for (; i + WIDTH <= d; i += WIDTH)
            v_store(y + i, v_div(v_load(y + i), total));
        if (i < d)
            v_store_first(y + i, v_div(v_load_first(y + i, d - i), total), d - i);
    }
}

#endif
