/* Kernels whose elements do not meet, and short column sums (kernels.h). */
#include "kernels/cpu/generic/dot.h"
#include "kernels/cpu/generic/functions.h"
#include "kernels/cpu/generic/generic.h"

ALLOY_CLONES void alloy_generic_dots(float *y, const float *x, const float *w, int64_t w_stride, int64_t rows,
                                     int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        y[r] = alloy_dot(x, w + r * w_stride, n);
}

ALLOY_CLONES void alloy_generic_decay_add_outer(float *s, int64_t s_stride, float decay, const float *a, const float *x,
                                                int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++)
            s[r * s_stride + i] = fmaf(s[r * s_stride + i], decay, a[r] * x[i]);
}

ALLOY_CLONES void alloy_generic_conv1d(float *y, const float *const *x, const float *w, int64_t taps, int64_t channels)
{
    for (int64_t c = 0; c < channels; c++) {
        float sum = 0;
        for (int64_t j = 0; j < taps; j++)
            sum = fmaf(w[j * channels + c], x[j][c], sum);
        y[c] = sum;
    }
}

ALLOY_CLONES void alloy_generic_add_scaled(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

void alloy_generic_add(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void alloy_generic_multiply(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

ALLOY_CLONES void alloy_generic_silu(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_silu(x[i]);
}

ALLOY_CLONES void alloy_generic_sigmoid(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_sigmoid(x[i]);
}

ALLOY_CLONES void alloy_generic_exp(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_exp(x[i]);
}

ALLOY_CLONES void alloy_generic_sqrt_softplus(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = sqrtf(alloy_softplus(x[i]));
}

ALLOY_CLONES void alloy_generic_clamped_swiglu(float *y, const float *x, const float *gate, float limit, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float low = -limit > x[i] ? -limit : x[i];
        y[i] = alloy_silu(limit < gate[i] ? limit : gate[i]) * (limit < low ? limit : low);
    }
}

ALLOY_CLONES void alloy_generic_multiply_silu(float *y, const float *x, const float *gate, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_silu(gate[i]) * x[i];
}

ALLOY_CLONES void alloy_generic_multiply_sigmoid(float *y, const float *x, const float *gate, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * alloy_sigmoid(gate[i]);
}

ALLOY_CLONES void alloy_generic_rotary(float *y, const float *x, int64_t heads, int64_t d, int64_t half,
                                       const float *cos, const float *sin)
{
    for (int64_t head = 0; head < heads; head++, x += d, y += d) {
        for (int64_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half];
            y[i] = fmaf(a, cos[i], -(b * sin[i]));
            y[i + half] = fmaf(b, cos[i], a * sin[i]);
        }
        for (int64_t i = 2 * half; i < d; i++)
            y[i] = x[i];
    }
}

ALLOY_CLONES void alloy_generic_rotary_pairs(float *y, const float *x, int64_t heads, int64_t d, int64_t channels,
                                             const float *cos, const float *sin)
{
    for (int64_t head = 0; head < heads; head++, x += d, y += d) {
        int64_t first = d - channels;
        for (int64_t i = 0; i < first; i++)
            y[i] = x[i];
        for (int64_t c = 0; c < channels; c += 2) {
            float a = x[first + c], b = x[first + c + 1];
            y[first + c] = fmaf(a, cos[c], b * sin[c]);
            y[first + c + 1] = fmaf(b, cos[c + 1], a * sin[c + 1]);
        }
    }
}
