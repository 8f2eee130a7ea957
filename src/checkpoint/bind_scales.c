/* Weights in fewer bits (bind_weight.h): matrices [.., O, I] whose elements mean their own value times that of a scale,
 * which a second tensor holds. X is the weight's name in the files; a name ...weight may also be X less "weight".
 *
 *   X           dtype    shape             scales                            their shape
 *   F8_E4M3     X        [.., O, I]        X_scale_inv, or ...scale for      [.., ceil(O / r), ceil(I / c)], a tile of
 *                                          ...weight: F32, BF16, F8_E8M0     r x c: quantization_config
 *   FP4 E2M1    X, I8    [.., O, I / 2]    the same                          [.., O, ceil(I / 32)]
 *   MXFP4       X_blocks U8 [.., O, I / 32, 16]    X_scales, U8: E8M0        [.., O, I / 32]
 *
 * Both FP4 have two elements a byte, the first in the low half, so they are one dtype from here on. Tiles at the edges
 * may be cut off. Scales in BF16 (Qwen's FP8 checkpoints have them) are widened once, exactly: there is one for
 * thousands of weights. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "checkpoint/bind_weight.h"

enum { BLOCK = 32, HALVES = 2, LONGEST = ALLOY_LONGEST_NAME + 16 }; /* elements of an FP4 block; of a byte */

/* The name with another ending: X_scale_inv, X_blocks. */
static const char *with_ending(char out[LONGEST], const char *name, const char *ending)
{
    snprintf(out, LONGEST, "%s%s", name, ending);
    return out;
}

/* "...scale" of "...weight"; NULL where the name ends otherwise. */
static const char *scale_for_weight(char out[LONGEST], const char *name)
{
    static const char weight[] = ".weight";
    size_t size = strlen(name), ending = sizeof weight - 1;
    if (size < ending || strcmp(name + size - ending, weight) != 0)
        return NULL;
    snprintf(out, LONGEST, "%.*s.scale", (int)(size - ending), name);
    return out;
}

bool alloy_bind_has_blocks(const alloy_binding *b, const char *name)
{
    char blocks[LONGEST];
    return alloy_weights_has(b->model->weights, with_ending(blocks, name, "_blocks"));
}

/* The tensor of scales of the weight; noted as missing where there is none. */
static const alloy_stored_tensor *find_scales(alloy_binding *b, const alloy_weight *w)
{
    char inverse[LONGEST], scale[LONGEST];
    const alloy_stored_tensor *t = alloy_bind_look_up(b, with_ending(inverse, w->name, "_scale_inv"));
    const char *other = scale_for_weight(scale, w->name);
    if (!t && other)
        t = alloy_bind_look_up(b, other);
    if (!t && !b->status)
        alloy_bind_problem(&b->missing, "%s%s%s (the scales of %s)", inverse, other ? " or " : "", other ? other : "",
                           w->name);
    return t;
}

/* BF16 as F32, in the model's memory. */
static const void *widened(alloy_binding *b, const alloy_stored_tensor *t)
{
    int64_t count = (int64_t)(t->bytes / sizeof(uint16_t));
    float *wide = alloy_bind_take(b, (size_t)count, sizeof *wide);
    if (wide)
        alloy_kernels_get("generic")->widen(wide, t->data, ALLOY_BF16, count);
    return wide;
}

/* Sets the weight's scales, of tiles of `rows` x `columns` weights. False, which is noted, where they do not fit. */
static bool use_scales(alloy_binding *b, alloy_weight *w, const alloy_stored_tensor *t, int64_t rows, int64_t columns)
{
    int64_t shape[ALLOY_MOST_DIMS];
    const int last = w->ndim - 1;
    memcpy(shape, w->shape, sizeof shape);
    shape[last - 1] = (shape[last - 1] + rows - 1) / rows;
    shape[last] = (shape[last] + columns - 1) / columns;
    if (!alloy_bind_use(b, t, w->ndim, shape))
        return false;
    alloy_dtype dtype = t->dtype == ALLOY_U8 ? ALLOY_F8_E8M0 : t->dtype == ALLOY_BF16 ? ALLOY_F32 : t->dtype;
    w->scales = (alloy_scales){.data = t->dtype == ALLOY_BF16 ? widened(b, t) : t->data,
                               .dtype = dtype,
                               .rows = rows,
                               .columns = columns,
                               .stride = shape[last] * alloy_dtype_bits(dtype) / 8};
    return w->scales.data != NULL;
}

static void bind_scaled(alloy_binding *b, alloy_weight *w, const alloy_stored_tensor *t, alloy_dtype dtype,
                        int64_t rows, int64_t columns)
{
    const alloy_stored_tensor *scales = find_scales(b, w);
    if (!scales)
        return;
    if (scales->dtype != ALLOY_F32 && scales->dtype != ALLOY_F8_E8M0 && scales->dtype != ALLOY_BF16) {
        b->status =
            alloy_fail(ALLOY_FORMAT, "%s: scales of dtype %s, expected F32, BF16 or F8_E8M0 (they are those of %s)",
                       scales->name, alloy_dtype_name(scales->dtype), w->name);
        return;
    }
    if (use_scales(b, w, scales, rows, columns))
        w->dtype = dtype, w->data = t->data;
}

static void bind_f8(alloy_binding *b, alloy_weight *w, const alloy_stored_tensor *t)
{
    const int64_t *tile = b->model->config.weight_block_size;
    bool fits = alloy_bind_use(b, t, w->ndim, w->shape);
    if (fits && !b->status)
        bind_scaled(b, w, t, ALLOY_F8_E4M3, tile[0], tile[1]);
}

/* Are the rows so many whole bytes, or blocks, of FP4? */
static bool divides(alloy_binding *b, const alloy_weight *w, int64_t size)
{
    if (w->shape[w->ndim - 1] % size == 0)
        return true;
    b->status = alloy_fail(ALLOY_FORMAT, "%s: rows of %lld weights in FP4, expected a multiple of %lld", w->name,
                           (long long)w->shape[w->ndim - 1], (long long)size);
    return false;
}

static void bind_f4(alloy_binding *b, alloy_weight *w, const alloy_stored_tensor *t)
{
    int64_t shape[ALLOY_MOST_DIMS];
    memcpy(shape, w->shape, sizeof shape);
    shape[w->ndim - 1] /= HALVES;
    if (divides(b, w, HALVES) && alloy_bind_use(b, t, w->ndim, shape))
        bind_scaled(b, w, t, ALLOY_F4, 1, BLOCK);
}

/* A tensor of MXFP4, which is U8; NULL where it is missing or of another dtype. */
static const alloy_stored_tensor *find_bytes(alloy_binding *b, const alloy_weight *w, const char *ending)
{
    char name[LONGEST];
    const alloy_stored_tensor *t = alloy_bind_look_up(b, with_ending(name, w->name, ending));
    if (!t && !b->status)
        alloy_bind_problem(&b->missing, "%s (of %s_blocks)", name, w->name);
    if (!t || t->dtype == ALLOY_U8)
        return t;
    b->status = alloy_fail(ALLOY_FORMAT, "%s: MXFP4 of dtype %s, expected U8", t->name, alloy_dtype_name(t->dtype));
    return NULL;
}

static void bind_mxfp4(alloy_binding *b, alloy_weight *w)
{
    const alloy_stored_tensor *blocks = find_bytes(b, w, "_blocks"), *scales = find_bytes(b, w, "_scales");
    if (!blocks || !scales || !divides(b, w, BLOCK))
        return;
    int64_t shape[ALLOY_MOST_DIMS + 1];
    memcpy(shape, w->shape, sizeof w->shape);
    shape[w->ndim - 1] /= BLOCK;
    shape[w->ndim] = BLOCK / HALVES;
    bool fits = alloy_bind_use(b, blocks, w->ndim + 1, shape);
    if (use_scales(b, w, scales, 1, BLOCK) && fits)
        w->dtype = ALLOY_F4, w->data = blocks->data;
}

bool alloy_bind_packed(alloy_binding *b, alloy_weight *w, const alloy_stored_tensor *t)
{
    if (!t && alloy_bind_has_blocks(b, w->name))
        bind_mxfp4(b, w);
    else if (t && t->dtype == ALLOY_F8_E4M3)
        bind_f8(b, w, t);
    else if (t && t->dtype == ALLOY_I8)
        bind_f4(b, w, t);
    else
        return false;
    return true;
}
