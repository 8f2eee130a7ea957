/* What the attentions of DeepSeek-V4 share: low-rank queries, one key-value head whose rows are keys and values at
 * once, rotary positions on the trailing channels, a window, sinks, the output turned back and projected in groups.
 * Each layer type is a file of its own that adds what it compresses. */
#ifndef ALLOY_MODULES_DSV4_ATTENTION_H
#define ALLOY_MODULES_DSV4_ATTENTION_H

#include "alloy/extend.h"

struct alloy_dsv4_attention_weights {
    const alloy_weight *q_a_proj, *q_a_norm, *q_b_proj, *kv_proj, *kv_norm, *o_a_proj, *o_b_proj, *sinks;
};

/* A compressor: [w or 2w, hidden], [w or 2w, hidden], [rate, w or 2w], [w]. */
struct alloy_dsv4_compressor_weights {
    const alloy_weight *kv_proj, *gate_proj, *position_bias, *kv_norm;
};

/* Where a compressor keeps what. */
struct alloy_dsv4_compressor_parts {
    int open, overlap, entries; /* of the state; overlap -1: windows do not overlap */
};

/* Part 0 of the state of each of them. */
enum { ALLOY_DSV4_WINDOW };

/* Of all three; each reads its own. */
struct alloy_dsv4_attention {
    int64_t hidden_size, num_attention_heads, head_dim, q_lora_rank, qk_rope_head_dim, o_groups, o_lora_rank,
        sliding_window;
    int64_t compress_rate_csa, compress_rate_hca; /* tokens an entry */
    int64_t index_n_heads, index_head_dim, index_topk;
    double rms_norm_eps;
    alloy_rope rope_parameters, compress;
};

extern const alloy_field alloy_dsv4_attention_fields[];

alloy_status alloy_dsv4_attention_check(void *shape);
void alloy_dsv4_attention_params(alloy_params *p, const void *shape);
void alloy_dsv4_attention_state(alloy_state_spec *s, const void *shape);

/* The names of a layer's own compressor. */
extern const char *const alloy_dsv4_compressor_names[4];

/* names: of kv_proj.weight, gate_proj.weight, position_bias, kv_norm.weight; `row`: channels of the projections. */
void alloy_dsv4_compressor_params(alloy_params *p, const struct alloy_dsv4_attention *c, const char *const names[4],
                                  size_t offset, int64_t rate, int64_t row, int64_t width);

/* The entries closed so far, rotated by `rope`. `indexer`: they are the indexer's keys. */
alloy_state_part alloy_dsv4_compress(alloy_pass *p, const struct alloy_dsv4_attention *c,
                                     const struct alloy_dsv4_compressor_weights *w, const alloy_state *s,
                                     const struct alloy_dsv4_compressor_parts *parts, alloy_tensor *x, int64_t rate,
                                     bool indexer);

/* The normed low-rank queries [n, q_lora_rank]. */
alloy_tensor *alloy_dsv4_low_rank_queries(alloy_pass *p, const struct alloy_dsv4_attention *c,
                                          const struct alloy_dsv4_attention_weights *w, alloy_tensor *x);

/* The rest of the forward. entries, chosen: NULL where the layer has none. */
alloy_tensor *alloy_dsv4_attend(alloy_pass *p, const struct alloy_dsv4_attention *c,
                                const struct alloy_dsv4_attention_weights *w, const alloy_state *s, alloy_tensor *x,
                                alloy_tensor *low_rank, const alloy_rope *rope, const alloy_state_part *entries,
                                const alloy_chosen *chosen);

#endif
