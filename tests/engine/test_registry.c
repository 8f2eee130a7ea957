/* The registry, and what modules refuse of a config: unknown names are told with the known and the nearest one, names
 * are taken once, and fields that do not go together are RANGE with the key and the layer (C9 to C13). */
#include "engine/models.h"

#include "alloy/extend.h"
#include "checkpoint/model.h"
#include "modules/modules.h"

/* A model of four layers whose `more` fields come last, and so win. */
#define LAYERED(mixers, ffns, more)                                                                                    \
    "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": 64, \"num_hidden_layers\": 4, "                 \
    "\"layer_types\": [" mixers "], \"ffn_types\": [" ffns "], \"max_position_embeddings\": 512, "                     \
    "\"intermediate_size\": 96, " more "}"

#define FULL "\"qwen3_attention\""
#define SLIDING "\"qwen3_attention_sliding\""
#define GDN "\"qwen3_5_gdn\""
#define MLP "\"qwen3_mlp\""
#define FOUR(x) x ", " x ", " x ", " x

#define HEADS "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16"

/* What opening a model does with its config, before any weight is looked for. */
static alloy_status describe(const char *text)
{
    alloy_config *config;
    alloy_model *model = NULL;
    alloy_status status = alloy_config_parse(&config, "config.json", text, strlen(text));
    if (status)
        return status;
    status = alloy_model_describe(&model, config);
    assert_true((model != NULL) == (status == ALLOY_OK));
    alloy_model_close(model);
    alloy_config_close(config);
    return status;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void c13_an_unknown_layer_type_is_told_with_the_known_ones(void **state)
{
    (void)state;
    expect_failure(describe(LAYERED(FULL ", " FULL ", \"qwen3_atention\", " FULL, FOUR(MLP), HEADS)), ALLOY_FORMAT,
                   "layer 2", "unknown layer type \"qwen3_atention\"", "did you mean \"qwen3_attention\"?",
                   "known: ", "qwen3_attention_sliding", "qwen3_5_gdn", "llama_attention");
    expect_failure(describe(LAYERED(FULL ", " FULL ", " FULL ", \"rwkv\"", FOUR(MLP), HEADS)), ALLOY_FORMAT, "layer 3",
                   "\"rwkv\"; known: ");
}

static void c13_an_unknown_ffn_type_is_too(void **state)
{
    (void)state;
    expect_failure(describe(LAYERED(FOUR(FULL), MLP ", \"qwen3_mpl\", " MLP ", " MLP, HEADS)), ALLOY_FORMAT, "layer 1",
                   "unknown ffn type \"qwen3_mpl\"", "did you mean \"qwen3_mlp\"?", "qwen3_moe", "qwen3_5_moe");
    /* a mixer is no feed-forward */
    expect_failure(describe(LAYERED(FOUR(FULL), FOUR(GDN), HEADS)), ALLOY_FORMAT, "layer 0", "unknown ffn type",
                   "qwen3_5_gdn");
}

static void every_module_is_found_by_its_name(void **state)
{
    (void)state;
    int mixers = 0, ffns = 0;
    for (const alloy_mixer *m; (m = alloy_mixer_at(mixers)); mixers++) {
        assert_ptr_equal(alloy_mixer_by_name(m->name), m);
        assert_true(m->summary && *m->summary);
    }
    for (const alloy_ffn *f; (f = alloy_ffn_at(ffns)); ffns++) {
        assert_ptr_equal(alloy_ffn_by_name(f->name), f);
        assert_true(f->summary && *f->summary);
    }
    assert_true(mixers >= 5 && ffns >= 3);
    assert_null(alloy_mixer_at(-1));
    assert_null(alloy_mixer_at(INT32_MAX));
    assert_null(alloy_ffn_at(-1));
    assert_null(alloy_ffn_at(INT32_MAX));
}

static void a_name_is_registered_once(void **state)
{
    (void)state;
    static alloy_mixer mixer, other_mixer;
    static alloy_ffn ffn, other_ffn;
    mixer = *alloy_mixer_by_name("qwen3_attention");
    ffn = *alloy_ffn_by_name("qwen3_mlp");
    expect_failure(alloy_register_mixer(&mixer), ALLOY_ARG, "qwen3_attention", "exists");
    expect_failure(alloy_register_ffn(&ffn), ALLOY_ARG, "qwen3_mlp", "exists");
    mixer.name = "own_attention";
    ffn.name = "own_mlp";
    expect_ok(alloy_register_mixer(&mixer));
    expect_ok(alloy_register_ffn(&ffn));
    other_mixer = mixer;
    other_ffn = ffn;
    expect_failure(alloy_register_mixer(&other_mixer), ALLOY_ARG, "own_attention", "exists");
    expect_failure(alloy_register_ffn(&other_ffn), ALLOY_ARG, "own_mlp", "exists");
    assert_ptr_equal(alloy_mixer_by_name("own_attention"), &mixer);
    assert_ptr_equal(alloy_ffn_by_name("own_mlp"), &ffn);
    expect_ok(describe(LAYERED(FOUR("\"own_attention\""), FOUR("\"own_mlp\""), HEADS)));
}

static void a_module_that_lacks_something_is_not_registered(void **state)
{
    (void)state;
    alloy_mixer mixer = *alloy_mixer_by_name("qwen3_attention");
    alloy_ffn ffn = *alloy_ffn_by_name("qwen3_mlp");
    mixer.name = "halfway";
    mixer.forward = NULL;
    ffn.name = NULL;
    expect_failure(alloy_register_mixer(&mixer), ALLOY_ARG, "halfway", "forward");
    expect_failure(alloy_register_ffn(&ffn), ALLOY_ARG, "(no name)");
    assert_null(alloy_mixer_by_name("halfway"));
}

/* ---- Fields ------------------------------------------------------------------------------------------------------ */

static void c8_heads_divide_into_key_value_heads(void **state)
{
    (void)state;
    expect_failure(describe(LAYERED(FOUR(FULL), FOUR(MLP),
                                    "\"num_attention_heads\": 4, \"num_key_value_heads\": 3, \"head_dim\": 16")),
                   ALLOY_RANGE, "layer 0", "num_attention_heads: 4", "num_key_value_heads = 3");
    expect_failure(describe(LAYERED(FOUR(FULL), FOUR(MLP),
                                    "\"num_attention_heads\": 4, \"num_key_value_heads\": 8, \"head_dim\": 16")),
                   ALLOY_RANGE, "layer 0", "num_key_value_heads", "8", "4");
    expect_failure(describe(LAYERED(FOUR(FULL), FOUR(MLP),
                                    "\"num_attention_heads\": 4, \"num_key_value_heads\": 0, \"head_dim\": 16")),
                   ALLOY_RANGE, "num_key_value_heads", "0");
}

/* The layer named is the one whose override is at fault. */
static void a_fault_in_one_layer_names_that_layer(void **state)
{
    (void)state;
    expect_failure(
        describe(LAYERED(FOUR(FULL), FOUR(MLP), HEADS ", \"layer_overrides\": {\"2\": {\"num_key_value_heads\": 3}}")),
        ALLOY_RANGE, "layer 2", "num_key_value_heads = 3");
    expect_failure(
        describe(LAYERED(FULL ", " GDN ", " GDN ", " FULL, FOUR(MLP),
                         HEADS
                         ", \"linear_num_key_heads\": 4, \"linear_num_value_heads\": 6, "
                         "\"linear_key_head_dim\": 8, \"linear_value_head_dim\": 8, \"linear_conv_kernel_dim\": 4")),
        ALLOY_RANGE, "layer 1", "linear_num_value_heads: 6", "linear_num_key_heads = 4");
}

static void c12_a_window_is_needed_where_a_layer_slides(void **state)
{
    (void)state;
    expect_failure(describe(LAYERED(FULL ", " FULL ", " SLIDING ", " FULL, FOUR(MLP), HEADS ", \"sliding_window\": 0")),
                   ALLOY_RANGE, "layer 2", "sliding_window", "0");
    expect_ok(describe(LAYERED(FOUR(FULL), FOUR(MLP), HEADS ", \"sliding_window\": 0")));
    expect_ok(describe(LAYERED(FOUR(SLIDING), FOUR(MLP), HEADS ", \"sliding_window\": 1")));
}

static void c10_rotated_channels_lie_within_a_head(void **state)
{
    (void)state;
    expect_failure(describe(LAYERED(FOUR(FULL), FOUR(MLP), HEADS ", \"partial_rotary_factor\": 1.5")), ALLOY_RANGE,
                   "partial_rotary_factor", "1.5");
    expect_failure(describe(LAYERED(FOUR(FULL), FOUR(MLP), HEADS ", \"partial_rotary_factor\": 0.05")), ALLOY_RANGE,
                   "layer 0", "partial_rotary_factor", "head_dim 16");
    /* an odd head would turn one channel more than it has */
    expect_failure(describe(LAYERED(FOUR(FULL), FOUR(MLP), HEADS ", \"layer_overrides\": {\"3\": {\"head_dim\": 15}}")),
                   ALLOY_RANGE, "layer 3", "partial_rotary_factor", "head_dim 15");
    expect_ok(describe(LAYERED(FOUR(FULL), FOUR(MLP),
                               HEADS ", \"partial_rotary_factor\": 0.5, "
                                     "\"layer_overrides\": {\"3\": {\"head_dim\": 15}}")));
}

static void experts_are_enough_for_a_token(void **state)
{
    (void)state;
#define ROUTED(experts, chosen)                                                                                        \
    LAYERED(FOUR(FULL), MLP ", " MLP ", " MLP ", \"qwen3_moe\"",                                                       \
            HEADS ", \"moe_intermediate_size\": 32, \"num_experts\": " #experts ", \"num_experts_per_tok\": " #chosen)
    expect_failure(describe(ROUTED(4, 5)), ALLOY_RANGE, "layer 3", "num_experts_per_tok", "5", "4");
    expect_ok(describe(ROUTED(4, 4)));
#undef ROUTED
}

static void a_field_that_a_module_needs_is_missed_by_name(void **state)
{
    (void)state;
    expect_failure(describe(LAYERED(FULL ", " FULL ", " FULL ", " GDN, FOUR(MLP),
                                    HEADS ", \"linear_conv_kernel_dim\": 1, \"linear_num_key_heads\": 2, "
                                          "\"linear_num_value_heads\": 2, \"linear_key_head_dim\": 8, "
                                          "\"linear_value_head_dim\": 8")),
                   ALLOY_RANGE, "linear_conv_kernel_dim", "1");
}

/* A folder's model says where the config lies, too, and says it before it looks at weights. */
static void opening_a_model_names_the_folder(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *config = changed_config(GOLDEN("qwen3"), "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3");
    write_text(folder, "config.json", config);
    alloy_model *model;
    expect_failure(alloy_model_open(&model, folder, NULL), ALLOY_RANGE, folder, "layer 0", "num_key_value_heads = 3");
    assert_null(model);
    free(config);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c13_an_unknown_layer_type_is_told_with_the_known_ones),
        cmocka_unit_test(c13_an_unknown_ffn_type_is_too),
        cmocka_unit_test(every_module_is_found_by_its_name),
        cmocka_unit_test(a_name_is_registered_once),
        cmocka_unit_test(a_module_that_lacks_something_is_not_registered),
        cmocka_unit_test(c8_heads_divide_into_key_value_heads),
        cmocka_unit_test(a_fault_in_one_layer_names_that_layer),
        cmocka_unit_test(c12_a_window_is_needed_where_a_layer_slides),
        cmocka_unit_test(c10_rotated_channels_lie_within_a_head),
        cmocka_unit_test(experts_are_enough_for_a_token),
        cmocka_unit_test(a_field_that_a_module_needs_is_missed_by_name),
        cmocka_unit_test(opening_a_model_names_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
