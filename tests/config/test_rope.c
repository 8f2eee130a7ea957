/* Rope settings: precedence, defaults and requirements of each type. */
#include "config/dump.h"

/* The rope of a model of `family` with these fields. */
static alloy_rope rope_of(const char *family, const char *fields)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"model_type\": \"%s\", \"num_hidden_layers\": 1, \"max_position_embeddings\": 1000, %s}", family,
             fields);
    alloy_config *c = parse(json);
    alloy_rope rope = c->layers[0].mixer_config->rope;
    alloy_config_close(c);
    return rope;
}

static void expect_rope(alloy_rope actual, alloy_rope expected)
{
    alloy_text a = {0}, b = {0};
    dump_rope(&a, "rope", &actual);
    dump_rope(&b, "rope", &expected);
    expect_text(alloy_text_get(&a), alloy_text_get(&b));
    alloy_text_free(&a);
    alloy_text_free(&b);
}

static void plain_by_default(void **state)
{
    (void)state;
    expect_rope(rope_of("llama", "\"x\": 0"), (alloy_rope){.theta = 10000, .partial_rotary_factor = 1});
    expect_rope(rope_of("qwen3_5_text", "\"x\": 0"), (alloy_rope){.theta = 10000, .partial_rotary_factor = 0.25});
    expect_rope(rope_of("qwen3", "\"rope_theta\": 1e6, \"rope_parameters\": null, \"rope_scaling\": null"),
                (alloy_rope){.theta = 1e6, .partial_rotary_factor = 1});
    expect_rope(
        rope_of("llama", "\"rope_parameters\": {\"rope_type\": \"default\", \"factor\": 8.0, \"beta_fast\": 3}"),
        (alloy_rope){.theta = 10000, .partial_rotary_factor = 1});
}

static void what_is_inside_wins(void **state)
{
    (void)state;
    expect_rope(
        rope_of("qwen3_next",
                "\"rope_theta\": 5.0, \"partial_rotary_factor\": 0.75, \"rope_parameters\": {\"rope_theta\": 7.0, "
                "\"partial_rotary_factor\": 0.5}"),
        (alloy_rope){.theta = 7, .partial_rotary_factor = 0.5});
    expect_rope(rope_of("qwen3_next", "\"rope_theta\": 5.0, \"partial_rotary_factor\": 0.75, \"rope_parameters\": {}"),
                (alloy_rope){.theta = 5, .partial_rotary_factor = 0.75});
}

static void rope_scaling_wins_unless_it_says_nothing(void **state)
{
    (void)state;
    const char *both = "\"rope_theta\": 5.0, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, "
                       "\"rope_parameters\": {\"rope_theta\": 7.0}";
    expect_rope(rope_of("qwen3", both),
                (alloy_rope){.type = ALLOY_ROPE_LINEAR, .theta = 5, .partial_rotary_factor = 1, .factor = 2});
    expect_rope(rope_of("qwen3", "\"rope_scaling\": { }, \"rope_parameters\": {\"rope_theta\": 7.0}"),
                (alloy_rope){.theta = 7, .partial_rotary_factor = 1});
    expect_rope(rope_of("qwen3", "\"rope_scaling\": {\"type\": \"yarn\", \"rope_type\": \"linear\", \"factor\": 2}"),
                (alloy_rope){.type = ALLOY_ROPE_LINEAR, .theta = 10000, .partial_rotary_factor = 1, .factor = 2});
}

static void yarn(void **state)
{
    (void)state;
    expect_rope(rope_of("qwen3", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0}"),
                (alloy_rope){.type = ALLOY_ROPE_YARN,
                             .theta = 10000,
                             .partial_rotary_factor = 1,
                             .factor = 4,
                             .original_max_position_embeddings = 1000,
                             .beta_fast = 32,
                             .beta_slow = 1,
                             .truncate = true});
    expect_rope(
        rope_of(
            "qwen3",
            "\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": null, \"original_max_position_embeddings\": "
            "250, "
            "\"attention_factor\": 1.5, \"mscale\": 0.7, \"mscale_all_dim\": 0.9, \"beta_fast\": 16, \"beta_slow\": 2, "
            "\"truncate\": false}"),
        (alloy_rope){.type = ALLOY_ROPE_YARN,
                     .theta = 10000,
                     .partial_rotary_factor = 1,
                     .factor = 4,
                     .original_max_position_embeddings = 250,
                     .attention_factor = 1.5,
                     .mscale = 0.7,
                     .mscale_all_dim = 0.9,
                     .beta_fast = 16,
                     .beta_slow = 2,
                     .truncate = false});
    expect_rope(
        rope_of(
            "qwen3",
            "\"original_max_position_embeddings\": 64, \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 2, "
            "\"original_max_position_embeddings\": 250}"),
        (alloy_rope){.type = ALLOY_ROPE_YARN,
                     .theta = 10000,
                     .partial_rotary_factor = 1,
                     .factor = 2,
                     .original_max_position_embeddings = 64,
                     .beta_fast = 32,
                     .beta_slow = 1,
                     .truncate = true});
    expect_failure(parse_status("{\"model_type\": \"qwen3\", \"rope_scaling\": {\"type\": \"yarn\"}}"), ALLOY_RANGE,
                   "yarn", "factor");
    expect_failure(
        parse_status(
            "{\"model_type\": \"qwen3\", \"rope_theta\": 1, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}}"),
        ALLOY_RANGE, "rope_theta is 1", "above 1");
}

static void llama3(void **state)
{
    (void)state;
    expect_rope(rope_of("llama", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
                                 "\"high_freq_factor\": 4}"),
                (alloy_rope){.type = ALLOY_ROPE_LLAMA3,
                             .theta = 10000,
                             .partial_rotary_factor = 1,
                             .factor = 8,
                             .original_max_position_embeddings = 1000,
                             .low_freq_factor = 1,
                             .high_freq_factor = 4});
    expect_failure(parse_status("{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8, "
                                "\"low_freq_factor\": 1}}"),
                   ALLOY_RANGE, "high_freq_factor, which is missing");
    expect_failure(parse_status("{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8, "
                                "\"low_freq_factor\": 4, "
                                "\"high_freq_factor\": 4}}"),
                   ALLOY_RANGE, "high_freq_factor is 4", "above low_freq_factor");
}

static void main_and_compress(void **state)
{
    (void)state;
    const char *head = "{\"model_type\": \"alloy\", \"vocab_size\": 9, \"layer_types\": [\"a\"], ";
    char json[1024];
    snprintf(json, sizeof json,
             "%s\"rope_parameters\": {\"main\": {\"rope_theta\": 5, \"partial_rotary_factor\": 0.25}, \"compress\": "
             "{\"rope_type\": "
             "\"yarn\", \"factor\": 16, \"rope_theta\": 160000, \"truncate\": false}}}",
             head);
    alloy_config *c = parse(json);
    expect_rope(c->rope, (alloy_rope){.theta = 5, .partial_rotary_factor = 0.25});
    expect_rope(c->rope_compress, (alloy_rope){.type = ALLOY_ROPE_YARN,
                                               .theta = 160000,
                                               .partial_rotary_factor = 1,
                                               .factor = 16,
                                               .original_max_position_embeddings = 32768,
                                               .attention_factor = 1,
                                               .beta_fast = 32,
                                               .beta_slow = 1,
                                               .truncate = true});
    alloy_config_close(c);
    snprintf(json, sizeof json,
             "%s\"compress_rope_theta\": 160000, \"rope_parameters\": {\"rope_theta\": 5}, \"compress_rates\": "
             "{\"compressed_sparse_attention\": 4, \"dsv4_hca_attention\": 128}}",
             head);
    c = parse(json);
    expect_rope(c->rope, (alloy_rope){.theta = 5, .partial_rotary_factor = 1});
    expect_rope(c->rope_compress, (alloy_rope){.theta = 160000, .partial_rotary_factor = 1});
    assert_int_equal(field_of(c, NULL, "compress_rate_csa"), 4);
    assert_int_equal(field_of(c, NULL, "compress_rate_hca"), 128);
    alloy_config_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_by_default),
        cmocka_unit_test(what_is_inside_wins),
        cmocka_unit_test(rope_scaling_wins_unless_it_says_nothing),
        cmocka_unit_test(yarn),
        cmocka_unit_test(llama3),
        cmocka_unit_test(main_and_compress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
