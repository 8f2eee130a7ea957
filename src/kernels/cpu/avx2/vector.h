/* What the kernels of cpu/template/ are written over, for AVX2: a vector is a register of 8 lanes, so the 16 lanes of a
 * dot are two of them. */
#ifndef ALLOY_KERNELS_CPU_AVX2_VECTOR_H
#define ALLOY_KERNELS_CPU_AVX2_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/cpu/generic/functions.h"
#include "kernels/cpu/avx2/f4_table.h"
#include "kernels/cpu/avx2/tree8.h"

enum {
    WIDTH = 8,       /* lanes of a vector */
    PARTS = 2,       /* vectors of a dot's 16 lanes: lanes 0-7 and lanes 8-15 */
    TILE_TOKENS = 3, /* of linear: 3 x 4 accumulators, 3 activations and a weight fill 16 registers */
};

typedef __m256 vec;

/* All bits set in the first `count` of 8 lanes. */
ALLOY_INLINE __m256i v_first(int64_t count)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ones + 8 - count));
}

ALLOY_INLINE vec v_set(float x)
{
    return _mm256_set1_ps(x);
}

/* WIDTH floats; p has any alignment. */
ALLOY_INLINE vec v_load(const void *p)
{
    return _mm256_loadu_ps(p);
}

ALLOY_INLINE void v_store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}

/* The first `count` < WIDTH lanes; the others are +0, and memory after is not touched. */
ALLOY_INLINE vec v_load_first(const float *p, int64_t count)
{
    return _mm256_maskload_ps(p, v_first(count));
}

ALLOY_INLINE void v_store_first(float *p, vec x, int64_t count)
{
    _mm256_maskstore_ps(p, v_first(count), x);
}

/* bf16 and f16 widened; p has any alignment. */
ALLOY_INLINE vec v_load_bf16(const void *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

ALLOY_INLINE vec v_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* Words that are the upper halves of floats, those in even places and those in odd places. */
ALLOY_INLINE void v_halves(vec lanes[2], __m256i words)
{
    lanes[0] = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    lanes[1] = _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32((int32_t)0xffff0000)));
}

/* 16 numbers in F8_E4M3 times 2^-120, which is to move their bits into place; p has any alignment. One that is NaN is
 * loaded as 480, and joined to what was found. */
ALLOY_INLINE vec v_load_f8_e4m3(vec lanes[2], vec found, const void *p)
{
    const __m256i order = _mm256_setr_epi8(-1, 0, -1, 8, -1, 1, -1, 9, -1, 2, -1, 10, -1, 3, -1, 11, /* upper bytes */
                                           -1, 4, -1, 12, -1, 5, -1, 13, -1, 6, -1, 14, -1, 7, -1, 15);
    const __m256i mask = _mm256_set1_epi32((int32_t)0x87f00000);
    __m256i bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    __m256i words = _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, order), 4);
    lanes[0] = _mm256_castsi256_ps(_mm256_and_si256(_mm256_slli_epi32(words, 16), mask));
    lanes[1] = _mm256_castsi256_ps(_mm256_and_si256(words, mask));
    return _mm256_castsi256_ps(_mm256_max_epu8(_mm256_castps_si256(found), _mm256_add_epi8(bytes, bytes)));
}

/* Twice the code, in 8 bits, is what was joined: the sign is gone. */
ALLOY_INLINE bool v_f8_e4m3_found_nan(vec found)
{
    __m256i nan = _mm256_cmpeq_epi8(_mm256_castps_si256(found), _mm256_set1_epi8((char)0xfe));
    return _mm256_movemask_epi8(nan) != 0;
}

/* The numbers of F4 times 2^(e - 127), to look up: the upper byte of each, and the one below. */
typedef struct f4_numbers {
    __m256i upper, lower;
} f4_numbers;

ALLOY_INLINE f4_numbers v_f4_numbers(uint8_t e)
{
    const __m128i *bytes = (const __m128i *)f4_scaled[e];
    return (f4_numbers){_mm256_broadcastsi128_si256(_mm_loadu_si128(bytes)),
                        _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes + 1))};
}

/* 32 numbers in F4, looked up; p has any alignment. Each 16 of them are in an order of their own, which costs less: 0,
 * 4, 8, 12, 1, 5, 9, 13; 2, 6, 10, 14, 3, 7, 11, 15. */
ALLOY_INLINE void v_load_f4(vec lanes[4], const void *p, f4_numbers numbers)
{
    __m256i pairs = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    __m256i halves = _mm256_srlv_epi32(pairs, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)); /* low ones, high ones */
    __m256i codes = _mm256_and_si256(halves, _mm256_set1_epi8(15));
    __m256i upper = _mm256_shuffle_epi8(numbers.upper, codes), lower = _mm256_shuffle_epi8(numbers.lower, codes);
    v_halves(lanes, _mm256_unpacklo_epi8(lower, upper));
    v_halves(lanes + 2, _mm256_unpackhi_epi8(lower, upper));
}

/* 16 lanes from the order of v_load_f4 to the rising one, and the way back. */
ALLOY_INLINE void v_from_f4_order(vec lanes[2])
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    vec low = _mm256_unpacklo_ps(lanes[0], lanes[1]), high = _mm256_unpackhi_ps(lanes[0], lanes[1]);
    lanes[0] = _mm256_permutevar8x32_ps(low, order);
    lanes[1] = _mm256_permutevar8x32_ps(high, order);
}

ALLOY_INLINE void v_to_f4_order(vec lanes[2])
{
    const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    vec low = _mm256_permutevar8x32_ps(lanes[0], order), high = _mm256_permutevar8x32_ps(lanes[1], order);
    lanes[0] = _mm256_shuffle_ps(low, high, 0x88);
    lanes[1] = _mm256_shuffle_ps(low, high, 0xdd);
}

/* To nearest even; the carry runs into the exponent, as it should. A NaN keeps its upper bits and becomes quiet. */
ALLOY_INLINE void v_store_bf16(void *p, vec x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)));
}

ALLOY_INLINE void v_store_f16(void *p, vec x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

ALLOY_INLINE vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

ALLOY_INLINE vec v_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

ALLOY_INLINE vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

ALLOY_INLINE vec v_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

ALLOY_INLINE vec v_sqrt(vec x)
{
    return _mm256_sqrt_ps(x);
}

/* a * b + c, and -(a * b) + c, rounded once */
ALLOY_INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

ALLOY_INLINE vec v_fnma(vec a, vec b, vec c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

/* b > a ? b : a, and b < a ? b : a: a NaN in b is passed over, one in a stays. */
ALLOY_INLINE vec v_max(vec a, vec b)
{
    return _mm256_max_ps(b, a);
}

ALLOY_INLINE vec v_min(vec a, vec b)
{
    return _mm256_min_ps(b, a);
}

/* x > limit ? a : b */
ALLOY_INLINE vec v_above(vec x, vec limit, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, limit, _CMP_GT_OQ));
}

/* The exclusive or of their bits. */
ALLOY_INLINE vec v_xor(vec a, vec b)
{
    return _mm256_xor_ps(a, b);
}

ALLOY_INLINE vec v_negate(vec x)
{
    return v_xor(x, v_set(-0.0f));
}

/* Lanes 2i and 2i + 1 exchanged. */
ALLOY_INLINE vec v_swap_pairs(vec x)
{
    return _mm256_permute_ps(x, 0xB1);
}

/* p * 2^n, n the integer in the low bits of `shifted` (alloy_exp), in two factors. */
ALLOY_INLINE vec v_scale(vec p, vec shifted)
{
    __m256i whole = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(v_set(ALLOY_EXP_ROUND)));
    __m256i half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return v_mul(v_mul(p, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}

/* All bits set in lanes that are infinite or NaN, joined to `found`; did any lane have them? */
ALLOY_INLINE vec v_find_infinite(vec found, vec x)
{
    __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i infinite = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(x), exponent), exponent);
    return _mm256_or_ps(found, _mm256_castsi256_ps(infinite));
}

ALLOY_INLINE bool v_found(vec found)
{
    return _mm256_movemask_ps(found) != 0;
}

/* The tree of a dot over its lanes; of four dots at once. */
ALLOY_INLINE float v_tree(const vec lanes[PARTS])
{
    return tree8(v_add(lanes[0], lanes[1]));
}

ALLOY_INLINE void v_tree4(float sums[4], const vec a[PARTS], const vec b[PARTS], const vec c[PARTS], const vec d[PARTS])
{
    _mm_storeu_ps(sums, tree8_of4(v_add(a[0], a[1]), v_add(b[0], b[1]), v_add(c[0], c[1]), v_add(d[0], d[1])));
}

/* The largest lane; none is NaN. */
ALLOY_INLINE float v_largest(vec x)
{
    return largest8(x);
}

#endif
