/* Hostile and mistaken configs: each is refused with one line that says where, what was found and what was expected. */
#include "config/dump.h"

#define HEAD "{\"model_type\": \"alloy\", \"vocab_size\": 300, \"layer_types\": [\"a\"]"

/* A config of `family` that says one thing more. */
static alloy_status with(const char *family, const char *field)
{
    char json[1024];
    snprintf(json, sizeof json, "{\"model_type\": \"%s\",\n %s}", family, field);
    struct refusal refusal = begin_refusal(sizeof json);
    alloy_status status = parse_status(json);
    end_refusal(&refusal, field);
    return status;
}

static alloy_status repeated(const char *head, const char *piece, size_t times, const char *tail)
{
    alloy_text json = {0};
    alloy_config *config;
    alloy_text_string(&json, head);
    for (size_t i = 0; i < times; i++)
        alloy_text_string(&json, piece);
    alloy_text_string(&json, tail);
    struct refusal refusal = begin_refusal(json.size);
    alloy_status status = alloy_config_parse(&config, "config.json", json.bytes, json.size);
    end_refusal(&refusal, head);
    alloy_config_close(config);
    alloy_text_free(&json);
    return status;
}

static void c1_empty_or_truncated(void **state)
{
    (void)state;
    const char *whole = HEAD "}";
    expect_failure(parse_status(""), ALLOY_FORMAT, "config.json:1:1", "object");
    expect_failure(parse_status("[]"), ALLOY_FORMAT, "config.json:1:1", "object");
    for (size_t size = 0; size < strlen(whole); size++) {
        alloy_config *config;
        expect_failure(alloy_config_parse(&config, "config.json", whole, size), ALLOY_FORMAT, "config.json:1:");
        assert_null(config);
    }
    expect_failure(parse_status(HEAD "} x"), ALLOY_FORMAT, "config.json:1:");
}

static void c2_deep(void **state)
{
    (void)state;
    expect_failure(repeated(HEAD ", \"x\": ", "[", 128, ""), ALLOY_LIMIT, "128 levels");
    expect_failure(repeated(HEAD ", \"x\": ", "{\"a\":", 100000, ""), ALLOY_LIMIT, "128 levels");
    expect_failure(repeated(HEAD ", \"layer_overrides\": ", "{\"a\":", 100000, ""), ALLOY_LIMIT, "128 levels");
}

static void c3_long(void **state)
{
    (void)state;
    expect_failure(repeated(HEAD ", \"x\": \"", "0123456789abcdef", 4 * 1024 * 1024 / 16, "\"}"), ALLOY_LIMIT,
                   "config.json", "4194304");
    expect_ok(repeated(HEAD ", \"x\": \"", "0123456789abcdef", 4 * 1024 * 1024 / 16 - 100, "\"}"));
}

static void c4_duplicate_keys(void **state)
{
    (void)state;
    expect_failure(parse_status(HEAD ", \"head_dim\": 8, \"head_dim\": 8}"), ALLOY_FORMAT, "duplicate key", "head_dim");
    expect_failure(parse_status(HEAD ", \"head_dim\": 8, \"head\\u005fdim\": 9}"), ALLOY_FORMAT, "duplicate key");
    expect_failure(parse_status(HEAD ", \"model_type\": \"llama\"}"), ALLOY_FORMAT, "duplicate key", "model_type");
    expect_failure(parse_status(HEAD ", \"num_experts\": 8, \"num_local_experts\": 9}"), ALLOY_FORMAT, "num_experts",
                   "given twice", "8", "9");
    expect_ok(parse_status(HEAD ", \"num_experts\": 8, \"num_local_experts\": 8, \"n_routed_experts\": 8}"));
}

static void c5_numbers_that_json_lacks(void **state)
{
    (void)state;
    expect_failure(with("llama", "\"rms_norm_eps\": NaN"), ALLOY_RANGE, "config.json:2:18", "rms_norm_eps is NaN");
    expect_failure(with("llama", "\"rms_norm_eps\": Infinity"), ALLOY_RANGE, "config.json:2:18", "is Infinity");
    expect_failure(with("llama", "\"hidden_size\": -Infinity"), ALLOY_RANGE, "hidden_size is -Infinity");
    expect_failure(with("llama", "\"rms_norm_eps\": nan"), ALLOY_FORMAT, "config.json:2:18");
    expect_failure(with("llama", "\"rms_norm_eps\": -Inf"), ALLOY_FORMAT, "config.json:2:");
    expect_ok(with("llama", "\"unknown\": [NaN, Infinity, -Infinity]"));
    expect_failure(with("llama", "\"rms_norm_eps\": 1e400"), ALLOY_FORMAT, "1e400");
    expect_failure(with("llama", "\"unknown\": 1e400"), ALLOY_FORMAT, "1e400");
}

static void c6_sizes_outside_their_range(void **state)
{
    (void)state;
    static const char *const bad[] = {"0",
                                      "-1",
                                      "2147483648",
                                      "1.5",
                                      "4096.0",
                                      "4e3",
                                      "\"4096\"",
                                      "true",
                                      "[4096]",
                                      "{}",
                                      "null",
                                      "9223372036854775808",
                                      "18446744073709551617",
                                      "-9223372036854775809",
                                      "1e300"};
    static const struct {
        const char *key, *range;
    } fields[] = {{"hidden_size", "1..1048576"},
                  {"num_attention_heads", "1..65536"},
                  {"intermediate_size", "1..1048576"},
                  {"num_hidden_layers", "1..100000"},
                  {"vocab_size", "1..2147483647"}};
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            char field[128];
            snprintf(field, sizeof field, "\"%s\": %s", fields[f].key, bad[i]);
            expect_failure(with("llama", field), ALLOY_RANGE, "config.json:2:", fields[f].key, fields[f].range);
        }
    }
}

static void c7_too_many_layers(void **state)
{
    (void)state;
    expect_failure(with("qwen3", "\"num_hidden_layers\": 1000000000"), ALLOY_RANGE, "num_hidden_layers is 1000000000",
                   "1..100000");
    expect_failure(with("qwen3", "\"num_hidden_layers\": 100001"), ALLOY_RANGE, "num_hidden_layers");
    expect_ok(with("qwen3", "\"num_hidden_layers\": 100000"));
}

static void c8_heads(void **state)
{
    (void)state; /* whether they divide is their module's to check */
    expect_failure(with("qwen3", "\"num_key_value_heads\": 0"), ALLOY_RANGE, "num_key_value_heads is 0", "1..65536");
    expect_failure(with("qwen3", "\"head_dim\": 0"), ALLOY_RANGE, "head_dim is 0", "1..65536");
    expect_failure(with("qwen2", "\"hidden_size\": 60, \"num_attention_heads\": 16"), ALLOY_RANGE, "hidden_size is 60",
                   "num_attention_heads");
}

static void c9_vocabulary(void **state)
{
    (void)state;
    expect_failure(parse_status("{\"model_type\": \"alloy\", \"layer_types\": [\"a\"]}"), ALLOY_RANGE,
                   "vocab_size is missing");
    expect_failure(with("qwen3_5_text", "\"vocab_size\": 0"), ALLOY_RANGE, "vocab_size is 0", "1..2147483647");
    expect_failure(with("qwen3_5", "\"text_config\": {\"vocab_size\": 0}"), ALLOY_RANGE,
                   "config.json:2:", "vocab_size is 0");
    expect_failure(with("llama", "\"eos_token_id\": []"), ALLOY_RANGE, "eos_token_id is an empty list");
    expect_failure(with("llama", "\"eos_token_id\": [1, -5]"), ALLOY_RANGE, "eos_token_id is -5", "0..2147483647");
    expect_failure(with("llama", "\"bos_token_id\": 4294967296"), ALLOY_RANGE, "bos_token_id");
}

static void c10_rotary_share(void **state)
{
    (void)state; /* whether the rotary size fits head_dim is its module's to check */
    expect_failure(with("qwen3_next", "\"partial_rotary_factor\": 1.01"), ALLOY_RANGE, "partial_rotary_factor is 1.01",
                   "at most 1");
    expect_failure(with("qwen3_next", "\"rope_parameters\": {\"partial_rotary_factor\": 0}"), ALLOY_RANGE,
                   "partial_rotary_factor is 0");
}

static void c11_rope_numbers(void **state)
{
    (void)state;
    expect_failure(with("llama", "\"rope_theta\": 0"), ALLOY_RANGE, "rope_theta is 0", "above 0");
    expect_failure(with("llama", "\"rope_theta\": NaN"), ALLOY_RANGE, "config.json:2:", "rope_theta is NaN");
    expect_failure(with("llama", "\"rope_theta\": null"), ALLOY_RANGE, "rope_theta is null");
    expect_failure(with("llama", "\"rope_parameters\": {\"rope_theta\": -1}"), ALLOY_RANGE, "rope_theta is -1");
    expect_failure(with("llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}"), ALLOY_RANGE,
                   "factor is 0");
    expect_failure(with("llama", "\"rope_scaling\": {\"type\": \"linear\"}"), ALLOY_RANGE, "linear",
                   "factor, which is missing");
    expect_failure(with("llama", "\"rope_parameters\": 3"), ALLOY_FORMAT, "object");
}

static void c12_norm_epsilon_and_window(void **state)
{
    (void)state;
    expect_failure(with("mistral", "\"rms_norm_eps\": 0"), ALLOY_RANGE, "rms_norm_eps is 0", "above 0");
    expect_failure(with("mistral", "\"rms_norm_eps\": -1e-6"), ALLOY_RANGE, "rms_norm_eps is -1e-6");
    expect_failure(with("mistral", "\"rms_norm_eps\": \"1e-6\""), ALLOY_RANGE, "rms_norm_eps is \"1e-6\"", "a number");
    expect_failure(with("mistral", "\"sliding_window\": -1"), ALLOY_RANGE, "sliding_window is -1");
    /* A window of 0 reaches the module that slides, whose check refuses it. */
    alloy_config *c = parse("{\"model_type\": \"mistral\", \"sliding_window\": 0}");
    expect_text(c->layers[0].mixer, "llama_attention_sliding");
    assert_int_equal(field_of(c->layers[0].mixer_config, NULL, "sliding_window"), 0);
    alloy_config_close(c);
}

static void c13_what_alloy_does_not_have(void **state)
{
    (void)state;
    expect_failure(with("llama", "\"hidden_act\": \"gelu\""), ALLOY_FORMAT, "hidden_act \"gelu\"", "silu");
    expect_ok(with("llama", "\"hidden_act\": \"swish\""));
    expect_failure(with("lama", "\"x\": 1"), ALLOY_FORMAT, "model_type \"lama\"", "did you mean \"llama\"");
    expect_failure(with("gpt2", "\"x\": 1"), ALLOY_FORMAT, "model_type \"gpt2\"", "qwen3_next", "mistral");
    expect_failure(parse_status("{\"vocab_size\": 3}"), ALLOY_FORMAT, "model_type is missing");
    expect_failure(parse_status("{\"model_type\": null}"), ALLOY_FORMAT, "model_type is null");
    expect_failure(with("llama", "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}"), ALLOY_UNSUPPORTED,
                   "dynamic", "yarn");
    expect_failure(with("llama", "\"rope_scaling\": {\"rope_type\": \"longrope\"}"), ALLOY_UNSUPPORTED, "longrope");
    expect_failure(with("llama", "\"rope_scaling\": {\"rope_type\": \"yaarn\"}"), ALLOY_FORMAT,
                   "did you mean \"yarn\"");
    expect_failure(with("llama", "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}"),
                   ALLOY_UNSUPPORTED, "by layer type");
    expect_failure(with("llama", "\"dtype\": \"int8\""), ALLOY_FORMAT, "dtype \"int8\"", "bfloat16");
    expect_failure(with("llama", "\"per_layer_config\": {\"0\": {}}"), ALLOY_UNSUPPORTED, "per_layer_config");
    expect_failure(with("llama", "\"tie_word_embeddings\": 1"), ALLOY_FORMAT, "tie_word_embeddings is 1",
                   "true or false");
    expect_failure(with("llama", "\"is_causal\": false"), ALLOY_FORMAT, "is_causal is false", "true");
    expect_failure(with("qwen3", "\"use_bidirectional_attention\": true"), ALLOY_FORMAT, "use_bidirectional_attention");
    expect_ok(with("llama", "\"is_causal\": true, \"use_bidirectional_attention\": null"));
    expect_failure(parse_status(HEAD ", \"scoring_func\": \"tanh\"}"), ALLOY_FORMAT, "scoring_func", "sqrtsoftplus");
}

static alloy_status quantised(const char *fields)
{
    char text[512];
    snprintf(text, sizeof text, "\"quantization_config\": %s", fields);
    return with("llama", text);
}

static void c13_quantisation_that_alloy_does_not_have(void **state)
{
    (void)state;
    expect_failure(quantised("{}"), ALLOY_FORMAT, "quantization_config: quant_method is missing", "fp8", "mxfp4");
    expect_failure(quantised("7"), ALLOY_FORMAT, "quantization_config", "an object");
    expect_failure(quantised("{\"quant_method\": \"gptq\", \"bits\": 4}"), ALLOY_FORMAT, "quant_method \"gptq\"", "fp8",
                   "mxfp4");
    expect_failure(quantised("{\"quant_method\": \"bitsandbytes\"}"), ALLOY_FORMAT, "bitsandbytes");
    expect_failure(quantised("{\"quant_method\": \"fp8\", \"fmt\": \"e5m2\"}"), ALLOY_FORMAT, "fmt \"e5m2\"", "e4m3");
    expect_failure(quantised("{\"quant_method\": \"fp8\", \"activation_scheme\": \"static\"}"), ALLOY_FORMAT,
                   "activation_scheme \"static\"", "dynamic");
    expect_failure(quantised("{\"quant_method\": \"fp8\", \"scale_fmt\": \"e5m3\"}"), ALLOY_FORMAT, "scale_fmt",
                   "ue8m0");
    expect_failure(quantised("{\"quant_method\": \"fp8\", \"expert_dtype\": \"int4\"}"), ALLOY_FORMAT, "expert_dtype",
                   "fp4");
}

static alloy_status with_tile(const char *tile)
{
    char fields[256];
    snprintf(fields, sizeof fields, "{\"quant_method\": \"fp8\", \"weight_block_size\": %s}", tile);
    return quantised(fields);
}

static void c13_tiles_of_scales_that_cannot_be(void **state)
{
    (void)state;
    expect_failure(with_tile("[0, 128]"), ALLOY_RANGE, "weight_block_size is 0", "1..");
    expect_failure(with_tile("[128, -128]"), ALLOY_RANGE, "weight_block_size is -128");
    expect_failure(with_tile("[128, 99999999999]"), ALLOY_RANGE, "weight_block_size is 99999999999");
    expect_failure(with_tile("[128, 24]"), ALLOY_RANGE, "weight_block_size", "24 columns", "a multiple of 16");
    expect_failure(with_tile("[128]"), ALLOY_FORMAT, "weight_block_size has 1 items", "rows and columns");
    expect_failure(with_tile("[]"), ALLOY_FORMAT, "weight_block_size has 0 items");
    expect_failure(with_tile("[1, 128, 128]"), ALLOY_FORMAT, "weight_block_size has 3 items");
    expect_failure(with_tile("128"), ALLOY_FORMAT, "weight_block_size is 128", "a list");
    expect_failure(with_tile("null"), ALLOY_FORMAT, "weight_block_size is null", "a list");
    expect_failure(with_tile("[128, 128.5]"), ALLOY_RANGE, "weight_block_size is 128.5", "an integer");
}

static void c14_code_and_addresses_are_ignored(void **state)
{
    (void)state;
    struct warnings warnings;
    collect_warnings(&warnings);
    expect_ok(with("llama", "\"auto_map\": {\"AutoModel\": \"evil--x.Y\"}, \"trust_remote_code\": true, "
                            "\"_attn_implementation\": \"user/kernel\", "
                            "\"custom_pipelines\": {}, \"homepage\": \"https://example.org/\""));
    alloy_set_log(NULL, NULL);
    assert_int_equal(warnings.count, 1);
    static const char *const keys[] = {"auto_map", "trust_remote_code", "_attn_implementation", "custom_pipelines",
                                       "homepage"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_non_null(strstr(warnings.text, keys[i]));
    collect_warnings(&warnings);
    expect_ok(with("llama", "\"use_cache\": true, \"transformers_version\": \"5.18.0\""));
    alloy_set_log(NULL, NULL);
    assert_int_equal(warnings.count, 0);
}

static void c15_long_contexts_are_fine(void **state)
{
    (void)state;
    alloy_config *c = parse("{\"model_type\": \"llama\", \"max_position_embeddings\": 1000000000}");
    assert_int_equal(c->max_position_embeddings, 1000000000);
    alloy_config_close(c);
}

static void keys_of_others_are_not_read(void **state)
{
    (void)state; /* what a family lacks means nothing there, whatever it holds */
    expect_ok(with("llama", "\"num_experts\": \"many\", \"linear_num_key_heads\": -3, \"sliding_window\": \"wide\""));
    struct warnings warnings;
    collect_warnings(&warnings);
    expect_ok(with("mistral", "\"layer_types\": [\"full_attention\"]"));
    alloy_set_log(NULL, NULL);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.text, "layer_types"));
}

static void files_that_are_not_there(void **state)
{
    (void)state;
    alloy_config *config;
    char *folder = test_folder();
    expect_failure(alloy_config_open(&config, path_in(folder, "none")), ALLOY_IO, "none");
    assert_null(config);
    expect_failure(alloy_config_open(&config, folder), ALLOY_IO, "config.json");
    write_text(folder, "config.json", "{\"model_type\": \"llama\", \"vocab_size\": 77}");
    expect_ok(alloy_config_open(&config, folder));
    assert_int_equal(config->vocab_size, 77);
    alloy_config_close(config);
    expect_ok(alloy_config_open(&config, path_in(folder, "config.json")));
    alloy_config_close(config);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c1_empty_or_truncated),
        cmocka_unit_test(c2_deep),
        cmocka_unit_test(c3_long),
        cmocka_unit_test(c4_duplicate_keys),
        cmocka_unit_test(c5_numbers_that_json_lacks),
        cmocka_unit_test(c6_sizes_outside_their_range),
        cmocka_unit_test(c7_too_many_layers),
        cmocka_unit_test(c8_heads),
        cmocka_unit_test(c9_vocabulary),
        cmocka_unit_test(c10_rotary_share),
        cmocka_unit_test(c11_rope_numbers),
        cmocka_unit_test(c12_norm_epsilon_and_window),
        cmocka_unit_test(c13_what_alloy_does_not_have),
        cmocka_unit_test(c13_quantisation_that_alloy_does_not_have),
        cmocka_unit_test(c13_tiles_of_scales_that_cannot_be),
        cmocka_unit_test(c14_code_and_addresses_are_ignored),
        cmocka_unit_test(c15_long_contexts_are_fine),
        cmocka_unit_test(keys_of_others_are_not_read),
        cmocka_unit_test(files_that_are_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
