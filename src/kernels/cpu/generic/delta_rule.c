/* The gated delta rule, token by token (kernels.h). Column sums in 4 chains: columns are independent of each other. */
#include <math.h>

#include "kernels/cpu/generic/clones.h"
#include "kernels/cpu/generic/generic.h"

/* sum over i of s[i * stride] * x[i] in chains by i mod 4 */
ALLOY_INLINE float chains4(const float *s, int64_t stride, const float *x, int64_t n)
{
    float chains[4] = {0};
    for (int64_t i = 0; i < n; i++)
        chains[i % 4] = fmaf(s[i * stride], x[i], chains[i % 4]);
    return (chains[0] + chains[2]) + (chains[1] + chains[3]);
}

ALLOY_CLONES void alloy_generic_delta_rule(const alloy_delta_job *job)
{
    int64_t stride = job->state_stride;
    for (int64_t t = 0; t < job->tokens; t++) {
        const float *k = job->k + t * job->k_stride, *q = job->q + t * job->q_stride;
        float decay = job->decay[t * job->decay_stride], beta = job->beta[t * job->beta_stride];
        for (int64_t c = 0; c < job->columns; c++) {
            float *s = job->state + c;
            for (int64_t i = 0; i < job->keys; i++)
                s[i * stride] *= decay;
            float u = (job->v[t * job->v_stride + c] - chains4(s, stride, k, job->keys)) * beta;
            for (int64_t i = 0; i < job->keys; i++)
                s[i * stride] = fmaf(k[i], u, s[i * stride]);
            job->y[t * job->y_stride + c] = chains4(s, stride, q, job->keys);
        }
    }
}
