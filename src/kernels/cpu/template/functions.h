/* cpu/generic/functions.h over vectors: the same operations in the same order, so the same bits. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_FUNCTIONS_H
#define ALLOY_KERNELS_CPU_TEMPLATE_FUNCTIONS_H

ALLOY_INLINE vec v_exp(vec x)
{
    x = v_max(x, v_set(ALLOY_EXP_LOWEST));
    x = v_min(x, v_set(ALLOY_EXP_HIGHEST));
    vec shifted = v_fma(x, v_set(ALLOY_EXP_LOG2E), v_set(ALLOY_EXP_ROUND));
    vec n = v_sub(shifted, v_set(ALLOY_EXP_ROUND));
    vec r = v_fnma(n, v_set(ALLOY_EXP_LN2_LOW), v_fnma(n, v_set(ALLOY_EXP_LN2_HIGH), x));
    vec p = v_set(ALLOY_EXP_6);
    p = v_fma(p, r, v_set(ALLOY_EXP_5));
    p = v_fma(p, r, v_set(ALLOY_EXP_4));
    p = v_fma(p, r, v_set(ALLOY_EXP_3));
    p = v_fma(p, r, v_set(ALLOY_EXP_2));
    p = v_fma(p, r, v_set(1));
    p = v_fma(p, r, v_set(1));
    return v_scale(p, shifted);
}

ALLOY_INLINE vec v_sigmoid(vec x)
{
    return v_div(v_set(1), v_add(v_set(1), v_exp(v_negate(x))));
}

ALLOY_INLINE vec v_silu(vec x)
{
    return v_mul(x, v_sigmoid(x));
}

/* 0 <= u <= 1 */
ALLOY_INLINE vec v_log1p(vec u)
{
    vec limit = v_set(ALLOY_LOG1P_HALVE), half = v_set(0.5f);
    vec f = v_above(u, limit, v_fma(u, half, v_negate(half)), u);
    vec s = v_div(f, v_add(v_set(2), f));
    vec z = v_mul(s, s);
    vec p = v_set(ALLOY_LOG1P_3);
    p = v_fma(p, z, v_set(ALLOY_LOG1P_2));
    p = v_fma(p, z, v_set(ALLOY_LOG1P_1));
    p = v_fma(p, z, v_set(ALLOY_LOG1P_0));
    vec log = v_fnma(s, v_fnma(z, p, f), f);
    return v_add(log, v_above(u, limit, v_set(ALLOY_LOG1P_LN2), v_set(0)));
}

/* min(x, -x) is -|x| */
ALLOY_INLINE vec v_softplus(vec x)
{
    return v_add(v_max(x, v_set(0)), v_log1p(v_exp(v_min(x, v_negate(x)))));
}

#endif
