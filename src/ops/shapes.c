/* Ops that move numbers without changing them: views, split, concat, rows picked from a batch, and a copy. None has a
 * cost: a kernel that reads or writes with strides would do without them. */
#include "ops/ops.h"

#include <string.h>

enum { MOST_PARTS = ALLOY_MOST_OUTPUTS };

static void no_cost(const alloy_args *a, alloy_cost *cost)
{
    (void)a;
    cost->tensors_read = cost->tensors_written = 0;
}

/* ---- Views ------------------------------------------------------------------------------------------------------- */

const alloy_op alloy_op_view = {"view", NULL, NULL};

alloy_tensor *alloy_view(alloy_pass *p, alloy_tensor *x, int ndim, const int64_t *shape)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    alloy_tensor *y = alloy_pass_take(p, 1, sizeof *y);
    if (!y)
        return NULL;
    *y = (alloy_tensor){.dtype = x->dtype, .ndim = ndim, .buffer = x->buffer, .offset = x->offset, .base = x};
    for (int i = 0; i < ALLOY_MOST_DIMS; i++)
        y->shape[i] = i < ndim ? shape[i] : 1;
    if (alloy_tensor_size(y) != alloy_tensor_size(x))
        return alloy_shape_fail(p, "view", "%lld elements in place of %lld", (long long)alloy_tensor_size(y),
                                (long long)alloy_tensor_size(x));
    return alloy_apply(p, &alloy_op_view, &(alloy_args){.in = {x}, .out = {y}});
}

alloy_tensor *alloy_heads(alloy_pass *p, alloy_tensor *x, int64_t heads)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    int64_t width = alloy_row_size(x);
    if (heads < 1 || width % heads != 0)
        return alloy_shape_fail(p, "heads", "rows of %lld do not divide into %lld heads", (long long)width,
                                (long long)heads);
    return alloy_view(p, x, 3, (int64_t[]){x->shape[0], heads, width / heads});
}

alloy_tensor *alloy_flatten(alloy_pass *p, alloy_tensor *x)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    return alloy_view(p, x, 2, (int64_t[]){x->shape[0], alloy_row_size(x)});
}

const alloy_op alloy_op_split = {"split", NULL, no_cost};
const alloy_op alloy_op_concat = {"concat", NULL, no_cost};

alloy_tensor *alloy_split(alloy_pass *p, alloy_tensor *x, int64_t groups, int count, const int64_t *widths,
                          alloy_tensor **parts)
{
    for (int i = 0; i < count; i++)
        parts[i] = NULL;
    if (alloy_pass_stopped(p, x))
        return NULL;
    struct alloy_parts_options options = {.count = count, .groups = groups};
    int64_t sum = 0;
    for (int i = 0; i < count && i < MOST_PARTS; i++)
        sum += options.width[i] = widths[i];
    if (count < 1 || count > MOST_PARTS || groups < 1 || sum * groups != alloy_row_size(x))
        return alloy_shape_fail(p, "split", "%lld groups of %lld from rows of %lld", (long long)groups, (long long)sum,
                                (long long)alloy_row_size(x));
    alloy_args args = {.in = {x}, .options = &options, .options_size = sizeof options};
    for (int i = 0; i < count; i++)
        if (!(args.out[i] = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], groups * widths[i]})))
            return NULL;
    if (!alloy_apply(p, &alloy_op_split, &args))
        return NULL;
    memcpy(parts, args.out, (size_t)count * sizeof *parts);
    return parts[0];
}

alloy_tensor *alloy_concat(alloy_pass *p, int count, alloy_tensor **parts)
{
    struct alloy_parts_options options = {.count = count, .groups = 1};
    alloy_args args = {.options = &options, .options_size = sizeof options};
    if (count < 1 || count > MOST_PARTS)
        return alloy_shape_fail(p, "concat", "%d tensors, 1 to %d are possible", count, MOST_PARTS);
    int64_t sum = 0;
    for (int i = 0; i < count; i++) {
        if (alloy_pass_stopped(p, parts[i]))
            return NULL;
        args.in[i] = parts[i];
        sum += options.width[i] = alloy_row_size(parts[i]);
    }
    args.out[0] = alloy_tensor_new(p, 2, (int64_t[]){parts[0]->shape[0], sum});
    return args.out[0] ? alloy_apply(p, &alloy_op_concat, &args) : NULL;
}

const alloy_op alloy_op_pick_rows = {"pick_rows", NULL, no_cost};

alloy_tensor *alloy_pick_rows(alloy_pass *p, alloy_tensor *x, alloy_tensor *rows)
{
    if (alloy_pass_stopped(p, x) || !rows)
        return NULL;
    alloy_tensor *y = alloy_tensor_new(p, x->ndim, (int64_t[]){rows->shape[0], x->shape[1], x->shape[2], x->shape[3]});
    return y ? alloy_apply(p, &alloy_op_pick_rows, &(alloy_args){.in = {x, rows}, .out = {y}}) : NULL;
}

const alloy_op alloy_op_copy = {"copy", NULL, NULL};

alloy_tensor *alloy_copy_to(alloy_pass *p, alloy_tensor *to, alloy_tensor *x)
{
    if (alloy_pass_stopped(p, x) || !to)
        return NULL;
    if (!alloy_same_shape(to, x))
        return alloy_shape_fail(p, "copy", "rows of %lld for rows of %lld", (long long)alloy_row_size(x),
                                (long long)alloy_row_size(to));
    return alloy_apply(p, &alloy_op_copy, &(alloy_args){.in = {x}, .out = {to}});
}
