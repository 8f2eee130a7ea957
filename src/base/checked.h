/* Checked arithmetic: sizes that come from files pass through here before they are multiplied, added or allocated. Each
 * function returns false, and leaves *out alone, where the true result does not fit. */
#ifndef ALLOY_BASE_CHECKED_H
#define ALLOY_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool alloy_size_add(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline bool alloy_size_multiply(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static inline bool alloy_int64_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline bool alloy_int64_multiply(int64_t a, int64_t b, int64_t *out)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

/* n rounded up to a multiple of `unit`, a power of two. */
static inline bool alloy_size_round_up(size_t n, size_t unit, size_t *out)
{
    size_t sum;
    if (!alloy_size_add(n, unit - 1, &sum))
        return false;
    *out = sum & ~(unit - 1);
    return true;
}

#endif
