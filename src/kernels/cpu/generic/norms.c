/* Norms and softmax: a dot over each row, then one factor for its elements (kernels.h). */
#include "kernels/cpu/generic/dot.h"
#include "kernels/cpu/generic/functions.h"
#include "kernels/cpu/generic/generic.h"

ALLOY_CLONES void alloy_generic_rms_norm(float *y, const float *x, const float *w, int64_t rows, int64_t d, float eps)
{
    for (int64_t row = 0; row < rows; row++, x += d, y += d) {
        float r = 1 / sqrtf(alloy_dot(x, x, d) / (float)d + eps);
        for (int64_t i = 0; i < d; i++)
            y[i] = w ? x[i] * r * w[i] : x[i] * r;
    }
}

ALLOY_CLONES void alloy_generic_l2_norm(float *y, const float *x, int64_t rows, int64_t d, float eps, float scale)
{
    for (int64_t row = 0; row < rows; row++, x += d, y += d) {
        float r = 1 / sqrtf(alloy_dot(x, x, d) + eps);
        for (int64_t i = 0; i < d; i++)
            y[i] = x[i] * r * scale;
    }
}

ALLOY_CLONES void alloy_generic_softmax(float *y, const float *x, int64_t rows, int64_t d)
{
    for (int64_t row = 0; row < rows; row++, x += d, y += d) {
        float m = -INFINITY;
        for (int64_t i = 0; i < d; i++)
            m = alloy_max(m, x[i]);
        for (int64_t i = 0; i < d; i++)
            y[i] = alloy_exp(x[i] - m);
        float sum = alloy_sum(y, d);
        for (int64_t i = 0; i < d; i++)
            y[i] = y[i] / sum;
    }
}
