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

#endif
