/* Each family's config in both generations, and its rules. */
#include "config/dump.h"

#define SIZES                                                                                                          \
    "\"vocab_size\": 256, \"hidden_size\": 64, \"intermediate_size\": 160, \"num_attention_heads\": 4, "               \
    "\"num_key_value_heads\": 2, "                                                                                     \
    "\"max_position_embeddings\": 4096, \"bos_token_id\": 0, \"eos_token_id\": 255, \"rms_norm_eps\": 1e-06"
#define DELTA                                                                                                          \
    "\"linear_conv_kernel_dim\": 3, \"linear_key_head_dim\": 16, \"linear_num_key_heads\": 2, "                        \
    "\"linear_num_value_heads\": 4, "                                                                                  \
    "\"linear_value_head_dim\": 24"
#define EXPERTS "\"num_experts_per_tok\": 2, \"moe_intermediate_size\": 48"
#define ROPE5(rest) "\"dtype\": \"float16\", \"rope_parameters\": {" rest "}"
#define PLAIN4 "\"torch_dtype\": \"float16\", \"rope_scaling\": null, \"rope_theta\": 10000.0"

/* One model, as transformers 5 and as transformers 4 write it: they read alike. */
static void expect_alike(const char *new, const char *old, const char *layers)
{
    alloy_config *a = parse(new), *b = parse(old);
    char *dump_a = dump(a), *dump_b = dump(b);
    expect_text(dump_a, dump_b);
    expect_text(layers_of(a), layers);
    free(dump_a);
    free(dump_b);
    alloy_config_close(a);
    alloy_config_close(b);
}

static void qwen3_in_both_generations(void **state)
{
    (void)state;
    expect_alike("{\"model_type\": \"qwen3\", \"num_hidden_layers\": 2, \"head_dim\": 16, \"attention_bias\": true, "
                 "\"layer_types\": "
                 "[\"full_attention\", \"full_attention\"], \"sliding_window\": null, \"use_sliding_window\": false, "
                 "\"pad_token_id\": null, " SIZES
                 ", " ROPE5("\"rope_theta\": 1000000.0, \"rope_type\": \"yarn\", \"factor\": 4.0, "
                            "\"original_max_position_embeddings\": 64") "}",
                 "{\"model_type\": \"qwen3\", \"num_hidden_layers\": 2, \"head_dim\": 16, \"attention_bias\": true, "
                 "\"rope_theta\": 1000000.0, "
                 "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 64}, "
                 "\"torch_dtype\": "
                 "\"float16\", \"rope_parameters\": null, " SIZES "}",
                 "qwen3_attention qwen3_mlp, qwen3_attention qwen3_mlp");
}

static void qwen3_moe_in_both_generations(void **state)
{
    (void)state;
    expect_alike(
        "{\"model_type\": \"qwen3_moe\", \"num_hidden_layers\": 4, \"num_local_experts\": 8, \"decoder_sparse_step\": "
        "2, "
        "\"mlp_only_layers\": [3], " EXPERTS ", " SIZES
        ", " ROPE5("\"rope_theta\": 10000.0, \"rope_type\": \"default\"") "}",
        "{\"model_type\": \"qwen3_moe\", \"num_hidden_layers\": 4, \"num_experts\": 8, \"decoder_sparse_step\": 2, "
        "\"mlp_only_layers\": [3], " EXPERTS ", " SIZES ", " PLAIN4 "}",
        "qwen3_attention qwen3_mlp, qwen3_attention qwen3_moe, qwen3_attention qwen3_mlp, qwen3_attention qwen3_mlp");
}

static void qwen3_next_in_both_generations(void **state)
{
    (void)state;
    expect_alike("{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 2, \"num_experts\": 8, "
                 "\"full_attention_interval\": 2, " DELTA ", " EXPERTS ", " SIZES
                 ", " ROPE5("\"rope_theta\": 10000.0, \"rope_type\": \"default\", \"partial_rotary_factor\": 0.25") "}",
                 "{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 2, \"num_local_experts\": 8, "
                 "\"partial_rotary_factor\": 0.25, "
                 "\"layer_types\": [\"linear_attention\", \"full_attention\"], " DELTA ", " EXPERTS ", " SIZES
                 ", " PLAIN4 "}",
                 "qwen3_5_gdn qwen3_5_moe, qwen3_attention qwen3_5_moe");
}

static void qwen3_5_in_both_generations(void **state)
{
    (void)state;
    expect_alike("{\"model_type\": \"qwen3_5_text\", \"num_hidden_layers\": 4, " DELTA ", " SIZES
                 ", " ROPE5("\"rope_theta\": 5000.0, \"rope_type\": \"default\", \"mrope_section\": [11, 11, 10]") "}",
                 "{\"model_type\": \"qwen3_5_text\", \"num_hidden_layers\": 4, \"rope_theta\": 5000, \"torch_dtype\": "
                 "\"float16\", " DELTA ", " SIZES "}",
                 "qwen3_5_gdn qwen3_mlp, qwen3_5_gdn qwen3_mlp, qwen3_5_gdn qwen3_mlp, qwen3_attention qwen3_mlp");
}

static void qwen3_5_moe_in_both_generations(void **state)
{
    (void)state;
    expect_alike(
        "{\"model_type\": \"qwen3_5_moe_text\", \"num_hidden_layers\": 4, \"num_experts\": 8, " DELTA ", " EXPERTS
        ", " SIZES
        ", " ROPE5("\"rope_theta\": 10000.0, \"rope_type\": \"default\", \"partial_rotary_factor\": 0.25") "}",
        "{\"model_type\": \"qwen3_5_moe_text\", \"num_hidden_layers\": 4, \"num_experts\": 8, \"norm_topk_prob\": "
        "false, " DELTA ", " EXPERTS ", " SIZES ", " PLAIN4 "}",
        "qwen3_5_gdn qwen3_5_moe, qwen3_5_gdn qwen3_5_moe, qwen3_5_gdn qwen3_5_moe, qwen3_attention qwen3_5_moe");
}

static void llama_in_both_generations(void **state)
{
    (void)state;
    expect_alike(
        "{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"attention_bias\": true, \"mlp_bias\": true, " SIZES
        ", " ROPE5("\"rope_theta\": 500000.0, \"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
                   "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64") "}",
        "{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"attention_bias\": true, \"mlp_bias\": true, "
        "\"head_dim\": null, "
        "\"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": "
        "1.0, "
        "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}, \"torch_dtype\": "
        "\"torch.float16\", " SIZES "}",
        "llama_attention qwen3_mlp");
}

static void qwen2_and_mistral_in_both_generations(void **state)
{
    (void)state;
    expect_alike("{\"model_type\": \"qwen2\", \"num_hidden_layers\": 1, " SIZES
                 ", " ROPE5("\"rope_theta\": 10000.0, \"rope_type\": \"linear\", "
                            "\"factor\": 2.0") "}",
                 "{\"model_type\": \"qwen2\", \"num_hidden_layers\": 1, \"rope_scaling\": {\"type\": \"linear\", "
                 "\"factor\": 2.0}, "
                 "\"torch_dtype\": \"float16\", " SIZES "}",
                 "llama_attention qwen3_mlp");
    expect_alike("{\"model_type\": \"mistral\", \"num_hidden_layers\": 1, \"sliding_window\": 16, " SIZES
                 ", " ROPE5("\"rope_theta\": 10000.0, \"rope_type\": \"default\"") "}",
                 "{\"model_type\": \"mistral\", \"num_hidden_layers\": 1, \"sliding_window\": 16, " SIZES ", " PLAIN4
                 "}",
                 "llama_attention_sliding qwen3_mlp");
}

/* ---- Rules ------------------------------------------------------------------------------------------------------- */

static void qwen3_slides_only_where_it_is_told_to(void **state)
{
    (void)state;
    alloy_config *c = parse(
        "{\"model_type\": \"qwen3\", \"num_hidden_layers\": 3, \"sliding_window\": 16, \"max_window_layers\": 1}");
    expect_text(layers_of(c), "qwen3_attention qwen3_mlp, qwen3_attention qwen3_mlp, qwen3_attention qwen3_mlp");
    assert_int_equal(field_of(c, NULL, "sliding_window"), 0);
    alloy_config_close(c);

    c = parse("{\"model_type\": \"qwen3\", \"num_hidden_layers\": 3, \"sliding_window\": 16, \"max_window_layers\": 1, "
              "\"use_sliding_window\": true}");
    expect_text(layers_of(c),
                "qwen3_attention qwen3_mlp, qwen3_attention_sliding qwen3_mlp, qwen3_attention_sliding qwen3_mlp");
    assert_int_equal(field_of(c->layers[1].mixer_config, NULL, "sliding_window"), 16);
    alloy_config_close(c);

    c = parse(
        "{\"model_type\": \"qwen3\", \"num_hidden_layers\": 2, \"use_sliding_window\": true, \"max_window_layers\": 0, "
        "\"layer_types\": [\"sliding_attention\", \"full_attention\"]}");
    expect_text(layers_of(c), "qwen3_attention_sliding qwen3_mlp, qwen3_attention qwen3_mlp");
    assert_int_equal(field_of(c, NULL, "sliding_window"), 4096);
    alloy_config_close(c);

    c = parse("{\"model_type\": \"qwen3\", \"num_hidden_layers\": 1, \"use_sliding_window\": true, "
              "\"max_window_layers\": 0, \"sliding_window\": null}");
    expect_text(layers_of(c), "qwen3_attention qwen3_mlp");
    alloy_config_close(c);
}

static void qwen3_moe_slides_everywhere_or_nowhere(void **state)
{
    (void)state;
    alloy_config *c = parse("{\"model_type\": \"qwen3_moe\", \"num_hidden_layers\": 2, \"use_sliding_window\": true, "
                            "\"max_window_layers\": 9}");
    expect_text(layers_of(c), "qwen3_attention_sliding qwen3_moe, qwen3_attention_sliding qwen3_moe");
    alloy_config_close(c);
    c = parse("{\"model_type\": \"qwen3_moe\", \"num_hidden_layers\": 1, \"sliding_window\": 16, \"num_experts\": 0}");
    expect_text(layers_of(c), "qwen3_attention qwen3_mlp");
    alloy_config_close(c);
}

static void mistral_slides_unless_the_window_is_null(void **state)
{
    (void)state;
    alloy_config *c = parse("{\"model_type\": \"mistral\", \"num_hidden_layers\": 1}");
    expect_text(layers_of(c), "llama_attention_sliding qwen3_mlp");
    assert_int_equal(field_of(c, NULL, "sliding_window"), 4096);
    alloy_config_close(c);
    c = parse(
        "{\"model_type\": \"mistral\", \"num_hidden_layers\": 1, \"sliding_window\": null, \"attention_bias\": true}");
    expect_text(layers_of(c), "llama_attention qwen3_mlp");
    assert_false(field_of(c, NULL, "attention_bias"));
    alloy_config_close(c);
}

static void biases_are_the_familys(void **state)
{
    (void)state;
    alloy_config *c =
        parse("{\"model_type\": \"qwen2\", \"num_hidden_layers\": 1, \"attention_bias\": false, \"mlp_bias\": true}");
    assert_true(field_of(c, NULL, "attention_bias"));
    assert_false(field_of(c, NULL, "attention_output_bias"));
    assert_false(field_of(c, NULL, "mlp_bias"));
    alloy_config_close(c);
    c = parse("{\"model_type\": \"qwen3\", \"num_hidden_layers\": 1, \"attention_bias\": true, \"mlp_bias\": true}");
    assert_true(field_of(c, NULL, "attention_bias"));
    assert_true(field_of(c, NULL, "attention_output_bias"));
    assert_false(field_of(c, NULL, "mlp_bias"));
    alloy_config_close(c);
    c = parse("{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"attention_bias\": true, \"mlp_bias\": true}");
    assert_true(field_of(c, NULL, "attention_bias"));
    assert_true(field_of(c, NULL, "attention_output_bias"));
    assert_true(field_of(c, NULL, "mlp_bias"));
    alloy_config_close(c);
}

static void routers_divide_as_their_family_does(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool divides;
    } cases[] = {
        {"{\"model_type\": \"qwen3_moe\", \"num_hidden_layers\": 1}", false},
        {"{\"model_type\": \"qwen3_moe\", \"num_hidden_layers\": 1, \"norm_topk_prob\": true}", true},
        {"{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 1}", true},
        {"{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 1, \"norm_topk_prob\": false}", false},
        {"{\"model_type\": \"qwen3_5_moe_text\", \"num_hidden_layers\": 1, \"norm_topk_prob\": false}", true},
        {"{\"model_type\": \"alloy\", \"vocab_size\": 9, \"layer_types\": [\"x\"], \"ffn_types\": [\"qwen3_moe\"]}",
         false},
        {"{\"model_type\": \"alloy\", \"vocab_size\": 9, \"layer_types\": [\"x\"], \"ffn_types\": [\"qwen3_5_moe\"]}",
         true},
        {"{\"model_type\": \"alloy\", \"vocab_size\": 9, \"layer_types\": [\"x\"], \"ffn_types\": [\"qwen3_5_moe\"], "
         "\"norm_topk_prob\": false}",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        alloy_config *c = parse(cases[i].json);
        bool divides = field_of(c->layers[0].ffn_config, alloy_ffn_by_name(c->layers[0].ffn), "norm_topk_prob") != 0;
        if (divides != cases[i].divides)
            print_error("%s: norm_topk_prob %d, expected %d\n", cases[i].json, divides, cases[i].divides);
        assert_int_equal(divides, cases[i].divides);
        alloy_config_close(c);
    }
}

/* A family's default stands, whatever the field would fall back to in an alloy config. */
static void value_heads_have_their_familys_default(void **state)
{
    (void)state;
    alloy_config *c = parse("{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 1, \"linear_num_key_heads\": 8}");
    assert_int_equal(field_of(c, NULL, "linear_num_key_heads"), 8);
    assert_int_equal(field_of(c, NULL, "linear_num_value_heads"), 32);
    alloy_config_close(c);
}

static void head_dim_where_it_is_absent(void **state)
{
    (void)state;
    static const struct {
        const char *family;
        int64_t head_dim;
    } cases[] = {{"qwen3", 128},       {"qwen3_moe", 16}, {"qwen3_next", 256}, {"qwen3_5", 256}, {"qwen3_5_text", 256},
                 {"qwen3_5_moe", 256}, {"llama", 16},     {"qwen2", 16},       {"mistral", 16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[256];
        snprintf(json, sizeof json,
                 "{\"model_type\": \"%s\", \"num_hidden_layers\": 1, \"hidden_size\": 64, \"num_attention_heads\": 4}",
                 cases[i].family);
        alloy_config *c = parse(json);
        assert_int_equal(field_of(c, NULL, "head_dim"), cases[i].head_dim);
        alloy_config_close(c);
    }
    expect_failure(
        parse_status(
            "{\"model_type\": \"llama\", \"hidden_size\": 72, \"num_attention_heads\": 5, \"num_key_value_heads\": 5}"),
        ALLOY_RANGE, "hidden_size", "num_attention_heads");
}

static void hybrids_have_gates_and_offset_norms(void **state)
{
    (void)state;
    static const char *const families[] = {"qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char json[256];
        snprintf(json, sizeof json,
                 "{\"model_type\": \"%s\", \"attn_output_gate\": false, \"rms_norm_unit_offset\": false}", families[i]);
        alloy_config *c = parse(json);
        assert_true(field_of(c, NULL, "attn_output_gate"));
        assert_true(c->rms_norm_unit_offset);
        assert_int_equal(field_of(c, NULL, "linear_fused_inputs"), i == 0);
        assert_true(c->rope.partial_rotary_factor == 0.25);
        alloy_config_close(c);
    }
    alloy_config *c = parse("{\"model_type\": \"qwen3\", \"attn_output_gate\": true, \"rms_norm_unit_offset\": true}");
    assert_false(field_of(c, NULL, "attn_output_gate"));
    assert_false(c->rms_norm_unit_offset);
    alloy_config_close(c);
}

static void text_config_is_the_model(void **state)
{
    (void)state;
    alloy_config *wrapped =
        parse("{\"model_type\": \"qwen3_5\", \"vision_config\": {\"hidden_size\": \"odd\"}, \"text_config\": "
              "{\"model_type\": "
              "\"qwen3_5_text\", \"num_hidden_layers\": 4, " DELTA ", " SIZES "}, \"torch_dtype\": \"float16\", "
              "\"tie_word_embeddings\": true}");
    alloy_config *flat =
        parse("{\"model_type\": \"qwen3_5_text\", \"num_hidden_layers\": 4, \"tie_word_embeddings\": true, \"dtype\": "
              "\"float16\", " DELTA ", " SIZES "}");
    char *a = dump(wrapped), *b = dump(flat);
    expect_text(a, b);
    free(a);
    free(b);
    alloy_config_close(wrapped);
    alloy_config_close(flat);

    alloy_config *inner = parse(
        "{\"model_type\": \"qwen3_5_moe\", \"text_config\": {\"tie_word_embeddings\": true, \"dtype\": \"float32\"}, "
        "\"tie_word_embeddings\": false, \"dtype\": \"float16\"}");
    assert_true(inner->tie_word_embeddings);
    assert_int_equal(inner->dtype, ALLOY_F32);
    alloy_config_close(inner);
}

static void llamas_key_value_heads_follow_its_heads(void **state)
{
    (void)state;
    alloy_config *c = parse("{\"model_type\": \"llama\", \"num_attention_heads\": 8}");
    assert_int_equal(field_of(c, NULL, "num_key_value_heads"), 8);
    alloy_config_close(c);
    c = parse("{\"model_type\": \"mistral\", \"num_attention_heads\": 16, \"num_key_value_heads\": null}");
    assert_int_equal(field_of(c, NULL, "num_key_value_heads"), 16);
    alloy_config_close(c);
}

static void tokens_are_an_id_or_a_list_or_null(void **state)
{
    (void)state;
    alloy_config *c = parse("{\"model_type\": \"llama\", \"eos_token_id\": [128001, 128008], \"bos_token_id\": null, "
                            "\"pad_token_id\": -1}");
    assert_int_equal(c->eos_token_count, 2);
    assert_int_equal(c->eos_token_ids[1], 128008);
    assert_int_equal(c->bos_token_id, -1);
    assert_int_equal(c->pad_token_id, -1);
    alloy_config_close(c);
    c = parse("{\"model_type\": \"llama\"}");
    assert_int_equal(c->eos_token_count, 1);
    assert_int_equal(c->eos_token_ids[0], 2);
    assert_int_equal(c->bos_token_id, 1);
    alloy_config_close(c);
    c = parse("{\"model_type\": \"llama\", \"eos_token_id\": null}");
    assert_int_equal(c->eos_token_count, 0);
    alloy_config_close(c);
}

/* ---- DeepSeek-V4 ------------------------------------------------------------------------------------------------- */

#define V4 "{\"model_type\": \"deepseek_v4\", \"vocab_size\": 256, \"hidden_size\": 64, \"head_dim\": 32, "

static void deepseek_v4_in_both_generations(void **state)
{
    (void)state;
    expect_alike(
        V4 "\"num_hidden_layers\": 4, \"layer_types\": [\"sliding_attention\", \"heavily_compressed_attention\", "
           "\"compressed_sparse_attention\", \"heavily_compressed_attention\"], \"mlp_layer_types\": [\"hash_moe\", "
           "\"moe\", \"moe\", \"moe\"], \"compress_rates\": {\"compressed_sparse_attention\": 4, "
           "\"heavily_compressed_attention\": 64}, \"partial_rotary_factor\": 0.25, \"n_routed_experts\": 8, "
           "\"rope_parameters\": {\"main\": {\"rope_type\": \"default\", \"rope_theta\": 10000.0, "
           "\"partial_rotary_factor\": 0.25}, \"compress\": {\"rope_type\": \"yarn\", \"rope_theta\": 160000.0, "
           "\"partial_rotary_factor\": 0.25, \"factor\": 16, \"original_max_position_embeddings\": 64, "
           "\"attention_factor\": 1.0, \"beta_fast\": 32, \"beta_slow\": 1}}, \"dtype\": \"float16\"}",
        V4 "\"num_hidden_layers\": 4, \"compress_ratios\": [0, 128, 4, 128, 0], \"num_hash_layers\": 1, "
           "\"compress_rate_hca\": 64, \"qk_rope_head_dim\": 8, \"num_local_experts\": 8, \"rope_theta\": 10000, "
           "\"compress_rope_theta\": 160000, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 16, "
           "\"original_max_position_embeddings\": 64, \"beta_fast\": 32, \"beta_slow\": 1}, \"torch_dtype\": "
           "\"float16\"}",
        "dsv4_sliding_attention dsv4_hash_moe, dsv4_hca_attention dsv4_moe, dsv4_csa_attention dsv4_moe, "
        "dsv4_hca_attention dsv4_moe");
}

static void deepseek_v4_without_lists(void **state)
{
    (void)state;
    alloy_config *c = parse(V4 "\"num_hidden_layers\": 5}");
    expect_text(layers_of(c), "dsv4_hca_attention dsv4_hash_moe, dsv4_hca_attention dsv4_hash_moe, dsv4_hca_attention "
                              "dsv4_hash_moe, dsv4_csa_attention dsv4_moe, dsv4_hca_attention dsv4_moe");
    assert_int_equal(field_of(c, NULL, "qk_rope_head_dim"), 4); /* 64 of 512 */
    assert_int_equal(field_of(c, NULL, "compress_rate_csa"), 4);
    assert_int_equal(field_of(c, NULL, "compress_rate_hca"), 128);
    assert_true(c->use_mhc);
    assert_int_equal(c->rope.type, ALLOY_ROPE_DEFAULT);
    assert_true(c->rope.theta == 10000 && c->rope_compress.theta == 160000);
    alloy_config_close(c);
}

/* Both generations' yarn is the compressed layers' alone, and multiplies nothing. */
static void deepseek_v4_scales_compressed_layers_only(void **state)
{
    (void)state;
    alloy_config *c = parse(V4 "\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 16, \"rope_theta\": 7, "
                               "\"truncate\": false}}");
    assert_int_equal(c->rope.type, ALLOY_ROPE_DEFAULT);
    assert_int_equal(c->rope_compress.type, ALLOY_ROPE_YARN);
    assert_true(c->rope_compress.attention_factor == 1 && c->rope_compress.truncate);
    assert_true(c->rope_compress.theta == 160000);
    alloy_config_close(c);
}

static void deepseek_v4_refuses(void **state)
{
    (void)state;
    expect_failure(parse_status(V4 "\"num_hidden_layers\": 2, \"compress_ratios\": [4, 5]}"), ALLOY_RANGE,
                   "compress_ratios", "5 of layer 1");
    expect_failure(parse_status(V4 "\"num_hidden_layers\": 2, \"compress_ratios\": [4]}"), ALLOY_FORMAT,
                   "compress_ratios has 1 entries");
    expect_failure(parse_status(V4 "\"num_hidden_layers\": 1, \"layer_types\": [\"linear_attention\"]}"), ALLOY_FORMAT,
                   "layer_types", "sliding_attention");
    expect_failure(parse_status(V4 "\"num_hidden_layers\": 1, \"mlp_layer_types\": [\"dense\"]}"), ALLOY_FORMAT,
                   "mlp_layer_types", "hash_moe");
    expect_failure(parse_status(V4 "\"index_topk\": 0}"), ALLOY_RANGE, "index_topk is 0");
    expect_failure(parse_status(V4 "\"compress_rates\": {\"compressed_sparse_attention\": 0}}"), ALLOY_RANGE,
                   "compress_rate_csa is 0");
    expect_failure(parse_status(V4 "\"compress_rate_hca\": 0}"), ALLOY_RANGE, "compress_rate_hca is 0");
    expect_failure(parse_status(V4 "\"swiglu_limit\": 0}"), ALLOY_RANGE, "swiglu_limit is 0");
    expect_failure(parse_status(V4 "\"rope_parameters\": {\"main\": {\"partial_rotary_factor\": 0.5}, \"compress\": "
                                   "{}}}"),
                   ALLOY_UNSUPPORTED, "partial_rotary_factor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen3_in_both_generations),
        cmocka_unit_test(qwen3_moe_in_both_generations),
        cmocka_unit_test(qwen3_next_in_both_generations),
        cmocka_unit_test(qwen3_5_in_both_generations),
        cmocka_unit_test(qwen3_5_moe_in_both_generations),
        cmocka_unit_test(llama_in_both_generations),
        cmocka_unit_test(qwen2_and_mistral_in_both_generations),
        cmocka_unit_test(deepseek_v4_in_both_generations),
        cmocka_unit_test(deepseek_v4_without_lists),
        cmocka_unit_test(deepseek_v4_scales_compressed_layers_only),
        cmocka_unit_test(deepseek_v4_refuses),
        cmocka_unit_test(qwen3_slides_only_where_it_is_told_to),
        cmocka_unit_test(qwen3_moe_slides_everywhere_or_nowhere),
        cmocka_unit_test(mistral_slides_unless_the_window_is_null),
        cmocka_unit_test(biases_are_the_familys),
        cmocka_unit_test(routers_divide_as_their_family_does),
        cmocka_unit_test(value_heads_have_their_familys_default),
        cmocka_unit_test(head_dim_where_it_is_absent),
        cmocka_unit_test(hybrids_have_gates_and_offset_norms),
        cmocka_unit_test(text_config_is_the_model),
        cmocka_unit_test(llamas_key_value_heads_follow_its_heads),
        cmocka_unit_test(tokens_are_an_id_or_a_list_or_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
