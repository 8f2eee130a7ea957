/* Ops that move numbers without changing them: views, split, concat, and rows picked from a batch. None has a cost: a
 * kernel that reads or writes with strides would do without them. */
#include "ops/pass.h"

#include <string.h>

enum { ROWS_A_PIECE = 64, MOST_PARTS = ALLOY_MOST_OUTPUTS };

static void no_cost(const alloy_args *a, alloy_cost *cost)
{
    (void)a;
    cost->tensors_read = cost->tensors_written = 0;
}

alloy_tensor *alloy_heads(alloy_pass *p, alloy_tensor *x, int64_t heads)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    int64_t width = alloy_row_size(x);
    if (heads < 1 || width % heads != 0)
        return alloy_shape_fail(p, "heads", "rows of %lld do not divide into %lld heads", (long long)width,
                                (long long)heads);
    return alloy_tensor_over(p, x->data, 3, (int64_t[]){x->shape[0], heads, width / heads});
}

alloy_tensor *alloy_flatten(alloy_pass *p, alloy_tensor *x)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    return alloy_tensor_over(p, x->data, 2, (int64_t[]){x->shape[0], alloy_row_size(x)});
}

/* ---- Split and concat: the same copy in two directions. ---------------------------------------------------------- */

struct parts {
    int count;
    int64_t groups;
    int64_t width[MOST_PARTS]; /* floats of a part in one group */
};

struct copy {
    const struct parts *parts;
    alloy_tensor *whole, *const *part;
    bool to_whole;
};

static void copy_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct copy *c = context;
    for (int64_t t = first; t < first + count; t++) {
        float *whole = c->whole->data + t * alloy_row_size(c->whole);
        for (int64_t g = 0; g < c->parts->groups; g++)
            for (int i = 0; i < c->parts->count; i++) {
                int64_t width = c->parts->width[i];
                float *part = c->part[i]->data + (t * c->parts->groups + g) * width;
                memcpy(c->to_whole ? whole : part, c->to_whole ? part : whole, (size_t)width * sizeof *whole);
                whole += width;
            }
    }
}

static void run_split(const alloy_args *a)
{
    struct copy copy = {a->options, a->in[0], a->out, false};
    alloy_pass_ranges(a->pass, a->in[0]->shape[0], ROWS_A_PIECE, copy_rows, &copy);
}

static void run_concat(const alloy_args *a)
{
    struct copy copy = {a->options, a->out[0], a->in, true};
    alloy_pass_ranges(a->pass, a->out[0]->shape[0], ROWS_A_PIECE, copy_rows, &copy);
}

static const alloy_op split = {"split", run_split, no_cost};
static const alloy_op concat = {"concat", run_concat, no_cost};

alloy_tensor *alloy_split(alloy_pass *p, alloy_tensor *x, int64_t groups, int count, const int64_t *widths,
                          alloy_tensor **parts)
{
    for (int i = 0; i < count; i++)
        parts[i] = NULL;
    if (alloy_pass_stopped(p, x))
        return NULL;
    struct parts options = {.count = count, .groups = groups};
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
    if (!alloy_apply(p, &split, &args))
        return NULL;
    memcpy(parts, args.out, (size_t)count * sizeof *parts);
    return parts[0];
}

alloy_tensor *alloy_concat(alloy_pass *p, int count, alloy_tensor **parts)
{
    struct parts options = {.count = count, .groups = 1};
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
    return args.out[0] ? alloy_apply(p, &concat, &args) : NULL;
}

/* ---- Rows picked from a batch ------------------------------------------------------------------------------------ */

struct pick {
    const int64_t *rows; /* [count] */
    int64_t count;
};

static void run_pick_rows(const alloy_args *a)
{
    const struct pick *pick = a->options;
    int64_t width = alloy_row_size(a->in[0]);
    for (int64_t i = 0; i < pick->count; i++)
        memcpy(a->out[0]->data + i * width, a->in[0]->data + pick->rows[i] * width, (size_t)width * sizeof(float));
}

static const alloy_op pick_rows = {"pick_rows", run_pick_rows, no_cost};

alloy_tensor *alloy_pick_rows(alloy_pass *p, alloy_tensor *x, const int64_t *rows, int64_t count)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    struct pick pick = {rows, count};
    alloy_tensor *y = alloy_tensor_new(p, x->ndim, (int64_t[]){count, x->shape[1], x->shape[2], x->shape[3]});
    return y ? alloy_apply(p, &pick_rows,
                           &(alloy_args){.in = {x}, .out = {y}, .options = &pick, .options_size = sizeof pick})
             : NULL;
}
