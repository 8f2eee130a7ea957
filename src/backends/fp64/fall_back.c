/* An op that this backend lacks, on the CPU: what it reads is rounded to F32, what it writes widened again. So are the
 * parts of the state, which the op may change. Rows of keys and values in F32 take the slots that they have. */
#include "backends/fp64/fp64.h"

#include <string.h>

static void round_to(float *to, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

static void widen_to(double *to, const float *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (double)from[i];
}

/* A tensor like x in F32, `filled` with its numbers; indices are taken as they are. */
static alloy_tensor *narrow(alloy_pass *p, alloy_tensor *x, bool filled)
{
    if (x->dtype != ALLOY_F64)
        return x;
    alloy_tensor *y = alloy_tensor_of(p, ALLOY_F32, x->ndim, x->shape);
    if (y && filled)
        round_to(alloy_f32(y), alloy_f64(x), alloy_tensor_size(x));
    return y;
}

static int64_t rows_of(const alloy_part_spec *part, const alloy_state_store *store)
{
    return part->kind == ALLOY_STATE_FIXED ? 1 : store->capacity;
}

static void copy_part(float *narrow, const alloy_state_store *wide, const alloy_part_spec *part, bool back)
{
    for (int64_t row = 0; row < rows_of(part, wide); row++, narrow += part->width) {
        double *at = part->kind == ALLOY_STATE_FIXED
                         ? wide->data
                         : (void *)alloy_store_row(wide, row, part->width * (int64_t)sizeof(double));
        if (back)
            widen_to(at, narrow, part->width);
        else
            round_to(narrow, at, part->width);
    }
}

/* A copy of the whole state of a layer, or the way back. */
static void copy_state(alloy_state_block *const *to, const alloy_state *s, int64_t spans, bool back)
{
    for (int64_t i = 0; i < spans; i++)
        for (int part = 0; part < s->spec->count; part++)
            copy_part(to[i]->store[part].data, &s->blocks[i]->store[part], &s->spec->part[part], back);
}

static alloy_state *narrow_state(alloy_pass *p, const alloy_state *s)
{
    alloy_state *copy = alloy_pass_take(p, 1, sizeof *copy);
    alloy_state_block **blocks = alloy_pass_take(p, p->span_count, sizeof *blocks);
    if (!copy || !blocks)
        return NULL;
    for (int64_t i = 0; i < p->span_count; i++) {
        if (!(blocks[i] = alloy_pass_take_zeroed(p, 1, sizeof **blocks)))
            return NULL;
        for (int part = 0; part < s->spec->count; part++) {
            const alloy_part_spec *spec = &s->spec->part[part];
            int64_t n = rows_of(spec, &s->blocks[i]->store[part]) * spec->width;
            blocks[i]->store[part].capacity = s->blocks[i]->store[part].capacity;
            if (!(blocks[i]->store[part].data = alloy_pass_take(p, n, sizeof(float))))
                return NULL;
        }
    }
    *copy = (alloy_state){s->spec, blocks, ALLOY_F32};
    copy_state(blocks, s, p->span_count, false);
    return copy;
}

void alloy_fp64_fall_back(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    alloy_args call = *a;
    const alloy_state *wide = a->state[0].state; /* all parts are of one layer */
    alloy_state *state = wide ? narrow_state(p, wide) : NULL;
    if (!a->op->run) {
        alloy_pass_fail(p, ALLOY_UNSUPPORTED, "op %s: it has no run in F32 to fall back to", a->op->name);
        return;
    }
    for (int i = 0; i < ALLOY_MOST_INPUTS && a->in[i] && !p->status; i++)
        call.in[i] = narrow(p, a->in[i], true);
    for (int i = 0; i < ALLOY_MOST_OUTPUTS && a->out[i] && !p->status; i++)
        call.out[i] = narrow(p, a->out[i], false);
    for (int i = 0; i < ALLOY_MOST_STATES && a->state[i].state; i++)
        call.state[i].state = state;
    if (p->status)
        return;
    a->op->run(&call);
    for (int i = 0; i < ALLOY_MOST_OUTPUTS && a->out[i]; i++)
        if (a->out[i]->dtype == ALLOY_F64)
            widen_to(alloy_f64(a->out[i]), alloy_f32(call.out[i]), alloy_tensor_size(a->out[i]));
    if (state)
        copy_state(state->blocks, wide, p->span_count, true);
}
