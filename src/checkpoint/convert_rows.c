/* Rows of converted tensors (convert_rows.h). */
#include "checkpoint/convert_rows.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "backends/cpu/cpu.h"

static const float LARGEST_FP8 = 448, LARGEST_FP4 = 6;

struct alloy_row_scratch {
    const alloy_kernels *kernels;
    alloy_residency *residency;      /* of the model; NULL: its weights are not bounded */
    const alloy_made_tensor *tensor; /* whose row and scales are here; NULL: nobody's */
    int64_t row, band;               /* which; a band is the rows of a part that share scales */
    float *wide, *other;             /* [columns] the row's values; quotients, then the values that were made of them */
    float *scales;                   /* [columns / 32 + 1] of the band */
    char *bytes;                     /* [columns * 4] the row as it is written */
};

/* ---- Shapes ------------------------------------------------------------------------------------------------------ */

/* Of the tile that one scale of what is made covers. */
static int64_t tile_rows(const alloy_made_tensor *t)
{
    return t->keeps ? t->parts[0]->scales.rows : t->dtype == ALLOY_F8_E4M3 ? ALLOY_FP8_TILE : 1;
}

static int64_t tile_columns(const alloy_made_tensor *t)
{
    return t->keeps ? t->parts[0]->scales.columns : t->dtype == ALLOY_F8_E4M3 ? ALLOY_FP8_TILE : ALLOY_FP4_TILE;
}

static int64_t tiles_of_row(const alloy_made_tensor *t)
{
    return (t->columns + tile_columns(t) - 1) / tile_columns(t);
}

static int64_t rows_of_part(const alloy_made_tensor *t)
{
    return t->is_scales ? (t->rows + tile_rows(t) - 1) / tile_rows(t) : t->rows;
}

int64_t alloy_made_rows(const alloy_made_tensor *t)
{
    return t->part_count * rows_of_part(t);
}

size_t alloy_made_row_bytes(const alloy_made_tensor *t)
{
    int64_t elements = t->is_scales ? tiles_of_row(t) : t->columns;
    return (size_t)elements * (size_t)alloy_dtype_bits(t->is_scales ? t->scale_dtype : t->dtype) / 8;
}

/* ---- Scratch ----------------------------------------------------------------------------------------------------- */

struct alloy_row_scratch *alloy_row_scratch_new(int64_t columns, alloy_residency *residency)
{
    size_t count = (size_t)columns;
    struct alloy_row_scratch *s = alloy_memory_zeroed(1, sizeof *s);
    if (!s)
        return NULL;
    s->kernels = alloy_kernels_get(NULL);
    s->residency = residency;
    s->wide = alloy_memory_new(count, sizeof *s->wide);
    s->other = alloy_memory_new(count, sizeof *s->other);
    s->scales = alloy_memory_new(count / ALLOY_FP4_TILE + 1, sizeof *s->scales);
    s->bytes = alloy_memory_new(count, sizeof(int64_t)); /* indices are the widest */
    if (s->wide && s->other && s->scales && s->bytes)
        return s;
    alloy_row_scratch_free(s);
    return NULL;
}

void alloy_row_scratch_free(struct alloy_row_scratch *s)
{
    if (!s)
        return;
    alloy_memory_free(s->wide);
    alloy_memory_free(s->other);
    alloy_memory_free(s->scales);
    alloy_memory_free(s->bytes);
    alloy_memory_free(s);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static const char *stored_row(const alloy_weight *part, int64_t row, int64_t columns)
{
    return (const char *)part->data + row * (columns * alloy_dtype_bits(part->dtype) / 8);
}

/* Every row is read once or twice, and no other soon: the oldest may leave first. */
static void hold_row(const alloy_made_tensor *t, const alloy_weight *part, int64_t row)
{
    alloy_weight_hold(t->scratch->residency, part, row * t->columns, t->columns, ALLOY_READ_BY_CHOICE);
}

static void let_go_of_row(const alloy_made_tensor *t, const alloy_weight *part, int64_t row)
{
    alloy_weight_let_go(t->scratch->residency, part, row * t->columns, t->columns, ALLOY_READ_BY_CHOICE);
}

static int64_t first_not_finite(const float *values, int64_t count)
{
    int64_t at = 0;
    while (at < count && isfinite(values[at]))
        at++;
    return at;
}

/* The values of a row, which must be finite, into scratch->wide. */
static alloy_status widen(const alloy_made_tensor *t, const alloy_weight *part, int64_t row)
{
    const alloy_kernels *kernels = t->scratch->kernels;
    float *wide = t->scratch->wide;
    hold_row(t, part, row);
    kernels->widen_row(wide, stored_row(part, row, t->columns), part->dtype, &part->scales, row, t->columns);
    let_go_of_row(t, part, row);
    if (kernels->all_finite(wide, t->columns))
        return ALLOY_OK;
    int64_t at = row * t->columns + first_not_finite(wide, t->columns);
    return alloy_fail(ALLOY_RANGE, "%s: element %lld is not finite", part->name, (long long)at);
}

/* Compares the row that was made, in scratch->other, with scratch->wide. */
static alloy_status measure(alloy_made_tensor *t, const alloy_weight *part, int64_t row)
{
    const float *wide = t->scratch->wide, *made = t->scratch->other;
    if (!t->scratch->kernels->all_finite(made, t->columns)) {
        int64_t at = first_not_finite(made, t->columns);
        return alloy_fail(ALLOY_RANGE, "%s: element %lld is %g, more than %s can hold", part->name,
                          (long long)(row * t->columns + at), (double)wide[at], alloy_dtype_name(t->dtype));
    }
    for (int64_t i = 0; i < t->columns; i++) {
        double value = fabs((double)wide[i]), error = fabs((double)made[i] - (double)wide[i]);
        t->largest = value > t->largest ? value : t->largest;
        t->largest_error = error > t->largest_error ? error : t->largest_error;
        t->squares += value * value;
        t->error_squares += error * error;
    }
    return ALLOY_OK;
}

/* ---- Scales ------------------------------------------------------------------------------------------------------ */

/* The scale of elements of which the largest is `amax`. */
static float scale_for(const alloy_made_tensor *t, float amax)
{
    float scale = amax / (t->dtype == ALLOY_F8_E4M3 ? LARGEST_FP8 : LARGEST_FP4);
    uint8_t power;
    if (scale == 0)
        return 1;
    if (t->scale_dtype == ALLOY_F32)
        return scale;
    t->scratch->kernels->narrow(&power, &scale, ALLOY_F8_E8M0, 1);
    t->scratch->kernels->widen(&scale, &power, ALLOY_F8_E8M0, 1);
    return scale;
}

/* The largest absolute value of `count`, and of `largest`. */
static float largest_of(const float *values, int64_t count, float largest)
{
    for (int64_t i = 0; i < count; i++) {
        float value = fabsf(values[i]);
        largest = value > largest ? value : largest;
    }
    return largest;
}

/* The scales of a band into scratch->scales: its tiles are whole, for what else there is is not packed. */
static alloy_status find_scales(const alloy_made_tensor *t, const alloy_weight *part, int64_t band)
{
    struct alloy_row_scratch *s = t->scratch;
    int64_t tiles = tiles_of_row(t), columns = tile_columns(t), first = band * tile_rows(t);
    for (int64_t tile = 0; tile < tiles; tile++)
        s->scales[tile] = 0;
    for (int64_t row = first; row < first + tile_rows(t); row++) {
        alloy_status status = widen(t, part, row);
        if (status)
            return status;
        for (int64_t tile = 0; tile < tiles; tile++)
            s->scales[tile] = largest_of(s->wide + tile * columns, columns, s->scales[tile]);
    }
    for (int64_t tile = 0; tile < tiles; tile++)
        s->scales[tile] = scale_for(t, s->scales[tile]);
    return ALLOY_OK;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

/* value / scale in 24 bits, the last one set where the quotient has more (rounding to odd): what is rounded once more,
 * to at most 4 bits, is then rounded as the quotient itself. Within what the format holds. */
static float quotient(float value, float scale, float largest)
{
    double exact = (double)value / (double)scale;
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    uint64_t below = UINT64_C(0x1FFFFFFF); /* a double has 29 more bits */
    bits = (bits & ~below) | ((bits & below) != 0) << 29;
    memcpy(&exact, &bits, sizeof exact);
    return (float)(exact > largest ? largest : exact < -largest ? -largest : exact);
}

static alloy_status pack_row(alloy_made_tensor *t, const alloy_weight *part, int64_t row)
{
    const alloy_kernels *kernels = t->scratch->kernels;
    struct alloy_row_scratch *s = t->scratch;
    float largest = t->dtype == ALLOY_F8_E4M3 ? LARGEST_FP8 : LARGEST_FP4;
    alloy_status status = widen(t, part, row);
    if (status)
        return status;
    int64_t columns = tile_columns(t);
    for (int64_t tile = 0; tile < tiles_of_row(t); tile++)
        for (int64_t i = tile * columns; i < (tile + 1) * columns; i++)
            s->other[i] = quotient(s->wide[i], s->scales[tile], largest);
    kernels->narrow(s->bytes, s->other, t->dtype, t->columns);
    alloy_scales scales = {.data = s->scales, .dtype = ALLOY_F32, .rows = 1, .columns = tile_columns(t)};
    kernels->widen_row(s->other, s->bytes, t->dtype, &scales, 0, t->columns);
    return measure(t, part, row);
}

static alloy_status cast_row(alloy_made_tensor *t, const alloy_weight *part, int64_t row)
{
    const alloy_kernels *kernels = t->scratch->kernels;
    struct alloy_row_scratch *s = t->scratch;
    alloy_status status = widen(t, part, row);
    if (status)
        return status;
    kernels->narrow(s->bytes, s->wide, t->dtype, t->columns);
    kernels->widen(s->other, s->bytes, t->dtype, t->columns);
    return measure(t, part, row);
}

/* Scales as the model has them; E8M0 where F32 is asked for is widened, which is exact. Only they are held: the values
 * beside them would be read in vain. */
static void keep_scales(const alloy_made_tensor *t, const alloy_weight *part, int64_t row)
{
    const alloy_scales *scales = &part->scales;
    const char *stored = (const char *)scales->data + (scales->first / scales->rows + row) * scales->stride;
    size_t bytes = (size_t)(tiles_of_row(t) * alloy_dtype_bits(scales->dtype) / 8);
    alloy_residency *residency = t->scratch->residency;
    if (residency)
        alloy_residency_hold(residency, stored, bytes, ALLOY_READ_BY_CHOICE);
    if (scales->dtype == t->scale_dtype)
        memcpy(t->scratch->bytes, stored, alloy_made_row_bytes(t));
    else
        t->scratch->kernels->widen((float *)(void *)t->scratch->bytes, stored, scales->dtype, tiles_of_row(t));
    if (residency)
        alloy_residency_let_go(residency, stored, bytes, ALLOY_READ_BY_CHOICE);
}

/* Row `row` of the whole into scratch->bytes. */
static alloy_status make_row(alloy_made_tensor *t, int64_t row)
{
    struct alloy_row_scratch *s = t->scratch;
    const alloy_weight *part = t->parts[row / rows_of_part(t)];
    int64_t within = row % rows_of_part(t);
    if (t->keeps && t->is_scales) {
        keep_scales(t, part, within);
        return ALLOY_OK;
    }
    if (t->keeps) {
        hold_row(t, part, within);
        memcpy(s->bytes, stored_row(part, within, t->columns), alloy_made_row_bytes(t));
        let_go_of_row(t, part, within);
        return ALLOY_OK;
    }
    if (t->scale_dtype == ALLOY_DTYPE_NONE)
        return cast_row(t, part, within);
    int64_t band = t->is_scales ? within : within / tile_rows(t);
    if (s->band != band || within == 0) {
        alloy_status status = find_scales(t, part, band);
        if (status)
            return status;
        s->band = band;
    }
    if (!t->is_scales)
        return pack_row(t, part, within);
    t->scratch->kernels->narrow(s->bytes, s->scales, t->scale_dtype, tiles_of_row(t));
    return ALLOY_OK;
}

alloy_status alloy_made_bytes(alloy_made_tensor *t, uint64_t offset, void *to, size_t size)
{
    struct alloy_row_scratch *s = t->scratch;
    size_t row_bytes = alloy_made_row_bytes(t);
    for (size_t done = 0; done < size;) {
        int64_t row = (int64_t)((offset + done) / row_bytes);
        size_t at = (size_t)((offset + done) % row_bytes),
               count = row_bytes - at < size - done ? row_bytes - at : size - done;
        if (s->tensor != t || s->row != row) {
            if (s->tensor != t)
                s->band = -1;
            s->tensor = NULL; /* until the row is whole */
            alloy_status status = make_row(t, row);
            if (status)
                return status;
            s->tensor = t;
            s->row = row;
        }
        memcpy((char *)to + done, s->bytes + at, count);
        done += count;
    }
    return ALLOY_OK;
}
