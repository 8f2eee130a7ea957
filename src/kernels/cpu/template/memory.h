/* Reading, filling and copying memory (kernels.h): quarters of whole pairs of vectors side by side, then the rest.
 *
 * The empty assembler statements keep the compiler from making memset or memcpy of the loops, which may write past the
 * caches. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_MEMORY_H
#define ALLOY_KERNELS_CPU_TEMPLATE_MEMORY_H

enum { QUARTERS = 4, STEP = 2 * WIDTH };

static uint32_t read_all(const float *x, int64_t n)
{
    int64_t quarter = n / QUARTERS / STEP * STEP, at = 0;
    vec all[QUARTERS][2];
    for (int q = 0; q < QUARTERS; q++)
        all[q][0] = all[q][1] = v_set(0);
    for (; at < quarter; at += STEP)
        for (int q = 0; q < QUARTERS; q++) {
            all[q][0] = v_xor(all[q][0], v_load(x + q * quarter + at));
            all[q][1] = v_xor(all[q][1], v_load(x + q * quarter + at + WIDTH));
        }
    for (int q = 1; q < QUARTERS; q++)
        for (int i = 0; i < 2; i++)
            all[0][i] = v_xor(all[0][i], all[q][i]);
    float lanes[WIDTH];
    v_store(lanes, v_xor(all[0][0], all[0][1]));
    return alloy_generic_read(lanes, WIDTH) ^ alloy_generic_read(x + QUARTERS * quarter, n - QUARTERS * quarter);
}

static void fill(float *y, float value, int64_t n)
{
    int64_t quarter = n / QUARTERS / STEP * STEP;
    vec values = v_set(value);
    for (int64_t at = 0; at < quarter; at += STEP) {
        for (int q = 0; q < QUARTERS; q++) {
            v_store(y + q * quarter + at, values);
            v_store(y + q * quarter + at + WIDTH, values);
        }
        __asm__ volatile("" : : : "memory");
    }
    for (int64_t i = QUARTERS * quarter; i < n; i++)
        y[i] = value;
}

static void copy(float *y, const float *x, int64_t n)
{
    int64_t quarter = n / QUARTERS / STEP * STEP, done = QUARTERS * quarter;
    for (int64_t at = 0; at < quarter; at += STEP) {
        for (int q = 0; q < QUARTERS; q++) {
            v_store(y + q * quarter + at, v_load(x + q * quarter + at));
            v_store(y + q * quarter + at + WIDTH, v_load(x + q * quarter + at + WIDTH));
        }
        __asm__ volatile("" : : : "memory");
    }
    memcpy(y + done, x + done, (size_t)(n - done) * sizeof *y);
}

#endif
