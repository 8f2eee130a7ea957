/* Scales that are missing, left over, of another shape or dtype, and formats where they cannot be: one line that names
 * both tensors. */
#include "engine/twins.h"

static const char UP[] = "model.layers.0.mlp.up_proj.weight",
                  UP_SCALES[] = "model.layers.0.mlp.up_proj.weight_scale_inv";

#define QWEN3                                                                                                          \
    "{\"model_type\": \"qwen3\", \"vocab_size\": 256, \"hidden_size\": 160, \"intermediate_size\": 200, "              \
    "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 32, "             \
    "\"dtype\": \"float32\"%s}"

static const struct packing f8 = {ALLOY_F8_E4M3, "_scale_inv", ALLOY_F32, 128, 128},
                            f4 = {ALLOY_I8, ".scale", ALLOY_F8_E8M0, 1, 32};
static const struct packing mxfp4 = {ALLOY_U8, "_scales", ALLOY_U8, 1, 32};

static const char *text_of(const char *more)
{
    static char text[512];
    snprintf(text, sizeof text, QWEN3, more);
    return text;
}

/* A model with one packed weight, to be changed. */
static void begin(struct twins *twins, const struct packing *packing)
{
    begin_twins(twins, text_of(""), 1);
    pack(twins, UP, packing);
}

/* Opening the packed one of the twins, with this in its config. */
static alloy_status open_packed(struct twins *twins, const char *more)
{
    char *packed, *wide;
    alloy_model *model;
    end_twins(twins, text_of(more), text_of(""), &packed, &wide);
    alloy_status status = alloy_model_open(&model, packed, NULL);
    assert_true((status == ALLOY_OK) == (model != NULL));
    alloy_model_close(model);
    remove_folder(packed);
    remove_folder(wide);
    return status;
}

static void s21_sound_scales_are_opened(void **state)
{
    (void)state;
    struct twins twins;
    begin(&twins, &f8);
    expect_ok(open_packed(&twins, ""));
    begin(&twins, &f4);
    expect_ok(open_packed(&twins, ""));
    begin(&twins, &mxfp4);
    expect_ok(open_packed(&twins, ""));
}

static void s21_missing_scales_are_told_with_their_weight(void **state)
{
    (void)state;
    struct twins twins;
    begin(&twins, &f8);
    remove_tensor(&twins.packed, UP_SCALES);
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "1 missing", UP_SCALES, "up_proj.scale (the scales of", UP);
    begin(&twins, &f4);
    remove_tensor(&twins.packed, "model.layers.0.mlp.up_proj.scale");
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "1 missing", "up_proj.scale (the scales of", UP);
    begin(&twins, &mxfp4);
    remove_tensor(&twins.packed, "model.layers.0.mlp.up_proj.weight_scales");
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "1 missing", "up_proj.weight_scales",
                   "up_proj.weight_blocks");
}

static void s21_scales_that_nothing_uses_are_told(void **state)
{
    (void)state;
    static const char more[] = "model.layers.0.mlp.down_proj.weight_scale_inv";
    struct twins twins;
    begin(&twins, &f8);
    add_tensor(&twins.packed, more, ALLOY_F32, 2, (uint64_t[]){2, 2}); /* of a weight in F32 */
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "1 tensors that nothing uses", more);
    begin(&twins, &f8);
    add_tensor(&twins.packed, "model.layers.0.mlp.up_proj.scale", ALLOY_F32, 2, (uint64_t[]){2, 2}); /* the second */
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "1 tensors that nothing uses", "up_proj.scale");
}

static void s21_scales_of_other_tiles_are_told_with_both_shapes(void **state)
{
    (void)state;
    struct twins twins;
    begin(&twins, &f8);
    expect_failure(
        open_packed(&twins, ", \"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [64, 128]}"),
        ALLOY_FORMAT, UP_SCALES, "F32 [2, 2], expected [4, 2]");
    begin(&twins, &f4);
    tensor_in(&twins.packed, "model.layers.0.mlp.up_proj.scale")->shape[0] = 100;
    tensor_in(&twins.packed, "model.layers.0.mlp.up_proj.scale")->shape[1] = 10;
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "up_proj.scale is F8_E8M0 [100, 10], expected [200, 5]");
    begin(&twins, &mxfp4);
    tensor_in(&twins.packed, "model.layers.0.mlp.up_proj.weight_blocks")->shape[2] = 32;
    tensor_in(&twins.packed, "model.layers.0.mlp.up_proj.weight_blocks")->shape[0] = 100;
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "up_proj.weight_blocks",
                   "[100, 5, 32], expected [200, 5, 16]");
}

static void s21_scales_of_another_dtype_are_told(void **state)
{
    (void)state;
    struct twins twins;
    begin(&twins, &f8);
    tensor_in(&twins.packed, UP_SCALES)->dtype = ALLOY_I32; /* as wide */
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, UP_SCALES, "scales of dtype I32", "F8_E8M0", UP);
    begin(&twins, &f4);
    tensor_in(&twins.packed, "model.layers.0.mlp.up_proj.scale")->dtype = ALLOY_F8_E4M3;
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "up_proj.scale", "scales of dtype F8_E4M3", UP);
    begin(&twins, &mxfp4);
    tensor_in(&twins.packed, "model.layers.0.mlp.up_proj.weight_scales")->dtype = ALLOY_I8;
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "up_proj.weight_scales", "dtype I8, expected U8");
}

/* The weight's own tensor beside its blocks: one of them is left over. */
static void s21_a_weight_that_is_stored_twice_is_told(void **state)
{
    (void)state;
    struct twins twins;
    begin(&twins, &mxfp4);
    add_tensor(&twins.packed, UP, ALLOY_F32, 2, (uint64_t[]){200, 160});
    expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, "2 tensors that nothing uses", "up_proj.weight_blocks",
                   "up_proj.weight_scales");
}

static void s21_what_is_no_matrix_has_no_scales(void **state)
{
    (void)state;
    static const char *const norms[] = {"model.norm.weight", "model.layers.0.self_attn.q_norm.weight"};
    static const alloy_dtype dtypes[] = {ALLOY_F8_E4M3, ALLOY_I8};
    for (int i = 0; i < 4; i++) {
        struct twins twins;
        begin(&twins, &f8);
        alloy_saved_tensor old = *tensor_in(&twins.packed, norms[i / 2]);
        remove_tensor(&twins.packed, norms[i / 2]);
        add_tensor(&twins.packed, norms[i / 2], dtypes[i % 2], 1, old.shape);
        expect_failure(open_packed(&twins, ""), ALLOY_FORMAT, norms[i / 2], "no matrix",
                       alloy_dtype_name(dtypes[i % 2]), "unsupported", "BF16");
    }
}

/* Rows of FP4 are whole bytes, those of MXFP4 whole blocks. */
static void s21_rows_that_fp4_cannot_hold_are_told(void **state)
{
    (void)state;
    static const struct {
        int hidden;
        const struct packing *packing;
        const char *words;
    } cases[] = {{161, &f4, "rows of 161 weights in FP4, expected a multiple of 2"},
                 {168, &mxfp4, "rows of 168 weights in FP4, expected a multiple of 32"}};
    for (int i = 0; i < 2; i++) {
        char old[32], *folder = test_folder(), *text = strdup(text_of(""));
        struct model_copy copy;
        alloy_config *config;
        alloy_model *model;
        snprintf(old, sizeof old, "%d", cases[i].hidden);
        memcpy(strstr(text, "160"), old, 3);
        expect_ok(alloy_config_parse(&config, "config.json", text, strlen(text)));
        expect_ok(alloy_model_init(config, NULL, folder, &(alloy_init_options){.seed = 1}));
        begin_copy(&copy, folder);
        remove_tensor(&copy, UP);
        bool blocks = cases[i].packing == &mxfp4;
        uint64_t columns = (uint64_t)cases[i].hidden;
        char name[256];
        snprintf(name, sizeof name, "%s%s", UP, blocks ? "_blocks" : "");
        add_tensor(&copy, name, cases[i].packing->dtype, 2, (uint64_t[]){200, columns / 2});
        name_scales(name, UP, cases[i].packing->ending);
        add_tensor(&copy, name, cases[i].packing->scales, 2, (uint64_t[]){200, (columns + 31) / 32});
        char *changed = test_folder();
        end_copy(&copy, NULL, text, changed);
        expect_failure(alloy_model_open(&model, changed, NULL), ALLOY_FORMAT, UP, cases[i].words);
        alloy_config_close(config);
        free(text);
        remove_folder(folder);
        remove_folder(changed);
    }
}

/* S20: a weight, or a scale, that is NaN is found and named when a forward meets it. */
static void s20_values_that_are_none_are_found(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct twins twins;
        char *packed, *wide;
        begin(&twins, i < 2 ? &f8 : &f4);
        const char *name = i == 0 ? UP : i == 1 ? UP_SCALES : "model.layers.0.mlp.up_proj.scale";
        char *bytes = (char *)(uintptr_t)tensor_in(&twins.packed, name)->data;
        if (i == 0)
            bytes[3 * 160 + 7] = 0x7f;
        else if (i == 1)
            memcpy(bytes + 3 * sizeof(float), &(float){NAN}, sizeof(float)); /* of rows from 128, columns from 128 */
        else
            bytes[9 * 5 + 2] = (char)255;
        end_twins(&twins, text_of(""), text_of(""), &packed, &wide);
        alloy_model *model = open_model(packed);
        alloy_session *session = open_session(model, 1, 0, NULL);
        alloy_cache *cache = open_cache(session);
        float logits[256];
        expect_failure(alloy_forward(session, &(alloy_sequence){cache, (int64_t[]){1}, 1}, 1, logits, NULL),
                       ALLOY_RANGE, "not finite",
                       i == 0   ? "NaN at [3, 7] of"
                       : i == 1 ? "NaN at [128, 128] of"
                                : "NaN at [9, 64] of",
                       UP);
        alloy_cache_close(cache);
        alloy_session_close(session);
        alloy_model_close(model);
        remove_folder(packed);
        remove_folder(wide);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s21_sound_scales_are_opened),
        cmocka_unit_test(s21_missing_scales_are_told_with_their_weight),
        cmocka_unit_test(s21_scales_that_nothing_uses_are_told),
        cmocka_unit_test(s21_scales_of_other_tiles_are_told_with_both_shapes),
        cmocka_unit_test(s21_scales_of_another_dtype_are_told),
        cmocka_unit_test(s21_a_weight_that_is_stored_twice_is_told),
        cmocka_unit_test(s21_what_is_no_matrix_has_no_scales),
        cmocka_unit_test(s21_rows_that_fp4_cannot_hold_are_told),
        cmocka_unit_test(s20_values_that_are_none_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
