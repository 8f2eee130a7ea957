/* How the plain C kernels are compiled. They are written in fmaf; without an FMA instruction in the compiler's target
 * each is a call into libm, a dozen times slower. So on x86 each kernel is compiled twice, as it is and for processors
 * with FMA, and the loader picks one: the same source, the same bits. Helpers must be inlined to take part. Clang 14
 * gives clones a name that other files do not find. */
#ifndef ALLOY_KERNELS_CPU_GENERIC_CLONES_H
#define ALLOY_KERNELS_CPU_GENERIC_CLONES_H

#define ALLOY_INLINE static inline __attribute__((always_inline, unused))

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__FMA__) && !defined(__clang__)
#define ALLOY_CLONES __attribute__((target_clones("default", "fma")))
#else
#define ALLOY_CLONES
#endif

#endif
