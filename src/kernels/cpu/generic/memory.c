/* Reading, filling and copying memory (kernels.h). */
#include <string.h>

#include "kernels/cpu/generic/generic.h"

static inline uint32_t bits(const float *x)
{
    uint32_t word;
    memcpy(&word, x, sizeof word);
    return word;
}

uint32_t alloy_generic_read(const float *x, int64_t n)
{
    int64_t quarter = n / 4;
    const float *b = x + quarter, *c = b + quarter, *d = c + quarter;
    uint32_t all[4] = {0};
    for (int64_t i = 0; i < quarter; i++) {
        all[0] ^= bits(x + i);
        all[1] ^= bits(b + i);
        all[2] ^= bits(c + i);
        all[3] ^= bits(d + i);
    }
    for (int64_t i = 4 * quarter; i < n; i++)
        all[0] ^= bits(x + i);
    return all[0] ^ all[1] ^ all[2] ^ all[3];
}

void alloy_generic_fill(float *y, float value, int64_t n)
{
    int64_t quarter = n / 4;
    float *b = y + quarter, *c = b + quarter, *d = c + quarter;
    for (int64_t i = 0; i < quarter; i++)
        y[i] = b[i] = c[i] = d[i] = value;
    for (int64_t i = 4 * quarter; i < n; i++)
        y[i] = value;
}

void alloy_generic_copy(float *y, const float *x, int64_t n)
{
    int64_t quarter = n / 4;
    for (int64_t i = 0; i < quarter; i++)
        for (int q = 0; q < 4; q++)
            y[q * quarter + i] = x[q * quarter + i];
    for (int64_t i = 4 * quarter; i < n; i++)
        y[i] = x[i];
}
