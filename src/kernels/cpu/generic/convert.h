/* Elements in the formats of 4, 8 and 16 bits to and from fp32, by their bits. */
#ifndef ALLOY_KERNELS_CPU_GENERIC_CONVERT_H
#define ALLOY_KERNELS_CPU_GENERIC_CONVERT_H

#include "alloy/alloy.h"
#include "kernels/cpu/generic/functions.h"

ALLOY_INLINE float alloy_from_bf16(uint16_t half)
{
    return alloy_bits_float((uint32_t)half << 16);
}

ALLOY_INLINE float alloy_from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) { /* a denormal: fraction units of 2^-24 */
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t biased = exponent == 31 ? 255 : exponent + 127 - 15;
    return alloy_bits_float(sign | biased << 23 | fraction << 13);
}

ALLOY_INLINE uint16_t alloy_to_bf16(float x)
{
    uint32_t bits = alloy_float_bits(x);
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); /* the carry runs into the exponent, as it should */
}

ALLOY_INLINE uint16_t alloy_to_f16(float x)
{
    uint32_t bits = alloy_float_bits(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (size >= 0x477ff000) /* 65520 and above */
        return (uint16_t)(sign | 0x7c00);
    if (size < 0x38800000) /* below 2^-14: 0.5 has units of 2^-24, those of the denormals; the addition rounds */
        return (uint16_t)(sign | (alloy_float_bits(alloy_bits_float(size) + 0.5f) - alloy_float_bits(0.5f)));
    size += 0xfff + (size >> 13 & 1);
    return (uint16_t)(sign | (size - (112u << 23)) >> 13);
}

/* 1 sign, 4 exponent, 3 fraction bits, bias 7; no infinity, all ones is NaN (arXiv:2209.05433, table 1). */
ALLOY_INLINE float alloy_from_f8_e4m3(uint8_t byte)
{
    if ((byte & 0x7f) == 0x7f)
        return alloy_bits_float((uint32_t)(byte & 0x80) << 24 | 0x7fc00000);
    return alloy_bits_float((uint32_t)(byte & 0x80) << 24 | (uint32_t)(byte & 0x7f) << 20) * 0x1p120f;
}

/* Beyond 464, half way from the largest number to the next that there would be: NaN, for lack of an infinity. */
ALLOY_INLINE uint8_t alloy_to_f8_e4m3(float x)
{
    uint32_t bits = alloy_float_bits(x), sign = bits >> 24 & 0x80, size = bits & 0x7fffffff;
    if (size > 0x43e80000)
        return (uint8_t)(sign | 0x7f);
    if (size < 0x3c800000) /* below 2^-6: 2^14 has units of 2^-9, those of the denormals; the addition rounds */
        return (uint8_t)(sign | (alloy_float_bits(alloy_bits_float(size) + 0x1p14f) - alloy_float_bits(0x1p14f)));
    size += 0x7ffff + (size >> 20 & 1);
    return (uint8_t)(sign | (size - (120u << 23)) >> 20);
}

/* 1 sign, 2 exponent, 1 fraction bit, bias 1 (OCP Microscaling Formats 1.0, 5.3.3). */
ALLOY_INLINE float alloy_from_f4(uint8_t half)
{
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    float value = values[half & 7];
    return half & 8 ? -value : value;
}

/* The code in the low half of the byte. Saturates at 6; F4 has no NaN, which becomes -0. */
ALLOY_INLINE uint8_t alloy_to_f4(float x)
{
    uint32_t bits = alloy_float_bits(x), sign = bits >> 28 & 8, size = bits & 0x7fffffff;
    if (x != x)
        return 8;
    if (size < 0x3f800000) /* below 1: 2^22 has units of 0.5, those of the denormal; the addition rounds */
        return (uint8_t)(sign | (alloy_float_bits(alloy_bits_float(size) + 0x1p22f) - alloy_float_bits(0x1p22f)));
    if (size > 0x40a00000)
        return (uint8_t)(sign | 7);
    size += 0x1fffff + (size >> 22 & 1);
    return (uint8_t)(sign | (size - (126u << 23)) >> 22);
}

/* 2^(byte - 127); 255 is NaN (OCP Microscaling Formats 1.0, 5.4.1). */
ALLOY_INLINE float alloy_from_f8_e8m0(uint8_t byte)
{
    const uint32_t smallest = 0x00400000,
                   bits = (uint32_t)byte << 23; /* without branches: loops over scales are wide */
    return alloy_bits_float((bits > smallest ? bits : smallest) | (uint32_t)(byte == 255) << 22);
}

/* The smallest power of two that is at least x >= 0, within 2^-127 to 2^127. */
ALLOY_INLINE uint8_t alloy_to_f8_e8m0(float x)
{
    uint32_t bits = alloy_float_bits(x), exponent = (bits + 0x7fffff) >> 23;
    if (x != x)
        return 255;
    return (uint8_t)(bits <= 0x00400000 ? 0 : exponent < 254 ? exponent : 254);
}

/* Element i of an array of dtype, whatever its alignment. */
ALLOY_INLINE float alloy_element(const void *array, alloy_dtype dtype, int64_t i)
{
    float whole;
    uint16_t half;
    if (dtype == ALLOY_F8_E4M3)
        return alloy_from_f8_e4m3(((const uint8_t *)array)[i]);
    if (dtype == ALLOY_F8_E8M0)
        return alloy_from_f8_e8m0(((const uint8_t *)array)[i]);
    if (dtype == ALLOY_F4)
        return alloy_from_f4(((const uint8_t *)array)[i / 2] >> 4 * (i % 2) & 15);
    if (dtype == ALLOY_F32) {
        memcpy(&whole, (const char *)array + i * 4, 4);
        return whole;
    }
    memcpy(&half, (const char *)array + i * 2, 2);
    return dtype == ALLOY_BF16 ? alloy_from_bf16(half) : alloy_from_f16(half);
}

/* The scale of column k in row `row` of a weight. */
ALLOY_INLINE float alloy_scale_at(const alloy_scales *scales, int64_t row, int64_t k)
{
    const char *at = (const char *)scales->data + (scales->first + row) / scales->rows * scales->stride;
    return alloy_element(at, scales->dtype, k / scales->columns);
}

/* Element k of row `row`, at w, of a weight. */
ALLOY_INLINE float alloy_weight_element(const void *w, alloy_dtype dtype, const alloy_scales *scales, int64_t row,
                                        int64_t k)
{
    float element = alloy_element(w, dtype, k);
    return scales->data ? element * alloy_scale_at(scales, row, k) : element;
}

#endif
