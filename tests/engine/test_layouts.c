/* The same model as other makers store it: a delta net with fused input projections (Qwen3-Next), a text model within a
 * multimodal one. The bits are the same, since each output is the same dot. */
#include "engine/models.h"

enum { HIDDEN = 64, KEY_HEADS = 2, RATIO = 2, KEYS = 16, VALUES = 24 }; /* of golden/qwen3_5's delta net */
enum { KEY_ROWS = KEY_HEADS * KEYS, HEAD_ROWS = RATIO * VALUES, VALUE_ROWS = KEY_HEADS * HEAD_ROWS };

static const float *weight_of(struct model_copy *copy, int layer, const char *part)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.linear_attn.%s.weight", layer, part);
    return tensor_in(copy, name)->data;
}

static void remove_weight(struct model_copy *copy, int layer, const char *part)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.linear_attn.%s.weight", layer, part);
    remove_tensor(copy, name);
}

static float *add_weight(struct model_copy *copy, int layer, const char *part, uint64_t rows)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.linear_attn.%s.weight", layer, part);
    return (float *)(uintptr_t)add_tensor(copy, name, ALLOY_F32, 2, (uint64_t[]){rows, HIDDEN})->data;
}

/* The next `rows` rows of a fused weight. */
static void take_rows(float **to, const float *from, int first, int rows)
{
    memcpy(*to, from + first * HIDDEN, (size_t)(rows * HIDDEN) * sizeof *from);
    *to += rows * HIDDEN;
}

/* For each key head: its q, k, v and gate rows; and beta and decay of its value heads. */
static void fuse_inputs(struct model_copy *copy, int layer)
{
    const float *qkv = weight_of(copy, layer, "in_proj_qkv"), *z = weight_of(copy, layer, "in_proj_z"),
                *b = weight_of(copy, layer, "in_proj_b"), *a = weight_of(copy, layer, "in_proj_a");
    float *qkvz = add_weight(copy, layer, "in_proj_qkvz", 2 * KEY_ROWS + 2 * VALUE_ROWS),
          *ba = add_weight(copy, layer, "in_proj_ba", 2 * KEY_HEADS * RATIO);
    for (int head = 0; head < KEY_HEADS; head++) {
        take_rows(&qkvz, qkv, head * KEYS, KEYS);
        take_rows(&qkvz, qkv, KEY_ROWS + head * KEYS, KEYS);
        take_rows(&qkvz, qkv, 2 * KEY_ROWS + head * HEAD_ROWS, HEAD_ROWS);
        take_rows(&qkvz, z, head * HEAD_ROWS, HEAD_ROWS);
        take_rows(&ba, b, head * RATIO, RATIO);
        take_rows(&ba, a, head * RATIO, RATIO);
    }
    static const char *const parts[] = {"in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"};
    for (int i = 0; i < 4; i++)
        remove_weight(copy, layer, parts[i]);
}

static void fused_inputs_of_the_delta_net_give_the_same_bits(void **state)
{
    (void)state;
    struct model_copy copy;
    char *folder = test_folder();
    begin_copy(&copy, GOLDEN("qwen3_5"));
    for (int layer = 0; layer < 3; layer++) /* the last is attention */
        fuse_inputs(&copy, layer);
    end_copy(&copy, GOLDEN("qwen3_5"), NULL, folder);
    expect_same_model(folder, NULL, GOLDEN("qwen3_5"));
    remove_folder(folder);
}

static void half_of_a_layout_is_missing_tensors(void **state)
{
    (void)state;
    struct model_copy copy;
    alloy_model *model;
    char *folder = test_folder();
    begin_copy(&copy, GOLDEN("qwen3_5"));
    fuse_inputs(&copy, 1);
    remove_weight(&copy, 1, "in_proj_ba");
    end_copy(&copy, GOLDEN("qwen3_5"), NULL, folder);
    expect_failure(alloy_model_open(&model, folder, NULL), ALLOY_FORMAT, "missing",
                   "model.layers.1.linear_attn.in_proj_");
    assert_null(model);
    remove_folder(folder);
}

static void a_text_model_within_a_multimodal_one_gives_the_same_bits(void **state)
{
    (void)state;
    char *folder = test_folder();
    write_multimodal(folder);
    expect_same_model(folder, NULL, GOLDEN("qwen3_5"));
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused_inputs_of_the_delta_net_give_the_same_bits),
        cmocka_unit_test(half_of_a_layout_is_missing_tensors),
        cmocka_unit_test(a_text_model_within_a_multimodal_one_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
