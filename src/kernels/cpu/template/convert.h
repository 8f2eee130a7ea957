/* Conversions (kernels.h); the last few elements are left to plain C. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_CONVERT_H
#define ALLOY_KERNELS_CPU_TEMPLATE_CONVERT_H

/* WIDTH elements of weights at p. */
ALLOY_INLINE vec v_load_weights(const char *p, alloy_dtype dtype)
{
    return dtype == ALLOY_F32 ? v_load(p) : dtype == ALLOY_BF16 ? v_load_bf16(p) : v_load_f16(p);
}

/* The first `count` <= 16 of them, part `part`: lanes after them are +0. */
ALLOY_INLINE vec v_load_weights_part(const char *p, alloy_dtype dtype, int part, int64_t count)
{
    char buffer[WIDTH * sizeof(float)] = {0};
    const int64_t size = dtype == ALLOY_F32 ? 4 : 2, left = count - part * WIDTH, here = left < WIDTH ? left : WIDTH;
    if (here > 0)
        memcpy(buffer, p + part * WIDTH * size, (size_t)(here * size));
    return v_load_weights(buffer, dtype);
}

ALLOY_INLINE void widen_of(float *y, const char *x, alloy_dtype dtype, int64_t n)
{
    int64_t i = 0, size = dtype == ALLOY_F32 ? 4 : 2;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(y + i, v_load_weights(x + i * size, dtype));
    for (; i < n; i++)
        y[i] = alloy_element(x, dtype, i);
}

static void widen(float *y, const void *x, alloy_dtype dtype, int64_t n)
{
    if (dtype == ALLOY_F32)
        memcpy(y, x, (size_t)n * sizeof *y);
    else if (dtype == ALLOY_BF16)
        widen_of(y, x, ALLOY_BF16, n);
    else if (dtype == ALLOY_F16)
        widen_of(y, x, ALLOY_F16, n);
    else
        alloy_generic_widen(y, x, dtype, n);
}

/* ---- Weights that may have scales: F8_E4M3 and F4 ---------------------------------------------------------------- */

#define IS_SCALED(DTYPE) ((DTYPE) == ALLOY_F8_E4M3 || (DTYPE) == ALLOY_F4)

/* Elements that are widened at once: those in 16 bytes, so one or two steps of 16 lanes. */
#define SCALED_AT_ONCE(DTYPE) ((DTYPE) == ALLOY_F4 ? 32 : 16)

/* The scale of a tile, as elements of the dtype take it. */
typedef struct tile_scale {
    vec f8_e4m3; /* times 2^120, exactly: elements are loaded times 2^-120 */
    f4_numbers f4;
} tile_scale;

/* Scale `tile` at `scales`: floats of tile_scale.f8_e4m3, or for F4 bytes in F8_E8M0. */
ALLOY_INLINE tile_scale v_load_scale(const void *scales, alloy_dtype dtype, int64_t tile)
{
    if (dtype == ALLOY_F4)
        return (tile_scale){.f4 = v_f4_numbers(((const uint8_t *)scales)[tile])};
    return (tile_scale){.f8_e4m3 = v_set(((const float *)scales)[tile])};
}

/* The elements in 16 bytes with their scale; those of F4 in the order of v_load_f4. What is NaN in F8_E4M3 is joined to
 * what is found, not loaded. */
ALLOY_INLINE vec v_load_scaled(vec *lanes, vec found, const char *p, alloy_dtype dtype, tile_scale scale)
{
    if (dtype == ALLOY_F4) {
        v_load_f4(lanes, p, scale.f4);
        return found;
    }
    found = v_load_f8_e4m3(lanes, found, p);
    for (int i = 0; i < PARTS; i++)
        lanes[i] = v_mul(lanes[i], scale.f8_e4m3);
    return found;
}

/* Elements [from, to) of row `row`, at x, with their scales: tile by tile, since a tile has one scale. */
ALLOY_INLINE void widen_scaled(float *y, const char *x, alloy_dtype dtype, const alloy_scales *scales, int64_t row,
                               int64_t from, int64_t to)
{
    static const uint8_t one = 127;
    static const float unit = 0x1p120f;
    const int64_t at_once = SCALED_AT_ONCE(dtype), columns = scales->data ? scales->columns : to;
    const tile_scale exact = v_load_scale(dtype == ALLOY_F4 ? (const void *)&one : (const void *)&unit, dtype, 0);
    for (int64_t k = from, end; k < to; k = end) {
        end = (k / columns + 1) * columns < to ? (k / columns + 1) * columns : to;
        const vec scale = v_set(scales->data ? alloy_scale_at(scales, row, k) : 1);
        const int64_t begin = k;
        vec lanes[2 * PARTS], found = v_set(0);
        for (; k + at_once <= end; k += at_once) {
            found = v_load_scaled(lanes, found, x + k * 16 / at_once, dtype, exact);
            for (int64_t i = 0; i < at_once / WIDTH; i++) {
                if (dtype == ALLOY_F4 && i % PARTS == 0)
                    v_from_f4_order(lanes + i);
                v_store(y + k - from + i * WIDTH, v_mul(lanes[i], scale));
            }
        }
        if (dtype == ALLOY_F8_E4M3 && v_f8_e4m3_found_nan(found))
            k = begin;
        for (; k < end; k++)
            y[k - from] = alloy_weight_element(x, dtype, scales, row, k);
    }
}

static void widen_row(float *y, const void *x, alloy_dtype dtype, const alloy_scales *scales, int64_t row, int64_t n)
{
    if (dtype == ALLOY_F8_E4M3)
        widen_scaled(y, x, ALLOY_F8_E4M3, scales, row, 0, n);
    else if (dtype == ALLOY_F4)
        widen_scaled(y, x, ALLOY_F4, scales, row, 0, n);
    else
        widen(y, x, dtype, n);
}

static void narrow(void *y, const float *x, alloy_dtype dtype, int64_t n)
{
    char *out = y;
    int64_t i = 0;
    if (dtype == ALLOY_BF16)
        for (; i + WIDTH <= n; i += WIDTH)
            v_store_bf16(out + 2 * i, v_load(x + i));
    if (dtype == ALLOY_F16)
        for (; i + WIDTH <= n; i += WIDTH)
            v_store_f16(out + 2 * i, v_load(x + i));
    alloy_generic_narrow(out + 2 * i, x + i, dtype, n - i); /* what is left; all of the other dtypes */
}

static bool all_finite(const float *x, int64_t n)
{
    vec found = v_set(0);
    int64_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        found = v_find_infinite(found, v_load(x + i));
    if (i < n)
        found = v_find_infinite(found, v_load_first(x + i, n - i));
    return !v_found(found);
}

#endif
