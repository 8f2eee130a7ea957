/* The table of AVX512: needs avx512's flags of cmake/kernels.cmake at run time (src/kernels/table.c). */
#ifndef ALLOY_KERNELS_CPU_AVX512_AVX512_H
#define ALLOY_KERNELS_CPU_AVX512_AVX512_H

#include "kernels/kernels.h"

extern const alloy_kernels alloy_kernels_avx512;

#endif
