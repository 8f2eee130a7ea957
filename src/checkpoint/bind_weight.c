/* Finding one weight in the files (bind_weight.h): its dtype must be one that is computed with, its shape the declared
 * one. */
#include "checkpoint/bind_weight.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

void alloy_bind_problem(alloy_bind_problems *problems, const char *format, ...)
{
    if (problems->count++ >= ALLOY_MOST_PROBLEMS_LISTED)
        return;
    alloy_text_string(&problems->list, problems->count > 1 ? ", " : "");
    va_list args;
    va_start(args, format);
    alloy_text_format_list(&problems->list, format, args);
    va_end(args);
}

void *alloy_bind_take(alloy_binding *b, size_t count, size_t size)
{
    void *taken = b->status ? NULL : alloy_arena_take_zeroed(b->model->arena, count, size);
    if (!taken && !b->status)
        b->status = ALLOY_NOMEM;
    return taken;
}

bool alloy_bind_has(const alloy_binding *b, const char *own_name)
{
    char renamed[ALLOY_LONGEST_NAME];
    if (!b->model->weights)
        return false;
    const char *name = alloy_name_in_files(b->naming, own_name, renamed);
    return alloy_weights_has(b->model->weights, name) || alloy_bind_has_blocks(b, name);
}

/* ---- Tensors of the files ---------------------------------------------------------------------------------------- */

const alloy_stored_tensor *alloy_bind_look_up(alloy_binding *b, const char *name)
{
    const alloy_stored_tensor *t = NULL;
    if (!b->status)
        b->status = alloy_weights_find(b->model->weights, name, &t);
    return b->status ? NULL : t;
}

static bool same_shape(const alloy_stored_tensor *t, int ndim, const int64_t *shape)
{
    if (t->ndim != ndim)
        return false;
    for (int i = 0; i < ndim; i++)
        if (t->shape[i] != (uint64_t)shape[i])
            return false;
    return true;
}

static void describe_shape(char *out, size_t size, int ndim, const int64_t *shape)
{
    int used = snprintf(out, size, "[");
    for (int i = 0; i < ndim; i++)
        used += snprintf(out + used, size - (size_t)used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(out + used, size - (size_t)used, "]");
}

static void add_misshapen(alloy_binding *b, const alloy_stored_tensor *t, int ndim, const int64_t *shape)
{
    char expected[128];
    alloy_text found = {0};
    describe_shape(expected, sizeof expected, ndim, shape);
    alloy_stored_tensor_describe(t, &found);
    alloy_bind_problem(&b->misshapen, "%s is %s, expected %s", t->name, alloy_text_get(&found), expected);
    alloy_text_free(&found);
}

bool alloy_bind_use(alloy_binding *b, const alloy_stored_tensor *t, int ndim, const int64_t *shape)
{
    int64_t number;
    alloy_status added = alloy_name_table_add(&b->used, t->name, t->name_size, &number);
    if (added && added != ALLOY_FORMAT) { /* FORMAT: bound twice, as a tied head is */
        b->status = added;
        return false;
    }
    if (!same_shape(t, ndim, shape)) {
        add_misshapen(b, t, ndim, shape);
        return false;
    }
    if (!added)
        b->model->bound_bytes += t->bytes;
    return true;
}

/* ---- Indices ----------------------------------------------------------------------------------------------------- */

/* Is every index one of 0 .. limit - 1? */
static bool indices_fit(alloy_binding *b, const alloy_stored_tensor *t, int64_t limit)
{
    size_t size = t->dtype == ALLOY_I64 ? sizeof(int64_t) : sizeof(int32_t);
    for (size_t i = 0; i < t->bytes / size; i++) {
        int64_t wide;
        int32_t narrow;
        memcpy(t->dtype == ALLOY_I64 ? (void *)&wide : &narrow, (const char *)t->data + i * size, size);
        int64_t index = t->dtype == ALLOY_I64 ? wide : narrow;
        if (index >= 0 && index < limit)
            continue;
        b->status = alloy_fail(ALLOY_RANGE, "%s: index %lld at place %zu, expected 0 to %lld", t->name,
                               (long long)index, i, (long long)limit - 1);
        return false;
    }
    return true;
}

static bool bind_indices(alloy_binding *b, const alloy_stored_tensor *t, const alloy_weight *w, int64_t limit)
{
    if (t->dtype != ALLOY_I64 && t->dtype != ALLOY_I32) {
        b->status = alloy_fail(ALLOY_FORMAT, "%s: indices of dtype %s, expected I64 or I32", t->name,
                               alloy_dtype_name(t->dtype));
        return false;
    }
    return alloy_bind_use(b, t, w->ndim, w->shape) && indices_fit(b, t, limit);
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* Adds a weight of numbers to the model's list. */
static void add_bound(alloy_binding *b, const alloy_weight *w)
{
    alloy_model *m = b->model;
    const alloy_weight **bound = alloy_memory_grow(m->bound, m->bound_count, &m->bound_capacity, sizeof *bound);
    if (!bound) {
        b->status = ALLOY_NOMEM;
        return;
    }
    m->bound = bound;
    m->bound[m->bound_count++] = w;
}

static bool bind_plain(alloy_binding *b, const alloy_stored_tensor *t, const alloy_weight *w, bool matrix)
{
    if (t->dtype == ALLOY_F32 || t->dtype == ALLOY_BF16 || t->dtype == ALLOY_F16)
        return alloy_bind_use(b, t, w->ndim, w->shape);
    b->status = alloy_fail(ALLOY_FORMAT, "%s: %s of dtype %s are unsupported; F32, BF16 and F16%s can be used", t->name,
                           matrix ? "weights" : "weights that are no matrix", alloy_dtype_name(t->dtype),
                           matrix ? ", with scales F8_E4M3 and FP4 (I8, or U8 blocks)," : "");
    return false;
}

/* The tensor or tensors that make up a weight whose name and shape are set. */
static void bind_stored(alloy_binding *b, alloy_weight *w, const alloy_param_spec *spec)
{
    const bool matrix = spec->limit == 0 && (spec->ndim == 2 || spec->experts > 0);
    const alloy_stored_tensor *t = alloy_bind_look_up(b, w->name);
    if (b->status || (matrix && alloy_bind_packed(b, w, t)))
        return;
    if (!t)
        alloy_bind_problem(&b->missing, "%s", w->name);
    else if (spec->limit > 0 ? bind_indices(b, t, w, spec->limit) : bind_plain(b, t, w, matrix))
        w->dtype = t->dtype, w->data = t->data;
}

void alloy_bind_weight(alloy_binding *b, alloy_weight *w, const alloy_param_spec *spec)
{
    char renamed[ALLOY_LONGEST_NAME];
    const char *name = alloy_name_in_files(b->naming, spec->name, renamed);
    *w = (alloy_weight){
        .ndim = spec->ndim, .keeps_f32 = spec->flags & ALLOY_KEEPS_F32, .routes = spec->flags & ALLOY_ROUTES};
    for (int i = 0; i < ALLOY_MOST_DIMS; i++)
        w->shape[i] = i < spec->ndim ? spec->shape[i] : 1;
    size_t size = strlen(name) + 1;
    char *copy = alloy_bind_take(b, size, 1);
    if (!copy)
        return;
    w->name = memcpy(copy, name, size);
    if (!b->model->weights) {
        w->dtype = spec->limit > 0 ? ALLOY_I64 : w->keeps_f32 ? ALLOY_F32 : b->model->config.dtype;
        return;
    }
    bind_stored(b, w, spec);
    if (w->data && spec->limit == 0)
        add_bound(b, w);
}
