/* Figures of the gated delta net (qwen3_5_gdn), worked out by hand.
 *
 * Of most cases: hidden 64, 2 key heads of 16 (32 channels), 2 value heads of 32 (64 channels), a convolution of 4 taps
 * over 32 + 32 + 64 = 128 channels, bf16. The projections have 64*128 (q, k, v) + 64*64 (z) + 2*64*2 (b, a) + 64*64
 * (out) weights; the state is 2 matrices of 16 x 32, the tail 3 rows of 128. */
#include "roofline/cases.h"

enum {
    LINEARS = 64 * 128 + 64 * 64 + 2 * 64 * 2 + 64 * 64,
    OTHERS = 4 * 128 + 32,                /* taps and the gated norm, at the weights' dtype */
    F32 = 2 * 2 * 4,                      /* bytes of A_log and dt_bias */
    MATRICES = 2 * 16 * 32,               /* elements of the state */
    PRODUCTS = 2 * LINEARS + 2 * 4 * 128, /* FLOPs of a token: projections and taps */
    STEP = 2 * (7 * 16 * 32 + 2 * 32),    /* vector FLOPs of a token's step: 2 heads */
    /* of a token: SiLU of 128, l2 norms of q and k, q's scale, sigmoid of 2, decay of 2, gated norm of 64 */
    AROUND = 4 * 128 + 3 * 32 + 3 * 32 + 32 + 3 * 2 + 6 * 2 + 9 * 64
};

/* Products of a head's piece of l tokens: k k below the diagonal l(l-1)16, q k with it l(l+1)16, forward substitution
 * l(l-1)(16 + 32), its product with q k l(l+1)32, and 3 products of l x 16 x 32 with the state. In all l l (3*16 +
 * 2*32) - l*16 + 6*l*16*32. */
enum {
    PIECE_64 = 64 * 63 * 16 + 64 * 65 * 16 + 64 * 63 * (16 + 32) + 64 * 65 * 32 + 3 * 2 * 64 * 16 * 32,
    PIECE_10 = 10 * 9 * 16 + 10 * 11 * 16 + 10 * 9 * (16 + 32) + 10 * 11 * 32 + 3 * 2 * 10 * 16 * 32,
    PIECE_2 = 2 * 1 * 16 + 2 * 3 * 16 + 2 * 1 * (16 + 32) + 2 * 3 * 32 + 3 * 2 * 2 * 16 * 32,
    PIECE_1 = 1 * 2 * 16 + 1 * 2 * 32 + 3 * 2 * 16 * 32
};

#define SIZES(value_heads)                                                                                             \
    ", \"linear_num_key_heads\": 2, \"linear_key_head_dim\": 16, \"linear_num_value_heads\": " #value_heads            \
    ", \"linear_value_head_dim\": 32, \"linear_conv_kernel_dim\": 4, \"intermediate_size\": 16"
#define NET ONE_LAYER(64, "qwen3_5_gdn", "qwen3_mlp", SIZES(2))
#define GROUPED ONE_LAYER(64, "qwen3_5_gdn", "qwen3_mlp", SIZES(6)) /* 6 value heads over 2 key heads */

static const struct figures_case cases[] = {
    /* ---- Classic: 7 K V a step; chunks of 64 as rectangles where a sequence brings more; state at es ---- */
    {"classic: a decoded token", NET, "qwen3_5_gdn", CLASSIC(AT(1, 100)),
     .expected =
         {.tensor_flops = PRODUCTS + 2 * 7 * 16 * 32,
          .read =
              {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 64 * 2, [STATE] = (MATRICES + 3 * 128) * 2},
          .written = {[ACTIVATIONS] = 64 * 2, [STATE] = (MATRICES + 3 * 128) * 2}},
     .flops = 41472, .bytes = 40272},
    {"classic: 64 tokens from nothing are steps, and the state is only written", NET, "qwen3_5_gdn", CLASSIC(AT(64, 0)),
     .expected = {.tensor_flops = 64 * (PRODUCTS + 2 * 7 * 16 * 32),
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 64 * 64 * 2},
                  .written = {[ACTIVATIONS] = 64 * 64 * 2, [STATE] = (MATRICES + 3 * 128) * 2}}},
    {"classic: 65 tokens are chunks", NET, "qwen3_5_gdn", CLASSIC(AT(65, 0)),
     .expected = {.tensor_flops = 65 * (PRODUCTS + 2 * (2 * 64 * (3 * 16 + 2 * 32) + 4 * 16 * 32)),
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 65 * 64 * 2},
                  .written = {[ACTIVATIONS] = 65 * 64 * 2, [STATE] = (MATRICES + 3 * 128) * 2}}},
    {"classic: 10 tokens after one read the state", NET, "qwen3_5_gdn", CLASSIC(AT(10, 1)),
     .expected = {.tensor_flops = 10 * (PRODUCTS + 2 * 7 * 16 * 32),
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32,
                           [ACTIVATIONS] = 10 * 64 * 2,
                           [STATE] = (MATRICES + 3 * 128) * 2},
                  .written = {[ACTIVATIONS] = 10 * 64 * 2, [STATE] = (MATRICES + 3 * 128) * 2}}},
    {"classic: 3 sequences have a state each", NET, "qwen3_5_gdn", CLASSIC(BATCH(3, 1, 100)),
     .expected = {.tensor_flops = 3 * 41472,
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32,
                           [ACTIVATIONS] = 3 * 64 * 2,
                           [STATE] = 3 * (MATRICES + 3 * 128) * 2},
                  .written = {[ACTIVATIONS] = 3 * 64 * 2, [STATE] = 3 * (MATRICES + 3 * 128) * 2}}},
    {"classic: fp8 does not reach A_log and dt_bias", NET, "qwen3_5_gdn", CLASSIC(AT(1, 100), .weight_dtype = "fp8"),
     .expected =
         {.tensor_flops = 41472,
          .read = {[WEIGHTS] = LINEARS + OTHERS + F32, [ACTIVATIONS] = 64 * 2, [STATE] = (MATRICES + 3 * 128) * 2},
          .written = {[ACTIVATIONS] = 64 * 2, [STATE] = (MATRICES + 3 * 128) * 2}}},

    /* ---- Exact: steps on the vector unit, pieces as triangles on the tensor unit, matrices in fp32 ---- */
    {"exact: a decoded token", NET, "qwen3_5_gdn", EXACT(AT(1, 100)),
     .expected =
         {.tensor_flops = PRODUCTS,
          .vector_flops = AROUND + STEP,
          .read =
              {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 64 * 2, [STATE] = MATRICES * 4 + 3 * 128 * 2},
          .written = {[ACTIVATIONS] = 64 * 2, [STATE] = MATRICES * 4 + 3 * 128 * 2}}},
    {"exact: 64 tokens from nothing are steps", NET, "qwen3_5_gdn", EXACT(AT(64, 0)),
     .expected = {.tensor_flops = 64 * PRODUCTS,
                  .vector_flops = 64 * (AROUND + STEP),
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 64 * 64 * 2},
                  .written = {[ACTIVATIONS] = 64 * 64 * 2, [STATE] = MATRICES * 4 + 3 * 128 * 2}}},
    /* nothing is in the state while the first piece runs: 2 of its 3 products with it are left out */
    {"exact: 65 tokens from nothing are pieces of 64 and 1", NET, "qwen3_5_gdn", EXACT(AT(65, 0)),
     .expected = {.tensor_flops = 65 * PRODUCTS + 2 * (PIECE_64 - 2 * 2 * 64 * 16 * 32 + PIECE_1),
                  .vector_flops = 65 * AROUND,
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 65 * 64 * 2},
                  .written = {[ACTIVATIONS] = 65 * 64 * 2, [STATE] = MATRICES * 4 + 3 * 128 * 2}}},
    {"exact: 130 tokens after 7 are pieces of 64, 64 and 2", NET, "qwen3_5_gdn", EXACT(AT(130, 7)),
     .expected = {.tensor_flops = 130 * PRODUCTS + 2 * (2 * PIECE_64 + PIECE_2),
                  .vector_flops = 130 * AROUND,
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32,
                           [ACTIVATIONS] = 130 * 64 * 2,
                           [STATE] = MATRICES * 4 + 3 * 128 * 2},
                  .written = {[ACTIVATIONS] = 130 * 64 * 2, [STATE] = MATRICES * 4 + 3 * 128 * 2}}},
    {"exact: 130 tokens as steps where the engine does them so", NET, "qwen3_5_gdn",
     EXACT(AT(130, 7), .delta = ALLOY_DELTA_STEP),
     .expected = {.tensor_flops = 130 * PRODUCTS,
                  .vector_flops = 130 * (AROUND + STEP),
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32,
                           [ACTIVATIONS] = 130 * 64 * 2,
                           [STATE] = MATRICES * 4 + 3 * 128 * 2},
                  .written = {[ACTIVATIONS] = 130 * 64 * 2, [STATE] = MATRICES * 4 + 3 * 128 * 2}}},
    {"exact: 10 tokens as one piece where chunks are asked for", NET, "qwen3_5_gdn",
     EXACT(AT(10, 0), .delta = ALLOY_DELTA_CHUNK),
     .expected = {.tensor_flops = 10 * PRODUCTS + 2 * (PIECE_10 - 2 * 2 * 10 * 16 * 32),
                  .vector_flops = 10 * AROUND,
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 10 * 64 * 2},
                  .written = {[ACTIVATIONS] = 10 * 64 * 2, [STATE] = MATRICES * 4 + 3 * 128 * 2}}},
    {"exact: the tail of 2 tokens has 2 rows", NET, "qwen3_5_gdn", EXACT(AT(2, 0)),
     .expected = {.tensor_flops = 2 * PRODUCTS,
                  .vector_flops = 2 * (AROUND + STEP),
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 2 * 64 * 2},
                  .written = {[ACTIVATIONS] = 2 * 64 * 2, [STATE] = MATRICES * 4 + 2 * 128 * 2}}},
    {"exact: after one token a row of the tail is read", NET, "qwen3_5_gdn", EXACT(AT(1, 1)),
     .expected =
         {.tensor_flops = PRODUCTS,
          .vector_flops = AROUND + STEP,
          .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32, [ACTIVATIONS] = 64 * 2, [STATE] = MATRICES * 4 + 128 * 2},
          .written = {[ACTIVATIONS] = 64 * 2, [STATE] = MATRICES * 4 + 2 * 128 * 2}}},
    /* 70 + 2 tokens; the long sequence in pieces of 64 and 6, the others step */
    {"exact: a ragged batch of 70 from nothing and two decodes", NET, "qwen3_5_gdn",
     EXACT(RAGGED({1, 70, 0}, {2, 1, 5})),
     .expected = {.tensor_flops = 72 * PRODUCTS + 2 * (PIECE_64 - 2 * 2 * 64 * 16 * 32 + 6 * 6 * (3 * 16 + 2 * 32) -
                                                       6 * 16 + 6 * 6 * 16 * 32),
                  .vector_flops = 72 * AROUND + 2 * STEP,
                  .read = {[WEIGHTS] = (LINEARS + OTHERS) * 2 + F32,
                           [ACTIVATIONS] = 72 * 64 * 2,
                           [STATE] = 2 * (MATRICES * 4 + 3 * 128 * 2)},
                  .written = {[ACTIVATIONS] = 72 * 64 * 2, [STATE] = 3 * (MATRICES * 4 + 3 * 128 * 2)}}},
    /* values 6 * 32 = 192 channels, convolution over 64 + 192 = 256: 64*256 + 64*192 + 2*64*6 + 192*64 weights */
    {"exact: three value heads share a key head", GROUPED, "qwen3_5_gdn", EXACT(AT(1, 100)),
     .expected = {.tensor_flops = 2 * (64 * 256 + 64 * 192 + 2 * 64 * 6 + 192 * 64) + 2 * 4 * 256,
                  .vector_flops = 4 * 256 + 7 * 32 + 3 * 6 + 6 * 6 + 9 * 192 + 6 * (7 * 16 * 32 + 2 * 32),
                  .read = {[WEIGHTS] = (64 * 256 + 64 * 192 + 2 * 64 * 6 + 192 * 64 + 4 * 256 + 32) * 2 + 2 * 6 * 4,
                           [ACTIVATIONS] = 64 * 2,
                           [STATE] = 6 * 16 * 32 * 4 + 3 * 256 * 2},
                  .written = {[ACTIVATIONS] = 64 * 2, [STATE] = 6 * 16 * 32 * 4 + 3 * 256 * 2}}},
    /* in and out projections are tiles of 128 x 128 or less: qkv 1, z 1, b 1, a 1, out 1 */
    {"exact: weights in fp8 with a scale a matrix, activations in fp16", NET, "qwen3_5_gdn",
     EXACT(AT(1, 100), .weight_dtype = "fp8", .activation_dtype = "fp16"),
     .expected = {.tensor_flops = PRODUCTS,
                  .vector_flops = AROUND + STEP,
                  .read = {[WEIGHTS] = LINEARS + OTHERS + F32 + 5 * 4,
                           [ACTIVATIONS] = 64 * 2,
                           [STATE] = MATRICES * 4 + 3 * 128 * 2},
                  .written = {[ACTIVATIONS] = 64 * 2, [STATE] = MATRICES * 4 + 3 * 128 * 2}}},
};

int main(void)
{
    return run_figures(cases, sizeof cases / sizeof *cases, NULL, 0);
}
