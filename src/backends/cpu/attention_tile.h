/* The run of every softmax attention: grouped heads over a window or all positions, and, for DeepSeek-V4, over the
 * entries of a compressor, with sinks (attention_tile.c). */
#ifndef ALLOY_BACKENDS_CPU_ATTENTION_TILE_H
#define ALLOY_BACKENDS_CPU_ATTENTION_TILE_H

#include "backends/cpu/cpu.h"

typedef struct alloy_attention_plan {
    const float *q; /* [tokens, heads, d] */
    float *y;       /* [tokens, heads, dv] */
    int64_t heads, kv_heads, d, dv;
    int64_t window; /* 0: all positions */
    float scale;
    alloy_state_part keys, values;     /* the same part: keys are values */
    alloy_state_part entries;          /* state NULL: none; else one key-value head, whose rows are both */
    const alloy_tensor *chosen, *some; /* [tokens, most] entries and [tokens] how many; NULL: every closed entry */
    const float *sinks;                /* [heads]; NULL: none */
} alloy_attention_plan;

void alloy_attention_run(alloy_pass *p, const alloy_attention_plan *plan);

#endif
