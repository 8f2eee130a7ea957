/* The generator of spoiled models (tests/attacks/spoiled_model.h) spoils what it says, and nothing else. */
#include "support.h"

#include <math.h>

#include "attacks/spoiled_model.h"

/* a F32 [2, 2] of ones, b BF16 [3] of ones. */
static char *sound_model(void)
{
    char *folder = test_folder();
    const float a[4] = {1, 1, 1, 1};
    const uint16_t b[3] = {0x3F80, 0x3F80, 0x3F80};
    const alloy_saved_tensor tensors[] = {{.name = "a", .dtype = ALLOY_F32, .ndim = 2, .shape = {2, 2}, .data = a},
                                          {.name = "b", .dtype = ALLOY_BF16, .ndim = 1, .shape = {3}, .data = b}};
    write_text(folder, "config.json", "{}");
    expect_ok(alloy_safetensors_write(path_in(folder, "model.safetensors"), tensors, 2, NULL, 0));
    return folder;
}

/* What the spoiled model holds: "name dtype [shape] first-value" of each tensor. */
static void expect_spoiled(const struct spoil *spoil, const char *expected)
{
    char *model = sound_model(), *folder = test_folder();
    spoil_model(folder, model, spoil);
    alloy_safetensors file;
    alloy_text words = {0};
    expect_ok(alloy_safetensors_open(&file, path_in(folder, "model.safetensors"), true));
    for (int64_t i = 0; i < file.count; i++) {
        const alloy_stored_tensor *tensor = alloy_safetensors_at(&file, i);
        float value = 0;
        size_t element = (size_t)alloy_dtype_bits(tensor->dtype) / 8;
        memcpy((uint8_t *)&value + 4 - element, tensor->data, element);
        alloy_text_format(&words, "%s ", tensor->name);
        alloy_stored_tensor_describe(tensor, &words);
        alloy_text_format(&words, " %g\n", (double)value);
    }
    expect_text(words.bytes, expected);
    alloy_text_free(&words);
    alloy_safetensors_close(&file);
    remove_folder(model);
    remove_folder(folder);
}

static void each_spoil_changes_one_thing(void **state)
{
    (void)state;
    expect_spoiled(&(struct spoil){0}, "a F32 [2, 2] 1\nb BF16 [3] 1\n");
    expect_spoiled(&(struct spoil){.fill = "a", .value = HUGE_VALF}, "a F32 [2, 2] inf\nb BF16 [3] 1\n");
    expect_spoiled(&(struct spoil){.fill = "b", .value = -2}, "a F32 [2, 2] 1\nb BF16 [3] -2\n");
    expect_spoiled(&(struct spoil){.retype = "b", .dtype = ALLOY_F8_E4M3}, "a F32 [2, 2] 1\nb F8_E4M3 [3] 0\n");
    expect_spoiled(&(struct spoil){.reshape = "a"}, "a F32 [1, 2] 1\nb BF16 [3] 1\n");
    expect_spoiled(&(struct spoil){.remove = "a"}, "b BF16 [3] 1\n");
    expect_spoiled(&(struct spoil){.rename = "b", .to = "c"}, "a F32 [2, 2] 1\nc BF16 [3] 1\n");
    expect_spoiled(&(struct spoil){.add = "0"}, "0 F32 [2, 2] 0\na F32 [2, 2] 1\nb BF16 [3] 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_spoil_changes_one_thing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
