/* What a forward reads of weights in FP8 and FP4: each byte of the file once, scales included. */
#include "engine/twins.h"

#include "engine/count.h"
#include "checkpoint/model.h"

#define QWEN3                                                                                                          \
    "{\"model_type\": \"qwen3\", \"vocab_size\": 256, \"hidden_size\": 160, \"intermediate_size\": 200, "              \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 5, \"num_key_value_heads\": 1, \"head_dim\": 34, "             \
    "\"dtype\": \"float32\"}"

enum { VOCAB = 256, HIDDEN = 160 };

static void a_decode_reads_the_file_once(void **state)
{
    (void)state;
    static const struct packing f8 = {ALLOY_F8_E4M3, "_scale_inv", ALLOY_F32, 128, 128},
                                f4 = {ALLOY_I8, ".scale", ALLOY_F8_E8M0, 1, 32};
    struct twins twins;
    char *packed, *wide;
    begin_twins(&twins, QWEN3, 1);
    pack_all(&twins, ".self_attn.", &f8, 1);
    pack_all(&twins, ".mlp.", &f4, 1);
    uint64_t bytes = 0;
    for (int64_t i = 0; i < twins.packed.count; i++) {
        const alloy_saved_tensor *t = &twins.packed.tensors[i];
        bytes += t->shape[0] * (t->ndim > 1 ? t->shape[1] : 1) * (uint64_t)alloy_dtype_bits(t->dtype) / 8;
    }
    end_twins(&twins, QWEN3, QWEN3, &packed, &wide);
    alloy_model *model = open_model(packed);
    alloy_roofline *roofline;
    alloy_roofline_memory memory;
    alloy_roofline_sequences decode = {.count = 1, .tokens = 1, .cached = 9};
    alloy_roofline_options options = {
        .size = sizeof options, .accounting = ALLOY_EXACT, .sequences = &decode, .sequences_count = 1};
    expect_ok(alloy_roofline_open(&roofline, model, &options));
    expect_ok(alloy_roofline_needs(model, &options, 1, &memory));
    const uint64_t read = bytes - (VOCAB - 1) * HIDDEN * sizeof(float); /* of the embedding one row */
    assert_int_equal(model->bound_bytes, bytes);
    assert_int_equal((uint64_t)alloy_wide_of(memory.weights), bytes);
    assert_int_equal((uint64_t)alloy_wide_of(alloy_roofline_total(roofline)->read[ALLOY_TRAFFIC_WEIGHTS]), read);
    assert_int_equal(alloy_model_bytes_per_token(model), read);
    alloy_roofline_close(roofline);
    alloy_model_close(model);
    remove_folder(packed);
    remove_folder(wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_decode_reads_the_file_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
