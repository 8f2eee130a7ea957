/* Converted models: what is rounded is the nearest even, what is only renamed keeps its bytes, and what cannot be done
 * is said before anything is written. Roundings are compared with searches over all codes of a format. */
#include "engine/models.h"

#include <math.h>
#include <signal.h>

#include "alloy/extend.h"
#include "base/memory.h"
#include "checkpoint/init.h"

enum { MOST_PATH = 4096 };

static void join(char out[MOST_PATH], const char *folder, const char *name)
{
    snprintf(out, MOST_PATH, "%s/%s", folder, name);
}

/* ---- Converting -------------------------------------------------------------------------------------------------- */

/* Sums over the tensors of a conversion. */
struct told {
    int64_t tensors, kept;
    double largest_error; /* of any */
    const char *wanted;   /* the tensor that is remembered */
    alloy_converted_tensor found;
};

static void hear(void *user, const alloy_converted_tensor *t)
{
    struct told *told = user;
    told->tensors++;
    told->kept += t->kept;
    told->largest_error = t->largest_error > told->largest_error ? t->largest_error : told->largest_error;
    if (told->wanted && strcmp(t->name, told->wanted) == 0)
        told->found = *t;
}

static void convert(const char *from, const char *to, alloy_dtype dtype, alloy_layout layout, struct told *told)
{
    alloy_model *model = open_model(from);
    alloy_convert_options options = {
        .size = sizeof options, .dtype = dtype, .layout = layout, .tensor = told ? hear : NULL, .user = told};
    expect_ok(alloy_convert(model, to, &options));
    alloy_model_close(model);
}

static void expect_same_file(const char *actual, const char *expected)
{
    size_t actual_size, expected_size;
    char *a = read_whole(actual, &actual_size), *b = read_whole(expected, &expected_size);
    if (actual_size != expected_size || memcmp(a, b, actual_size) != 0)
        fail_msg("%s (%zu bytes) differs from %s (%zu bytes)", actual, actual_size, expected, expected_size);
    free(a);
    free(b);
}

/* A folder with weights drawn for a config. */
static void draw_model(const char *folder, const char *config, alloy_dtype dtype)
{
    alloy_config *parsed;
    mkdir(folder, 0777);
    write_text(folder, "config.json", config);
    expect_ok(alloy_config_open(&parsed, folder));
    expect_ok(alloy_model_init(parsed, NULL, folder, &(alloy_init_options){.seed = 7, .dtype = dtype}));
    alloy_config_close(parsed);
}

/* Sides that divide by 128, but for the keys and values (192 rows). */
static const char DENSE[] =
    "{\"model_type\": \"qwen3\", \"vocab_size\": 256, \"hidden_size\": 128, \"num_hidden_layers\": 1, "
    "\"intermediate_size\": 256, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 96, "
    "\"tie_word_embeddings\": false, \"initializer_range\": 0.3, \"max_position_embeddings\": 128, "
    "\"dtype\": \"bfloat16\"}";

static const char EXPERTS[] =
    "{\"model_type\": \"qwen3_moe\", \"vocab_size\": 256, \"hidden_size\": 128, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 64, \"num_experts\": 4, "
    "\"num_experts_per_tok\": 2, \"moe_intermediate_size\": 128, \"tie_word_embeddings\": true, "
    "\"max_position_embeddings\": 128, \"dtype\": \"bfloat16\"}";

static const char V4[] =
    "{\"model_type\": \"deepseek_v4\", \"vocab_size\": 256, \"hidden_size\": 128, \"moe_intermediate_size\": 128, "
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"head_dim\": 64, \"q_lora_rank\": 128, \"o_groups\": 2, "
    "\"o_lora_rank\": 64, \"sliding_window\": 16, \"compress_rates\": {\"compressed_sparse_attention\": 4, "
    "\"heavily_compressed_attention\": 8}, \"layer_types\": [\"heavily_compressed_attention\", "
    "\"compressed_sparse_attention\"], \"mlp_layer_types\": [\"hash_moe\", \"moe\"], \"index_n_heads\": 2, "
    "\"index_head_dim\": 64, \"index_topk\": 4, \"n_routed_experts\": 4, \"num_experts_per_tok\": 2, "
    "\"partial_rotary_factor\": 0.25, \"max_position_embeddings\": 128, \"tie_word_embeddings\": false, "
    "\"initializer_range\": 0.1, \"dtype\": \"bfloat16\"}";

/* ---- Dtypes of one value ----------------------------------------------------------------------------------------- */

static void widened_and_rounded_back_the_bytes_are_the_same(void **state)
{
    (void)state;
    static const char *const cases[] = {GOLDEN("qwen3"), GOLDEN("qwen3_5"), GOLDEN("qwen3_moe"), GOLDEN("dsv4")};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = test_folder(), bf16[MOST_PATH], f32[MOST_PATH], again[MOST_PATH];
        struct told told = {0};
        join(bf16, folder, "bf16");
        join(f32, folder, "f32");
        join(again, folder, "again");
        convert(cases[i], bf16, ALLOY_BF16, ALLOY_LAYOUT_KEPT, NULL);
        convert(bf16, f32, ALLOY_F32, ALLOY_LAYOUT_KEPT, &told);
        assert_true(told.largest_error == 0);
        convert(f32, again, ALLOY_BF16, ALLOY_LAYOUT_KEPT, &told);
        assert_true(told.largest_error == 0);
        expect_same_file(path_in(again, "model.safetensors"), path_in(bf16, "model.safetensors"));
        expect_same_file(path_in(again, "config.json"), path_in(bf16, "config.json"));
        expect_same_file(path_in(again, "generation_config.json"), path_in(cases[i], "generation_config.json"));
        remove_folder(folder);
    }
}

/* The value of a 16-bit code, from the meaning of its bits. */
static double value_of_code(alloy_dtype dtype, uint32_t code)
{
    int fraction_bits = dtype == ALLOY_BF16 ? 7 : 10, exponent_bits = 15 - fraction_bits;
    int bias = (1 << (exponent_bits - 1)) - 1, exponent = (int)(code >> fraction_bits) & ((1 << exponent_bits) - 1);
    double fraction = (double)(code & ((1u << fraction_bits) - 1)) / (1 << fraction_bits);
    double size = exponent ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias);
    return code >> 15 ? -size : size;
}

/* The code of a positive number nearest to it, the even one of two. Codes rise with their values. */
static uint32_t nearest_code(alloy_dtype dtype, double value)
{
    uint32_t below = 0, above = dtype == ALLOY_BF16 ? 0x7f7f : 0x7bff;
    while (above - below > 1) {
        uint32_t middle = (below + above) / 2;
        *(value_of_code(dtype, middle) <= value ? &below : &above) = middle;
    }
    double down = value - value_of_code(dtype, below), up = value_of_code(dtype, above) - value;
    return down < up || (down == up && below % 2 == 0) ? below : above;
}

static void sixteen_bits_are_the_nearest_even(void **state)
{
    (void)state;
    static const alloy_dtype dtypes[] = {ALLOY_BF16, ALLOY_F16};
    for (int d = 0; d < 2; d++) {
        char *folder = test_folder(), made[MOST_PATH];
        struct told told = {.wanted = "model.layers.0.mlp.up_proj.weight"};
        join(made, folder, "made");
        convert(GOLDEN("qwen3"), made, dtypes[d], ALLOY_LAYOUT_KEPT, &told);
        alloy_safetensors before, after;
        expect_ok(alloy_safetensors_open(&before, path_in(GOLDEN("qwen3"), "model.safetensors"), true));
        expect_ok(alloy_safetensors_open(&after, path_in(made, "model.safetensors"), true));
        const alloy_stored_tensor *old = alloy_safetensors_find(&before, told.wanted, strlen(told.wanted)),
                                  *fresh = alloy_safetensors_find(&after, told.wanted, strlen(told.wanted));
        double largest = 0, largest_error = 0, squares = 0, error_squares = 0;
        size_t count = old->bytes / 4;
        for (size_t i = 0; i < count; i++) {
            float value;
            uint16_t code;
            memcpy(&value, old->data + 4 * i, 4);
            memcpy(&code, fresh->data + 2 * i, 2);
            uint32_t expected = nearest_code(dtypes[d], fabs((double)value)) | (signbit(value) ? 0x8000 : 0);
            if (code != expected)
                fail_msg("element %zu, %a: %04x, expected %04x", i, (double)value, code, expected);
            double error = fabs(value_of_code(dtypes[d], code) - (double)value);
            largest = fmax(largest, fabs((double)value));
            largest_error = fmax(largest_error, error);
            squares += (double)value * (double)value;
            error_squares += error * error;
        }
        assert_true(told.found.largest == largest);
        assert_true(told.found.largest_error == largest_error);
        assert_true(fabs(told.found.rms - sqrt(squares / (double)count)) < 1e-12);
        assert_true(fabs(told.found.rms_error - sqrt(error_squares / (double)count)) < 1e-12);
        alloy_safetensors_close(&before);
        alloy_safetensors_close(&after);
        remove_folder(folder);
    }
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void every_layout_goes_to_every_other_and_back(void **state)
{
    (void)state;
    static const char *const cases[] = {GOLDEN("dsv4"), GOLDEN("qwen3_moe")};
    static const alloy_layout layouts[] = {ALLOY_LAYOUT_TRANSFORMERS, ALLOY_LAYOUT_MEMORY, ALLOY_LAYOUT_RELEASE};
    for (int i = 0; i < 2; i++) {
        char *folder = test_folder();
        int layouts_of_family = i == 0 ? 3 : 2;
        for (int a = 0; a < layouts_of_family; a++)
            for (int b = 0; b < layouts_of_family; b++) {
                char name[32], first[MOST_PATH], second[MOST_PATH], back[MOST_PATH];
                snprintf(name, sizeof name, "%d%d", a, b);
                snprintf(first, sizeof first, "%s/%s", folder, name);
                snprintf(second, sizeof second, "%s/%s-second", folder, name);
                snprintf(back, sizeof back, "%s/%s-back", folder, name);
                convert(cases[i], first, 0, layouts[a], NULL);
                convert(first, second, 0, layouts[b], NULL);
                convert(second, back, 0, ALLOY_LAYOUT_TRANSFORMERS, NULL);
                expect_same_file(path_in(back, "model.safetensors"), path_in(cases[i], "model.safetensors"));
                expect_same_model(second, NULL, cases[i]);
            }
        remove_folder(folder);
    }
}

static void a_layout_is_kept_where_none_is_asked_for(void **state)
{
    (void)state;
    static const alloy_layout layouts[] = {ALLOY_LAYOUT_TRANSFORMERS, ALLOY_LAYOUT_MEMORY, ALLOY_LAYOUT_RELEASE};
    char *folder = test_folder();
    for (int i = 0; i < 3; i++) {
        char first[MOST_PATH], second[MOST_PATH];
        snprintf(first, sizeof first, "%s/%d", folder, i);
        snprintf(second, sizeof second, "%s/%d-again", folder, i);
        convert(GOLDEN("dsv4"), first, 0, layouts[i], NULL);
        convert(first, second, 0, ALLOY_LAYOUT_KEPT, NULL);
        expect_same_file(path_in(second, "model.safetensors"), path_in(first, "model.safetensors"));
        expect_same_file(path_in(second, "config.json"), path_in(first, "config.json"));
    }
    remove_folder(folder);
}

/* Of a multimodal model the text remains, as a model of its own. */
static void the_text_of_a_multimodal_model_becomes_a_model(void **state)
{
    (void)state;
    char *folder = test_folder(), *made = strdup(path_in(folder, "made"));
    size_t size;
    write_multimodal(folder);
    convert(folder, made, 0, ALLOY_LAYOUT_KEPT, NULL);
    expect_same_model(made, NULL, GOLDEN("qwen3_5"));
    expect_same_file(path_in(made, "model.safetensors"), path_in(GOLDEN("qwen3_5"), "model.safetensors"));
    char *fresh = read_whole(path_in(made, "config.json"), &size);
    assert_non_null(strstr(fresh, "\"model_type\": \"qwen3_5_text\""));
    assert_null(strstr(fresh, "vision_config"));
    free(fresh);
    free(made);
    remove_folder(folder);
}

static void shards_hold_the_same_model(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *made = strdup(path_in(folder, "made"));
    alloy_model *model = open_model(GOLDEN("dsv4"));
    expect_ok(alloy_convert(model, made,
                            &(alloy_convert_options){.size = sizeof(alloy_convert_options), .max_shard_size = 200000}));
    alloy_model_close(model);
    assert_int_equal(access(path_in(made, "model.safetensors"), F_OK), -1);
    assert_int_equal(access(path_in(made, "model.safetensors.index.json"), F_OK), 0);
    expect_same_model(made, NULL, GOLDEN("dsv4"));
    free(made);
    remove_folder(folder);
}

/* ---- FP8 and FP4 ------------------------------------------------------------------------------------------------- */

/* Values of the codes without the sign: E4M3 from the meaning of its bits (0x7f is NaN), E2M1 as listed in the OCP
 * Microscaling specification. */
static double small_value(alloy_dtype dtype, int code)
{
    static const double e2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    if (dtype == ALLOY_F4)
        return e2m1[code];
    int exponent = code >> 3, fraction = code & 7;
    return exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
}

/* The code whose value times `scale` is nearest to `value`, the even one of two. */
static int nearest_small(alloy_dtype dtype, float value, float scale)
{
    int codes = dtype == ALLOY_F4 ? 8 : 127, best = 0;
    long double least = HUGE_VALL;
    for (int code = 0; code < codes; code++) {
        long double distance =
            fabsl(fabsl((long double)value) - (long double)small_value(dtype, code) * (long double)scale);
        if (distance < least || (distance == least && code % 2 == 0)) {
            least = distance;
            best = code;
        }
    }
    return signbit(value) ? best + (dtype == ALLOY_F4 ? 8 : 128) : best;
}

/* The scale of a tile whose largest value is `amax`. */
static float expected_scale(alloy_dtype dtype, bool power, float amax)
{
    float scale = amax / (dtype == ALLOY_F4 ? 6 : 448);
    return !power ? scale : ldexpf(1, (int)ceil(log2((double)amax / (dtype == ALLOY_F4 ? 6 : 448))));
}

static float stored_scale(const alloy_stored_tensor *scales, int64_t i)
{
    float scale;
    if (scales->dtype == ALLOY_F8_E8M0)
        return ldexpf(1, scales->data[i] - 127);
    assert_int_equal(scales->dtype, ALLOY_F32);
    memcpy(&scale, scales->data + 4 * i, 4);
    return scale;
}

struct tiling {
    alloy_dtype dtype;
    int64_t rows, columns;
    bool power;
};

static float bf16_at(const alloy_stored_tensor *t, int64_t i)
{
    uint16_t half;
    memcpy(&half, t->data + 2 * i, 2);
    return (float)value_of_code(ALLOY_BF16, half);
}

/* One tensor: its shape, and each scale and each code. */
static void expect_packed(const alloy_safetensors *before, const alloy_safetensors *after, const char *name,
                          const char *scale_name, struct tiling tiling)
{
    const alloy_stored_tensor *old = alloy_safetensors_find(before, name, strlen(name)),
                              *fresh = alloy_safetensors_find(after, name, strlen(name)),
                              *scales = alloy_safetensors_find(after, scale_name, strlen(scale_name));
    assert_non_null(old);
    assert_non_null(fresh);
    if (!scales)
        fail_msg("no tensor %s", scale_name);
    int64_t rows = (int64_t)old->shape[0], columns = (int64_t)old->shape[1], tiles = columns / tiling.columns;
    bool fp4 = tiling.dtype == ALLOY_F4;
    assert_int_equal(fresh->dtype, fp4 ? ALLOY_I8 : ALLOY_F8_E4M3);
    assert_int_equal(fresh->shape[1], fp4 ? columns / 2 : columns);
    assert_int_equal(scales->shape[0], rows / tiling.rows);
    assert_int_equal(scales->shape[1], tiles);
    for (int64_t tile = 0; tile < rows / tiling.rows * tiles; tile++) {
        int64_t row = tile / tiles * tiling.rows, column = tile % tiles * tiling.columns;
        float amax = 0, scale = stored_scale(scales, tile);
        for (int64_t i = 0; i < tiling.rows * tiling.columns; i++)
            amax = fmaxf(amax, fabsf(bf16_at(old, (row + i / tiling.columns) * columns + column + i % tiling.columns)));
        if (scale != expected_scale(tiling.dtype, tiling.power, amax))
            fail_msg("%s: scale %lld is %a, expected %a", name, (long long)tile, (double)scale,
                     (double)expected_scale(tiling.dtype, tiling.power, amax));
        for (int64_t i = 0; i < tiling.rows * tiling.columns; i++) {
            int64_t at = (row + i / tiling.columns) * columns + column + i % tiling.columns;
            int code = fp4 ? fresh->data[at / 2] >> 4 * (at % 2) & 15 : fresh->data[at],
                expected = nearest_small(tiling.dtype, bf16_at(old, at), scale);
            if (code != expected)
                fail_msg("%s: element %lld, %a with scale %a: code %02x, expected %02x", name, (long long)at,
                         (double)bf16_at(old, at), (double)scale, code, expected);
        }
    }
}

static void expect_dtype(const alloy_safetensors *file, const char *name, alloy_dtype dtype)
{
    const alloy_stored_tensor *t = alloy_safetensors_find(file, name, strlen(name));
    if (!t || t->dtype != dtype)
        fail_msg("%s is %s, expected %s", name, t ? alloy_dtype_name(t->dtype) : "absent", alloy_dtype_name(dtype));
}

/* Draws a model and converts it; the files before and after are left open. */
static char *pack(const char *config, alloy_dtype dtype, alloy_safetensors *before, alloy_safetensors *after)
{
    char *folder = test_folder(), from[MOST_PATH], to[MOST_PATH];
    join(from, folder, "from");
    join(to, folder, "to");
    draw_model(from, config, ALLOY_BF16);
    convert(from, to, dtype, ALLOY_LAYOUT_KEPT, NULL);
    expect_ok(alloy_safetensors_open(before, path_in(from, "model.safetensors"), true));
    expect_ok(alloy_safetensors_open(after, path_in(to, "model.safetensors"), true));
    return folder;
}

static void unpack(char *folder, alloy_safetensors *before, alloy_safetensors *after)
{
    alloy_safetensors_close(before);
    alloy_safetensors_close(after);
    remove_folder(folder);
}

static void expect_in_config(const char *folder, const char *text)
{
    size_t size;
    char *config = read_whole(path_in(folder, "to/config.json"), &size);
    if (!strstr(config, text))
        fail_msg("%s is not in %s", text, config);
    free(config);
}

#define LAYER "model.layers.0."

static void fp8_has_the_nearest_even_in_tiles(void **state)
{
    (void)state;
    alloy_safetensors before, after;
    static const struct tiling tiling = {ALLOY_F8_E4M3, 128, 128, false};
    char *folder = pack(DENSE, ALLOY_F8_E4M3, &before, &after);
    expect_packed(&before, &after, LAYER "self_attn.q_proj.weight", LAYER "self_attn.q_proj.weight_scale_inv", tiling);
    expect_packed(&before, &after, LAYER "mlp.down_proj.weight", LAYER "mlp.down_proj.weight_scale_inv", tiling);
    expect_packed(&before, &after, LAYER "mlp.up_proj.weight", LAYER "mlp.up_proj.weight_scale_inv", tiling);
    expect_dtype(&after, LAYER "self_attn.k_proj.weight", ALLOY_BF16); /* 192 rows */
    expect_dtype(&after, "lm_head.weight", ALLOY_BF16);
    expect_dtype(&after, "model.embed_tokens.weight", ALLOY_BF16);
    expect_dtype(&after, LAYER "self_attn.q_norm.weight", ALLOY_BF16);
    expect_in_config(folder, "\"quant_method\": \"fp8\"");
    expect_in_config(folder, "\"modules_to_not_convert\": [\"" LAYER "self_attn.k_proj\", \"" LAYER
                             "self_attn.v_proj\", \"lm_head\"]");
    expect_in_config(folder, "\"dtype\": \"bfloat16\"");
    unpack(folder, &before, &after);
}

static void fp4_of_a_dense_model_is_of_all_linears(void **state)
{
    (void)state;
    alloy_safetensors before, after;
    static const struct tiling tiling = {ALLOY_F4, 1, 32, true};
    char *folder = pack(DENSE, ALLOY_F4, &before, &after);
    expect_packed(&before, &after, LAYER "self_attn.k_proj.weight", LAYER "self_attn.k_proj.scale", tiling);
    expect_packed(&before, &after, LAYER "mlp.down_proj.weight", LAYER "mlp.down_proj.scale", tiling);
    expect_dtype(&after, "lm_head.weight", ALLOY_BF16);
    expect_in_config(folder, "\"scale_fmt\": \"ue8m0\"");
    unpack(folder, &before, &after);
}

static void fp4_of_a_model_with_experts_is_of_them_and_fp8_of_the_rest(void **state)
{
    (void)state;
    alloy_safetensors before, after;
    static const struct tiling fp4 = {ALLOY_F4, 1, 32, true}, fp8 = {ALLOY_F8_E4M3, 128, 128, true};
    char *folder = pack(EXPERTS, ALLOY_F4, &before, &after);
    expect_packed(&before, &after, LAYER "mlp.experts.3.gate_proj.weight", LAYER "mlp.experts.3.gate_proj.scale", fp4);
    expect_packed(&before, &after, LAYER "mlp.experts.0.down_proj.weight", LAYER "mlp.experts.0.down_proj.scale", fp4);
    expect_packed(&before, &after, LAYER "self_attn.q_proj.weight", LAYER "self_attn.q_proj.scale", fp8);
    expect_dtype(&after, LAYER "mlp.gate.weight", ALLOY_BF16);
    expect_in_config(folder, "\"expert_dtype\": \"fp4\"");
    unpack(folder, &before, &after);
}

/* Names of the release and back, and the same dtype again: the packed bytes and their scales stay. */
static void packed_weights_keep_their_bytes(void **state)
{
    (void)state;
    static const alloy_dtype dtypes[] = {ALLOY_F8_E4M3, ALLOY_F4};
    for (int i = 0; i < 2; i++) {
        char *folder = test_folder(), from[MOST_PATH], packed[MOST_PATH], release[MOST_PATH], back[MOST_PATH],
             again[MOST_PATH], f32[MOST_PATH], f32_of_release[MOST_PATH];
        struct told told = {0};
        join(from, folder, "from");
        join(packed, folder, "packed");
        join(release, folder, "release");
        join(back, folder, "back");
        join(again, folder, "again");
        join(f32, folder, "f32");
        join(f32_of_release, folder, "f32-of-release");
        draw_model(from, V4, ALLOY_BF16);
        convert(from, packed, dtypes[i], ALLOY_LAYOUT_KEPT, NULL);
        convert(packed, release, 0, ALLOY_LAYOUT_RELEASE, NULL);
        convert(release, back, 0, ALLOY_LAYOUT_TRANSFORMERS, NULL);
        expect_same_file(path_in(back, "model.safetensors"), path_in(packed, "model.safetensors"));
        expect_same_file(path_in(back, "config.json"), path_in(packed, "config.json"));
        convert(packed, again, dtypes[i], ALLOY_LAYOUT_KEPT, &told);
        assert_int_equal(told.kept, told.tensors);
        expect_same_file(path_in(again, "model.safetensors"), path_in(packed, "model.safetensors"));
        convert(packed, f32, ALLOY_F32, ALLOY_LAYOUT_MEMORY, &told);
        convert(release, f32_of_release, ALLOY_F32, ALLOY_LAYOUT_MEMORY, &told);
        assert_true(told.largest_error == 0);
        expect_same_file(path_in(f32_of_release, "model.safetensors"), path_in(f32, "model.safetensors"));
        expect_same_model(packed, NULL, f32); /* a forward reads the values that are widened */
        expect_same_model(release, NULL, f32);
        remove_folder(folder);
    }
}

/* A tile of zeros has the scale 1, and its elements are zeros of their sign. */
static void a_tile_of_zeros_stays_zero(void **state)
{
    (void)state;
    struct model_copy copy;
    alloy_safetensors after;
    char *folder = test_folder(), from[MOST_PATH], zeros[MOST_PATH], to[MOST_PATH];
    join(from, folder, "from");
    join(zeros, folder, "zeros");
    join(to, folder, "to");
    mkdir(zeros, 0777);
    draw_model(from, DENSE, ALLOY_BF16);
    begin_copy(&copy, from);
    remove_tensor(&copy, LAYER "self_attn.q_proj.weight");
    add_tensor(&copy, LAYER "self_attn.q_proj.weight", ALLOY_BF16, 2, (uint64_t[]){384, 128});
    end_copy(&copy, from, NULL, zeros);
    convert(zeros, to, ALLOY_F8_E4M3, ALLOY_LAYOUT_KEPT, NULL);
    expect_ok(alloy_safetensors_open(&after, path_in(to, "model.safetensors"), true));
    const char *name = LAYER "self_attn.q_proj.weight_scale_inv";
    const alloy_stored_tensor *scales = alloy_safetensors_find(&after, name, strlen(name));
    for (int64_t i = 0; i < 3; i++)
        assert_true(stored_scale(scales, i) == 1);
    alloy_safetensors_close(&after);
    remove_folder(folder);
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static void what_cannot_be_done_is_said_and_nothing_is_written(void **state)
{
    (void)state;
    char *folder = test_folder(), *made = strdup(path_in(folder, "made"));
    alloy_model *model = open_model(GOLDEN("qwen3_moe")), *few;
    alloy_convert_options i8 = {.size = sizeof i8, .dtype = ALLOY_I8},
                          release = {.size = sizeof release, .layout = ALLOY_LAYOUT_RELEASE},
                          stacked = {.size = sizeof stacked, .dtype = ALLOY_F8_E4M3, .layout = ALLOY_LAYOUT_MEMORY};
    expect_failure(alloy_convert(model, made, &i8), ALLOY_ARG, "I8");
    expect_failure(alloy_convert(model, made, &release), ALLOY_UNSUPPORTED, "deepseek_v4", "qwen3_moe");
    expect_failure(alloy_convert(model, made, &stacked), ALLOY_UNSUPPORTED, "names in memory");
    expect_ok(alloy_model_open(&few, GOLDEN("qwen3_moe"),
                               &(alloy_load_options){.size = sizeof(alloy_load_options), .num_layers = 1}));
    expect_failure(alloy_convert(few, made, NULL), ALLOY_ARG, "whole");
    alloy_model_close(few);
    assert_int_equal(access(made, F_OK), -1);
    expect_failure(alloy_convert(model, write_text(folder, "file", "text"), NULL), ALLOY_IO, "file");
    expect_failure(alloy_convert(model, GOLDEN("qwen3_moe"), NULL), ALLOY_IO, "own folder");
    expect_ok(alloy_convert(model, made, NULL));
    expect_failure(alloy_convert(model, made, NULL), ALLOY_IO, "holds a model already");
    alloy_model_close(model);
    free(made);
    remove_folder(folder);
}

static void a_weight_that_a_dtype_cannot_hold_is_named(void **state)
{
    (void)state;
    static const struct {
        float value;
        alloy_dtype dtype;
        const char *word;
    } cases[] = {{70000, ALLOY_F16, "70000"}, {NAN, ALLOY_BF16, "not finite"}, {INFINITY, ALLOY_F8_E4M3, "not finite"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_copy copy;
        char *folder = test_folder(), from[MOST_PATH], spoiled[MOST_PATH], to[MOST_PATH];
        join(from, folder, "from");
        join(spoiled, folder, "spoiled");
        join(to, folder, "to");
        mkdir(spoiled, 0777);
        draw_model(from, DENSE, ALLOY_F32);
        begin_copy(&copy, from);
        remove_tensor(&copy, LAYER "mlp.up_proj.weight");
        alloy_saved_tensor *t = add_tensor(&copy, LAYER "mlp.up_proj.weight", ALLOY_F32, 2, (uint64_t[]){256, 128});
        ((float *)(uintptr_t)t->data)[131] = cases[i].value;
        end_copy(&copy, from, NULL, spoiled);
        alloy_model *model = open_model(spoiled);
        expect_failure(
            alloy_convert(model, to,
                          &(alloy_convert_options){.size = sizeof(alloy_convert_options), .dtype = cases[i].dtype}),
            ALLOY_RANGE, LAYER "mlp.up_proj.weight", "element 131", cases[i].word);
        assert_int_equal(access(path_in(to, "config.json"), F_OK), -1);
        assert_int_equal(access(path_in(to, "model.safetensors"), F_OK), -1);
        alloy_model_close(model);
        remove_folder(folder);
    }
}

static void a_full_disk_leaves_no_model(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_model *model = open_model(GOLDEN("qwen3"));
    struct rlimit old, full = {.rlim_cur = 100000};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    full.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    alloy_status status = alloy_convert(model, folder, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    expect_failure(status, ALLOY_IO, "model.safetensors");
    assert_int_equal(access(path_in(folder, "model.safetensors"), F_OK), -1);
    assert_int_equal(access(path_in(folder, "config.json"), F_OK), -1);
    expect_ok(alloy_convert(model, folder, NULL)); /* the folder is no model: the next may have it */
    expect_same_model(folder, NULL, GOLDEN("qwen3"));
    alloy_model_close(model);
    remove_folder(folder);
}

static void want_of_memory_is_told_and_leaves_no_model(void **state)
{
    (void)state;
    char *folder = test_folder(), from[MOST_PATH], made[MOST_PATH];
    join(from, folder, "from");
    join(made, folder, "made");
    draw_model(from, EXPERTS, ALLOY_BF16);
    alloy_model *model = open_model(from);
    alloy_convert_options fp4 = {.size = sizeof fp4, .dtype = ALLOY_F4};
    alloy_status status = ALLOY_NOMEM;
    int64_t allowed = 0;
    for (; status == ALLOY_NOMEM; allowed += 3) {
        alloy_memory_fail_after(allowed);
        status = alloy_convert(model, made, &fp4);
        alloy_memory_fail_after(-1);
        if (status)
            assert_int_equal(access(path_in(made, "config.json"), F_OK), -1);
    }
    expect_ok(status);
    assert_true(allowed > 10);
    alloy_model_close(model);
    remove_folder(folder);
}

static bool stop_at_once(void *user, uint64_t done, uint64_t bytes)
{
    (void)user, (void)done, (void)bytes;
    return false;
}

static void a_conversion_that_is_stopped_leaves_no_model(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_model *model = open_model(GOLDEN("qwen3"));
    expect_ok(alloy_convert(model, folder,
                            &(alloy_convert_options){.size = sizeof(alloy_convert_options), .progress = stop_at_once}));
    assert_int_equal(access(path_in(folder, "config.json"), F_OK), -1);
    assert_int_equal(access(path_in(folder, "model.safetensors"), F_OK), -1);
    alloy_model_close(model);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widened_and_rounded_back_the_bytes_are_the_same),
        cmocka_unit_test(sixteen_bits_are_the_nearest_even),
        cmocka_unit_test(every_layout_goes_to_every_other_and_back),
        cmocka_unit_test(a_layout_is_kept_where_none_is_asked_for),
        cmocka_unit_test(the_text_of_a_multimodal_model_becomes_a_model),
        cmocka_unit_test(shards_hold_the_same_model),
        cmocka_unit_test(fp8_has_the_nearest_even_in_tiles),
        cmocka_unit_test(fp4_of_a_dense_model_is_of_all_linears),
        cmocka_unit_test(fp4_of_a_model_with_experts_is_of_them_and_fp8_of_the_rest),
        cmocka_unit_test(packed_weights_keep_their_bytes),
        cmocka_unit_test(a_tile_of_zeros_stays_zero),
        cmocka_unit_test(what_cannot_be_done_is_said_and_nothing_is_written),
        cmocka_unit_test(a_weight_that_a_dtype_cannot_hold_is_named),
        cmocka_unit_test(a_full_disk_leaves_no_model),
        cmocka_unit_test(want_of_memory_is_told_and_leaves_no_model),
        cmocka_unit_test(a_conversion_that_is_stopped_leaves_no_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
