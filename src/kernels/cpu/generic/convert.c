/* Conversions between fp32 and the dtypes of weights and caches (kernels.h). */
#include "kernels/cpu/generic/convert.h"

#include "kernels/cpu/generic/generic.h"

void alloy_generic_widen(float *y, const void *x, alloy_dtype dtype, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_element(x, dtype, i);
}

void alloy_generic_widen_row(float *y, const void *x, alloy_dtype dtype, const alloy_scales *scales, int64_t row,
                             int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_weight_element(x, dtype, scales, row, i);
}

/* x as element i of an array of dtype; of F4, the byte's other half is kept. */
static void put_element(uint8_t *array, alloy_dtype dtype, int64_t i, float x)
{
    if (dtype == ALLOY_F8_E4M3) {
        array[i] = alloy_to_f8_e4m3(x);
    } else if (dtype == ALLOY_F8_E8M0) {
        array[i] = alloy_to_f8_e8m0(x);
    } else if (dtype == ALLOY_F4) {
        uint8_t *pair = array + i / 2;
        *pair = (uint8_t)(i % 2 ? (*pair & 15) | alloy_to_f4(x) << 4 : (*pair & 0xf0) | alloy_to_f4(x));
    } else {
        uint16_t half = dtype == ALLOY_BF16 ? alloy_to_bf16(x) : alloy_to_f16(x);
        memcpy(array + 2 * i, &half, sizeof half);
    }
}

void alloy_generic_narrow(void *y, const float *x, alloy_dtype dtype, int64_t n)
{
    if (dtype == ALLOY_F32)
        memcpy(y, x, (size_t)n * sizeof *x);
    else
        for (int64_t i = 0; i < n; i++)
            put_element(y, dtype, i, x[i]);
}

bool alloy_generic_all_finite(const float *x, int64_t n)
{
    const uint32_t infinite = 0x7f800000;
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
        finite &= (alloy_float_bits(x[i]) & infinite) != infinite;
    return finite;
}
