/* Counts in 128 bits for arithmetic; an alloy_count (alloy.h) is what enters and leaves the library. */
#ifndef ALLOY_BASE_COUNT_H
#define ALLOY_BASE_COUNT_H

#include "alloy/alloy.h"

__extension__ typedef __int128 alloy_wide;
__extension__ typedef unsigned __int128 alloy_unsigned_wide;

static inline alloy_wide alloy_wide_of(alloy_count count)
{
    return (alloy_wide)((alloy_unsigned_wide)(uint64_t)count.high << 64 | count.low);
}

static inline alloy_count alloy_count_from(alloy_wide value)
{
    return (alloy_count){(uint64_t)value, (int64_t)(value >> 64)};
}

static inline void alloy_count_grow(alloy_count *sum, alloy_wide more)
{
    *sum = alloy_count_from(alloy_wide_of(*sum) + more);
}

#endif
