/* Inputs and outputs of kernels under test: numbers of several kinds from a seed, arrays that end where their memory
 * ends (so that a sanitizer sees a read after them), outputs between guards, and comparison by bits in which two NaNs
 * are equal. */
#ifndef ALLOY_TESTS_KERNELS_INPUTS_H
#define ALLOY_TESTS_KERNELS_INPUTS_H

#include "support.h"

#include <math.h>

#include "base/random.h"

/* Kinds of numbers. */
typedef enum kind {
    PLAIN,      /* -1 to 1 */
    WIDE,       /* 2^-40 to 2^40, either sign */
    TINY,       /* denormals, and products that are */
    CANCELLING, /* huge numbers, each followed by nearly its negative */
    SPECIAL,    /* infinities, NaNs, zeros of either sign, the largest and smallest numbers among plain ones */
    ANY_BITS,   /* anything that 32 bits can be */
    KINDS
} kind;

static const char *const kind_names[KINDS] = {"plain", "wide", "tiny", "cancelling", "special", "any bits"};

/* A stream of random numbers. */
typedef struct source {
    uint64_t seed, drawn;
} source;

static inline double uniform(source *s)
{
    return alloy_random_uniform(s->seed, 0, s->drawn++);
}

/* low to high, both included */
static inline int64_t between(source *s, int64_t low, int64_t high)
{
    return low + (int64_t)(uniform(s) * (double)(high - low + 1));
}

static inline float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float special(source *s)
{
    static const uint32_t specials[] = {0x7f800000, 0xff800000, 0x7fc00001, 0xffc12345, 0x7f800001, 0, 0x80000000, 1,
                                        0x80000001, 0x7fffff,   0x800000,   0x7f7fffff, 0xff7fffff};
    return from_bits(specials[between(s, 0, sizeof specials / sizeof *specials - 1)]);
}

static inline float draw(source *s, kind of, float before)
{
    double plain = 2 * uniform(s) - 1;
    switch (of) {
    case WIDE:
        return (float)ldexp(plain, (int)between(s, -40, 40));
    case TINY:
        return (float)ldexp(plain, (int)between(s, -150, -60));
    case CANCELLING:
        return s->drawn % 2 ? (float)ldexp(plain, 60) : (float)(-before * (1 + ldexp(plain, -20)));
    case SPECIAL:
        return between(s, 0, 19) ? (float)plain : special(s);
    case ANY_BITS:
        return from_bits((uint32_t)ldexp(uniform(s), 32));
    default:
        return (float)plain;
    }
}

/* `count` numbers in memory that ends after them; to be freed. */
static inline float *numbers(source *s, kind of, int64_t count)
{
    float *all = malloc((size_t)count * sizeof *all + (count == 0));
    for (int64_t i = 0; i < count; i++)
        all[i] = draw(s, of, i ? all[i - 1] : 1);
    return all;
}

/* The same numbers again, for the second of two runs. */
static inline float *same(const float *from, int64_t count)
{
    float *all = malloc((size_t)count * sizeof *all + (count == 0));
    memcpy(all, from, (size_t)count * sizeof *all);
    return all;
}

static inline bool is_nan(uint32_t bits)
{
    return (bits & 0x7fffffff) > 0x7f800000;
}

/* The first place where the two differ, or -1. */
static inline int64_t first_difference(const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t x = bits_of(a[i]), y = bits_of(b[i]);
        if (x != y && !(is_nan(x) && is_nan(y)))
            return i;
    }
    return -1;
}

#endif
