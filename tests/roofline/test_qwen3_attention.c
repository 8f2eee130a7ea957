/* Figures of softmax attention (qwen3_attention, llama_attention, and their windows), worked out by hand.
 *
 * Of most cases: hidden 32, 4 heads and 2 key-value heads of 8 (q and o are 32 wide, k and v 16), bf16. The projections
 * have 32*32 + 2*16*32 + 32*32 = 3072 weights, the norms of q and k 2*8. */
#include "roofline/cases.h"

enum { LINEARS = 32 * 32 + 2 * 16 * 32 + 32 * 32, NORMS = 2 * 8, GATED = LINEARS + 32 * 32 };

#define HEADS ", \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 8, \"intermediate_size\": 16"
#define FULL ONE_LAYER(32, "qwen3_attention", "qwen3_mlp", HEADS)
#define WINDOW(w) ONE_LAYER(32, "qwen3_attention_sliding", "qwen3_mlp", HEADS ", \"sliding_window\": " #w)
#define LLAMA ONE_LAYER(32, "llama_attention", "qwen3_mlp", HEADS)
#define BIASED ONE_LAYER(32, "qwen3_attention", "qwen3_mlp", HEADS ", \"attention_bias\": true")
#define QKV_BIASED                                                                                                     \
    ONE_LAYER(32, "llama_attention", "qwen3_mlp", HEADS ", \"attention_bias\": true, \"attention_output_bias\": false")
#define GATE                                                                                                           \
    ONE_LAYER(32, "qwen3_attention", "qwen3_mlp",                                                                      \
              HEADS ", \"attn_output_gate\": true, \"rope_parameters\": {\"rope_type\": \"default\", "                 \
                    "\"rope_theta\": 10000.0, \"partial_rotary_factor\": 0.25}")
/* 3 heads of 10 over one key-value head, hidden 40: nothing is as wide as the stream; fp32 */
#define NARROW                                                                                                         \
    ONE_LAYER(40, "qwen3_attention", "qwen3_mlp",                                                                      \
              ", \"num_attention_heads\": 3, \"num_key_value_heads\": 1, \"head_dim\": 10, "                           \
              "\"intermediate_size\": 16, \"dtype\": \"float32\"")

static const struct figures_case cases[] = {
    /* ---- Classic: the rectangle of queries and keys, T rows of the cache ---- */
    {"classic: 8 tokens from nothing", FULL, "qwen3_attention", CLASSIC(AT(8, 0)),
     .expected = {.tensor_flops = 2 * 8 * LINEARS + 4 * 4 * 8 * (8 * 8),
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 8 * 2}},
     .flops = 57344, .bytes = 7712},
    {"classic: 3 tokens after 5", FULL, "qwen3_attention", CLASSIC(AT(3, 5)),
     .expected = {.tensor_flops = 2 * 3 * LINEARS + 4 * 4 * 8 * (3 * 8),
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 3 * 32 * 2, [KV] = 2 * 16 * 5 * 2},
                  .written = {[ACTIVATIONS] = 3 * 32 * 2, [KV] = 2 * 16 * 3 * 2}}},
    {"classic: a decoded token after 7", FULL, "qwen3_attention", CLASSIC(AT(1, 7)),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 8 * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 7 * 2},
                  .written = {[ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2}}},
    {"classic: 5 sequences read the weights once and each its own cache", FULL, "qwen3_attention",
     CLASSIC(BATCH(5, 1, 7)),
     .expected = {.tensor_flops = 5 * (2 * LINEARS + 4 * 4 * 8 * 8),
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 5 * 32 * 2, [KV] = 5 * 2 * 16 * 7 * 2},
                  .written = {[ACTIVATIONS] = 5 * 32 * 2, [KV] = 5 * 2 * 16 * 2}}},
    /* biases of q 32, k 16, v 16, o 32: an add an output, 96 parameters */
    {"classic: biases", BIASED, "qwen3_attention", CLASSIC(AT(8, 0)),
     .expected = {.tensor_flops = 57344 + 8 * (32 + 2 * 16 + 32),
                  .read = {[WEIGHTS] = (LINEARS + NORMS + 96) * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 8 * 2}}},
    {"classic: biases of q, k and v only, no norms", QKV_BIASED, "llama_attention", CLASSIC(AT(8, 0)),
     .expected = {.tensor_flops = 57344 + 8 * (32 + 2 * 16),
                  .read = {[WEIGHTS] = (LINEARS + 64) * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 8 * 2}}},
    {"classic: without norms of q and k, 32 bytes less", LLAMA, "llama_attention", CLASSIC(AT(8, 0)),
     .expected = {.tensor_flops = 57344,
                  .read = {[WEIGHTS] = LINEARS * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 8 * 2}},
     .bytes = 7712 - 2 * 8 * 2},
    /* the query projection twice as wide; 4 a gated element of 8 * 32 */
    {"classic: an output gate", GATE, "qwen3_attention", CLASSIC(AT(8, 0)),
     .expected = {.tensor_flops = 2 * 8 * GATED + 4 * 4 * 8 * (8 * 8) + 4 * 8 * 32,
                  .read = {[WEIGHTS] = (GATED + NORMS) * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 8 * 2}}},
    {"classic: a window longer than the context is no window", WINDOW(16), "qwen3_attention_sliding", CLASSIC(AT(8, 0)),
     .expected = {.tensor_flops = 57344,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 8 * 2}},
     .bytes = 7712},
    {"classic: a window of 3 is a rectangle of 8 x 3, and 3 rows are written", WINDOW(3), "qwen3_attention_sliding",
     CLASSIC(AT(8, 0)),
     .expected = {.tensor_flops = 2 * 8 * LINEARS + 4 * 4 * 8 * (8 * 3),
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 3 * 2}}},
    {"classic: a window of 3 after 100 reads 2 rows and writes 1", WINDOW(3), "qwen3_attention_sliding",
     CLASSIC(AT(1, 100)),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 8 * 3,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2 * 2},
                  .written = {[ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2}}},

    /* ---- Exact: pairs that are seen; softmax 5 a pair and head, norms of q and k 4, rotation 3 an element ---- */
    /* 1 + 2 + .. + 8 = 36 pairs */
    {"exact: 8 tokens from nothing", FULL, "qwen3_attention", EXACT(AT(8, 0)),
     .expected = {.tensor_flops = 2 * 8 * LINEARS + 4 * 4 * 8 * 36,
                  .vector_flops = 5 * 4 * 36 + 4 * 8 * (32 + 16) + 3 * 8 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 8 * 2}}},
    /* 6 + 7 + 8 = 21 pairs */
    {"exact: 3 tokens after 5", FULL, "qwen3_attention", EXACT(AT(3, 5)),
     .expected = {.tensor_flops = 2 * 3 * LINEARS + 4 * 4 * 8 * 21,
                  .vector_flops = 5 * 4 * 21 + 4 * 3 * (32 + 16) + 3 * 3 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 3 * 32 * 2, [KV] = 2 * 16 * 5 * 2},
                  .written = {[ACTIVATIONS] = 3 * 32 * 2, [KV] = 2 * 16 * 3 * 2}}},
    {"exact: a decoded token after 7 sees 8", FULL, "qwen3_attention", EXACT(AT(1, 7)),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 8 * 8,
                  .vector_flops = 5 * 4 * 8 + 4 * (32 + 16) + 3 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 7 * 2},
                  .written = {[ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2}}},
    /* 1 + 2 + 3 * 6 = 21 pairs; the next token sees 2 of the 8 rows */
    {"exact: a window of 3 from nothing", WINDOW(3), "qwen3_attention_sliding", EXACT(AT(8, 0)),
     .expected = {.tensor_flops = 2 * 8 * LINEARS + 4 * 4 * 8 * 21,
                  .vector_flops = 5 * 4 * 21 + 4 * 8 * (32 + 16) + 3 * 8 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 8 * 32 * 2},
                  .written = {[ACTIVATIONS] = 8 * 32 * 2, [KV] = 2 * 16 * 2 * 2}}},
    {"exact: a window of 3 after 100", WINDOW(3), "qwen3_attention_sliding", EXACT(AT(1, 100)),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 8 * 3,
                  .vector_flops = 5 * 4 * 3 + 4 * (32 + 16) + 3 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2 * 2},
                  .written = {[ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2}}},
    /* tokens 1 and 2 see 2 and 3; the window of 5 is not full yet */
    {"exact: a window that is not full", WINDOW(5), "qwen3_attention_sliding", EXACT(AT(2, 1)),
     .expected = {.tensor_flops = 2 * 2 * LINEARS + 4 * 4 * 8 * 5,
                  .vector_flops = 5 * 4 * 5 + 4 * 2 * (32 + 16) + 3 * 2 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 2 * 32 * 2, [KV] = 2 * 16 * 2},
                  .written = {[ACTIVATIONS] = 2 * 32 * 2, [KV] = 2 * 16 * 2 * 2}}},
    {"exact: a window of 1 keeps nothing", WINDOW(1), "qwen3_attention_sliding", EXACT(AT(2, 9)),
     .expected = {.tensor_flops = 2 * 2 * LINEARS + 4 * 4 * 8 * 2,
                  .vector_flops = 5 * 4 * 2 + 4 * 2 * (32 + 16) + 3 * 2 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 2 * 32 * 2},
                  .written = {[ACTIVATIONS] = 2 * 32 * 2}}},
    /* a quarter of 8 channels is rotated */
    {"exact: an output gate and a partial rotation", GATE, "qwen3_attention", EXACT(AT(2, 0)),
     .expected = {.tensor_flops = 2 * 2 * GATED + 4 * 4 * 8 * 3,
                  .vector_flops = 5 * 4 * 3 + 4 * 2 * (32 + 16) + 3 * 2 * (4 + 2) * 2 + 4 * 2 * 32,
                  .read = {[WEIGHTS] = (GATED + NORMS) * 2, [ACTIVATIONS] = 2 * 32 * 2},
                  .written = {[ACTIVATIONS] = 2 * 32 * 2, [KV] = 2 * 16 * 2 * 2}}},
    {"exact: biases are adds of the vector unit", BIASED, "qwen3_attention", EXACT(AT(1, 0)),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 8,
                  .vector_flops = 96 + 5 * 4 + 4 * (32 + 16) + 3 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS + 96) * 2, [ACTIVATIONS] = 32 * 2},
                  .written = {[ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2}}},
    /* 1 + 2 + 3 + 4 = 10 pairs and 3 times 10; 7 tokens */
    {"exact: a ragged batch of 4 from nothing and three decodes after 9", FULL, "qwen3_attention",
     EXACT(RAGGED({1, 4, 0}, {3, 1, 9})),
     .expected = {.tensor_flops = 2 * 7 * LINEARS + 4 * 4 * 8 * (10 + 3 * 10),
                  .vector_flops = 5 * 4 * (10 + 3 * 10) + 4 * 7 * (32 + 16) + 3 * 7 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 7 * 32 * 2, [KV] = 3 * 2 * 16 * 9 * 2},
                  .written = {[ACTIVATIONS] = 7 * 32 * 2, [KV] = 7 * 2 * 16 * 2}}},
    {"exact: keys and values in fp8", FULL, "qwen3_attention", EXACT(AT(1, 7), .kv_dtype = "fp8"),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 8 * 8,
                  .vector_flops = 5 * 4 * 8 + 4 * (32 + 16) + 3 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = (LINEARS + NORMS) * 2, [ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 7},
                  .written = {[ACTIVATIONS] = 32 * 2, [KV] = 2 * 16}}},
    /* a byte a weight, and 4 matrices of one tile each: a scale of 4 bytes */
    {"exact: weights in fp8 with their scales", FULL, "qwen3_attention", EXACT(AT(1, 7), .weight_dtype = "fp8"),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 8 * 8,
                  .vector_flops = 5 * 4 * 8 + 4 * (32 + 16) + 3 * (4 + 2) * 8,
                  .read = {[WEIGHTS] = LINEARS + NORMS + 4 * 4, [ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 7 * 2},
                  .written = {[ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2}}},
    {"classic: weights in fp8 have no scales", FULL, "qwen3_attention", CLASSIC(AT(1, 7), .weight_dtype = "fp8"),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 8 * 8,
                  .read = {[WEIGHTS] = LINEARS + NORMS, [ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 7 * 2},
                  .written = {[ACTIVATIONS] = 32 * 2, [KV] = 2 * 16 * 2}}},
    /* q 40 -> 30, k and v 40 -> 10, o 30 -> 40: 1200 + 800 + 1200 */
    {"exact: heads that are not as wide as the stream, fp32", NARROW, "qwen3_attention", EXACT(AT(2, 3)),
     .expected = {.tensor_flops = 2 * 2 * (1200 + 800 + 1200) + 4 * 3 * 10 * (4 + 5),
                  .vector_flops = 5 * 3 * (4 + 5) + 4 * 2 * (30 + 10) + 3 * 2 * (3 + 1) * 10,
                  .read = {[WEIGHTS] = (3200 + 2 * 10) * 4, [ACTIVATIONS] = 2 * 40 * 4, [KV] = 2 * 10 * 3 * 4},
                  .written = {[ACTIVATIONS] = 2 * 40 * 4, [KV] = 2 * 10 * 2 * 4}}},
    /* What ops read a token: q, k, v 32 each; norm of q 32, of k 16; rotations 32 and 16; two appends 16 each;
     * attention 32; o 32. What they write: 32, 16, 16; 32, 16; 32, 16; 32; 32. */
    {"exact: every op's tensors touch memory", FULL, "qwen3_attention", EXACT(AT(2, 0), .op_fusion = true),
     .expected =
         {.tensor_flops = 2 * 2 * LINEARS + 4 * 4 * 8 * 3,
          .vector_flops = 5 * 4 * 3 + 4 * 2 * (32 + 16) + 3 * 2 * (4 + 2) * 8,
          .read = {[WEIGHTS] = (LINEARS + NORMS) * 2,
                   [ACTIVATIONS] = 2 * (3 * 32 + 32 + 16 + 32 + 16 + 2 * 16 + 32 + 32) * 2},
          .written = {[ACTIVATIONS] = 2 * (32 + 16 + 16 + 32 + 16 + 32 + 16 + 32 + 32) * 2, [KV] = 2 * 16 * 2 * 2}}},
};

int main(void)
{
    return run_figures(cases, sizeof cases / sizeof *cases, NULL, 0);
}
