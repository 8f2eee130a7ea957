/* Figures of the feed-forwards (qwen3_mlp, qwen3_moe, qwen3_5_moe) and of how many experts a batch reads, worked out by
 * hand. */
#include "roofline/cases.h"

#include <math.h>

/* ---- Dense: hidden 128, 256 inside ---- */

#define ATTENTION ", \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 8"
#define DENSE ONE_LAYER(128, "llama_attention", "qwen3_mlp", ATTENTION ", \"intermediate_size\": 256")
#define BIASED                                                                                                         \
    ONE_LAYER(128, "llama_attention", "qwen3_mlp", ATTENTION ", \"intermediate_size\": 256, \"mlp_bias\": true")

/* ---- Sparse: 8 experts, 2 a token, hidden 128, 64 inside; bf16: a matrix of an expert has 128*64*2 bytes ---- */

#define EXPERTS                                                                                                        \
    ATTENTION ", \"num_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 64, "                      \
              "\"shared_expert_intermediate_size\": 32"
#define MOE ONE_LAYER(128, "llama_attention", "qwen3_moe", EXPERTS ", \"norm_topk_prob\": false")
#define NORMALISED ONE_LAYER(128, "llama_attention", "qwen3_moe", EXPERTS ", \"norm_topk_prob\": true")
#define SHARED ONE_LAYER(128, "llama_attention", "qwen3_5_moe", EXPERTS ", \"norm_topk_prob\": true")
#define TWO_EXPERTS                                                                                                    \
    ONE_LAYER(128, "llama_attention", "qwen3_moe",                                                                     \
              ATTENTION ", \"num_experts\": 2, \"num_experts_per_tok\": 1, \"moe_intermediate_size\": 64, "            \
                        "\"norm_topk_prob\": false")

enum {
    EXPERT = 3 * 128 * 64,        /* weights */
    ONE_EXPERT = 6 * 128 * 64,    /* tensor FLOPs of a token in one expert */
    SHARED_EXPERT = 3 * 128 * 32, /* weights */
    ROUTER_WEIGHTS = 8 * 128,
    ROUTED = 2 * 128 * 8 + 2 * ONE_EXPERT /* tensor FLOPs of a token: router and 2 experts */
};
/* vector FLOPs of a token: scores of 8 and the choice among them, SwiGLU in 2 experts, 2 rows combined */
enum { AROUND = 5 * 8 + 8 + 2 * 5 * 64 + 2 * 2 * 128 };

/* Read of experts for n tokens, and the rest of a qwen3_moe's work, exact. */
#define SPARSE(n, experts_bytes)                                                                                       \
    {                                                                                                                  \
        .tensor_flops = (n)*ROUTED, .vector_flops = (n)*AROUND,                                                        \
        .read = {[WEIGHTS] = (experts_bytes), [ROUTER] = ROUTER_WEIGHTS * 2, [ACTIVATIONS] = (n)*128 * 2},             \
        .written = {                                                                                                   \
            [ACTIVATIONS] = (n)*128 * 2                                                                                \
        }                                                                                                              \
    }

static const int64_t five_of_layer_0[] = {5};

static const struct figures_case cases[] = {
    {"classic: a linear from 128 to 256", DENSE, "lm_head", CLASSIC(AT(64, 0)),
     .expected = {.tensor_flops = 2 * 64 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 * 2, [ACTIVATIONS] = 64 * 128 * 2},
                  .written = {[LOGITS] = 64 * 256 * 2}},
     .flops = 4194304, .bytes = 114688},
    {"classic: a dense MLP", DENSE, "qwen3_mlp", CLASSIC(AT(64, 0)),
     .expected = {.tensor_flops = 6 * 64 * 128 * 256 + 5 * 64 * 256,
                  .read = {[WEIGHTS] = 3 * 128 * 256 * 2, [ACTIVATIONS] = 64 * 128 * 2},
                  .written = {[ACTIVATIONS] = 64 * 128 * 2}},
     .flops = 12664832, .bytes = 229376},
    {"classic: a dense MLP with biases", BIASED, "qwen3_mlp", CLASSIC(AT(64, 0)),
     .expected = {.tensor_flops = 6 * 64 * 128 * 256 + 5 * 64 * 256 + 2 * 64 * 256 + 64 * 128,
                  .read = {[WEIGHTS] = (3 * 128 * 256 + 2 * 256 + 128) * 2, [ACTIVATIONS] = 64 * 128 * 2},
                  .written = {[ACTIVATIONS] = 64 * 128 * 2}},
     .flops = 12664832 + 40960, .bytes = 229376 + 1280},
    {"exact: a dense MLP", DENSE, "qwen3_mlp", EXACT(AT(64, 0)),
     .expected = {.tensor_flops = 6 * 64 * 128 * 256,
                  .vector_flops = 5 * 64 * 256,
                  .read = {[WEIGHTS] = 3 * 128 * 256 * 2, [ACTIVATIONS] = 64 * 128 * 2},
                  .written = {[ACTIVATIONS] = 64 * 128 * 2}}},
    {"exact: a dense MLP with biases", BIASED, "qwen3_mlp", EXACT(AT(1, 9)),
     .expected = {.tensor_flops = 6 * 128 * 256,
                  .vector_flops = 5 * 256 + 2 * 256 + 128,
                  .read = {[WEIGHTS] = (3 * 128 * 256 + 2 * 256 + 128) * 2, [ACTIVATIONS] = 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},
    /* gate and up [256, 128]: 2 tiles of 128 x 128 each; down [128, 256]: 2; 4 bytes a tile */
    {"exact: a dense MLP in fp8 with scales", DENSE, "qwen3_mlp", EXACT(AT(1, 9), .weight_dtype = "fp8"),
     .expected = {.tensor_flops = 6 * 128 * 256,
                  .vector_flops = 5 * 256,
                  .read = {[WEIGHTS] = 3 * 128 * 256 + 3 * 2 * 4, [ACTIVATIONS] = 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},
    /* half a byte a weight; a byte for 32 of them */
    {"exact: a dense MLP in fp4 with scales", DENSE, "qwen3_mlp", EXACT(AT(1, 9), .weight_dtype = "fp4"),
     .expected = {.tensor_flops = 6 * 128 * 256,
                  .vector_flops = 5 * 256,
                  .read = {[WEIGHTS] = 3 * 128 * 256 / 2 + 3 * 128 * 256 / 32, [ACTIVATIONS] = 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},
    /* gate and up read 128 and write 256, SwiGLU reads 2 * 256 and writes 256, down reads 256 and writes 128 */
    {"exact: every op's tensors touch memory", DENSE, "qwen3_mlp", EXACT(AT(3, 0), .op_fusion = true),
     .expected = {.tensor_flops = 3 * 6 * 128 * 256,
                  .vector_flops = 3 * 5 * 256,
                  .read = {[WEIGHTS] = 3 * 128 * 256 * 2, [ACTIVATIONS] = 3 * (2 * 128 + 2 * 256 + 256) * 2},
                  .written = {[ACTIVATIONS] = 3 * (2 * 256 + 256 + 128) * 2}}},

    /* ---- Classic: router 5 an expert, 2 a choice, min(E, N k) experts ---- */
    {"classic: 16 tokens read all 8 experts", MOE, "qwen3_moe", CLASSIC(AT(16, 0)),
     .expected = {.tensor_flops = 2 * 16 * 128 * 8 + 5 * 16 * 8 + 2 * 16 * 2 + 16 * 2 * (6 * 128 * 64 + 5 * 64),
                  .read = {[WEIGHTS] = 8 * EXPERT * 2, [ROUTER] = ROUTER_WEIGHTS * 2, [ACTIVATIONS] = 16 * 128 * 2},
                  .written = {[ACTIVATIONS] = 16 * 128 * 2}}},
    {"classic: a token reads 2 experts", MOE, "qwen3_moe", CLASSIC(AT(1, 50)),
     .expected = {.tensor_flops = 2 * 128 * 8 + 5 * 8 + 2 * 2 + 2 * (6 * 128 * 64 + 5 * 64),
                  .read = {[WEIGHTS] = 2 * EXPERT * 2, [ROUTER] = ROUTER_WEIGHTS * 2, [ACTIVATIONS] = 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},
    /* the shared expert, its gate [1, 128] with a sigmoid of 3 and a product, and the add of both */
    {"classic: a gated shared expert", SHARED, "qwen3_5_moe", CLASSIC(AT(16, 0)),
     .expected = {.tensor_flops = 2 * 16 * 128 * 8 + 5 * 16 * 8 + 2 * 16 * 2 + 16 * 2 * (6 * 128 * 64 + 5 * 64) +
                                  6 * 16 * 128 * 32 + 5 * 16 * 32 + (2 * 16 * 128 + 3 * 16 + 16 * 128) + 16 * 128,
                  .read = {[WEIGHTS] = (8 * EXPERT + SHARED_EXPERT + 128) * 2,
                           [ROUTER] = ROUTER_WEIGHTS * 2,
                           [ACTIVATIONS] = 16 * 128 * 2},
                  .written = {[ACTIVATIONS] = 16 * 128 * 2}}},

    /* ---- Exact, and the routing ---- */
    /* 8 (1 - (3/4)^N): 2, 3.5, 4.625 */
    {"exact: a token meets 2 experts", MOE, "qwen3_moe", EXACT(AT(1, 0)), .expected = SPARSE(1, 2 * EXPERT * 2)},
    {"exact: 2 tokens meet 3.5 experts", MOE, "qwen3_moe", EXACT(AT(2, 0)), .expected = SPARSE(2, 7 * EXPERT)},
    {"exact: 3 sequences meet 4.625 experts", MOE, "qwen3_moe", EXACT(BATCH(3, 1, 4)),
     .expected = SPARSE(3, 37 * EXPERT / 8 * 2)},
    {"exact: 3 tokens meet 6 experts at worst", MOE, "qwen3_moe", EXACT(AT(3, 0), .routing = ALLOY_ROUTING_WORST),
     .expected = SPARSE(3, 6 * EXPERT * 2)},
    {"exact: 30 tokens meet no more than all", MOE, "qwen3_moe", EXACT(AT(30, 0), .routing = ALLOY_ROUTING_WORST),
     .expected = SPARSE(30, 8 * EXPERT * 2)},
    {"exact: 3 tokens meet the same 2 experts at best", MOE, "qwen3_moe",
     EXACT(AT(3, 0), .routing = ALLOY_ROUTING_BEST), .expected = SPARSE(3, 2 * EXPERT * 2)},
    {"exact: a run met 5 experts", MOE, "qwen3_moe",
     EXACT(AT(3, 0), .routing = ALLOY_ROUTING_GIVEN, .experts_read = five_of_layer_0),
     .expected = SPARSE(3, 5 * EXPERT * 2)},
    {"exact: shares that do not fall are even routing", MOE, "qwen3_moe",
     EXACT(AT(2, 0), .routing = ALLOY_ROUTING_ZIPF, .zipf = 0), .expected = SPARSE(2, 7 * EXPERT)},
    /* shares 2/3 and 1/3; (1 - 1/9) + (1 - 4/9) = 13/9 experts of three matrices of 16384 bytes, each 23665.8 */
    {"exact: 2 tokens among experts of shares 2 : 1", TWO_EXPERTS, "qwen3_moe",
     EXACT(AT(2, 0), .routing = ALLOY_ROUTING_ZIPF, .zipf = 1),
     .expected = {.tensor_flops = 2 * (2 * 128 * 2 + ONE_EXPERT),
                  .vector_flops = 2 * (5 * 2 + 2 + 5 * 64 + 2 * 128),
                  .read = {[WEIGHTS] = 3 * 23666, [ROUTER] = 2 * 128 * 2, [ACTIVATIONS] = 2 * 128 * 2},
                  .written = {[ACTIVATIONS] = 2 * 128 * 2}}},
    {"exact: weights that are divided by their sum cost 2 a choice", NORMALISED, "qwen3_moe", EXACT(AT(1, 0)),
     .expected = {.tensor_flops = ROUTED,
                  .vector_flops = AROUND + 2 * 2,
                  .read = {[WEIGHTS] = 2 * EXPERT * 2, [ROUTER] = ROUTER_WEIGHTS * 2, [ACTIVATIONS] = 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},
    {"exact: a gated shared expert", SHARED, "qwen3_5_moe", EXACT(AT(2, 0)),
     .expected = {.tensor_flops = 2 * (ROUTED + 6 * 128 * 32 + 2 * 128),
                  .vector_flops = 2 * (AROUND + 2 * 2 + 5 * 32 + 3 + 128 + 128),
                  .read = {[WEIGHTS] = 7 * EXPERT + (SHARED_EXPERT + 128) * 2,
                           [ROUTER] = ROUTER_WEIGHTS * 2,
                           [ACTIVATIONS] = 2 * 128 * 2},
                  .written = {[ACTIVATIONS] = 2 * 128 * 2}}},
    /* each matrix of an expert and the router are one tile */
    {"exact: experts in fp8 with scales", MOE, "qwen3_moe", EXACT(AT(1, 0), .weight_dtype = "fp8"),
     .expected = {.tensor_flops = ROUTED,
                  .vector_flops = AROUND,
                  .read = {[WEIGHTS] = 2 * (EXPERT + 3 * 4), [ROUTER] = ROUTER_WEIGHTS + 4, [ACTIVATIONS] = 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},
};

/* For shares proportional to e^-S that sum to k, none above 1: with 4 experts, k = 2 and S = 2 the first share is
 * capped, 1 + a (1/4 + 1/9 + 1/16) = 2, so a = 144/61 and the others are 36/61, 16/61 and 9/61. One matrix at a time
 * is rounded. */
static void a_share_is_never_above_one(void **state)
{
    (void)state;
    static const char config[] =
        ONE_LAYER(128, "llama_attention", "qwen3_moe",
                  ATTENTION ", \"num_experts\": 4, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 64");
    alloy_roofline_options options = EXACT(AT(3, 0), .routing = ALLOY_ROUTING_ZIPF, .zipf = 2);
    alloy_work work = work_of(config, "qwen3_moe", &options);
    double experts = 1;
    for (int i = 0; i < 3; i++) {
        double missed = 1 - (double)((const int[]){36, 16, 9}[i]) / 61;
        experts += 1 - missed * missed * missed;
    }
    expect_count(work.read[WEIGHTS], 3 * (int64_t)rint(experts * 128 * 64 * 2), "bytes of experts");
}

int main(void)
{
    const struct CMUnitTest others[] = {cmocka_unit_test(a_share_is_never_above_one)};
    return run_figures(cases, sizeof cases / sizeof *cases, others, sizeof others / sizeof *others);
}
