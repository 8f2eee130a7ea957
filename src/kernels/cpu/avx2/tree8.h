/* The lower steps of a dot's tree, for what has registers of 8 lanes: lanes i += i + 4, i += i + 2, i += i + 1. */
#ifndef ALLOY_KERNELS_CPU_AVX2_TREE8_H
#define ALLOY_KERNELS_CPU_AVX2_TREE8_H

#include <immintrin.h>

#include "kernels/cpu/generic/clones.h"

ALLOY_INLINE float tree8(__m256 x)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Four trees in the shuffles of one: {tree8(a), tree8(b), tree8(c), tree8(d)}. */
ALLOY_INLINE __m128 tree8_of4(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 ab =
        _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)); /* a a a a b b b b */
    __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
    __m256 acbd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee)); /* a a c c b b d d */
    __m256 sums =
        _mm256_add_ps(_mm256_shuffle_ps(acbd, acbd, 0x88), _mm256_shuffle_ps(acbd, acbd, 0xdd)); /* a c a c b d b d */
    return _mm_unpacklo_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
}

ALLOY_INLINE float largest8(__m256 x)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#endif
