/* Attention over a window of rows that are keys and values, and over entries: attention_tile.c. */
#include "backends/cpu/attention_tile.h"

void alloy_cpu_shared_kv_attention(const alloy_args *a)
{
    const struct alloy_shared_kv_attention_options *o = a->options;
    const float *sinks = alloy_weight_widened(a->pass, a->weight[0]);
    int64_t d = a->in[0]->shape[2];
    if (sinks)
        alloy_attention_run(a->pass, &(alloy_attention_plan){.q = alloy_f32(a->in[0]),
                                                             .y = alloy_f32(a->out[0]),
                                                             .heads = a->in[0]->shape[1],
                                                             .kv_heads = 1,
                                                             .d = d,
                                                             .dv = d,
                                                             .window = o->window,
                                                             .scale = (float)o->scale,
                                                             .keys = a->state[0],
                                                             .values = a->state[0],
                                                             .entries = a->state[1],
                                                             .chosen = a->in[1],
                                                             .some = a->in[2],
                                                             .sinks = sinks});
}
