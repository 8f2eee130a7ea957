/* Dots of fp32 rows: a tile of TOKENS x KEYS of them at a time, so that each loaded vector is used several times. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_DOT_H
#define ALLOY_KERNELS_CPU_TEMPLATE_DOT_H

enum { LANES = WIDTH * PARTS }; /* 16 */

/* The first `count` lanes of part `part` of the 16 elements at p, the others +0; any count. */
ALLOY_INLINE vec v_load_part(const float *p, int part, int64_t count)
{
    int64_t here = count - part * WIDTH;
    return here >= WIDTH ? v_load(p + part * WIDTH) : here > 0 ? v_load_first(p + part * WIDTH, here) : v_set(0);
}

/* The 16 lanes of dot(a, b). */
ALLOY_INLINE void dot_lanes(vec lanes[PARTS], const float *a, const float *b, int64_t n)
{
    for (int p = 0; p < PARTS; p++)
        lanes[p] = v_set(0);
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES)
        for (int p = 0; p < PARTS; p++)
            lanes[p] = v_fma(v_load(a + k + p * WIDTH), v_load(b + k + p * WIDTH), lanes[p]);
    if (k < n)
        for (int p = 0; p < PARTS; p++)
            lanes[p] = v_fma(v_load_part(a + k, p, n - k), v_load_part(b + k, p, n - k), lanes[p]);
}

ALLOY_INLINE float dot(const float *a, const float *b, int64_t n)
{
    vec lanes[PARTS];
    dot_lanes(lanes, a, b, n);
    return v_tree(lanes);
}

/* dot(a, 1) */
ALLOY_INLINE float sum(const float *a, int64_t n)
{
    vec lanes[PARTS];
    for (int p = 0; p < PARTS; p++)
        lanes[p] = v_set(0);
    for (int64_t k = 0; k < n; k += LANES)
        for (int p = 0; p < PARTS; p++)
            lanes[p] = v_fma(v_load_part(a + k, p, n - k), v_set(1), lanes[p]);
    return v_tree(lanes);
}

#endif
