/* Passes: tensors, errors, the reading of an op (pass.h). */
#include "ops/pass.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/checked.h"
#include "base/status.h"
#include "base/text.h"

int64_t alloy_pass_tokens(const alloy_pass *pass)
{
    return pass->tokens;
}

const alloy_vector *alloy_pass_vector(const alloy_pass *pass)
{
    return &pass->kernels->vector;
}

const alloy_span *alloy_pass_spans(const alloy_pass *pass, int64_t *count)
{
    *count = pass->span_count;
    return pass->spans;
}

alloy_tensor *alloy_pass_ids(alloy_pass *pass)
{
    return pass->ids;
}

static void *fail_list(alloy_pass *pass, alloy_status status, const char *where, const char *format, va_list args)
{
    char text[1024];
    alloy_vsnprintf(text, sizeof text, format, args);
    if (pass->status == ALLOY_OK)
        pass->status = alloy_fail(status, "%s%s%s", where, *where ? ": " : "", text);
    return NULL;
}

void *alloy_pass_fail(alloy_pass *pass, alloy_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_list(pass, status, "", format, args);
    va_end(args);
    return NULL;
}

void *alloy_shape_fail(alloy_pass *p, const char *op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_list(p, ALLOY_ARG, op, format, args);
    va_end(args);
    return NULL;
}

static bool is_finite(const alloy_pass *p, const alloy_tensor *x, int64_t first, int64_t count)
{
    if (x->dtype == ALLOY_F32)
        return p->kernels->all_finite(alloy_f32(x) + first, count);
    for (int64_t i = first; i < first + count; i++)
        if (!isfinite(alloy_f64(x)[i]))
            return false;
    return true;
}

bool alloy_pass_token_not_finite(alloy_pass *p, int64_t token, const char *what)
{
    int64_t i = 0;
    if (!p->status)
        p->not_finite = what;
    if (!p->failed) {
        alloy_pass_fail(p, ALLOY_RANGE, "%s is not finite", what);
        return false;
    }
    while (token >= p->spans[i].first + p->spans[i].count)
        i++;
    p->failed[i] = true;
    return true;
}

bool alloy_pass_check_finite(alloy_pass *p, alloy_tensor *x, const alloy_tensor *rows, const char *what)
{
    int64_t width = alloy_row_size(x);
    size_t bytes = (size_t)width * (size_t)alloy_dtype_bits(x->dtype) / 8;
    if (is_finite(p, x, 0, alloy_tensor_size(x)))
        return true;
    for (int64_t i = 0; i < x->shape[0]; i++) {
        if (is_finite(p, x, i * width, width))
            continue;
        if (!alloy_pass_token_not_finite(p, rows ? alloy_i64(rows)[i] : i, what))
            return false;
        memset((char *)alloy_tensor_memory(x) + (size_t)i * bytes, 0, bytes);
    }
    return true;
}

/* What an allocation gave: its failure, whose text is set, is the pass's. */
static void *taken(alloy_pass *p, void *memory)
{
    if (!memory && !p->status)
        p->status = ALLOY_NOMEM;
    return memory;
}

void *alloy_pass_take(alloy_pass *p, int64_t count, size_t size)
{
    return taken(p, alloy_arena_take(p->arena, (size_t)count, size));
}

void *alloy_pass_take_zeroed(alloy_pass *p, int64_t count, size_t size)
{
    return taken(p, alloy_arena_take_zeroed(p->arena, (size_t)count, size));
}

/* A tensor and, in run, its buffer, whose memory is the caller's to set. */
static alloy_tensor *describe(alloy_pass *p, alloy_dtype dtype, int ndim, const int64_t *shape, int64_t *size)
{
    if (p->status)
        return NULL;
    struct {
        alloy_tensor tensor;
        alloy_buffer buffer;
    } *described = alloy_pass_take_zeroed(p, 1, sizeof *described);
    if (!described)
        return NULL;
    alloy_tensor *x = &described->tensor;
    x->dtype = dtype;
    x->ndim = ndim;
    *size = 1;
    for (int i = 0; i < ALLOY_MOST_DIMS; i++) {
        x->shape[i] = i < ndim ? shape[i] : 1;
        if (x->shape[i] < 0 || !alloy_int64_multiply(*size, x->shape[i], size))
            return alloy_pass_fail(p, ALLOY_LIMIT, "a tensor of more than 2^63 elements");
    }
    if (p->reading == ALLOY_READ_RUN)
        x->buffer = &described->buffer;
    return x;
}

alloy_tensor *alloy_tensor_of(alloy_pass *p, alloy_dtype dtype, int ndim, const int64_t *shape)
{
    int64_t size;
    alloy_tensor *x = describe(p, dtype, ndim, shape, &size);
    if (!x || !x->buffer)
        return x;
    x->buffer->memory = alloy_pass_take(p, size, (size_t)alloy_dtype_bits(dtype) / 8);
    return x->buffer->memory ? x : NULL;
}

alloy_dtype alloy_pass_dtype(const alloy_pass *p)
{
    return p->reading == ALLOY_READ_RUN ? p->backend->dtype : ALLOY_F32;
}

alloy_tensor *alloy_tensor_new(alloy_pass *p, int ndim, const int64_t *shape)
{
    return alloy_tensor_of(p, alloy_pass_dtype(p), ndim, shape);
}

alloy_tensor *alloy_tensor_like(alloy_pass *p, const alloy_tensor *x)
{
    return alloy_tensor_new(p, x->ndim, x->shape);
}

alloy_tensor *alloy_tensor_over(alloy_pass *p, void *memory, alloy_dtype dtype, int ndim, const int64_t *shape)
{
    int64_t size;
    alloy_tensor *x = describe(p, dtype, ndim, shape, &size);
    if (x && x->buffer)
        x->buffer->memory = memory;
    return x;
}

/* Those of activations: indices are not counted. */
static alloy_wide elements(alloy_tensor *const *tensors, int most)
{
    alloy_wide sum = 0;
    for (int i = 0; i < most && tensors[i]; i++)
        if (tensors[i]->dtype == ALLOY_F32)
            sum += (alloy_wide)tensors[i]->shape[0] * alloy_row_size(tensors[i]);
    return sum;
}

/* How the pass's backend runs an op; NULL when it cannot. */
static alloy_run *run_of(alloy_pass *p, const alloy_op *op)
{
    size_t place = ((uintptr_t)op / sizeof *op) % ALLOY_RUNS;
    if (p->runs->found[place].op != op) {
        alloy_run *run = p->backend->find(op);
        p->runs->found[place].run = run ? run : p->backend->fall_back;
        p->runs->found[place].op = op;
    }
    return p->runs->found[place].run;
}

alloy_tensor *alloy_apply(alloy_pass *p, const alloy_op *op, const alloy_args *args)
{
    if (p->status)
        return NULL;
    alloy_args call = *args;
    call.pass = p;
    call.op = op;
    if (p->reading == ALLOY_READ_RUN) {
        alloy_run *run = run_of(p, op);
        if (!run)
            return alloy_pass_fail(p, ALLOY_UNSUPPORTED, "op %s: the backend %s has no run for it", op->name,
                                   p->backend->name);
        run(&call);
        if (p->observe && !p->status)
            p->observe(p->observe_user, &call);
    } else if (p->reading == ALLOY_READ_COUNT && op->count) {
        alloy_cost cost = {.explanation = p->explanation};
        cost.tensors_read = elements(call.in, ALLOY_MOST_INPUTS);
        cost.tensors_written = elements(call.out, ALLOY_MOST_OUTPUTS);
        op->count(&call, &cost);
        if (cost.overflowed)
            return alloy_pass_fail(p, ALLOY_ARG, "op %s counts more than %d weights", op->name, ALLOY_MOST_WEIGHTS);
        if (p->record)
            p->record(p->record_user, &p->site, &call, &cost);
    }
    return p->status ? NULL : call.out[0];
}

void alloy_pass_at(alloy_pass *p, alloy_site site)
{
    if (alloy_same_site(&p->site, &site))
        return;
    p->site = site;
    if (p->watch)
        p->watch(p->watch_user, &p->site);
}

void alloy_pass_between(alloy_pass *p, alloy_tensor *x, alloy_tensor *y, alloy_tensor *out)
{
    if (p->reading != ALLOY_READ_COUNT || !p->record || p->status)
        return;
    alloy_cost cost = {.tensors_read = elements(&x, 1) + elements(&y, 1), .tensors_written = elements(&out, 1)};
    p->record(p->record_user, &p->site, NULL, &cost);
}

void alloy_pass_parallel(alloy_pass *p, int64_t tasks, void (*task)(void *context, int64_t index, void *scratch),
                         void *context)
{
    alloy_parallel(p->team, tasks, task, context);
}

struct ranges {
    alloy_range_task *task;
    void *context;
    int64_t n, piece;
};

static void run_range(void *context, int64_t index, void *scratch)
{
    const struct ranges *r = context;
    int64_t first = index * r->piece;
    r->task(r->context, first, r->n - first < r->piece ? r->n - first : r->piece, scratch);
}

void alloy_pass_ranges(alloy_pass *p, int64_t n, int64_t piece, alloy_range_task *task, void *context)
{
    struct ranges ranges = {task, context, n, piece < 1 ? 1 : piece};
    alloy_parallel(p->team, (n + ranges.piece - 1) / ranges.piece, run_range, &ranges);
}
