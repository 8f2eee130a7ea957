/* Number formats by the names that users and chips know them by: "bf16", "fp8", ... */
#ifndef ALLOY_ROOFLINE_FORMATS_H
#define ALLOY_ROOFLINE_FORMATS_H

#include "base/count.h"

/* Bits of one element. */
int alloy_format_bits(alloy_peak format);

/* Bits that the block scales of a matrix [rows, columns] take beside its elements: fp8 one fp32 a tile of 128 x 128,
 * fp4 one byte (E8M0) for 32 elements of a row; none for other formats. */
alloy_wide alloy_format_scale_bits(alloy_peak format, int64_t rows, int64_t columns);

#endif
