/* What commands print for people, and what the less usual inputs and options give. */
#include "spawn.h"

#include "files/safetensors.h"

/* ---- info and generate ------------------------------------------------------------------------------------------- */

static void info_shows_layers_that_are_alike_in_one_row(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "info", MOBY);
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, ": qwen3_5_text, 4 layers, hidden 224, vocabulary 2048, context 1024, embeddings tied\n");
    expect_in(answer.out, "   0-2  qwen3_5_gdn      qwen3_mlp          548,072  548,072            0 B  19.5 kB\n");
    expect_in(answer.out, "     3  qwen3_attention  qwen3_mlp          660,032  660,032        1.02 kB      0 B\n");
    expect_in(answer.out, "parameters  2,763,224, 2,763,224 active for a token\n");
    expect_in(answer.out, "weights     5.53 MB in 1 file: 55 tensors of BF16, 5.53 MB\n");
    forget(&answer);
}

/* A config alone has no weights to tell of; experts that a token does not meet are not active. */
static void info_reads_a_config_alone(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "info", ALLOY_SOURCE_DIR "/examples/configs/composed.json");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "parameters  14,038,336, 8,729,920 active for a token\n");
    assert_null(strstr(answer.out, "weights"));
    forget(&answer);
    answer = run(plainly, "info", ALLOY_SOURCE_DIR "/examples/configs/composed.json", "--num-layers", "9");
    expect_error(&answer, ALLOY_RANGE, "--num-layers is 9", "8 layers");
    forget(&answer);
}

static void several_outputs_are_told_apart(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "generate", MOBY, "-p", "The", "-n", "2", "--num-return-sequences", "2",
                               "--temperature", "1", "--logprobs", "2");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "--- output 1 (length) ---\n");
    expect_in(answer.out, "--- output 2 (length) ---\n");
    expect_in(answer.out, "step    id  token");
    expect_in(answer.out, "   1  ");
    forget(&answer);
    answer = run(plainly, "generate", GOLDEN "qwen3", "--ids", "1,2", "-n", "2", "--ignore-eos",
                 "--num-return-sequences", "2", "--logprobs", "1");
    expect_code(&answer, ALLOY_OK); /* no tokenizer: the outputs are ids */
    char first[64];
    assert_int_equal(sscanf(answer.out, "--- output 1 (length) ---\n%63[0-9,]\n", first), 1);
    expect_in(strstr(answer.out, "--- output 2"), first);
    forget(&answer);
}

/* top-k, top-p and min-p ask for sampling: with a temperature of 1 where none is said. */
static void a_flag_that_shapes_a_distribution_samples_from_it(void **state)
{
    (void)state;
    struct answer shaped = run(plainly, "generate", MOBY, "-p", "The", "-n", "12", "--top-k", "40", "--seed", "5");
    struct answer said =
        run(plainly, "generate", MOBY, "-p", "The", "-n", "12", "--top-k", "40", "--seed", "5", "--temperature", "1");
    struct answer greedy = run(plainly, "generate", MOBY, "-p", "The", "-n", "12");
    expect_code(&shaped, ALLOY_OK);
    expect_text(shaped.out, said.out);
    assert_true(strcmp(shaped.out, greedy.out) != 0);
    forget(&shaped), forget(&said), forget(&greedy);
}

static void a_tokenizer_larger_than_the_model_is_a_warning(void **state)
{
    (void)state;
    char *folder = test_folder();
    const char *const from[] = {GOLDEN "qwen3/config.json", GOLDEN "qwen3/model.safetensors", MOBY "/tokenizer.json"};
    for (int i = 0; i < 3; i++) {
        size_t size;
        char *bytes = read_whole(from[i], &size);
        write_file(folder, strrchr(from[i], '/') + 1, bytes, size);
        free(bytes);
    }
    struct answer answer = run(plainly, "generate", folder, "--ids", "1,2", "-n", "2", "--ignore-eos");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.err, "warning: the tokenizer has 2048 ids and the model 256");
    forget(&answer);
    answer = run(plainly, "generate", folder, "--ids", "1,2", "-n", "2", "--ignore-eos", "-q");
    expect_text(answer.err, "");
    forget(&answer);
    remove_folder(folder);
}

/* ---- Ids --------------------------------------------------------------------------------------------------------- */

static char *write_ids(const char *folder, const char *name, const char *tensor, alloy_dtype dtype, const void *data)
{
    char *path = path_in(folder, name);
    alloy_saved_tensor ids = {.name = tensor, .dtype = dtype, .ndim = 1, .shape = {3}, .data = data};
    expect_ok(alloy_safetensors_write(path, &ids, 1, NULL, 0));
    return path;
}

static void every_kind_of_file_gives_its_ids(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *files[] = {
        write_ids(folder, "wide.safetensors", "input_ids", ALLOY_I64, (int64_t[]){5, 6, 7}),
        write_ids(folder, "narrow.safetensors", "input_ids", ALLOY_I32, (int32_t[]){5, 6, 7}),
        write_text(folder, "list.json", "[5, 6, 7]"),
        write_text(folder, "object.json", "{\"text\": \"x\", \"input_ids\": [5, 6, 7]}"),
        write_text(folder, "words.txt", " 5,6\t7\n"),
    };
    struct answer expected = run(plainly, "detokenize", MOBY, "5,6,7");
    expect_code(&expected, ALLOY_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct answer answer = run(plainly, "detokenize", MOBY, "--ids-file", files[i]);
        expect_code(&answer, ALLOY_OK);
        expect_text(answer.out, expected.out);
        forget(&answer);
    }
    forget(&expected);
    remove_folder(folder);
}

static void files_without_ids_are_refused(void **state)
{
    (void)state;
    char *folder = test_folder();
    const struct {
        char *file;
        const char *words;
    } rows[] = {
        {write_ids(folder, "f.safetensors", "input_ids", ALLOY_F32, (float[]){5, 6, 7}), "input_ids is F32"},
        {write_ids(folder, "n.safetensors", "ids", ALLOY_I64, (int64_t[]){5, 6, 7}), "no tensor input_ids"},
        {write_text(folder, "object.json", "{\"tokens\": [5]}"), "an object without \"ids\""},
        {write_text(folder, "words.txt", "5,,6"), "\"\" is no token id"},
        {write_text(folder, "end.txt", "5,6,"), "after the last comma"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer answer = run(plainly, "detokenize", MOBY, "--ids-file", rows[i].file);
        expect_error(&answer, ALLOY_FORMAT, rows[i].words);
        forget(&answer);
    }
    remove_folder(folder);
}

static void lists_that_contradict_each_other_are_arg(void **state)
{
    (void)state;
    struct answer both = run(plainly, "verify", GOLDEN "qwen3", "--ids", "1", "--ids-file", "x");
    expect_error(&both, ALLOY_ARG, "not both");
    struct answer place = run(plainly, "detokenize", MOBY, "1", "--ids", "2");
    expect_error(&place, ALLOY_ARG, "not several");
    struct answer none = run(plainly, "logits", GOLDEN "qwen3", "--out", "x");
    expect_error(&none, ALLOY_ARG, "--ids-file");
    struct answer empty = run(plainly, "verify", GOLDEN "qwen3", "--ids", "");
    expect_error(&empty, ALLOY_ARG, "no token ids");
    forget(&both), forget(&place), forget(&none), forget(&empty);
}

/* ---- compare ----------------------------------------------------------------------------------------------------- */

static void a_reference_tells_ids_and_bounds_itself(void **state)
{
    (void)state;
    struct answer answer =
        run(plainly, "compare", GOLDEN "qwen3", GOLDEN "qwen3/expected.safetensors", "--tolerance", "1");
    expect_error(&answer, ALLOY_ARG, "--tolerance", "two models");
    forget(&answer);
}

static void a_file_that_is_no_reference_is_refused(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *bare = write_ids(folder, "bare.safetensors", "ids", ALLOY_I64, (int64_t[]){1, 2, 3});
    struct answer answer = run(plainly, "compare", GOLDEN "qwen3", bare);
    expect_error(&answer, ALLOY_FORMAT, "bare.safetensors", "input_ids");
    forget(&answer);
    alloy_saved_tensor tensors[] = {
        {.name = "input_ids", .dtype = ALLOY_I64, .ndim = 1, .shape = {3}, .data = (int64_t[]){1, 2, 3}},
        {.name = "logits", .dtype = ALLOY_F64, .ndim = 2, .shape = {1, 3}, .data = (double[]){0, 0, 0}},
    };
    char *small = path_in(folder, "small.safetensors");
    expect_ok(alloy_safetensors_write(small, tensors, 2, NULL, 0));
    answer = run(plainly, "compare", GOLDEN "qwen3", small);
    expect_error(&answer, ALLOY_FORMAT, "logits has 3 elements", "768");
    forget(&answer);
    remove_folder(folder);
}

static void a_comparison_is_a_document_too(void **state)
{
    (void)state;
    struct answer answer =
        run(plainly, "compare", GOLDEN "qwen3", GOLDEN "qwen3", "--num-layers", "2", "--tokens", "9", "--json");
    expect_code(&answer, ALLOY_OK);
    expect_json(&answer);
    expect_in(answer.out, "\"first_layer_that_departs\": null");
    forget(&answer);
    answer = run(plainly, "compare", GOLDEN "qwen3", GOLDEN "qwen3_moe/expected.safetensors", "--json");
    expect_code(&answer, ALLOY_DIFFERENT);
    expect_json(&answer);
    expect_in(answer.out, "\"first_layer_that_departs\": 0");
    forget(&answer);
}

/* ---- The command itself ------------------------------------------------------------------------------------------ */

static void help_explains_a_command_in_both_orders(void **state)
{
    (void)state;
    struct answer before = run(plainly, "help", "verify"), after = run(plainly, "verify", "--help");
    expect_code(&before, ALLOY_OK);
    expect_text(before.out, after.out);
    struct answer unknown = run(plainly, "help", "xyzzy");
    expect_error(&unknown, ALLOY_ARG, "xyzzy");
    forget(&before), forget(&after), forget(&unknown);
}

static void a_plugin_that_cannot_be_loaded_ends_the_command(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "modules", "--plugin", "./nowhere.so");
    expect_error(&answer, ALLOY_FORMAT, "nowhere.so");
    forget(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_shows_layers_that_are_alike_in_one_row),
        cmocka_unit_test(info_reads_a_config_alone),
        cmocka_unit_test(several_outputs_are_told_apart),
        cmocka_unit_test(a_flag_that_shapes_a_distribution_samples_from_it),
        cmocka_unit_test(a_tokenizer_larger_than_the_model_is_a_warning),
        cmocka_unit_test(every_kind_of_file_gives_its_ids),
        cmocka_unit_test(files_without_ids_are_refused),
        cmocka_unit_test(lists_that_contradict_each_other_are_arg),
        cmocka_unit_test(a_reference_tells_ids_and_bounds_itself),
        cmocka_unit_test(a_file_that_is_no_reference_is_refused),
        cmocka_unit_test(a_comparison_is_a_document_too),
        cmocka_unit_test(help_explains_a_command_in_both_orders),
        cmocka_unit_test(a_plugin_that_cannot_be_loaded_ends_the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
