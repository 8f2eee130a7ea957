/* What the kernels of cpu/template/ are written over, for AVX-512 (F, BW, DQ, VL): a vector is
 * a register of 16 lanes, all those of a dot. */
#ifndef ALLOY_KERNELS_CPU_AVX512_VECTOR_H
#define ALLOY_KERNELS_CPU_AVX512_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/cpu/generic/convert.h"
#include "kernels/cpu/generic/functions.h"
#include "kernels/cpu/avx2/tree8.h"

enum {
    WIDTH = 16,      /* lanes of a vector */
    PARTS = 1,       /* vectors of a dot's 16 lanes */
    TILE_TOKENS = 6, /* of linear: 6 x 4 accumulators, 6 activations and a weight in 32 registers */
};

typedef __m512 vec;

/* The first `count` of 16 lanes. */
ALLOY_INLINE __mmask16 v_first(int64_t count)
{
    return (__mmask16)((1u << count) - 1);
}

ALLOY_INLINE vec v_set(float x)
{
    return _mm512_set1_ps(x);
}

/* WIDTH floats; p has any alignment. */
ALLOY_INLINE vec v_load(const void *p)
{
    return _mm512_loadu_ps(p);
}

ALLOY_INLINE void v_store(float *p, vec x)
{
    _mm512_storeu_ps(p, x);
}

/* The first `count` < WIDTH lanes; the others are +0, and memory after is not touched. */
ALLOY_INLINE vec v_load_first(const float *p, int64_t count)
{
    return _mm512_maskz_loadu_ps(v_first(count), p);
}

ALLOY_INLINE void v_store_first(float *p, vec x, int64_t count)
{
    _mm512_mask_storeu_ps(p, v_first(count), x);
}

/* bf16 and f16 widened; p has any alignment. */
ALLOY_INLINE vec v_load_bf16(const void *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

ALLOY_INLINE vec v_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* 16 numbers in F8_E4M3 times 2^-120, which is to move their bits into place; p has any alignment. One that is NaN is
 * loaded as 480, and joined to what was found. */
ALLOY_INLINE vec v_load_f8_e4m3(vec lanes[1], vec found, const void *p)
{
    __m512i upper = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)), 24);
    __m512i bits = _mm512_and_si512(_mm512_srai_epi32(upper, 4), _mm512_set1_epi32((int32_t)0x87f00000));
    lanes[0] = _mm512_castsi512_ps(bits);
    __m512i sizes = _mm512_and_si512(bits, _mm512_set1_epi32(0x07f00000));
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(found), sizes));
}

ALLOY_INLINE bool v_f8_e4m3_found_nan(vec found)
{
    return _mm512_cmpeq_epi32_mask(_mm512_castps_si512(found), _mm512_set1_epi32(0x07f00000)) != 0;
}

/* The numbers of F4 times 2^(e - 127), to look up. */
typedef vec f4_numbers;

ALLOY_INLINE f4_numbers v_f4_numbers(uint8_t e)
{
    const __m512 numbers = _mm512_setr_ps(0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6);
    return _mm512_mul_ps(numbers, _mm512_set1_ps(alloy_from_f8_e8m0(e)));
}

/* 32 numbers in F4, looked up; p has any alignment. */
ALLOY_INLINE void v_load_f4(vec lanes[2], const void *p, f4_numbers numbers)
{
    for (int i = 0; i < 2; i++) { /* a look-up sees the lower 4 bits of 32: a byte, and the byte shifted by 4 */
        __m512i bytes = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)((const char *)p + 8 * i)));
        lanes[i] = _mm512_permutexvar_ps(_mm512_or_si512(bytes, _mm512_slli_epi64(bytes, 28)), numbers);
    }
}

/* The order of v_load_f4 is the rising one. */
ALLOY_INLINE void v_from_f4_order(vec lanes[1])
{
    (void)lanes;
}

ALLOY_INLINE void v_to_f4_order(vec lanes[1])
{
    (void)lanes;
}

/* To nearest even; the carry runs into the exponent, as it should. A NaN keeps its upper bits and becomes quiet. */
ALLOY_INLINE void v_store_bf16(void *p, vec x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512i high = _mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16);
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(high));
}

ALLOY_INLINE void v_store_f16(void *p, vec x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

ALLOY_INLINE vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

ALLOY_INLINE vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

ALLOY_INLINE vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

ALLOY_INLINE vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

ALLOY_INLINE vec v_sqrt(vec x)
{
    return _mm512_sqrt_ps(x);
}

/* a * b + c, and -(a * b) + c, rounded once */
ALLOY_INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

ALLOY_INLINE vec v_fnma(vec a, vec b, vec c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* b > a ? b : a, and b < a ? b : a: a NaN in b is passed over, one in a stays. */
ALLOY_INLINE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(b, a);
}

ALLOY_INLINE vec v_min(vec a, vec b)
{
    return _mm512_min_ps(b, a);
}

/* x > limit ? a : b */
ALLOY_INLINE vec v_above(vec x, vec limit, vec a, vec b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, limit, _CMP_GT_OQ), b, a);
}

/* The exclusive or of their bits. */
ALLOY_INLINE vec v_xor(vec a, vec b)
{
    return _mm512_xor_ps(a, b);
}

ALLOY_INLINE vec v_negate(vec x)
{
    return v_xor(x, v_set(-0.0f));
}

/* Lanes 2i and 2i + 1 exchanged. */
ALLOY_INLINE vec v_swap_pairs(vec x)
{
    return _mm512_permute_ps(x, 0xB1);
}

/* p * 2^n, n the integer in the low bits of `shifted` (alloy_exp), in two factors. */
ALLOY_INLINE vec v_scale(vec p, vec shifted)
{
    __m512i whole = _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_castps_si512(v_set(ALLOY_EXP_ROUND)));
    __m512i half = _mm512_srai_epi32(whole, 1), bias = _mm512_set1_epi32(127);
    __m512i first = _mm512_slli_epi32(_mm512_add_epi32(half, bias), 23);
    __m512i second = _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(whole, half), bias), 23);
    return v_mul(v_mul(p, _mm512_castsi512_ps(first)), _mm512_castsi512_ps(second));
}

/* All bits set in lanes that are infinite or NaN, joined to `found`; did any lane have them? */
ALLOY_INLINE vec v_find_infinite(vec found, vec x)
{
    __mmask16 infinite =
        _mm512_fpclass_ps_mask(x, 0x01 | 0x08 | 0x10 | 0x80); /* quiet NaN, +inf, -inf, signalling NaN */
    return _mm512_mask_blend_ps(infinite, found, _mm512_castsi512_ps(_mm512_set1_epi32(-1)));
}

ALLOY_INLINE bool v_found(vec found)
{
    return _mm512_movepi32_mask(_mm512_castps_si512(found)) != 0;
}

/* The sum of lanes i and i + 8. */
ALLOY_INLINE __m256 v_fold(vec x)
{
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}

/* The tree of a dot over its lanes; of four dots at once. */
ALLOY_INLINE float v_tree(const vec lanes[PARTS])
{
    return tree8(v_fold(lanes[0]));
}

ALLOY_INLINE void v_tree4(float sums[4], const vec a[PARTS], const vec b[PARTS], const vec c[PARTS], const vec d[PARTS])
{
    _mm_storeu_ps(sums, tree8_of4(v_fold(a[0]), v_fold(b[0]), v_fold(c[0]), v_fold(d[0])));
}

/* The largest lane; none is NaN. */
ALLOY_INLINE float v_largest(vec x)
{
    return largest8(_mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)));
}

#endif
