/* Attention over a block of keys, and the merging of key spans (kernels.h). Scores and the sum of p are dots; P.V is a
 * column sum that goes on from block to block. */
#include "kernels/cpu/generic/dot.h"
#include "kernels/cpu/generic/functions.h"
#include "kernels/cpu/generic/generic.h"

ALLOY_CLONES void alloy_generic_attention_block(const alloy_attention_block *block, void *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < block->rows; i++) {
        int32_t from = block->from[i], to = block->to[i];
        float p[ALLOY_ATTENTION_BLOCK] = {0}, m = block->m[i];
        float *o = block->o + i * block->o_stride;
        if (from >= to)
            continue;
        for (int32_t j = from; j < to; j++) {
            p[j] = alloy_dot(block->q + i * block->q_stride, block->k + j * block->k_stride, block->d) * block->scale;
            m = alloy_max(m, p[j]);
        }
        m += 0.0f; /* -0 becomes +0, so that the order of the comparisons cannot show */
        for (int32_t j = from; j < to; j++)
            p[j] = alloy_exp(p[j] - m);
        float c = alloy_exp(block->m[i] - m);
        block->m[i] = m;
        block->l[i] = fmaf(block->l[i], c, alloy_sum(p, ALLOY_ATTENTION_BLOCK));
        for (int64_t e = 0; e < block->dv; e++)
            o[e] *= c;
        for (int32_t j = from; j < to; j++) {
            for (int64_t e = 0; e < block->dv; e++)
                o[e] = fmaf(p[j], block->v[j * block->v_stride + e], o[e]);
        }
    }
}

ALLOY_CLONES void alloy_generic_attention_merge(float *m, float *l, float *o, const float *m2, const float *l2,
                                                const float *o2, int64_t rows, int64_t dv)
{
    for (int64_t i = 0; i < rows; i++, o += dv, o2 += dv) {
        float most = alloy_max(m[i], m2[i]) + 0.0f;
        if (m[i] == -INFINITY && m2[i] == -INFINITY)
            continue;
        float c = alloy_exp(m[i] - most), c2 = alloy_exp(m2[i] - most);
        m[i] = most;
        l[i] = fmaf(l2[i], c2, l[i] * c);
        for (int64_t e = 0; e < dv; e++)
            o[e] = fmaf(o2[e], c2, o[e] * c);
    }
}

ALLOY_CLONES void alloy_generic_attention_finish(float *y, int64_t y_stride, const float *l, const float *o,
                                                 int64_t rows, int64_t dv)
{
    for (int64_t i = 0; i < rows; i++) {
        float r = 1 / l[i];
        for (int64_t e = 0; e < dv; e++)
            y[i * y_stride + e] = o[i * dv + e] * r;
    }
}
