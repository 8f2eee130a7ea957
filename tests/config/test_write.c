/* Saving: what is written reads back as the same config, whatever it came from. */
#include "config/dump.h"
#include "config/samples.h"

static char *to_json(const alloy_config *config)
{
    alloy_text out = {0};
    expect_ok(alloy_config_to_json(config, &out));
    return out.bytes;
}

static void every_sample_comes_back(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        alloy_config *first = parse(samples[i]);
        char *saved = to_json(first), *before = dump(first);
        alloy_config *second = parse(saved);
        char *again = to_json(second), *after = dump(second);
        expect_text(second->model_type, "alloy");
        expect_text(after, before);
        expect_text(again, saved);
        free(saved);
        free(before);
        free(again);
        free(after);
        alloy_config_close(first);
        alloy_config_close(second);
    }
}

static void an_alloy_config_keeps_its_form(void **state)
{
    (void)state;
    alloy_config *c = parse("{\"ssm\": {\"a\": [1, 2.50]}, \"head_dim\": 16, \"layer_overrides\": {\"0\": "
                            "{\"head_dim\": 8}}, \"layer_types\": "
                            "{\"pattern\": [\"linear_attention\"], \"repeat\": 2}, \"vocab_size\": 9, \"model_type\": "
                            "\"alloy\", \"x\": \"\\u0041\"}");
    char *saved = to_json(c);
    expect_text(
        saved, "{\n"
               "  \"architectures\": [\n    \"AlloyForCausalLM\"\n  ],\n"
               "  \"model_type\": \"alloy\",\n"
               "  \"vocab_size\": 9,\n"
               "  \"layer_types\": {\n    \"pattern\": [\n      \"linear_attention\"\n    ],\n    \"repeat\": 2\n  },\n"
               "  \"layer_overrides\": {\n    \"0\": {\n      \"head_dim\": 8\n    }\n  },\n"
               "  \"head_dim\": 16,\n"
               "  \"ssm\": {\n    \"a\": [\n      1,\n      2.50\n    ]\n  },\n"
               "  \"x\": \"\\u0041\"\n"
               "}\n");
    free(saved);
    alloy_config_close(c);
}

static void a_family_is_saved_as_what_it_means(void **state)
{
    (void)state;
    alloy_config *c =
        parse("{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 1, \"use_cache\": true, \"mlp_bias\": true, "
              "\"auto_map\": {\"AutoModel\": \"x\"}, \"architectures\": [\"Qwen3NextForCausalLM\"], "
              "\"full_attention_interval\": 1}");
    char *saved = to_json(c);
    static const char *const kept[] = {"\"model_type\": \"alloy\"",
                                       "\"qwen3_attention\"",
                                       "\"qwen3_5_moe\"",
                                       "\"attn_output_gate\": true",
                                       "\"rms_norm_unit_offset\": true",
                                       "\"linear_fused_inputs\": true",
                                       "\"norm_topk_prob\": true",
                                       "\"partial_rotary_factor\": 0.25",
                                       "\"use_cache\": true",
                                       "\"num_experts\": 512"};
    static const char *const gone[] = {"mlp_bias", "auto_map", "full_attention_interval", "Qwen3Next",
                                       "decoder_sparse_step"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (!strstr(saved, kept[i]))
            fail_msg("no %s in %s", kept[i], saved);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (strstr(saved, gone[i]))
            fail_msg("%s in %s", gone[i], saved);
    free(saved);
    alloy_config_close(c);
}

/* What a family lacks and ignores must not mean something in the config that is saved, by whatever name Alloy reads
 * it. */
static void a_field_that_a_family_ignores_is_not_saved(void **state)
{
    (void)state;
    static const char *const ignored[] = {"num_experts", "n_routed_experts", "num_local_experts", "q_lora_rank"};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"model_type\": \"qwen3\", \"num_hidden_layers\": 1, \"%s\": 8}", ignored[i]);
        alloy_config *c = parse(text);
        char *saved = to_json(c);
        if (strstr(saved, "experts") || strstr(saved, "q_lora_rank"))
            fail_msg("%s is saved: %s", ignored[i], saved);
        free(saved);
        alloy_config_close(c);
    }
}

/* Of a family, of a multimodal model (whose own it is, not its text's), and again of what was saved. */
static void quantisation_is_saved_as_it_was_written(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"model_type\": \"qwen3\", \"vocab_size\": 9, \"num_hidden_layers\": 1, \"quantization_config\": "
        "{\"quant_method\": \"fp8\", \"weight_block_size\": [64, 32], \"modules_to_not_convert\": [\"lm_head\"]}}",
        "{\"model_type\": \"qwen3_5\", \"text_config\": {\"vocab_size\": 9, \"num_hidden_layers\": 1}, "
        "\"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [64, 32], "
        "\"modules_to_not_convert\": [\"lm_head\"]}}",
    };
    for (int i = 0; i < 2; i++) {
        alloy_config *first = parse(texts[i]);
        char *saved = to_json(first);
        alloy_config *second = parse(saved);
        char *again = to_json(second);
        assert_int_equal(first->weight_block_size[0], 64);
        assert_int_equal(first->weight_block_size[1], 32);
        assert_int_equal(second->weight_block_size[1], 32);
        assert_non_null(strstr(saved, "\"quant_method\": \"fp8\""));
        assert_non_null(strstr(saved, "\"lm_head\""));
        expect_text(again, saved);
        free(saved);
        free(again);
        alloy_config_close(first);
        alloy_config_close(second);
    }
    alloy_config *plain = parse("{\"model_type\": \"qwen3\", \"vocab_size\": 9, \"num_hidden_layers\": 1}");
    assert_int_equal(plain->weight_block_size[0], 128);
    assert_int_equal(plain->weight_block_size[1], 128);
    alloy_config_close(plain);
}

static void a_file_is_written_whole(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_config *c = parse(samples[0]), *read;
    expect_ok(alloy_config_write(c, path_in(folder, "config.json")));
    expect_ok(alloy_config_open(&read, folder));
    char *before = dump(c), *after = dump(read);
    expect_text(after, before);
    free(before);
    free(after);
    alloy_config_close(read);
    expect_failure(alloy_config_write(c, path_in(folder, "none/config.json")), ALLOY_IO, "none");
    alloy_config_close(c);
    remove_folder(folder);
}

static void only_whole_configs_are_saved(void **state)
{
    (void)state;
    alloy_text out = {0};
    alloy_config *c = parse(samples[0]);
    struct alloy_config copy = *c;
    expect_ok(alloy_config_to_json(&copy, &out));
    copy.num_hidden_layers = 1;
    expect_failure(alloy_config_to_json(&copy, &out), ALLOY_ARG, "whole");
    expect_failure(alloy_config_to_json(c->layers[0].mixer_config, &out), ALLOY_ARG, "whole");
    alloy_text_free(&out);
    alloy_config_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_comes_back),
        cmocka_unit_test(an_alloy_config_keeps_its_form),
        cmocka_unit_test(a_family_is_saved_as_what_it_means),
        cmocka_unit_test(a_field_that_a_family_ignores_is_not_saved),
        cmocka_unit_test(quantisation_is_saved_as_it_was_written),
        cmocka_unit_test(a_file_is_written_whole),
        cmocka_unit_test(only_whole_configs_are_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
