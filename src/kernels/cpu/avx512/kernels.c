/* The table of AVX-512: the kernels of cpu/template/ over the vectors of vector.h. */
#include "kernels/cpu/avx512/avx512.h"
#include "kernels/cpu/avx512/vector.h"

#include "kernels/cpu/template/kernels.h"

const alloy_kernels alloy_kernels_avx512 = ALLOY_TEMPLATE_TABLE("avx512");
