/* Conversions between fp32 and the dtypes of weights and caches (kernels.h). */
#include "kernels/cpu/generic/convert.h"

#include "kernels/counted.h"
#include "kernels/cpu/generic/generic.h"

void alloy_generic_widen(float *y, const void *x, alloy_dtype dtype, int64_t n)
{
    ALLOY_COUNT_PARAMETER(x, n * alloy_dtype_bits(dtype) / 8);
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_element(x, dtype, i);
}

void alloy_generic_widen_row(float *y, const void *x, alloy_dtype dtype, const alloy_scales *scales, int64_t row,
                             int64_t n)
{
    ALLOY_COUNT_PARAMETER(x, n * alloy_dtype_bits(dtype) / 8);
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_weight_element(x, dtype, scales, row, i);
}

void alloy_generic_narrow(void *y, const float *x, alloy_dtype dtype, int64_t n)
{
    ALLOY_COUNT_WRITTEN(y, n * alloy_dtype_bits(dtype) / 8);
    if (dtype == ALLOY_F32) {
        memcpy(y, x, (size_t)n * sizeof *x);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint16_t half = dtype == ALLOY_BF16 ? alloy_to_bf16(x[i]) : alloy_to_f16(x[i]);
        memcpy((char *)y + 2 * i, &half, sizeof half);
    }
}

bool alloy_generic_all_finite(const float *x, int64_t n)
{
    const uint32_t infinite = 0x7f800000;
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
        finite &= (alloy_float_bits(x[i]) & infinite) != infinite;
    return finite;
}
