/* The functions of the contracts as polynomials in fused multiply-adds: the definition that every instruction set
 * repeats, operation by operation (kernels.h). Errors are the largest over every float of the domain against long
 * double, measured by tests/kernels/test_functions.c.
 *
 *   exp       0.89 ulp; exp(-inf) is +0, results below 2^-126 are rounded to denormals, above the largest float +inf;
 *             NaN stays NaN
 *   log1p     0.90 ulp on [0, 1]
 *   softplus  1.64 ulp
 *   sigmoid   2.50 ulp for x >= -88; below it the true value is under 2^-126, ours too, and +0 from about -88.8 on
 *   silu      2.90 ulp for x >= -88; below it is off by at most 2^-121
 */
#ifndef ALLOY_KERNELS_CPU_GENERIC_FUNCTIONS_H
#define ALLOY_KERNELS_CPU_GENERIC_FUNCTIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/generic/clones.h"

/* exp: x = n ln 2 + r with |r| <= ln 2 / 2, exp(x) = 2^n (1 + r + r^2 p(r)); p is the minimax polynomial, 2^-28 off. */
#define ALLOY_EXP_LOWEST -104.0f /* below: half of the smallest denormal, rounds to +0 */
#define ALLOY_EXP_HIGHEST 89.0f  /* above: infinite */
#define ALLOY_EXP_LOG2E 0x1.715476p+0f
#define ALLOY_EXP_ROUND 0x1.8p+23f      /* adding it rounds to an integer, which then lies in the low bits */
#define ALLOY_EXP_LN2_HIGH 0x1.62e4p-1f /* 15 bits: x - n * high is exact */
#define ALLOY_EXP_LN2_LOW 0x1.7f7d1cp-20f
#define ALLOY_EXP_2 0x1.fffffcp-2f
#define ALLOY_EXP_3 0x1.555492p-3f
#define ALLOY_EXP_4 0x1.5558f2p-5f
#define ALLOY_EXP_5 0x1.1239e2p-7f
#define ALLOY_EXP_6 0x1.6a2434p-10f

/* log1p on [0, 1]: 1 + u = (1 + h) (1 + f), where h is 0 or 1 so that -1/4 <= f <= 1/2 is exact; s = f / (2 + f), z =
 * s^2; log(1 + f) = f - s (f - z p(z)); p is the minimax polynomial, 2^-35 off. */
#define ALLOY_LOG1P_HALVE 0.5f /* above: h = 1 */
#define ALLOY_LOG1P_LN2 0x1.62e43p-1f
#define ALLOY_LOG1P_0 0x1.555554p-1f
#define ALLOY_LOG1P_1 0x1.999be0p-2f
#define ALLOY_LOG1P_2 0x1.23e8dap-2f
#define ALLOY_LOG1P_3 0x1.eda3a8p-3f

ALLOY_INLINE uint32_t alloy_float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

ALLOY_INLINE float alloy_bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The larger; a NaN in `b` is passed over. */
ALLOY_INLINE float alloy_max(float a, float b)
{
    return b > a ? b : a;
}

ALLOY_INLINE float alloy_exp(float x)
{
    x = ALLOY_EXP_LOWEST > x ? ALLOY_EXP_LOWEST : x;
    x = ALLOY_EXP_HIGHEST < x ? ALLOY_EXP_HIGHEST : x;
    float shifted = fmaf(x, ALLOY_EXP_LOG2E, ALLOY_EXP_ROUND);
    float n = shifted - ALLOY_EXP_ROUND;
    float r = fmaf(n, -ALLOY_EXP_LN2_LOW, fmaf(n, -ALLOY_EXP_LN2_HIGH, x));
    float p = ALLOY_EXP_6;
    p = fmaf(p, r, ALLOY_EXP_5);
    p = fmaf(p, r, ALLOY_EXP_4);
    p = fmaf(p, r, ALLOY_EXP_3);
    p = fmaf(p, r, ALLOY_EXP_2);
    p = fmaf(p, r, 1);
    p = fmaf(p, r, 1);
    /* 2^n in two factors: n reaches from -150 to 128, and only the second product rounds. */
    uint32_t whole = alloy_float_bits(shifted) - alloy_float_bits(ALLOY_EXP_ROUND);
    uint32_t half = (uint32_t)((int32_t)whole >> 1);
    return p * alloy_bits_float((half + 127) << 23) * alloy_bits_float((whole - half + 127) << 23);
}

ALLOY_INLINE float alloy_sigmoid(float x)
{
    return 1 / (1 + alloy_exp(-x));
}

ALLOY_INLINE float alloy_silu(float x)
{
    return x * alloy_sigmoid(x);
}

/* 0 <= u <= 1 */
ALLOY_INLINE float alloy_log1p(float u)
{
    int halve = u > ALLOY_LOG1P_HALVE;
    float f = halve ? fmaf(u, 0.5f, -0.5f) : u;
    float s = f / (2 + f);
    float z = s * s;
    float p = ALLOY_LOG1P_3;
    p = fmaf(p, z, ALLOY_LOG1P_2);
    p = fmaf(p, z, ALLOY_LOG1P_1);
    p = fmaf(p, z, ALLOY_LOG1P_0);
    float log = fmaf(-s, fmaf(-z, p, f), f);
    return log + (halve ? ALLOY_LOG1P_LN2 : 0);
}

/* log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)): accurate for every x, where log(1 + exp(x)) itself is not. */
ALLOY_INLINE float alloy_softplus(float x)
{
    float small = alloy_log1p(alloy_exp(-fabsf(x)));
    return (0 > x ? 0 : x) + small;
}

#endif
