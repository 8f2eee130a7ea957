/* What only DeepSeek-V4's modules need (kernels.h): compressor, indexer, hyper-connections. */
#include "kernels/cpu/generic/dot.h"
#include "kernels/cpu/generic/functions.h"
#include "kernels/cpu/generic/generic.h"

/* Channel c of row i. */
ALLOY_INLINE float shifted_gate(const alloy_compress_segment *s, int64_t i, int64_t c)
{
    return s->gate[i * s->stride + c] + s->bias[i * s->bias_stride + c];
}

ALLOY_CLONES void alloy_generic_compress(float *y, const alloy_compress_segment *segments, int count, int64_t channels)
{
    for (int64_t c = 0; c < channels; c++) {
        float m = -INFINITY, total = 0, sum = 0;
        for (int n = 0; n < count; n++)
            for (int64_t i = 0; i < segments[n].count; i++)
                m = alloy_max(m, shifted_gate(&segments[n], i, c));
        m += 0.0f; /* -0 becomes +0, so that the order of the comparisons cannot show */
        for (int n = 0; n < count; n++)
            for (int64_t i = 0; i < segments[n].count; i++) {
                float p = alloy_exp(shifted_gate(&segments[n], i, c) - m);
                total = fmaf(p, 1, total);
                sum = fmaf(p, segments[n].kv[i * segments[n].stride + c], sum);
            }
        y[c] = sum / total;
    }
}

ALLOY_CLONES void alloy_generic_index_scores(float *y, const float *s, int64_t s_stride, const float *w, int64_t heads,
                                             int64_t entries)
{
    for (int64_t e = 0; e < entries; e++) {
        float lanes[ALLOY_LANES] = {0};
        for (int64_t h = 0; h < heads; h += ALLOY_LANES)
            for (int i = 0; i < ALLOY_LANES; i++) {
                float dot = h + i < heads ? s[(h + i) * s_stride + e] : 0;
                lanes[i] = fmaf(h + i < heads ? w[h + i] : 0, 0 > dot ? 0 : dot, lanes[i]);
            }
        y[e] = alloy_tree16(lanes);
    }
}

/* Divides by the sums of columns + eps, or of rows. */
ALLOY_INLINE void balance(float *comb, int64_t n, bool columns, float eps)
{
    int64_t along = columns ? n : 1, across = columns ? 1 : n;
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int64_t j = 0; j < n; j++)
            sum = fmaf(comb[i * across + j * along], 1, sum);
        sum += eps;
        for (int64_t j = 0; j < n; j++)
            comb[i * across + j * along] /= sum;
    }
}

ALLOY_CLONES void alloy_generic_hyper_weights(float *y, const float *mixes, const float *base, const float *scale,
                                              int64_t n, int64_t iterations, float eps)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_sigmoid(fmaf(mixes[i], scale[0], base[i])) + eps;
    if (iterations == 0)
        return;
    for (int64_t i = n; i < 2 * n; i++)
        y[i] = alloy_sigmoid(fmaf(mixes[i], scale[1], base[i])) * 2;
    float *comb = y + 2 * n;
    for (int64_t j = 0; j < n; j++, mixes += n, base += n) {
        float *row = comb + j * n, m = -INFINITY;
        for (int64_t k = 0; k < n; k++) {
            row[k] = fmaf(mixes[2 * n + k], scale[2], base[2 * n + k]);
            m = alloy_max(m, row[k]);
        }
        m += 0.0f;
        for (int64_t k = 0; k < n; k++)
            row[k] = alloy_exp(row[k] - m);
        float sum = alloy_sum(row, n);
        for (int64_t k = 0; k < n; k++)
            row[k] = row[k] / sum + eps;
    }
    balance(comb, n, true, eps);
    for (int64_t i = 1; i < iterations; i++) {
        balance(comb, n, false, eps);
        balance(comb, n, true, eps);
    }
}
