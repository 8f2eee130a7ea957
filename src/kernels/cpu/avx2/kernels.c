/* The table of AVX2, with FMA and F16C: the kernels of cpu/template/ over the vectors of vector.h. */
#include "kernels/cpu/avx2/avx2.h"
#include "kernels/cpu/avx2/vector.h"

#include "kernels/cpu/template/kernels.h"

const alloy_kernels alloy_kernels_avx2 = ALLOY_TEMPLATE_TABLE("avx2");
