/* Counter-based random numbers: a draw is a pure function of (seed, stream, counter), so that neighbours in a batch,
 * threads and order do not matter. Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2,
 * 3. SC 2011). */
#ifndef ALLOY_BASE_RANDOM_H
#define ALLOY_BASE_RANDOM_H

#include <stdint.h>

/* Four independent 32-bit draws. */
void alloy_random_4(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

/* One uniform draw in [0, 1), a multiple of 2^-53. */
double alloy_random_uniform(uint64_t seed, uint64_t stream, uint64_t counter);

#endif
