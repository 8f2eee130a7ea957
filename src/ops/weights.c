/* Weights as files hold them: views of their rows, and the size of their scales.
 *
 * A weight of ndim dimensions lies as rows of shape[ndim - 1] elements. Its scales repeat with each matrix of
 * shape[ndim - 2] rows: the tile in the last rows of a matrix ends with it. */
#include "ops/pass.h"

alloy_weight alloy_weight_rows(const alloy_weight *whole, int64_t i, int64_t at, int64_t rows)
{
    int64_t columns = whole->shape[2];
    alloy_weight view = *whole;
    view.ndim = 2;
    view.shape[0] = rows;
    view.shape[1] = columns;
    view.shape[2] = 1;
    if (whole->data)
        view.data =
            alloy_bytes_at(whole->data, (i * whole->shape[1] + at) * (columns * alloy_dtype_bits(whole->dtype) / 8));
    if (whole->scales.data) {
        int64_t row = i * alloy_scale_rows(&whole->scales, whole->shape[1]) + at / whole->scales.rows;
        view.scales.data = alloy_bytes_at(whole->scales.data, row * whole->scales.stride);
        view.scales.first = at % whole->scales.rows;
    }
    return view;
}

int64_t alloy_weight_scale_bytes(const alloy_weight *w)
{
    const alloy_scales *s = &w->scales;
    if (!s->data)
        return 0;
    int64_t matrices = w->ndim > 2 ? w->shape[0] : 1, rows = w->shape[w->ndim - 2], columns = w->shape[w->ndim - 1];
    int64_t in_a_row = (columns + s->columns - 1) / s->columns;
    return matrices * alloy_scale_rows(s, s->first + rows) * in_a_row * alloy_dtype_bits(s->dtype) / 8;
}
