/* Figures of DeepSeek-V4's modules (three attentions, experts, hyper-connections), worked out by hand.
 *
 * Of the attentions: hidden 128, 4 heads of 32, queries through a rank of 64, outputs in 2 groups through ranks of 64,
 * 8 rotated channels, bf16; sinks, norms and position biases stay fp32. The projections have 64*128 + 128*64 + 32*128 +
 * 2*64*64 + 128*128 weights. HCA closes windows of 16 tokens; CSA of 4, and its indexer (2 heads of 16) chooses 3. */
#include "roofline/cases.h"

enum {
    LINEARS = 64 * 128 + 128 * 64 + 32 * 128 + 2 * 64 * 64 + 128 * 128,
    HCA_LINEARS = 2 * 32 * 128,                         /* kv and gate */
    CSA_LINEARS = 2 * 64 * 128,                         /* rows are two entries wide */
    INDEXER_LINEARS = 2 * 32 * 128 + 32 * 64 + 2 * 128, /* kv and gate, queries, weights of heads */
    NORMS = 64 + 32                                     /* of low-rank queries and of kv */
};

#define SIZES(window)                                                                                                  \
    ", \"num_attention_heads\": 4, \"head_dim\": 32, \"q_lora_rank\": 64, \"qk_rope_head_dim\": 8, \"o_groups\": 2, "  \
    "\"o_lora_rank\": 64, \"compress_rate_hca\": 16, \"compress_rate_csa\": 4, \"index_n_heads\": 2, "                 \
    "\"index_head_dim\": 16, \"index_topk\": 3, \"intermediate_size\": 16, \"sliding_window\": " #window
#define WINDOW(w) ONE_LAYER(128, "dsv4_sliding_attention", "qwen3_mlp", SIZES(w))
#define HCA(w) ONE_LAYER(128, "dsv4_hca_attention", "qwen3_mlp", SIZES(w))
#define CSA(w) ONE_LAYER(128, "dsv4_csa_attention", "qwen3_mlp", SIZES(w))

/* Vector FLOPs of n tokens around the products: norms of low-rank queries and kv 4, of query heads 3 (no weight); q, kv
 * and the way back rotated; a sink a head */
#define AROUND(n) ((n) * (4 * 64 + 4 * 32 + 3 * 128 + 3 * (4 + 1 + 4) * 8 + 4))

/* 8 experts, 2 a token, 64 inside, and a shared one; hidden 128 */
#define EXPERTS                                                                                                        \
    ", \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 8, \"n_routed_experts\": 8, "             \
    "\"num_experts_per_tok\": 2, \"moe_intermediate_size\": 64, \"scoring_func\": \"sqrtsoftplus\", "                  \
    "\"swiglu_limit\": 10.0"
#define MOE ONE_LAYER(128, "llama_attention", "dsv4_moe", EXPERTS)
#define HASH ONE_LAYER(128, "llama_attention", "dsv4_hash_moe", EXPERTS)

/* 2 streams of 128, 3 rounds of Sinkhorn */
#define STREAMS                                                                                                        \
    ONE_LAYER(128, "llama_attention", "qwen3_mlp",                                                                     \
              ", \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 8, \"intermediate_size\": 16, " \
              "\"use_mhc\": true, \"hc_mult\": 2, \"hc_sinkhorn_iters\": 3")

enum { EXPERT = 3 * 128 * 64 };

static const struct figures_case cases[] = {
    /* ---- Classic ---- */
    {"classic: 32 tokens within a window", WINDOW(32), "dsv4_sliding_attention", CLASSIC(AT(32, 0)),
     .expected = {.tensor_flops = 2 * 32 * LINEARS + 4 * 4 * 32 * (32 * 32),
                  .read = {[WEIGHTS] = (LINEARS + 4) * 2, [ACTIVATIONS] = 32 * 128 * 2},
                  .written = {[ACTIVATIONS] = 32 * 128 * 2, [KV] = 32 * 32 * 2}},
     .flops = 3407872, .bytes = 108552},
    {"classic: a window of 8 after 100 reads 7 rows and writes 1", WINDOW(8), "dsv4_sliding_attention",
     CLASSIC(AT(1, 100)),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 32 * 8,
                  .read = {[WEIGHTS] = (LINEARS + 4) * 2, [ACTIVATIONS] = 128 * 2, [KV] = 7 * 32 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2, [KV] = 32 * 2}}},
    /* ceil(33/16) = 3 entries beside 8 positions; a bias of 16 x 32 and a norm of 32 */
    {"classic: heavy compression", HCA(8), "dsv4_hca_attention", CLASSIC(AT(20, 13)),
     .expected = {.tensor_flops = 2 * 20 * (LINEARS + HCA_LINEARS) + 4 * 4 * 32 * 20 * (8 + 3),
                  .read = {[WEIGHTS] = (LINEARS + 4 + HCA_LINEARS + 16 * 32 + 32) * 2,
                           [ACTIVATIONS] = 20 * 128 * 2,
                           [KV] = 3 * 32 * 2},
                  .written = {[ACTIVATIONS] = 20 * 128 * 2, [KV] = 8 * 32 * 2}}},
    /* 3 entries whether there are so many or not; the indexer scores ceil(32/4) = 8 */
    {"classic: sparse compression", CSA(8), "dsv4_csa_attention", CLASSIC(AT(3, 29)),
     .expected = {.tensor_flops =
                      2 * 3 * (LINEARS + CSA_LINEARS + INDEXER_LINEARS) + 4 * 4 * 32 * 3 * (8 + 3) + 2 * 3 * 2 * 16 * 8,
                  .read = {[WEIGHTS] = (LINEARS + 4 + CSA_LINEARS + 4 * 64 + 32 + INDEXER_LINEARS + 4 * 32 + 16) * 2,
                           [ACTIVATIONS] = 3 * 128 * 2,
                           [KV] = (5 + 3) * 32 * 2},
                  .written = {[ACTIVATIONS] = 3 * 128 * 2, [KV] = 3 * 32 * 2}}},

    /* ---- Exact: a key is its value, so a row is read once; 4 * heads * hd a pair ---- */
    /* 1 + 2 + .. + 32 = 528 pairs; the next token sees 31 of the rows */
    {"exact: 32 tokens within a window", WINDOW(32), "dsv4_sliding_attention", EXACT(AT(32, 0)),
     .expected = {.tensor_flops = 2 * 32 * LINEARS + 4 * 4 * 32 * 528,
                  .vector_flops = AROUND(32) + 5 * 4 * 528,
                  .read = {[WEIGHTS] = LINEARS * 2 + (NORMS + 4) * 4, [ACTIVATIONS] = 32 * 128 * 2},
                  .written = {[ACTIVATIONS] = 32 * 128 * 2, [KV] = 31 * 32 * 2}}},
    {"exact: a window of 8 after 100", WINDOW(8), "dsv4_sliding_attention", EXACT(AT(1, 100)),
     .expected = {.tensor_flops = 2 * LINEARS + 4 * 4 * 32 * 8,
                  .vector_flops = AROUND(1) + 5 * 4 * 8,
                  .read = {[WEIGHTS] = LINEARS * 2 + (NORMS + 4) * 4, [ACTIVATIONS] = 128 * 2, [KV] = 7 * 32 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2, [KV] = 32 * 2}}},
    /* Tokens 14 to 33 see 8 positions each, and those from the 16th on an entry, from the 32nd two: 16 + 2 * 2. Two
     * windows close: of 13 rows before, and wholly new. A slot and channel 8, then norm 4 and rotation 3. The open
     * window's 13 rows of kv and gate are read, the 33rd token's is written. */
    {"exact: heavy compression that closes two windows", HCA(8), "dsv4_hca_attention", EXACT(AT(20, 13)),
     .expected = {.tensor_flops = 2 * 20 * (LINEARS + HCA_LINEARS) + 4 * 4 * 32 * (20 * 8 + 20),
                  .vector_flops = AROUND(20) + 5 * 4 * (20 * 8 + 20) + 2 * (8 * 16 * 32 + 4 * 32 + 3 * 8),
                  .read = {[WEIGHTS] = (LINEARS + HCA_LINEARS) * 2 + (NORMS + 4 + 16 * 32 + 32) * 4,
                           [ACTIVATIONS] = 20 * 128 * 2,
                           [KV] = 7 * 32 * 2,
                           [STATE] = 13 * 2 * 32 * 4},
                  .written = {[ACTIVATIONS] = 20 * 128 * 2, [KV] = (7 + 2) * 32 * 2, [STATE] = 2 * 32 * 4}}},
    /* token 21 sees 8 positions and the one entry there is; its row joins the open window */
    {"exact: heavy compression that closes nothing", HCA(8), "dsv4_hca_attention", EXACT(AT(1, 20)),
     .expected = {.tensor_flops = 2 * (LINEARS + HCA_LINEARS) + 4 * 4 * 32 * (8 + 1),
                  .vector_flops = AROUND(1) + 5 * 4 * (8 + 1),
                  .read = {[WEIGHTS] = (LINEARS + HCA_LINEARS) * 2 + (NORMS + 4) * 4,
                           [ACTIVATIONS] = 128 * 2,
                           [KV] = (7 + 1) * 32 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2, [KV] = 32 * 2, [STATE] = 2 * 32 * 4}}},
    /* 4 tokens from nothing see 1 + 2 + 3 + 4 positions; after 15 the 16th closes a window and sees its entry */
    {"exact: heavy compression of a ragged batch", HCA(8), "dsv4_hca_attention", EXACT(RAGGED({1, 4, 0}, {2, 1, 15})),
     .expected = {.tensor_flops = 2 * 6 * (LINEARS + HCA_LINEARS) + 4 * 4 * 32 * (10 + 2 * (8 + 1)),
                  .vector_flops = AROUND(6) + 5 * 4 * (10 + 2 * (8 + 1)) + 2 * (8 * 16 * 32 + 4 * 32 + 3 * 8),
                  .read = {[WEIGHTS] = (LINEARS + HCA_LINEARS) * 2 + (NORMS + 4 + 16 * 32 + 32) * 4,
                           [ACTIVATIONS] = 6 * 128 * 2,
                           [KV] = 2 * 7 * 32 * 2,
                           [STATE] = 2 * 15 * 2 * 32 * 4},
                  .written =
                      {[ACTIVATIONS] = 6 * 128 * 2, [KV] = (4 + 2 * (1 + 1)) * 32 * 2, [STATE] = 4 * 2 * 32 * 4}}},
    /* Tokens 30, 31, 32 see 7, 7 and 8 entries, of which 3 are chosen each: 22 scores, 9 chosen. One window closes,
     * over 4 slots of two widths; of it one row was there, and all of the overlap. Of 7 entries at most 7 are read. */
    {"exact: sparse compression that closes a window", CSA(8), "dsv4_csa_attention", EXACT(AT(3, 29)),
     .expected = {.tensor_flops =
                      2 * 3 * (LINEARS + CSA_LINEARS + INDEXER_LINEARS) + 4 * 4 * 32 * (3 * 8 + 9) + 2 * 2 * 16 * 22,
                  .vector_flops = AROUND(3) + 5 * 4 * (3 * 8 + 9) + (16 * 4 * 32 + 4 * 32 + 3 * 8) +
                                  (16 * 4 * 16 + 4 * 16 + 3 * 8) + 3 * 3 * 2 * 8 + 4 * 2 * 22 + 22,
                  .read = {[WEIGHTS] = (LINEARS + CSA_LINEARS + INDEXER_LINEARS) * 2 +
                                       (NORMS + 4 + 4 * 64 + 32 + 4 * 32 + 16) * 4,
                           [ACTIVATIONS] = 3 * 128 * 2,
                           [KV] = (7 + 7) * 32 * 2,
                           [INDEXER] = 7 * 16 * 2,
                           [STATE] = (1 * 4 + 4 * 2) * (32 + 16) * 4},
                  .written = {[ACTIVATIONS] = 3 * 128 * 2,
                              [KV] = (3 + 1) * 32 * 2,
                              [INDEXER] = 16 * 2,
                              [STATE] = 4 * 2 * (32 + 16) * 4}}},
    /* token 101 sees 25 entries and takes 3 of them; nothing closes, a row of 4 widths joins the open windows */
    {"exact: a decoded token with indexer keys in fp8", CSA(8), "dsv4_csa_attention",
     EXACT(AT(1, 100), .indexer_dtype = "fp8"),
     .expected = {.tensor_flops =
                      2 * (LINEARS + CSA_LINEARS + INDEXER_LINEARS) + 4 * 4 * 32 * (8 + 3) + 2 * 2 * 16 * 25,
                  .vector_flops = AROUND(1) + 5 * 4 * (8 + 3) + 3 * 2 * 8 + 4 * 2 * 25 + 25,
                  .read = {[WEIGHTS] = (LINEARS + CSA_LINEARS + INDEXER_LINEARS) * 2 + (NORMS + 4) * 4,
                           [ACTIVATIONS] = 128 * 2,
                           [KV] = (7 + 3) * 32 * 2,
                           [INDEXER] = 25 * 16},
                  .written = {[ACTIVATIONS] = 128 * 2, [KV] = 32 * 2, [STATE] = 4 * (32 + 16) * 4}}},

    /* ---- Experts ---- */
    {"classic: 16 tokens among 8 experts", MOE, "dsv4_moe", CLASSIC(AT(16, 0)),
     .expected =
         {.tensor_flops = 2 * 16 * 128 * 8 + 5 * 16 * 8 + 2 * 16 * 2 + 16 * 2 * (6 * 128 * 64 + 5 * 64) +
                          (6 * 16 * 128 * 64 + 5 * 16 * 64) + 16 * 128,
          .read = {[WEIGHTS] = (8 + 1) * EXPERT * 2, [ROUTER] = (8 * 128 + 8) * 2, [ACTIVATIONS] = 16 * 128 * 2},
          .written = {[ACTIVATIONS] = 16 * 128 * 2}},
     .flops = 2410176, .bytes = 452624},
    /* no bias; 2 indices of 8 bytes a token */
    {"classic: 16 tokens whose ids choose", HASH, "dsv4_hash_moe", CLASSIC(AT(16, 0)),
     .expected =
         {.tensor_flops = 2410176,
          .read = {[WEIGHTS] = (8 + 1) * EXPERT * 2, [ROUTER] = 8 * 128 * 2 + 16 * 2 * 8, [ACTIVATIONS] = 16 * 128 * 2},
          .written = {[ACTIVATIONS] = 16 * 128 * 2}}},
    /* scores 5 and choice 1 an expert; sum and quotient 2 and factor 1 a choice; clamped SwiGLU 8; rows combined 2; the
     * shared expert and its add. 2 tokens meet 8 (1 - (3/4)^2) = 3.5 experts. The bias stays fp32. */
    {"exact: 2 tokens among 8 experts", MOE, "dsv4_moe", EXACT(AT(2, 0)),
     .expected =
         {.tensor_flops = 2 * (2 * 128 * 8 + 2 * 6 * 128 * 64 + 6 * 128 * 64),
          .vector_flops = 2 * (5 * 8 + 8 + 3 * 2 + 2 * 8 * 64 + 2 * 2 * 128 + 8 * 64 + 128),
          .read = {[WEIGHTS] = 7 * EXPERT + EXPERT * 2, [ROUTER] = 8 * 128 * 2 + 8 * 4, [ACTIVATIONS] = 2 * 128 * 2},
          .written = {[ACTIVATIONS] = 2 * 128 * 2}}},
    /* scores of the 2 experts that the table names */
    {"exact: a token whose id chooses", HASH, "dsv4_hash_moe", EXACT(AT(1, 7)),
     .expected = {.tensor_flops = 2 * 128 * 2 + 2 * 6 * 128 * 64 + 6 * 128 * 64,
                  .vector_flops = 5 * 2 + 3 * 2 + 2 * 8 * 64 + 2 * 2 * 128 + 8 * 64 + 128,
                  .read = {[WEIGHTS] = (2 + 1) * EXPERT * 2, [ROUTER] = 8 * 128 * 2 + 2 * 8, [ACTIVATIONS] = 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},
    /* at worst no two ids are the same */
    {"exact: 3 tokens whose ids choose 6 experts at worst", HASH, "dsv4_hash_moe",
     EXACT(AT(3, 0), .routing = ALLOY_ROUTING_WORST),
     .expected =
         {.tensor_flops = 3 * (2 * 128 * 2 + 2 * 6 * 128 * 64 + 6 * 128 * 64),
          .vector_flops = 3 * (5 * 2 + 3 * 2 + 2 * 8 * 64 + 2 * 2 * 128 + 8 * 64 + 128),
          .read = {[WEIGHTS] = (6 + 1) * EXPERT * 2, [ROUTER] = 8 * 128 * 2 + 3 * 2 * 8, [ACTIVATIONS] = 3 * 128 * 2},
          .written = {[ACTIVATIONS] = 3 * 128 * 2}}},
    /* a scale of 4 bytes for each of 3 matrices of 3 experts, and of the router; none for bias and table */
    {"exact: fp8 does not reach the table of ids", HASH, "dsv4_hash_moe", EXACT(AT(1, 7), .weight_dtype = "fp8"),
     .expected = {.tensor_flops = 2 * 128 * 2 + 2 * 6 * 128 * 64 + 6 * 128 * 64,
                  .vector_flops = 5 * 2 + 3 * 2 + 2 * 8 * 64 + 2 * 2 * 128 + 8 * 64 + 128,
                  .read =
                      {[WEIGHTS] = (2 + 1) * (EXPERT + 3 * 4), [ROUTER] = 8 * 128 + 4 + 2 * 8, [ACTIVATIONS] = 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},

    /* ---- Hyper-connections: h = 2 streams, (2 + h) h = 8 weights of a token, S = 3 ---- */
    /* 5 tokens; the streams are copied as fp32: written and read */
    {"classic: a hyper-connection", STREAMS, "hc_attn", CLASSIC(AT(5, 0)),
     .expected = {.tensor_flops =
                      4 * 5 * 2 * 128 + 2 * 5 * 2 * 128 * 8 + 4 * 5 * 8 + 4 * 3 * 5 * 2 * 2 + 2 * 5 * 2 * 128,
                  .read = {[WEIGHTS] = (8 * 2 * 128 + 8 + 3) * 2, [ACTIVATIONS] = 5 * 2 * 128 * 2 + 5 * 2 * 128 * 4},
                  .written = {[ACTIVATIONS] = 5 * 128 * 2 + 5 * 2 * 128 * 4}}},
    {"classic: the end of the streams", STREAMS, "hc_head", CLASSIC(AT(5, 0)),
     .expected = {.tensor_flops = 4 * 5 * 2 * 128 + 2 * 5 * 2 * 128 * 2 + 4 * 5 * 2 + 2 * 5 * 2 * 128,
                  .read = {[WEIGHTS] = (2 * 2 * 128 + 2 + 1) * 2, [ACTIVATIONS] = 5 * 2 * 128 * 2 + 5 * 2 * 128 * 4},
                  .written = {[ACTIVATIONS] = 5 * 128 * 2 + 5 * 2 * 128 * 4}}},
    /* before: norm 3, Sinkhorn 4S - 2, 12 and 8 a weight, 2h - 1 adds and products; after: 2 an element of the streams,
     * and their product with a 2 x 2 matrix. Streams are read twice and y once; x and the streams are written. */
    {"exact: a hyper-connection", STREAMS, "hc_attn", EXACT(AT(5, 0)),
     .expected = {.tensor_flops = 2 * 5 * 2 * 128 * 8 + 2 * 5 * 2 * 2 * 128,
                  .vector_flops = 3 * 5 * 2 * 128 + (4 * 3 - 2) * 5 * 2 * 2 + 12 * 5 * 2 + 8 * 5 * 2 * 2 +
                                  (2 * 2 - 1) * 5 * 128 + 2 * 5 * 2 * 128,
                  .read = {[WEIGHTS] = (8 * 2 * 128 + 8 + 3) * 4, [ACTIVATIONS] = (2 * 5 * 2 * 128 + 5 * 128) * 2},
                  .written = {[ACTIVATIONS] = (5 * 128 + 5 * 2 * 128) * 2}}},
};

/* ---- The published formulas at real size ------------------------------------------------------------------------- */

struct sizes {
    alloy_wide H, heads, hd, qlr, og, olr, nih, ihd, topk, rh, rc, W; /* in the formulas' letters */
};

static alloy_wide ceiling(alloy_wide a, alloy_wide b)
{
    return (a + b - 1) / b;
}

static alloy_wide formula(const struct sizes *z, char kind, alloy_wide Q, alloy_wide T)
{
    alloy_wide N = Q, kv = (T < z->W ? T : z->W) + (kind == 'h' ? ceiling(T, z->rh) : kind == 'c' ? z->topk : 0);
    alloy_wide F = 2 * N * z->H * z->qlr + 2 * N * z->qlr * z->heads * z->hd + 2 * N * z->H * z->hd +
                   2 * N * z->heads * z->hd * z->olr + 2 * N * z->og * z->olr * z->H + 4 * z->heads * Q * kv * z->hd;
    if (kind == 'h')
        F += 4 * N * z->H * z->hd;
    if (kind == 'c')
        F += 4 * N * z->H * 2 * z->hd + 4 * N * z->H * 2 * z->ihd + 2 * N * z->qlr * z->nih * z->ihd +
             2 * N * z->H * z->nih + 2 * Q * z->nih * z->ihd * ceiling(T, z->rc);
    return F;
}

static void mixers_of_v4_flash_count_by_the_formula(void **state)
{
    (void)state;
    static const struct sizes flash = {4096, 64, 512, 1024, 8, 1024, 64, 128, 512, 128, 4, 128};
    static const int64_t points[][2] = {{4096, 0}, {512, 2048}, {1, 4096}, {1, 1000001}, {130, 1}};
    size_t size;
    char *text = read_whole(ALLOY_SOURCE_DIR "/examples/configs/deepseek-v4-flash.json", &size);
    struct described d = describe_text(text);
    free(text);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        int64_t Q = points[i][0], T = Q + points[i][1];
        alloy_roofline_sequences one = {.count = 1, .tokens = Q, .cached = points[i][1]};
        alloy_roofline *r;
        expect_ok(alloy_roofline_open(&r, d.model,
                                      &(alloy_roofline_options){.size = sizeof(alloy_roofline_options),
                                                                .sequences = &one,
                                                                .sequences_count = 1,
                                                                .accounting = ALLOY_CLASSIC}));
        assert_true(alloy_wide_of(work_of_row(r, "dsv4_sliding_attention").tensor_flops) ==
                    2 * formula(&flash, 's', Q, T));
        assert_true(alloy_wide_of(work_of_row(r, "dsv4_hca_attention").tensor_flops) ==
                    20 * formula(&flash, 'h', Q, T));
        assert_true(alloy_wide_of(work_of_row(r, "dsv4_csa_attention").tensor_flops) ==
                    21 * formula(&flash, 'c', Q, T));
        alloy_roofline_close(r);
    }
    forget(&d);
}

int main(void)
{
    static const struct CMUnitTest others[] = {cmocka_unit_test(mixers_of_v4_flash_count_by_the_formula)};
    return run_figures(cases, sizeof cases / sizeof *cases, others, 1);
}
