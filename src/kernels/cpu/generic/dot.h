/* The dot of the contracts (kernels.h): 16 lanes, lane k mod 16, rising k, then the tree 8, 4, 2, 1. */
#ifndef ALLOY_KERNELS_CPU_GENERIC_DOT_H
#define ALLOY_KERNELS_CPU_GENERIC_DOT_H

#include <math.h>
#include <stdint.h>

#include "kernels/cpu/generic/clones.h"

enum { ALLOY_LANES = 16 };

ALLOY_INLINE float alloy_tree16(float lanes[ALLOY_LANES])
{
    for (int half = ALLOY_LANES / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

ALLOY_INLINE float alloy_dot(const float *a, const float *b, int64_t n)
{
    float lanes[ALLOY_LANES] = {0};
    int64_t whole = n - n % ALLOY_LANES;
    for (int64_t k = 0; k < whole; k += ALLOY_LANES)
        for (int i = 0; i < ALLOY_LANES; i++)
            lanes[i] = fmaf(a[k + i], b[k + i], lanes[i]);
    if (whole < n)
        for (int i = 0; i < ALLOY_LANES; i++) /* a missing element is not nothing: fma(0, 0, -0) is +0 */
            lanes[i] = whole + i < n ? fmaf(a[whole + i], b[whole + i], lanes[i]) : fmaf(0, 0, lanes[i]);
    return alloy_tree16(lanes);
}

/* dot(a, 1) */
ALLOY_INLINE float alloy_sum(const float *a, int64_t n)
{
    float lanes[ALLOY_LANES] = {0};
    for (int64_t k = 0; k < n; k += ALLOY_LANES)
        for (int i = 0; i < ALLOY_LANES; i++)
            lanes[i] = fmaf(k + i < n ? a[k + i] : 0, 1, lanes[i]);
    return alloy_tree16(lanes);
}

#endif
