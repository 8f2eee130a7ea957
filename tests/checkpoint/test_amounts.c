/* What programs ask of a model and of its folder: amounts, what the files hold, a model that is drawn. */
#include "support.h"

#include "alloy/extend.h"
#include "base/count.h"

#define GOLDEN ALLOY_SOURCE_DIR "/tests/golden/"

enum { LAYERS = 4 };

/* Four layers of attention with norms of q and k, and of a SwiGLU MLP. */
static void amounts_are_those_worked_out_by_hand(void **state)
{
    (void)state;
    alloy_model *model;
    alloy_amounts total, layers[LAYERS];
    expect_ok(alloy_model_open(&model, GOLDEN "qwen3", NULL));
    const alloy_config *c = alloy_model_config(model);
    int64_t heads, kv_heads, head_dim, inner, h = alloy_config_hidden_size(c);
    expect_ok(alloy_config_get_int64(c, "num_attention_heads", 0, &heads));
    expect_ok(alloy_config_get_int64(c, "num_key_value_heads", 0, &kv_heads));
    expect_ok(alloy_config_get_int64(c, "head_dim", 0, &head_dim));
    expect_ok(alloy_config_get_int64(c, "intermediate_size", 0, &inner));
    int64_t q = heads * head_dim, kv = kv_heads * head_dim;
    int64_t layer = h * q + 2 * h * kv + q * h + 2 * head_dim + 3 * h * inner + 2 * h;
    expect_ok(alloy_model_amounts(model, ALLOY_BF16, &total, layers));
    for (int i = 0; i < LAYERS; i++) {
        assert_true(alloy_wide_of(layers[i].parameters) == layer && alloy_wide_of(layers[i].active) == layer);
        assert_true(alloy_wide_of(layers[i].cache_per_token) == 2 * kv * 2 &&
                    alloy_wide_of(layers[i].cache_fixed) == 0);
    }
    int64_t ends = (alloy_config_ties_head(c) ? 1 : 2) * alloy_config_vocab_size(c) * h + h;
    assert_true(alloy_wide_of(total.parameters) == LAYERS * layer + ends);
    assert_true(alloy_wide_of(total.cache_per_token) == LAYERS * 4 * kv);
    expect_ok(alloy_model_amounts(model, ALLOY_DTYPE_NONE, &total, layers)); /* F32, as in alloy_session_options */
    assert_true(alloy_wide_of(total.cache_per_token) == LAYERS * 8 * kv);
    alloy_model_close(model);
}

static void what_is_stored_is_every_tensor_of_the_files(void **state)
{
    (void)state;
    alloy_model *model, *described;
    alloy_config *config;
    alloy_stored stored;
    expect_ok(alloy_model_open(&model, GOLDEN "llama_linear_sharded", NULL));
    expect_ok(alloy_model_stored(model, &stored));
    assert_int_equal(stored.files, 10);
    uint64_t tensors = 0, bytes = 0;
    for (int d = 0; d < ALLOY_DTYPE_COUNT; d++) {
        tensors += stored.tensors_of[d];
        bytes += stored.bytes_of[d];
    }
    assert_int_equal(tensors, alloy_model_tensors(model));
    assert_int_equal(bytes, stored.bytes);
    assert_true(bytes > 0);
    assert_int_equal(alloy_model_skipped(model), 0);
    expect_ok(alloy_config_open_in(&config, alloy_model_opened_files(model)));
    expect_ok(alloy_model_describe(&described, config));
    assert_int_equal(alloy_model_tensors(described), 0);
    expect_failure(alloy_model_stored(described, &stored), ALLOY_ARG, "described only");
    alloy_model_close(described);
    alloy_config_close(config);
    alloy_model_close(model);
}

static void a_folder_tells_what_it_holds(void **state)
{
    (void)state;
    alloy_model_files *files;
    bool has;
    expect_ok(alloy_model_files_find(&files, GOLDEN "qwen3", false));
    expect_text(alloy_model_files_folder(files), GOLDEN "qwen3");
    expect_ok(alloy_model_files_has(files, "model.safetensors", &has));
    assert_true(has);
    expect_ok(alloy_model_files_has(files, "tokenizer.json", &has));
    assert_false(has);
    alloy_model_files_release(files);
    expect_failure(alloy_model_files_find(&files, GOLDEN "nowhere", false), ALLOY_IO, "nowhere");
    assert_null(files);
    alloy_model_files_release(NULL);
}

static void a_model_is_drawn_beside_its_config(void **state)
{
    (void)state;
    char *folder = test_folder(), *out = path_in(folder, "drawn");
    alloy_init_options options = {.size = sizeof options, .seed = 3, .dtype = ALLOY_F16};
    alloy_model *model;
    alloy_stored stored;
    expect_ok(alloy_init(GOLDEN "qwen3", out, &options));
    expect_ok(alloy_model_open(&model, out, NULL));
    expect_ok(alloy_model_stored(model, &stored));
    assert_int_equal(stored.tensors_of[ALLOY_F16], alloy_model_tensors(model));
    alloy_model_close(model);
    expect_failure(alloy_init(GOLDEN "qwen3", out, &options), ALLOY_IO, "holds a model already");
    options.size = 1;
    expect_failure(alloy_init(GOLDEN "qwen3", out, &options), ALLOY_ARG, "alloy_init_options", "size is 1");
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_those_worked_out_by_hand),
        cmocka_unit_test(what_is_stored_is_every_tensor_of_the_files),
        cmocka_unit_test(a_folder_tells_what_it_holds),
        cmocka_unit_test(a_model_is_drawn_beside_its_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
