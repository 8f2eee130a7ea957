/* The delta rule, whose step is a row of the kernel table. Work is divided by (sequence, value head, block of value
 * columns): columns are independent, and a block of state stays in the L1 cache. */
#include "backends/cpu/cpu.h"

enum { COLUMNS_A_PIECE = 32 };

struct steps {
    const alloy_args *args;
    int64_t key_heads, value_heads, keys, columns, pieces; /* pieces: of a head's columns */
};

static void step(void *context, int64_t index, void *scratch)
{
    (void)scratch;
    const struct steps *s = context;
    const alloy_args *a = s->args;
    int64_t column = index % s->pieces * COLUMNS_A_PIECE, head = index / s->pieces % s->value_heads,
            i = index / s->pieces / s->value_heads;
    const alloy_span *span = &a->pass->spans[i];
    int64_t key_head = head / (s->value_heads / s->key_heads), scalar = span->first * s->value_heads + head;
    int64_t key_at = (span->first * s->key_heads + key_head) * s->keys, value_at = scalar * s->columns + column;
    alloy_delta_job job = {.state = alloy_state_fixed(a, 0, i) + head * s->keys * s->columns + column,
                           .state_stride = s->columns,
                           .keys = s->keys,
                           .columns = s->columns - column < COLUMNS_A_PIECE ? s->columns - column : COLUMNS_A_PIECE,
                           .tokens = span->count,
                           .q = alloy_f32(a->in[0]) + key_at,
                           .k = alloy_f32(a->in[1]) + key_at,
                           .q_stride = s->key_heads * s->keys,
                           .k_stride = s->key_heads * s->keys,
                           .v = alloy_f32(a->in[2]) + value_at,
                           .v_stride = s->value_heads * s->columns,
                           .decay = alloy_f32(a->in[3]) + scalar,
                           .beta = alloy_f32(a->in[4]) + scalar,
                           .decay_stride = s->value_heads,
                           .beta_stride = s->value_heads,
                           .y = alloy_f32(a->out[0]) + value_at,
                           .y_stride = s->value_heads * s->columns};
    a->pass->kernels->vector.delta_rule(&job);
}

void alloy_cpu_delta_rule(const alloy_args *a)
{
    struct steps s = {a, a->in[0]->shape[1], a->in[2]->shape[1], a->in[0]->shape[2], a->in[2]->shape[2], 0};
    s.pieces = (s.columns + COLUMNS_A_PIECE - 1) / COLUMNS_A_PIECE;
    alloy_parallel(a->pass->team, a->pass->span_count * s.value_heads * s.pieces, step, &s);
}
