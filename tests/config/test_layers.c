/* Layers of an alloy config: lists, the short form, overrides, and what a module sees. */
#include "config/dump.h"

#define HEAD "{\"model_type\": \"alloy\", \"vocab_size\": 300, \"hidden_size\": 64, \"num_attention_heads\": 4"

static void both_lists_name_each_depth(void **state)
{
    (void)state;
    alloy_config *c =
        parse(HEAD ", \"layer_types\": [\"qwen3_5_gdn\", \"mamba2\"], \"ffn_types\": [\"qwen3_moe\", \"qwen3_mlp\"]}");
    assert_int_equal(c->num_hidden_layers, 2);
    expect_text(layers_of(c), "qwen3_5_gdn qwen3_moe, mamba2 qwen3_mlp");
    alloy_config_close(c);
}

static void the_hubs_names_are_alloys_modules(void **state)
{
    (void)state;
    alloy_config *c = parse(HEAD ", \"layer_types\": [\"full_attention\", \"sliding_attention\", \"linear_attention\", "
                                 "\"compressed_sparse_attention\", \"heavily_compressed_attention\"]}");
    expect_text(layers_of(c), "qwen3_attention qwen3_mlp, qwen3_attention_sliding qwen3_mlp, qwen3_5_gdn qwen3_mlp, "
                              "dsv4_csa_attention qwen3_mlp, dsv4_hca_attention qwen3_mlp");
    alloy_config_close(c);
}

static void a_pattern_repeats(void **state)
{
    (void)state;
    alloy_config *c = parse(
        HEAD ", \"num_hidden_layers\": 6, \"layer_types\": {\"pattern\": [\"linear_attention\", \"llama_attention\"], "
             "\"repeat\": 3}, \"ffn_types\": {\"repeat\": 2, \"pattern\": [\"a\", \"b\", \"c\"]}}");
    expect_text(layers_of(c),
                "qwen3_5_gdn a, llama_attention b, qwen3_5_gdn c, llama_attention a, qwen3_5_gdn b, llama_attention c");
    alloy_config_close(c);
    expect_failure(parse_status(HEAD ", \"layer_types\": {\"pattern\": [\"a\"]}}"), ALLOY_FORMAT, "layer_types",
                   "repeat");
    expect_failure(parse_status(HEAD ", \"layer_types\": {\"pattern\": [], \"repeat\": 3}}"), ALLOY_FORMAT,
                   "layer_types", "pattern");
    expect_failure(parse_status(HEAD ", \"layer_types\": {\"pattern\": [\"a\", \"b\"], \"repeat\": 99999}}"),
                   ALLOY_RANGE, "layer_types", "1..100000");
    expect_failure(parse_status(HEAD ", \"layer_types\": {\"pattern\": [\"a\"], \"times\": 3}}"), ALLOY_FORMAT, "times",
                   "repeat");
}

static void lists_must_fit_the_layers(void **state)
{
    (void)state;
    expect_failure(parse_status(HEAD ", \"num_hidden_layers\": 3, \"layer_types\": [\"a\", \"b\"]}"), ALLOY_FORMAT,
                   "layer_types", "2", "3");
    expect_failure(parse_status(HEAD ", \"layer_types\": [\"a\", \"b\"], \"ffn_types\": [\"a\"]}"), ALLOY_FORMAT,
                   "ffn_types", "1", "2");
    expect_failure(parse_status(HEAD "}"), ALLOY_FORMAT, "layer_types is missing");
    expect_failure(parse_status(HEAD ", \"num_hidden_layers\": 3}"), ALLOY_FORMAT, "layer_types is missing");
    expect_failure(parse_status(HEAD ", \"layer_types\": []}"), ALLOY_FORMAT, "layer_types");
    expect_failure(parse_status(HEAD ", \"layer_types\": [3]}"), ALLOY_FORMAT, "layer_types is 3", "a string");
    expect_failure(parse_status(HEAD ", \"layer_types\": \"full_attention\"}"), ALLOY_FORMAT, "layer_types", "list");
    expect_failure(parse_status(HEAD ", \"layer_types\": [\"\"]}"), ALLOY_FORMAT, "layer_types");
    expect_failure(parse_status(HEAD ", \"layer_types\": [\"a\\u0000b\"]}"), ALLOY_FORMAT, "layer_types", "NUL");
}

static void families_have_only_their_own_layer_types(void **state)
{
    (void)state;
    expect_failure(
        parse_status("{\"model_type\": \"qwen3\", \"num_hidden_layers\": 1, \"layer_types\": [\"linear_attention\"]}"),
        ALLOY_FORMAT, "linear_attention", "full_attention", "sliding_attention");
    expect_failure(
        parse_status(
            "{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 1, \"layer_types\": [\"ful_attention\"]}"),
        ALLOY_FORMAT, "did you mean \"full_attention\"");
    expect_failure(parse_status("{\"model_type\": \"qwen3\", \"layer_overrides\": {}}"), ALLOY_FORMAT,
                   "layer_overrides", "alloy");
}

/* ---- Overrides --------------------------------------------------------------------------------------------------- */

#define FOUR                                                                                                           \
    ", \"layer_types\": [\"full_attention\", \"llama_attention\", \"full_attention\", \"llama_attention\"], "          \
    "\"intermediate_size\": 160, "                                                                                     \
    "\"rope_parameters\": {\"rope_type\": \"yarn\", \"rope_theta\": 50.0, \"factor\": 4.0, "                           \
    "\"partial_rotary_factor\": 0.5}"

static void without_overrides_all_see_one_view(void **state)
{
    (void)state;
    alloy_config *c = parse(HEAD FOUR "}");
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(c->layers[i].mixer_config, c->layers[0].mixer_config);
        assert_ptr_equal(c->layers[i].ffn_config, c->layers[0].mixer_config);
    }
    assert_null(c->layers[0].mixer_config->layers);
    alloy_config_close(c);
}

static void a_name_and_a_depth_override(void **state)
{
    (void)state;
    alloy_config *c = parse(
        HEAD FOUR
        ", \"layer_overrides\": {\"3\": {\"sliding_window\": 50, \"head_dim\": 24}, "
        "\"llama_attention\": {\"head_dim\": 8, \"num_key_value_heads\": 1}, \"qwen3_mlp\": {\"mlp_bias\": true}}}");
    assert_int_equal(field_of(c, NULL, "head_dim"), 16);
    assert_int_equal(field_of(c->layers[0].mixer_config, NULL, "head_dim"), 16);
    assert_int_equal(field_of(c->layers[1].mixer_config, NULL, "head_dim"), 8);
    assert_int_equal(field_of(c->layers[1].mixer_config, NULL, "num_key_value_heads"), 1);
    assert_int_equal(field_of(c->layers[3].mixer_config, NULL, "head_dim"), 24); /* a depth is nearer than a name */
    assert_int_equal(field_of(c->layers[3].mixer_config, NULL, "num_key_value_heads"), 1);
    assert_int_equal(field_of(c->layers[3].mixer_config, NULL, "sliding_window"), 50);
    assert_int_equal(field_of(c->layers[3].ffn_config, NULL, "sliding_window"), 50);
    assert_int_equal(field_of(c->layers[1].mixer_config, NULL, "sliding_window"), 0);
    assert_true(field_of(c->layers[0].ffn_config, NULL, "mlp_bias"));
    assert_false(field_of(c->layers[0].mixer_config, NULL, "mlp_bias"));
    assert_ptr_equal(c->layers[0].ffn_config, c->layers[2].ffn_config);
    alloy_config_close(c);
}

static void equal_depths_share_their_view(void **state)
{
    (void)state;
    alloy_config *c =
        parse(HEAD FOUR
              ", \"layer_overrides\": {\"0\": {\"head_dim\": 8}, \"1\": {\"head_dim\": 32}, \"2\": {\"head_dim\": 8}, "
              "\"3\": {\"head_dim\": 8}}}");
    assert_ptr_equal(c->layers[0].mixer_config, c->layers[2].mixer_config);
    assert_ptr_equal(c->layers[0].mixer_config, c->layers[3].ffn_config);
    assert_ptr_not_equal(c->layers[0].mixer_config, c->layers[1].mixer_config);
    assert_int_equal(field_of(c->layers[1].mixer_config, NULL, "head_dim"), 32);
    alloy_config_close(c);
}

static void derived_fields_follow_an_override(void **state)
{
    (void)state;
    alloy_config *c =
        parse(HEAD FOUR ", \"layer_overrides\": {\"1\": {\"num_attention_heads\": 8, \"attention_bias\": true, "
                        "\"linear_num_key_heads\": 4}}}");
    const alloy_config *view = c->layers[1].mixer_config;
    assert_int_equal(field_of(view, NULL, "head_dim"), 8);
    assert_true(field_of(view, NULL, "attention_output_bias"));
    assert_int_equal(field_of(view, NULL, "linear_num_value_heads"), 4);
    assert_int_equal(field_of(c, NULL, "linear_num_value_heads"), 16);
    alloy_config_close(c);
}

static void rope_is_replaced_whole_or_by_its_base(void **state)
{
    (void)state;
    alloy_config *c =
        parse(HEAD FOUR ", \"layer_overrides\": {\"0\": {\"rope_parameters\": {\"rope_type\": \"default\"}}, "
                        "\"1\": {\"rope_theta\": 9.0}, \"2\": {\"partial_rotary_factor\": 0.25}}}");
    const alloy_rope *rope = &c->layers[0].mixer_config->rope;
    assert_int_equal(rope->type, ALLOY_ROPE_DEFAULT);
    assert_true(rope->theta == 10000 && rope->partial_rotary_factor == 1);
    rope = &c->layers[1].mixer_config->rope;
    assert_int_equal(rope->type, ALLOY_ROPE_YARN);
    assert_true(rope->theta == 9 && rope->partial_rotary_factor == 0.5 && rope->factor == 4);
    rope = &c->layers[2].mixer_config->rope;
    assert_true(rope->theta == 50 && rope->partial_rotary_factor == 0.25 && rope->factor == 4);
    alloy_config_close(c);
}

static void overrides_must_mean_a_layer(void **state)
{
    (void)state;
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"4\": {}}}"), ALLOY_RANGE, "layer_overrides", "4",
                   "0..3");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"03\": {}}}"), ALLOY_FORMAT, "layer_overrides",
                   "03");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"-1\": {}}}"), ALLOY_FORMAT, "layer_overrides",
                   "-1");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"qwen3_moe\": {}}}"), ALLOY_FORMAT,
                   "no layer has a module", "qwen3_moe");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"full_attention\": {}, \"qwen3_attention\": {}}}"),
                   ALLOY_FORMAT, "given twice");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"2\": 3}}"), ALLOY_FORMAT, "layer_overrides",
                   "object");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": [3]}"), ALLOY_FORMAT, "object");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"2\": {\"hidden_size\": 32}}}"), ALLOY_FORMAT,
                   "config.json:1:", "hidden_size", "whole model");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"2\": {\"layer_types\": []}}}"), ALLOY_FORMAT,
                   "layer_types", "whole model");
    expect_failure(parse_status(HEAD FOUR ",\n\"layer_overrides\": {\"2\": {\"head_dim\": 0}}}"), ALLOY_RANGE,
                   "config.json:2:", "head_dim is 0", "1..65536");
    expect_failure(parse_status(HEAD FOUR ", \"layer_overrides\": {\"2\": {\"head_dim\": 8, \"head_dim\": 8}}}"),
                   ALLOY_FORMAT, "duplicate key");
}

/* ---- A plug-in's fields ------------------------------------------------------------------------------------------ */

static void modules_find_fields_of_their_own(void **state)
{
    (void)state;
    int64_t whole;
    double number;
    alloy_config *c = parse(
        HEAD FOUR
        ", \"ssm_size\": 16, \"ssm_\\u0064t\": 0.5, \"ssm_name\": \"x\", \"ssm_none\": null, \"ssm_list\": [1], "
        "\"num_key_value_heads\": null, "
        "\"layer_overrides\": {\"2\": {\"ssm_size\": 32}, \"llama_attention\": {\"ssm_size\": 64, \"ssm_dt\": 2}, "
        "\"3\": {\"ssm_size\": -7}}}");
    const int64_t expected[] = {16, 64, 32, -7};
    for (int i = 0; i < 4; i++) {
        expect_ok(alloy_config_get_int64(c->layers[i].mixer_config, "ssm_size", 9, &whole));
        assert_int_equal(whole, expected[i]);
    }
    expect_ok(alloy_config_get_double(c->layers[3].mixer_config, "ssm_dt", 9, &number));
    assert_true(number == 2);
    expect_ok(alloy_config_get_double(c->layers[3].ffn_config, "ssm_dt", 9, &number));
    assert_true(number == 0.5);
    expect_ok(alloy_config_get_int64(c, "absent", 9, &whole));
    assert_int_equal(whole, 9);
    expect_ok(alloy_config_get_int64(c, "ssm_none", 9, &whole));
    assert_int_equal(whole, 9);
    expect_ok(alloy_config_get_int64(c, "hidden_size", 9, &whole));
    assert_int_equal(whole, 64);
    expect_ok(alloy_config_get_int64(c, "num_experts", 9, &whole));
    assert_int_equal(whole, 9);
    expect_ok(alloy_config_get_int64(c, "num_key_value_heads", 9, &whole)); /* null */
    assert_int_equal(whole, 9);
    expect_ok(alloy_config_get_double(c, "rms_norm_eps", 9, &number));
    assert_true(number == 1e-6);
    expect_failure(alloy_config_get_int64(c, "ssm_dt", 9, &whole), ALLOY_RANGE, "ssm_dt is 0.5", "integer");
    expect_failure(alloy_config_get_int64(c, "ssm_name", 9, &whole), ALLOY_RANGE, "ssm_name");
    expect_failure(alloy_config_get_double(c, "ssm_list", 9, &number), ALLOY_RANGE, "ssm_list", "number");
    alloy_config_close(c);
}

/* Qwen's modules read num_experts, DeepSeek's n_routed_experts; each takes the other where its own is absent. */
static void each_module_reads_its_own_familys_experts(void **state)
{
    (void)state;
    const struct {
        const char *fields;
        int64_t qwen, deepseek;
    } cases[] = {
        {"\"num_experts\": 8, \"n_routed_experts\": 4", 8, 4},
        {"\"num_experts\": 8", 8, 8},
        {"\"n_routed_experts\": 4", 4, 4},
        {"\"num_local_experts\": 6", 6, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[512];
        snprintf(json, sizeof json, "%s, \"layer_types\": [\"x\"], \"ffn_types\": [\"y\"], %s}", HEAD, cases[i].fields);
        alloy_config *c = parse(json);
        assert_int_equal(field_of(c, alloy_ffn_by_name("qwen3_moe"), "num_experts"), cases[i].qwen);
        assert_int_equal(field_of(c, alloy_ffn_by_name("dsv4_moe"), "n_routed_experts"), cases[i].deepseek);
        alloy_config_close(c);
    }
}

static void require_names_key_and_range(void **state)
{
    (void)state;
    expect_ok(alloy_config_require("num_experts", 8, 1, 8));
    expect_failure(alloy_config_require("num_experts", 9, 1, 8), ALLOY_RANGE, "num_experts is 9", "1..8");
    expect_failure(alloy_config_require("num_experts", 0, 1, 8), ALLOY_RANGE, "num_experts is 0 or missing");
    expect_failure(alloy_config_require("num_attention_heads modulo num_key_value_heads", 1, 0, 0), ALLOY_RANGE,
                   "modulo", "is 1, expected 0");
}

/* ---- Size -------------------------------------------------------------------------------------------------------- */

static void ten_thousand_layers_parse_quickly(void **state)
{
    (void)state;
    alloy_text json = {0};
    alloy_text_string(
        &json, HEAD ", \"layer_types\": {\"pattern\": [\"full_attention\", \"linear_attention\"], \"repeat\": 50000}, "
                    "\"layer_overrides\": {");
    for (int i = 0; i < 10000; i++)
        alloy_text_format(&json, "%s\"%d\": {\"intermediate_size\": %d, \"own\": %d}", i ? ", " : "", i * 10, 1000 + i,
                          i);
    alloy_text_string(&json, "}}");
    double start = processor_seconds();
    alloy_config *c = parse(json.bytes);
    double seconds = processor_seconds() - start;
    assert_int_equal(c->num_hidden_layers, 100000);
    assert_int_equal(field_of(c->layers[99990].ffn_config, NULL, "intermediate_size"), 10999);
    assert_int_equal(field_of(c->layers[99991].ffn_config, NULL, "intermediate_size"), 8192);
    if (seconds > 1 && !ALLOY_TEST_SLOW)
        fail_msg("100,000 layers and 10,000 overrides took %.2f s, expected at most 1 s", seconds);
    alloy_config_close(c);
    alloy_text_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_lists_name_each_depth),
        cmocka_unit_test(the_hubs_names_are_alloys_modules),
        cmocka_unit_test(a_pattern_repeats),
        cmocka_unit_test(lists_must_fit_the_layers),
        cmocka_unit_test(families_have_only_their_own_layer_types),
        cmocka_unit_test(without_overrides_all_see_one_view),
        cmocka_unit_test(a_name_and_a_depth_override),
        cmocka_unit_test(equal_depths_share_their_view),
        cmocka_unit_test(derived_fields_follow_an_override),
        cmocka_unit_test(rope_is_replaced_whole_or_by_its_base),
        cmocka_unit_test(overrides_must_mean_a_layer),
        cmocka_unit_test(modules_find_fields_of_their_own),
        cmocka_unit_test(each_module_reads_its_own_familys_experts),
        cmocka_unit_test(require_names_key_and_range),
        cmocka_unit_test(ten_thousand_layers_parse_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
