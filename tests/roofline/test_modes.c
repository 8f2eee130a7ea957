/* Figures of a whole model in each mode, worked out by hand: everything from the embedding to the logits.
 *
 * The model: hidden 64, vocabulary 256, bf16, two layers: a delta net (2 key heads of 16, 2 value heads of 32, 4 taps)
 * and attention (4 heads and 2 key-value heads of 16), each before an MLP of 48. */
#include "roofline/cases.h"

enum {
    H = 64,
    NET = 64 * 128 + 64 * 64 + 2 * 64 * 2 + 64 * 64, /* weights of the delta net's projections */
    NET_OTHERS = 4 * 128 + 32,
    NET_F32 = 2 * 2 * 4, /* bytes */
    ATTENTION = 64 * 64 + 2 * 64 * 32 + 64 * 64,
    QK_NORMS = 2 * 16,
    MLP = 3 * 64 * 48,
    HEAD = 64 * 256,
    MATRICES = 2 * 16 * 32, /* elements of the delta net's state */
    TAIL = 3 * 128
};

#define MODEL(attention, more)                                                                                         \
    "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": 64, "                                           \
    "\"layer_types\": [\"qwen3_5_gdn\", \"" attention "\"], \"ffn_types\": [\"qwen3_mlp\", \"qwen3_mlp\"], "           \
    "\"intermediate_size\": 48, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16, "            \
    "\"linear_num_key_heads\": 2, \"linear_key_head_dim\": 16, \"linear_num_value_heads\": 2, "                        \
    "\"linear_value_head_dim\": 32, \"linear_conv_kernel_dim\": 4" more "}"
#define FULL MODEL("qwen3_attention", "")
#define WINDOW MODEL("qwen3_attention_sliding", ", \"sliding_window\": 6")

/* ---- Classic: embedding, 4 modules, final norm, head on every one of n tokens ---- */

/* the delta net without its rule, attention without its products, 2 MLPs, final norm, head */
#define CLASSIC_FLOPS(n)                                                                                               \
    ((n) * (2 * NET + 2 * 4 * 128) + 2 * (n)*ATTENTION + 2 * (n) * (2 * MLP + 5 * 48) + 4 * (n)*H + 2 * (n)*HEAD)
#define CLASSIC_WEIGHTS(n) (((n)*H + NET + NET_OTHERS + ATTENTION + QK_NORMS + 2 * MLP + H + HEAD) * 2 + NET_F32)

/* ---- Exact: norms before the 4 modules, the last rows m ---- */

/* norms: the first 4 an element, three with their sums 5; the final one 5 */
#define EXACT_VECTOR(n, m)                                                                                             \
    ((n) * (4 * 128 + 7 * 32 + 3 * 2 + 6 * 2 + 9 * 64) + 4 * (n) * (64 + 32) + 3 * (n) * (4 + 2) * 16 +                \
     2 * (n)*5 * 48 + (n)*H * (4 + 3 * 5) + 5 * (m)*H)
#define EXACT_TENSOR(n, m) ((n) * (2 * NET + 2 * 4 * 128) + 2 * (n)*ATTENTION + 2 * (n)*2 * MLP + 2 * (m)*HEAD)
#define EXACT_WEIGHTS(n) (CLASSIC_WEIGHTS(n) + 4 * H * 2)
/* read: the stream before the first norm, stream and output before three, 4 modules; stream, output and x of the rest;
 * ids. written: embedding, x, three times stream and x, 4 modules; x. */
#define EXACT_READ(n, m) (((n) * (1 + 3 * 2 + 4) * H + (m)*3 * H) * 2 + (n)*8)
#define EXACT_WRITTEN(n, m) (((n) * (1 + 1 + 3 * 2 + 4) * H + (m)*H) * 2)
#define STEPS(n) ((n)*2 * (7 * 16 * 32 + 2 * 32)) /* vector FLOPs of the delta rule */

static const struct figures_case cases[] = {
    {"classic: prefill of 8", FULL, "total", CLASSIC(AT(8, 0)),
     .expected = {.tensor_flops = CLASSIC_FLOPS(8) + 8 * 2 * 7 * 16 * 32 + 4 * 4 * 16 * 8 * 8,
                  .read = {[WEIGHTS] = CLASSIC_WEIGHTS(8), [ACTIVATIONS] = 6 * 8 * H * 2},
                  .written = {[ACTIVATIONS] = 6 * 8 * H * 2,
                              [KV] = 2 * 32 * 8 * 2,
                              [STATE] = (MATRICES + TAIL) * 2,
                              [LOGITS] = 8 * 256 * 2}}},
    {"classic: mini-prefill of 3 after 5", FULL, "total", CLASSIC(AT(3, 5)),
     .expected = {.tensor_flops = CLASSIC_FLOPS(3) + 3 * 2 * 7 * 16 * 32 + 4 * 4 * 16 * 3 * 8,
                  .read = {[WEIGHTS] = CLASSIC_WEIGHTS(3),
                           [ACTIVATIONS] = 6 * 3 * H * 2,
                           [KV] = 2 * 32 * 5 * 2,
                           [STATE] = (MATRICES + TAIL) * 2},
                  .written = {[ACTIVATIONS] = 6 * 3 * H * 2,
                              [KV] = 2 * 32 * 3 * 2,
                              [STATE] = (MATRICES + TAIL) * 2,
                              [LOGITS] = 3 * 256 * 2}}},
    {"classic: decode of 4 sequences after 9", FULL, "total", CLASSIC(BATCH(4, 1, 9)),
     .expected = {.tensor_flops = CLASSIC_FLOPS(4) + 4 * 2 * 7 * 16 * 32 + 4 * 4 * 4 * 16 * 10,
                  .read = {[WEIGHTS] = CLASSIC_WEIGHTS(4),
                           [ACTIVATIONS] = 6 * 4 * H * 2,
                           [KV] = 4 * 2 * 32 * 9 * 2,
                           [STATE] = 4 * (MATRICES + TAIL) * 2},
                  .written = {[ACTIVATIONS] = 6 * 4 * H * 2,
                              [KV] = 4 * 2 * 32 * 2,
                              [STATE] = 4 * (MATRICES + TAIL) * 2,
                              [LOGITS] = 4 * 256 * 2}}},
    {"classic: a window of 6 is 6 of 10 positions", WINDOW, "total", CLASSIC(AT(1, 9)),
     .expected =
         {.tensor_flops = CLASSIC_FLOPS(1) + 2 * 7 * 16 * 32 + 4 * 4 * 16 * 6,
          .read = {[WEIGHTS] = CLASSIC_WEIGHTS(1),
                   [ACTIVATIONS] =
                       6 * H *
                       2,
                   [KV] =
                       2 * 32 * 5 * 2,
                   [STATE] = (MATRICES + TAIL) * 2},
          .written =
              {[ACTIVATIONS] = 6 * H * 2, [KV] = 2 * 32 * 2, [STATE] = (MATRICES + TAIL) * 2, [LOGITS] = 256 * 2}}},
    /* 36 pairs */
    {"exact: prefill of 8", FULL, "total", EXACT(AT(8, 0)),
     .expected = {.tensor_flops = EXACT_TENSOR(8, 1) + 4 * 4 * 16 * 36,
                  .vector_flops = EXACT_VECTOR(8, 1) + STEPS(8) + 5 * 4 * 36,
                  .read = {[WEIGHTS] = EXACT_WEIGHTS(8), [ACTIVATIONS] = EXACT_READ(8, 1)},
                  .written = {[ACTIVATIONS] = EXACT_WRITTEN(8, 1),
                              [KV] = 2 * 32 * 8 * 2,
                              [STATE] = MATRICES * 4 + TAIL * 2,
                              [LOGITS] = 256 * 2}}},
    /* 6 + 7 + 8 = 21 pairs */
    {"exact: mini-prefill of 3 after 5", FULL, "total", EXACT(AT(3, 5)),
     .expected = {.tensor_flops = EXACT_TENSOR(3, 1) + 4 * 4 * 16 * 21,
                  .vector_flops = EXACT_VECTOR(3, 1) + STEPS(3) + 5 * 4 * 21,
                  .read = {[WEIGHTS] = EXACT_WEIGHTS(3),
                           [ACTIVATIONS] = EXACT_READ(3, 1),
                           [KV] = 2 * 32 * 5 * 2,
                           [STATE] = MATRICES * 4 + TAIL * 2},
                  .written = {[ACTIVATIONS] = EXACT_WRITTEN(3, 1),
                              [KV] = 2 * 32 * 3 * 2,
                              [STATE] = MATRICES * 4 + TAIL * 2,
                              [LOGITS] = 256 * 2}}},
    {"exact: decode of 4 sequences after 9", FULL, "total", EXACT(BATCH(4, 1, 9)),
     .expected = {.tensor_flops = EXACT_TENSOR(4, 4) + 4 * 4 * 4 * 16 * 10,
                  .vector_flops = EXACT_VECTOR(4, 4) + STEPS(4) + 4 * 5 * 4 * 10,
                  .read = {[WEIGHTS] = EXACT_WEIGHTS(4),
                           [ACTIVATIONS] = EXACT_READ(4, 4),
                           [KV] = 4 * 2 * 32 * 9 * 2,
                           [STATE] = 4 * (MATRICES * 4 + TAIL * 2)},
                  .written = {[ACTIVATIONS] = EXACT_WRITTEN(4, 4),
                              [KV] = 4 * 2 * 32 * 2,
                              [STATE] = 4 * (MATRICES * 4 + TAIL * 2),
                              [LOGITS] = 4 * 256 * 2}}},
    /* the window of 6: token 9 sees 6, reads the 5 before it */
    {"exact: decode with a window of 6", WINDOW, "total", EXACT(AT(1, 9)),
     .expected = {.tensor_flops = EXACT_TENSOR(1, 1) + 4 * 4 * 16 * 6,
                  .vector_flops = EXACT_VECTOR(1, 1) + STEPS(1) + 5 * 4 * 6,
                  .read = {[WEIGHTS] = EXACT_WEIGHTS(1),
                           [ACTIVATIONS] = EXACT_READ(1, 1),
                           [KV] = 2 * 32 * 5 * 2,
                           [STATE] = MATRICES * 4 + TAIL * 2},
                  .written = {[ACTIVATIONS] = EXACT_WRITTEN(1, 1),
                              [KV] = 2 * 32 * 2,
                              [STATE] = MATRICES * 4 + TAIL * 2,
                              [LOGITS] = 256 * 2}}},
    /* 3 tokens from nothing (6 pairs) and 2 sequences of 2 after 4 (5 + 6 pairs each): 7 tokens, 3 last ones */
    {"exact: a ragged batch", FULL, "total", EXACT(RAGGED({1, 3, 0}, {2, 2, 4})),
     .expected = {.tensor_flops = EXACT_TENSOR(7, 3) + 4 * 4 * 16 * (6 + 2 * 11),
                  .vector_flops = EXACT_VECTOR(7, 3) + STEPS(7) + 5 * 4 * (6 + 2 * 11),
                  .read = {[WEIGHTS] = EXACT_WEIGHTS(7),
                           [ACTIVATIONS] = EXACT_READ(7, 3),
                           [KV] = 2 * 2 * 32 * 4 * 2,
                           [STATE] = 2 * (MATRICES * 4 + TAIL * 2)},
                  .written = {[ACTIVATIONS] = EXACT_WRITTEN(7, 3),
                              [KV] = 7 * 2 * 32 * 2,
                              [STATE] = 3 * (MATRICES * 4 + TAIL * 2),
                              [LOGITS] = 3 * 256 * 2}}},
    {"exact: decode with logits, keys and values in formats of their own", FULL, "total",
     EXACT(AT(1, 9), .activation_dtype = "fp32", .weight_dtype = "bf16", .kv_dtype = "fp8"),
     .expected = {.tensor_flops = EXACT_TENSOR(1, 1) + 4 * 4 * 16 * 10,
                  .vector_flops = EXACT_VECTOR(1, 1) + STEPS(1) + 5 * 4 * 10,
                  .read = {[WEIGHTS] = EXACT_WEIGHTS(1),
                           [ACTIVATIONS] = (EXACT_READ(1, 1) - 8) * 2 + 8,
                           [KV] = 2 * 32 * 9,
                           [STATE] = MATRICES * 4 + TAIL * 4},
                  .written = {[ACTIVATIONS] = EXACT_WRITTEN(1, 1) * 2,
                              [KV] = 2 * 32,
                              [STATE] = MATRICES * 4 + TAIL * 4,
                              [LOGITS] = 256 * 4}}},
};

int main(void)
{
    return run_figures(cases, sizeof cases / sizeof *cases, NULL, 0);
}
