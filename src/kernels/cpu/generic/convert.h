/* Elements in the 16-bit formats to and from fp32, by their bits. */
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

/* Element i of an array of dtype, whatever its alignment. */
ALLOY_INLINE float alloy_element(const void *array, alloy_dtype dtype, int64_t i)
{
    float whole;
    uint16_t half;
    if (dtype == ALLOY_F32) {
        memcpy(&whole, (const char *)array + i * 4, 4);
        return whole;
    }
    memcpy(&half, (const char *)array + i * 2, 2);
    return dtype == ALLOY_BF16 ? alloy_from_bf16(half) : alloy_from_f16(half);
}

#endif
