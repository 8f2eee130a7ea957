/* Number formats (formats.h). */
#include "roofline/formats.h"

#include <string.h>

#include "base/status.h"

enum { TILE = 128, FP4_BLOCK = 32, F32_BITS = 32, E8M0_BITS = 8 };

static const struct {
    const char *other; /* the name that dtypes of files and of torch have; NULL: none */
    const char *torch;
    int bits;
} formats[ALLOY_PEAK_COUNT] = {
    [ALLOY_PEAK_INT4] = {NULL, NULL, 4},        [ALLOY_PEAK_INT8] = {"i8", NULL, 8},
    [ALLOY_PEAK_FP4] = {"f4", "mxfp4", 4},      [ALLOY_PEAK_FP8] = {"f8", "float8_e4m3fn", 8},
    [ALLOY_PEAK_FP16] = {"f16", "float16", 16}, [ALLOY_PEAK_BF16] = {NULL, "bfloat16", 16},
    [ALLOY_PEAK_FP32] = {"f32", "float32", 32}, [ALLOY_PEAK_FP64] = {"f64", "float64", 64},
};

alloy_status alloy_format_by_name(const char *what, const char *name, alloy_peak *out)
{
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++)
        if (strcmp(name, alloy_peak_name((alloy_peak)i)) == 0 ||
            (formats[i].other && strcmp(name, formats[i].other) == 0) ||
            (formats[i].torch && strcmp(name, formats[i].torch) == 0)) {
            *out = (alloy_peak)i;
            return ALLOY_OK;
        }
    return alloy_fail(ALLOY_ARG, "%s: \"%s\", expected int4, int8, fp4, fp8, fp16, bf16, fp32 or fp64", what, name);
}

int alloy_format_bits(alloy_peak format)
{
    return formats[format].bits;
}

static alloy_wide pieces(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

alloy_wide alloy_format_scale_bits(alloy_peak format, int64_t rows, int64_t columns)
{
    if (format == ALLOY_PEAK_FP8)
        return pieces(rows, TILE) * pieces(columns, TILE) * F32_BITS;
    if (format == ALLOY_PEAK_FP4)
        return (alloy_wide)rows * pieces(columns, FP4_BLOCK) * E8M0_BITS;
    return 0;
}
