/* Models whose linear weights are FP8 or FP4 with scales beside them: the bits are those of the same weights in F32, in
 * every way of storing them and on every table of kernels. */
#include "engine/twins.h"

#include "kernels/kernels.h"

enum { TOKENS = 21, MOST_NUMBERS = 1 << 18 };

/* What a forward gives: hidden states of every layer, then logits. */
struct numbers {
    float *values;
    int64_t count;
};

static void keep_hidden(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                        const float *hidden)
{
    (void)layer, (void)sequence, (void)first;
    struct numbers *n = user;
    assert_true(n->count + rows * width <= MOST_NUMBERS);
    memcpy(n->values + n->count, hidden, (size_t)(rows * width) * sizeof *hidden);
    n->count += rows * width;
}

static struct numbers numbers_of(const alloy_model *model, const char *cpu)
{
    int64_t ids[TOKENS], vocab = alloy_model_vocab_size(model);
    fill_ids(ids, TOKENS, 6);
    struct numbers n = {.values = malloc(MOST_NUMBERS * sizeof(float))};
    float *logits = malloc((size_t)(TOKENS * vocab) * sizeof *logits);
    alloy_session *session = open_session(model, 1, 0, cpu);
    alloy_cache *cache = open_cache(session);
    expect_ok(alloy_forward(
        session, &(alloy_sequence){cache, ids, TOKENS}, 1, logits,
        &(alloy_forward_options){
            .size = sizeof(alloy_forward_options), .logits = ALLOY_LOGITS_ALL, .hidden = keep_hidden, .user = &n}));
    keep_hidden(&n, -1, 0, 0, TOKENS, vocab, logits);
    free(logits);
    alloy_cache_close(cache);
    alloy_session_close(session);
    return n;
}

/* Both twins give the same bits on each table of kernels. Their folders are removed. */
static void expect_twins_alike(struct twins *twins, const char *packed_config, const char *wide_config)
{
    char *packed_folder, *wide_folder;
    end_twins(twins, packed_config, wide_config, &packed_folder, &wide_folder);
    alloy_model *packed = open_model(packed_folder), *wide = open_model(wide_folder);
    for (int i = 0; i < alloy_kernels_count(); i++) {
        const char *cpu = alloy_kernels_name(i);
        if (!alloy_kernels_get(cpu)) {
            print_message("  %s is not of this processor: not compared\n", cpu);
            continue;
        }
        struct numbers actual = numbers_of(packed, cpu), expected = numbers_of(wide, cpu);
        assert_int_equal(actual.count, expected.count);
        expect_same_bits(actual.values, expected.values, expected.count, cpu);
        free(actual.values);
        free(expected.values);
    }
    alloy_model_close(packed);
    alloy_model_close(wide);
    remove_folder(packed_folder);
    remove_folder(wide_folder);
}

#define QUANTISED(config, more) "{" more ", " config "}"
#define FP8 "\"quantization_config\": {\"quant_method\": \"fp8\"}"

static const struct packing fp8[] = {
    {ALLOY_F8_E4M3, "_scale_inv", ALLOY_F32, 128, 128},
    {ALLOY_F8_E4M3, ".scale", ALLOY_F8_E8M0, 128, 128},
    {ALLOY_F8_E4M3, ".scale", ALLOY_F32, 128, 128},
    {ALLOY_F8_E4M3, "_scale_inv", ALLOY_BF16, 128, 128},
};
enum { FP8_WAYS = sizeof fp8 / sizeof *fp8 };

/* ---- DeepSeek-V4 ------------------------------------------------------------------------------------------------- */

/* No size divides by 128, few by 16, one is odd. */
#define DSV4                                                                                                           \
    "\"model_type\": \"deepseek_v4\", \"vocab_size\": 259, \"hidden_size\": 204, \"moe_intermediate_size\": 138, "     \
    "\"num_hidden_layers\": 3, \"layer_types\": [\"heavily_compressed_attention\", \"compressed_sparse_attention\", "  \
    "\"sliding_attention\"], \"mlp_layer_types\": [\"hash_moe\", \"moe\", \"moe\"], \"num_attention_heads\": 6, "      \
    "\"head_dim\": 50, \"qk_rope_head_dim\": 8, \"q_lora_rank\": 137, \"o_groups\": 2, \"o_lora_rank\": 77, "          \
    "\"index_n_heads\": 4, \"index_head_dim\": 34, \"index_topk\": 3, \"sliding_window\": 7, \"num_experts\": 4, "     \
    "\"num_experts_per_tok\": 2, \"compress_rates\": {\"compressed_sparse_attention\": 4, "                            \
    "\"heavily_compressed_attention\": 8}, \"max_position_embeddings\": 512, \"dtype\": \"float32\""

static void released_deepseek_in_fp8_and_fp4_gives_the_bits_of_fp32(void **state)
{
    (void)state;
    static const struct packing fp4 = {ALLOY_I8, ".scale", ALLOY_F8_E8M0, 1, 32};
    struct twins twins;
    begin_twins(&twins, "{" DSV4 "}", 1);
    rename_tensors(&twins.packed, released_names);
    rename_tensors(&twins.wide, released_names);
    pack_all(&twins, ".attn.", fp8, FP8_WAYS);
    pack_all(&twins, ".shared_experts.", fp8, FP8_WAYS);
    pack_all(&twins, ".experts.", &fp4, 1);
    pack_all(&twins, "ead.", fp8, 1);
    expect_twins_alike(&twins,
                       QUANTISED(DSV4,
                                 "\"expert_dtype\": \"fp4\", \"quantization_config\": {\"quant_method\": \"fp8\", "
                                 "\"fmt\": \"e4m3\", \"scale_fmt\": \"ue8m0\", \"activation_scheme\": \"dynamic\", "
                                 "\"weight_block_size\": [128, 128]}"),
                       "{" DSV4 "}");
}

/* Experts in FP8, as the base models have them, under the names of save_pretrained, in tiles that are not square. */
static void saved_deepseek_in_fp8_gives_the_bits_of_fp32(void **state)
{
    (void)state;
    static const struct packing narrow[] = {{ALLOY_F8_E4M3, ".scale", ALLOY_F32, 20, 48},
                                            {ALLOY_F8_E4M3, "_scale_inv", ALLOY_F8_E8M0, 20, 48}};
    struct twins twins;
    begin_twins(&twins, "{" DSV4 "}", 2);
    pack_all(&twins, "layers.", narrow, 2);
    expect_twins_alike(&twins,
                       QUANTISED(DSV4,
                                 "\"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [20, "
                                 "48], \"modules_to_not_convert\": [\"lm_head\"]}"),
                       "{" DSV4 "}");
}

/* Under the names that transformers has in memory, experts stacked: in FP8, where rows of `up` begin inside a tile, and
 * in FP4. */
static void deepseek_of_names_in_memory_gives_the_bits_of_fp32(void **state)
{
    (void)state;
    static const struct packing stacked[] = {{ALLOY_F8_E4M3, "_scale_inv", ALLOY_F8_E8M0, 128, 128},
                                             {ALLOY_I8, "_scale_inv", ALLOY_F8_E8M0, 1, 32}};
    struct twins twins;
    begin_twins(&twins, "{" DSV4 "}", 7);
    rename_tensors(&twins.packed, names_in_memory);
    rename_tensors(&twins.wide, names_in_memory);
    pack_all(&twins, "self_attn.", fp8, FP8_WAYS);
    stack_experts(&twins, "model.layers.0", 4, 138, 204, &stacked[0]);
    stack_experts(&twins, "model.layers.2", 4, 138, 204, &stacked[1]);
    expect_twins_alike(&twins, QUANTISED(DSV4, FP8), "{" DSV4 "}");
}

/* ---- Qwen -------------------------------------------------------------------------------------------------------- */

#define QWEN3                                                                                                          \
    "\"model_type\": \"qwen3\", \"vocab_size\": 300, \"hidden_size\": 201, \"intermediate_size\": 333, "               \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 6, \"num_key_value_heads\": 2, \"head_dim\": 50, "             \
    "\"dtype\": \"float32\""

static void qwen3_in_fp8_gives_the_bits_of_fp32(void **state)
{
    (void)state;
    struct twins twins;
    begin_twins(&twins, "{" QWEN3 "}", 3);
    pack_all(&twins, "", fp8, FP8_WAYS); /* the embedding and the head too */
    expect_twins_alike(&twins, QUANTISED(QWEN3, FP8), "{" QWEN3 "}");
}

#define QWEN3_5                                                                                                        \
    "\"model_type\": \"qwen3_5_text\", \"vocab_size\": 256, \"hidden_size\": 134, \"intermediate_size\": 170, "        \
    "\"num_hidden_layers\": 2, \"layer_types\": [\"linear_attention\", \"full_attention\"], "                          \
    "\"num_attention_heads\": 3, \"num_key_value_heads\": 1, \"head_dim\": 46, \"linear_num_key_heads\": 3, "          \
    "\"linear_num_value_heads\": 6, \"linear_key_head_dim\": 20, \"linear_value_head_dim\": 25, "                      \
    "\"tie_word_embeddings\": true, \"dtype\": \"float32\""

static void qwen3_5_in_fp8_gives_the_bits_of_fp32(void **state)
{
    (void)state;
    struct twins twins;
    begin_twins(&twins, "{" QWEN3_5 "}", 4);
    pack_all(&twins, "", fp8, FP8_WAYS);
    expect_twins_alike(&twins, QUANTISED(QWEN3_5, FP8), "{" QWEN3_5 "}");
}

#define MOE(hidden, inner)                                                                                             \
    "\"model_type\": \"qwen3_moe\", \"vocab_size\": 256, \"hidden_size\": " #hidden                                    \
    ", \"moe_intermediate_size\": " #inner ", \"num_hidden_layers\": 2, \"num_attention_heads\": 3, "                  \
    "\"num_key_value_heads\": 1, \"head_dim\": 32, \"num_experts\": 4, \"num_experts_per_tok\": 2, "                   \
    "\"norm_topk_prob\": true, \"dtype\": \"float32\""

static void qwen3_moe_in_mxfp4_gives_the_bits_of_fp32(void **state)
{
    (void)state;
    static const struct packing mxfp4 = {ALLOY_U8, "_scales", ALLOY_U8, 1, 32};
    struct twins twins;
    begin_twins(&twins, "{" MOE(96, 160) "}", 5);
    stack_experts(&twins, "model.layers.0", 4, 160, 96, &mxfp4);
    stack_experts(&twins, "model.layers.1", 4, 160, 96, &mxfp4);
    pack_all(&twins, "q_proj", &mxfp4, 1);
    expect_twins_alike(&twins, QUANTISED(MOE(96, 160), "\"quantization_config\": {\"quant_method\": \"mxfp4\"}"),
                       "{" MOE(96, 160) "}");
}

/* Rows of `up` begin inside a tile that begins in `gate`. */
static void stacked_experts_in_fp8_give_the_bits_of_fp32(void **state)
{
    (void)state;
    static const struct packing stacked[] = {{ALLOY_F8_E4M3, "_scale_inv", ALLOY_F32, 128, 128},
                                             {ALLOY_F8_E4M3, "_scale_inv", ALLOY_F8_E8M0, 128, 128}};
    struct twins twins;
    begin_twins(&twins, "{" MOE(143, 100) "}", 6);
    stack_experts(&twins, "model.layers.0", 4, 100, 143, &stacked[0]);
    stack_experts(&twins, "model.layers.1", 4, 100, 143, &stacked[1]);
    expect_twins_alike(&twins, QUANTISED(MOE(143, 100), FP8), "{" MOE(143, 100) "}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(released_deepseek_in_fp8_and_fp4_gives_the_bits_of_fp32),
        cmocka_unit_test(saved_deepseek_in_fp8_gives_the_bits_of_fp32),
        cmocka_unit_test(deepseek_of_names_in_memory_gives_the_bits_of_fp32),
        cmocka_unit_test(qwen3_in_fp8_gives_the_bits_of_fp32),
        cmocka_unit_test(qwen3_5_in_fp8_gives_the_bits_of_fp32),
        cmocka_unit_test(qwen3_moe_in_mxfp4_gives_the_bits_of_fp32),
        cmocka_unit_test(stacked_experts_in_fp8_give_the_bits_of_fp32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
