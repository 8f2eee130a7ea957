/* Weights widened to fp32, and held where memory is bounded (cpu.h). Whoever reads a weight other than by alloy_linear
 * comes here, so that scales are known in one place. How they lie: ops/weights.c. */
#include "backends/cpu/cpu.h"

enum { ELEMENTS_A_PIECE = 64 * 1024 }; /* that are held at a time where memory is bounded; even */

/* The scales of the matrix that row `row` of the weight is in; *row becomes the row of that matrix. */
static alloy_scales scales_of_row(const alloy_weight *w, int64_t *row)
{
    alloy_scales scales = w->scales;
    if (w->ndim < 3)
        return scales;
    int64_t rows = w->shape[w->ndim - 2];
    scales.data = alloy_bytes_at(scales.data, *row / rows * alloy_scale_rows(&scales, rows) * scales.stride);
    *row %= rows;
    return scales;
}

/* `count` elements of row `row` from column `from`, tile by tile. */
static void widen_part(const alloy_kernels *kernels, const alloy_weight *w, int64_t row, int64_t from, int64_t count,
                       float *out)
{
    const int bits = alloy_dtype_bits(w->dtype);
    const char *at = (const char *)w->data + row * (w->shape[w->ndim - 1] * bits / 8);
    const alloy_scales scales = scales_of_row(w, &row);
    for (int64_t n; count > 0; from += n, out += n, count -= n) {
        alloy_scales tile = scales;
        tile.data = alloy_bytes_at(scales.data, from / scales.columns * alloy_dtype_bits(scales.dtype) / 8);
        n = scales.columns - from % scales.columns < count ? scales.columns - from % scales.columns : count;
        if (bits < 8 && from % 2) { /* the second half of a byte */
            float pair[2];
            kernels->widen_row(pair, at + from / 2, w->dtype, &tile, row, 2);
            out[0] = pair[1];
            n = 1;
        } else {
            kernels->widen_row(out, at + from * bits / 8, w->dtype, &tile, row, n);
        }
    }
}

void alloy_weight_widen(const alloy_kernels *kernels, const alloy_weight *w, int64_t first, int64_t count, float *out)
{
    if (!w->scales.data) {
        kernels->widen(out, alloy_bytes_at(w->data, first * alloy_dtype_bits(w->dtype) / 8), w->dtype, count);
        return;
    }
    int64_t columns = w->shape[w->ndim - 1];
    while (count > 0) {
        int64_t from = first % columns, n = columns - from < count ? columns - from : count;
        widen_part(kernels, w, first / columns, from, n, out);
        first += n, out += n, count -= n;
    }
}

/* ---- Where memory is bounded ------------------------------------------------------------------------------------- */

/* Where elements lie, and their scales (bytes 0 where there are none). */
struct place {
    const void *data, *scales;
    size_t bytes, scale_bytes;
};

static struct place place_of(const alloy_weight *w, int64_t first, int64_t count)
{
    int64_t bits = alloy_dtype_bits(w->dtype), columns = w->shape[w->ndim > 0 ? w->ndim - 1 : 0];
    int64_t row = first / columns, last_row = (first + count - 1) / columns;
    struct place place = {.data = alloy_bytes_at(w->data, first * bits / 8), .bytes = (size_t)((count * bits + 7) / 8)};
    if (!w->scales.data)
        return place;
    alloy_scales from = scales_of_row(w, &row), to = scales_of_row(w, &last_row);
    place.scales = alloy_bytes_at(from.data, (from.first + row) / from.rows * from.stride);
    const void *end = alloy_bytes_at(to.data, ((to.first + last_row) / to.rows + 1) * to.stride);
    place.scale_bytes = (size_t)((const char *)end - (const char *)place.scales);
    return place;
}

void alloy_weight_hold(alloy_residency *r, const alloy_weight *w, int64_t first, int64_t count, alloy_read_kind kind)
{
    if (!r)
        return;
    struct place place = place_of(w, first, count);
    alloy_residency_hold(r, place.data, place.bytes, kind);
    alloy_residency_hold(r, place.scales, place.scale_bytes, kind);
}

bool alloy_weight_announce(alloy_residency *r, const alloy_weight *w, int64_t first, int64_t count)
{
    if (!r)
        return true;
    struct place place = place_of(w, first, count);
    return alloy_residency_announce(r, place.data, place.bytes) &&
           alloy_residency_announce(r, place.scales, place.scale_bytes);
}

void alloy_weight_let_go(alloy_residency *r, const alloy_weight *w, int64_t first, int64_t count, alloy_read_kind kind)
{
    if (!r)
        return;
    struct place place = place_of(w, first, count);
    alloy_residency_let_go(r, place.data, place.bytes, kind);
    alloy_residency_let_go(r, place.scales, place.scale_bytes, kind);
}

/* ---- Widened ----------------------------------------------------------------------------------------------------- */

float *alloy_weight_widened(alloy_pass *p, const alloy_weight *weight)
{
    int64_t n = weight->shape[0] * weight->shape[1] * weight->shape[2] * weight->shape[3];
    float *wide = alloy_pass_take(p, n, sizeof(float));
    int64_t piece = p->residency ? ELEMENTS_A_PIECE : n;
    for (int64_t first = 0; wide && first < n; first += piece) {
        int64_t count = n - first < piece ? n - first : piece;
        alloy_weight_hold(p->residency, weight, first, count, ALLOY_READ_IN_TURN);
        alloy_weight_widen(p->kernels, weight, first, count, wide + first);
        alloy_weight_let_go(p->residency, weight, first, count, ALLOY_READ_IN_TURN);
    }
    return wide;
}

void alloy_weight_read(const alloy_weight *weight, int64_t first, int64_t count, float *out)
{
    alloy_weight_widen(alloy_kernels_get("generic"), weight, first, count, out);
}
