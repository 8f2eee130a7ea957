/* Linear layers: dots of rows of activations with rows of weights (kernels.h). */
#include "kernels/cpu/generic/convert.h"
#include "kernels/cpu/generic/dot.h"
#include "kernels/cpu/generic/generic.h"

/* alloy_dot with row `row`, at w, of the job's weights, in the dtype of its file. */
ALLOY_INLINE float dot_weights(const alloy_linear_job *job, const float *x, const void *w, alloy_dtype dtype,
                               int64_t row)
{
    const int64_t k = job->k;
    float lanes[ALLOY_LANES] = {0};
    for (int64_t from = 0; from < k; from += ALLOY_LANES)
        for (int i = 0; i < ALLOY_LANES; i++) {
            lanes[i] = from + i < k
                           ? fmaf(x[from + i], alloy_weight_element(w, dtype, &job->scales, row, from + i), lanes[i])
                           : fmaf(0, 0, lanes[i]);
        }
    return alloy_tree16(lanes);
}

ALLOY_INLINE void linear(const alloy_linear_job *job, alloy_dtype dtype)
{
    for (int64_t r = 0; r < job->rows; r++)
        for (int64_t t = 0; t < job->n; t++) {
            const char *w = (const char *)job->w + r * job->w_stride;
            float sum = dot_weights(job, job->x + t * job->x_stride, w, dtype, r);
            if (job->bias)
                sum += job->bias[r];
            job->y[t * job->y_stride + r] = sum * job->scale;
        }
}

ALLOY_CLONES void alloy_generic_linear(const alloy_linear_job *job, void *scratch)
{
    (void)scratch;
    if (job->dtype == ALLOY_F32)
        linear(job, ALLOY_F32);
    else if (job->dtype == ALLOY_BF16)
        linear(job, ALLOY_BF16);
    else if (job->dtype == ALLOY_F16)
        linear(job, ALLOY_F16);
    else if (job->dtype == ALLOY_F8_E4M3)
        linear(job, ALLOY_F8_E4M3);
    else
        linear(job, ALLOY_F4);
}
