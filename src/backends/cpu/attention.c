/* Softmax attention over all positions or a window: attention_tile.c. */
#include "backends/cpu/attention_tile.h"

void alloy_cpu_attention(const alloy_args *a)
{
    const struct alloy_attention_options *o = a->options;
    alloy_attention_run(a->pass, &(alloy_attention_plan){.q = alloy_f32(a->in[0]),
                                                         .y = alloy_f32(a->out[0]),
                                                         .heads = a->in[0]->shape[1],
                                                         .kv_heads = o->kv_heads,
                                                         .d = a->in[0]->shape[2],
                                                         .dv = a->out[0]->shape[2],
                                                         .window = o->window,
                                                         .scale = (float)o->scale,
                                                         .keys = a->state[0],
                                                         .values = a->state[1]});
}
