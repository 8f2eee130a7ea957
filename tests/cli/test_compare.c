/* alloy compare against references that Alloy wrote itself, whole and spoiled: which numbers are off, where, by how
 * much, and what the dtype and the number of layers that the reference tells of itself change. */
#include "spawn.h"

#include <math.h>

#include "files/safetensors.h"

enum { TOKENS = 3, VOCAB = 256, WIDTH = 64, LAYERS = 4, MOST = 2 + LAYERS };

/* A reference of qwen3 in memory, to be changed and written. */
struct reference {
    int64_t ids[TOKENS];
    float logits[TOKENS][VOCAB], hidden[LAYERS][TOKENS][WIDTH];
    int layers;
    const char *dtype, *num_layers; /* metadata; NULL: not there */
    bool bf16;                      /* logits are written in BF16 */
};

static void copy_out(const alloy_safetensors *file, const char *name, void *to, size_t size)
{
    const alloy_stored_tensor *tensor = alloy_safetensors_find(file, name, strlen(name));
    assert_non_null(tensor);
    assert_int_equal(tensor->bytes, size);
    memcpy(to, tensor->data, size);
}

/* What `alloy logits` gives for the first `layers`. */
static void make_reference(struct reference *r, int layers)
{
    char *folder = test_folder(), *out = path_in(folder, "out.safetensors"), count[8], name[16];
    snprintf(count, sizeof count, "%d", layers);
    struct answer answer =
        run(plainly, "logits", GOLDEN "qwen3", "--ids", "5,6,7", "-o", out, "--hidden", "--num-layers", count);
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    *r = (struct reference){.layers = layers};
    alloy_safetensors file;
    expect_ok(alloy_safetensors_open(&file, out, false));
    expect_text(alloy_safetensors_metadata(&file, "num_layers", NULL), count);
    expect_text(alloy_safetensors_metadata(&file, "dtype", NULL), "float32");
    copy_out(&file, "input_ids", r->ids, sizeof r->ids);
    copy_out(&file, "logits", r->logits, sizeof r->logits);
    for (int i = 0; i < layers; i++) {
        snprintf(name, sizeof name, "hidden.%d", i);
        copy_out(&file, name, r->hidden[i], sizeof r->hidden[i]);
    }
    alloy_safetensors_close(&file);
    remove_folder(folder);
}

/* alloy compare qwen3 with it. */
static struct answer compare(const struct reference *r, char *flag, char *value)
{
    static uint16_t narrow[TOKENS * VOCAB];
    char *folder = test_folder(), *path = path_in(folder, "reference.safetensors"), names[LAYERS][24];
    for (int i = 0; i < TOKENS * VOCAB; i++)
        memcpy(&narrow[i], (const char *)&r->logits[i / VOCAB][i % VOCAB] + 2, 2); /* rounded towards zero */
    alloy_saved_tensor tensors[MOST] = {
        {.name = "input_ids", .dtype = ALLOY_I64, .ndim = 1, .shape = {TOKENS}, .data = r->ids},
        {.name = "logits",
         .dtype = r->bf16 ? ALLOY_BF16 : ALLOY_F32,
         .ndim = 2,
         .shape = {TOKENS, VOCAB},
         .data = r->bf16 ? (const void *)narrow : r->logits},
    };
    for (int i = 0; i < r->layers; i++) {
        snprintf(names[i], sizeof names[i], "hidden.%d", i);
        tensors[2 + i] = (alloy_saved_tensor){
            .name = names[i], .dtype = ALLOY_F32, .ndim = 2, .shape = {TOKENS, WIDTH}, .data = r->hidden[i]};
    }
    alloy_saved_metadata metadata[2];
    int told = 0;
    if (r->dtype)
        metadata[told++] = (alloy_saved_metadata){"dtype", r->dtype};
    if (r->num_layers)
        metadata[told++] = (alloy_saved_metadata){"num_layers", r->num_layers};
    expect_ok(alloy_safetensors_write(path, tensors, 2 + r->layers, told ? metadata : NULL, told));
    struct answer answer = run(plainly, "compare", GOLDEN "qwen3", path, flag, value);
    remove_folder(folder);
    return answer;
}

static void what_alloy_wrote_has_no_error(void **state)
{
    (void)state;
    struct reference r;
    make_reference(&r, LAYERS);
    struct answer answer = compare(&r, "--chunk", "2"); /* in pieces: the same numbers */
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "likeliest token: equal at 3 of 3 positions");
    assert_null(strstr(answer.out, "farthest"));
    forget(&answer);
    answer = compare(&r, "--json", NULL);
    expect_code(&answer, ALLOY_OK);
    expect_json(&answer);
    expect_in(answer.out, "\"reference_dtype\": \"F32\"");
    expect_in(answer.out, "\"relative_error\": 0.0");
    expect_in(answer.out, "\"farthest\": null");
    forget(&answer);
}

static void the_farthest_number_is_named(void **state)
{
    (void)state;
    struct reference r;
    make_reference(&r, LAYERS);
    r.logits[1][7] = 100.5f; /* the largest now, and the likeliest */
    r.hidden[2][2][5] += 0.5f;
    r.hidden[3][0][1] += 0.25f;
    struct answer answer = compare(&r, NULL, NULL);
    expect_code(&answer, ALLOY_DIFFERENT);
    expect_in(answer.out, "logits: farthest at token 1, id 7: ");
    expect_in(answer.out, "the reference has 100.5\n");
    expect_in(answer.out, "equal at 2 of 3 positions; first not at 1: ");
    expect_in(answer.out, "the reference has 7, ahead by ");
    expect_in(answer.out, "first layer that departs: 2 (qwen3_attention, qwen3_mlp)");
    expect_in(answer.out, "its output: farthest at token 2, element 5: ");
    expect_in(answer.err, "layer 2 is off by 0.5");
    forget(&answer);
    answer = compare(&r, "--json", NULL);
    expect_code(&answer, ALLOY_DIFFERENT);
    expect_json(&answer);
    expect_in(answer.out, "\"first_layer_that_departs\": 2");
    expect_in(answer.out, "\"expected\": 100.5");
    expect_in(answer.out, "\"position\": 1");
    forget(&answer);
}

/* One number of the reference is not finite, in each kind of tensor: it fails there, and a 1e9 beside it changes
 * nothing. */
static void what_is_not_finite_never_passes(void **state)
{
    (void)state;
    const struct {
        float value;
        const char *text, *json;
    } rows[] = {{NAN, "the reference has NaN", "\"expected\": \"NaN\""},
                {INFINITY, "the reference has Infinity", "\"expected\": \"Infinity\""},
                {-INFINITY, "the reference has -Infinity", "\"expected\": \"-Infinity\""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int logits = 0; logits < 2; logits++) {
            struct reference r;
            make_reference(&r, LAYERS);
            float *numbers = logits ? r.logits[1] : r.hidden[2][1];
            numbers[3] = rows[i].value;
            numbers[5] = 1e9f;
            struct answer answer = compare(&r, NULL, NULL);
            expect_code(&answer, ALLOY_DIFFERENT);
            expect_in(answer.out,
                      logits ? "logits: not finite at token 1, id 3: " : "not finite at token 1, element 3: ");
            expect_in(answer.out, rows[i].text);
            expect_in(answer.err, logits ? "logits are not finite at token 1, number 3"
                                         : "layer 2 is not finite at token 1, number 3");
            assert_null(strstr(answer.out, "nan"));
            assert_null(strstr(answer.out, "inf"));
            forget(&answer);
            answer = compare(&r, "--json", NULL);
            expect_code(&answer, ALLOY_DIFFERENT);
            expect_json(&answer);
            expect_in(answer.out, rows[i].json);
            expect_in(answer.out, "\"error\": null");
            expect_in(answer.out, "\"not_finite\": 1");
            expect_in(answer.out, "\"bound\": 1");
            forget(&answer);
        }
}

/* Errors of transformers are bounds. */
static void an_error_that_is_no_bound_is_refused(void **state)
{
    (void)state;
    static const char *const errors[] = {"-1e-6", "1e999", "NaN", "Infinity", "-Infinity"};
    static const char *const keys[] = {"\"transformers_fp32_max_abs_error\": ",
                                       "\"transformers_fp32_hidden_error\": ["};
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (int k = 0; k < 2; k++) {
            char *folder = test_folder(), *path = path_in(folder, "r.safetensors"), text[128];
            struct answer answer = run(plainly, "logits", GOLDEN "qwen3", "--ids", "5,6,7", "-o", path);
            expect_code(&answer, ALLOY_OK);
            forget(&answer);
            snprintf(text, sizeof text, "{%s%s%s}\n", keys[k], errors[e], k ? "]" : "");
            write_text(folder, "r.json", text);
            answer = run(plainly, "compare", GOLDEN "qwen3", path);
            assert_true(answer.code == ALLOY_RANGE || answer.code == ALLOY_FORMAT);
            expect_in(answer.err, "r.json:1:");
            forget(&answer);
            remove_folder(folder);
        }
}

/* What passes depends on what the reference was computed in, which its metadata or else its tensors tell. */
/* X10, X11: what stands in its place and cannot be read is not the same as none, which has no bounds of its own. */
static void bounds_that_cannot_be_read_are_io(void **state)
{
    (void)state;
    char *folder = test_folder(), reference[300], json[300];
    snprintf(reference, sizeof reference, "%s/r.safetensors", folder);
    snprintf(json, sizeof json, "%s/r.json", folder);
    struct answer answer = run(plainly, "logits", GOLDEN "qwen3", "--ids", "5,6,7", "-o", reference);
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    assert_int_equal(mkfifo(json, 0600), 0);
    answer = run(plainly, "compare", GOLDEN "qwen3", reference);
    expect_error(&answer, ALLOY_IO, "r.json", "not a regular file");
    forget(&answer);
    assert_int_equal(unlink(json), 0);
    assert_int_equal(symlink("nowhere", json), 0);
    answer = run(plainly, "compare", GOLDEN "qwen3", reference);
    expect_error(&answer, ALLOY_IO, "r.json", "No such file");
    forget(&answer);
    remove_folder(folder);
}

static void the_dtype_of_the_reference_is_its_bound(void **state)
{
    (void)state;
    const struct {
        const char *dtype;
        bool bf16;
        int code;
    } rows[] = {{NULL, true, ALLOY_OK},
                {"bfloat16", true, ALLOY_OK},
                {"float32", true, ALLOY_DIFFERENT},
                {"float64", true, ALLOY_DIFFERENT},
                {"float64", false, ALLOY_OK}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reference r;
        make_reference(&r, LAYERS);
        r.dtype = rows[i].dtype;
        r.bf16 = rows[i].bf16;
        struct answer answer = compare(&r, NULL, NULL);
        expect_code(&answer, rows[i].code);
        forget(&answer);
    }
}

static void logits_of_as_many_layers_are_compared(void **state)
{
    (void)state;
    struct reference r;
    make_reference(&r, 2);
    r.num_layers = "2";
    struct answer answer = compare(&r, "--num-layers", "2");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "\nlogits ");
    expect_in(answer.out, "equal at 3 of 3 positions");
    forget(&answer);
    answer = compare(&r, "--num-layers", "1");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "logits and ids are not compared: those of the reference are of 2 layers, 1 were run");
    forget(&answer);
    r.num_layers = NULL; /* of the whole model, it says; so its logits are not looked at */
    answer = compare(&r, "--num-layers", "2");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "those of the reference are of 4 layers, 2 were run");
    forget(&answer);
    answer = compare(&r, NULL, NULL);
    expect_code(&answer, ALLOY_DIFFERENT);
    expect_in(answer.err, "logits are off");
    forget(&answer);
}

static void metadata_that_says_nothing_is_refused(void **state)
{
    (void)state;
    struct reference r;
    make_reference(&r, 1);
    r.dtype = "float8";
    struct answer answer = compare(&r, NULL, NULL);
    expect_error(&answer, ALLOY_FORMAT, "reference.safetensors", "float8", "bfloat16");
    forget(&answer);
    r.dtype = NULL;
    const char *const counts[] = {"", "0", "two", "-1", "1.5"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        r.num_layers = counts[i];
        answer = compare(&r, NULL, NULL);
        expect_error(&answer, ALLOY_FORMAT, "reference.safetensors", "num_layers");
        forget(&answer);
    }
}

static void a_reference_with_nothing_to_compare_is_refused(void **state)
{
    (void)state;
    struct reference r;
    make_reference(&r, 2);
    r.layers = 0;
    r.num_layers = "2";
    struct answer answer = compare(&r, NULL, NULL);
    expect_error(&answer, ALLOY_FORMAT, "nothing to compare", "another number of layers");
    forget(&answer);
}

static void the_oracle_is_the_model_in_double_precision(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "compare", GOLDEN "qwen3_moe", "--oracle", "--tokens", "40", "--json");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "\"reference\": \"the oracle\"");
    expect_in(answer.out, "\"reference_dtype\": \"F64\"");
    expect_in(answer.out, "\"chosen_otherwise\": []");
    expect_in(answer.out, "\"equal\": 40");
    forget(&answer);
    answer = run(plainly, "compare", GOLDEN "dsv4", "--oracle", "--ids", "1,2,3,4,5,6,7,8,9", "--tolerance", "0");
    expect_code(&answer, ALLOY_DIFFERENT);
    expect_in(answer.out, "choices that double precision would make otherwise: 0");
    expect_in(answer.err, "departs from the oracle");
    forget(&answer);
    answer = run(plainly, "compare", GOLDEN "qwen3");
    expect_code(&answer, ALLOY_ARG);
    expect_in(answer.err, "REFERENCE or --oracle");
    forget(&answer);
    answer = run(plainly, "compare", GOLDEN "qwen3", GOLDEN "qwen3", "--oracle");
    expect_code(&answer, ALLOY_ARG);
    forget(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_alloy_wrote_has_no_error),
        cmocka_unit_test(the_farthest_number_is_named),
        cmocka_unit_test(what_is_not_finite_never_passes),
        cmocka_unit_test(an_error_that_is_no_bound_is_refused),
        cmocka_unit_test(bounds_that_cannot_be_read_are_io),
        cmocka_unit_test(the_dtype_of_the_reference_is_its_bound),
        cmocka_unit_test(logits_of_as_many_layers_are_compared),
        cmocka_unit_test(the_oracle_is_the_model_in_double_precision),
        cmocka_unit_test(metadata_that_says_nothing_is_refused),
        cmocka_unit_test(a_reference_with_nothing_to_compare_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
