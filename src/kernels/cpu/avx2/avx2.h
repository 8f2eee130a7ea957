/* The table of AVX2: needs avx2's flags of cmake/kernels.cmake at run time (src/kernels/table.c). */
#ifndef ALLOY_KERNELS_CPU_AVX2_AVX2_H
#define ALLOY_KERNELS_CPU_AVX2_AVX2_H

#include "kernels/kernels.h"

extern const alloy_kernels alloy_kernels_avx2;

#endif
