/* Bad models, met by who runs the command: the exit code of their class, one line, nothing on standard output. */
#include "spawn.h"

#include <math.h>

#include "attacks/spoiled_model.h"

static void copy_file(const char *from, const char *folder, const char *name)
{
    size_t size;
    char *bytes = read_whole(path_in(from, name), &size);
    write_file(folder, name, bytes, size);
    free(bytes);
}

static char *copied_model(const char *from)
{
    char *folder = test_folder();
    copy_file(from, folder, "config.json");
    copy_file(from, folder, "model.safetensors");
    return folder;
}

/* The reference case qwen3 with one text of its config replaced. */
static char *reconfigured(const char *old, const char *fresh)
{
    char *folder = copied_model(GOLDEN "qwen3"), *changed = changed_config(GOLDEN "qwen3", old, fresh);
    write_text(folder, "config.json", changed);
    free(changed);
    return folder;
}

static void expect_generate_fails(char *folder, int code, const char *word, const char *other)
{
    char *const lines[][MOST_WORDS] = {
        {ALLOY_COMMAND, "generate", folder, "--ids", "1,2,3", "-n", "4", "--ignore-eos"},
        {ALLOY_COMMAND, "generate", folder, "--ids", "1,2,3", "-n", "4", "--ignore-eos", "--sample", "-t", "2"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct answer answer = run_words(plainly, (char **)lines[i]);
        expect_error(&answer, code, word, other);
        forget(&answer);
    }
}

/* ---- S20 to S23 -------------------------------------------------------------------------------------------------- */

static void spoiled_weights_are_told(void **state)
{
    (void)state;
    static const char norm[] = "model.norm.weight", up[] = "model.layers.1.mlp.up_proj.weight";
    const struct {
        const char *id;
        struct spoil spoil;
        int code;
        const char *words[2];
    } rows[] = {
        {"S20", {.fill = norm, .value = NAN}, ALLOY_RANGE, {"not finite", "NaN at [0] of model.norm.weight"}},
        {"S20", {.fill = up, .value = INFINITY}, ALLOY_RANGE, {"not finite", "infinity at [0, 0] of model.layers.1."}},
        {"S21",
         {.retype = up, .dtype = ALLOY_F8_E4M3},
         ALLOY_FORMAT,
         {up, "1 missing tensors: model.layers.1.mlp.up_proj.weight_scale_inv or "}},
        {"S21",
         {.retype = norm, .dtype = ALLOY_F8_E4M3},
         ALLOY_FORMAT,
         {norm, "no matrix of dtype F8_E4M3 are unsupported"}},
        {"S21", {.retype = up, .dtype = ALLOY_F4}, ALLOY_FORMAT, {up, "F4 are unsupported"}},
        {"S22", {.reshape = up}, ALLOY_FORMAT, {up, "[159, 64], expected [160, 64]"}},
        {"S23", {.remove = norm}, ALLOY_FORMAT, {norm, "missing"}},
        {"S23", {.add = "model.extra.weight"}, ALLOY_FORMAT, {"model.extra.weight", "--allow-unused"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = test_folder();
        print_message("  %s\n", rows[i].id);
        spoil_model(folder, GOLDEN "qwen3", &rows[i].spoil);
        expect_generate_fails(folder, rows[i].code, rows[i].words[0], rows[i].words[1]);
        remove_folder(folder);
    }
}

/* S20: read into memory, they are a warning too. */
static void s20_weights_that_are_read_are_a_warning(void **state)
{
    (void)state;
    char *folder = test_folder();
    spoil_model(folder, GOLDEN "qwen3", &(struct spoil){.fill = "model.norm.weight", .value = NAN});
    struct answer answer = run(plainly, "generate", folder, "--ids", "1,2,3", "-n", "4", "--no-mmap");
    expect_code(&answer, ALLOY_RANGE);
    expect_in(answer.err, "warning: ");
    expect_in(answer.err, "alloy: ");
    expect_in(answer.err, "NaN at [0] of model.norm.weight");
    assert_int_equal(answer.out_size, 0);
    forget(&answer);
    remove_folder(folder);
}

/* S23: tensors that nothing uses are a warning where the user says so. */
static void s23_left_over_tensors_can_be_allowed(void **state)
{
    (void)state;
    char *folder = test_folder();
    spoil_model(folder, GOLDEN "qwen3", &(struct spoil){.add = "model.extra.weight"});
    struct answer allowed = run(plainly, "generate", folder, "--ids", "1,2,3", "-n", "4", "--allow-unused");
    struct answer sound = run(plainly, "generate", GOLDEN "qwen3", "--ids", "1,2,3", "-n", "4");
    expect_code(&allowed, ALLOY_OK);
    expect_in(allowed.err, "model.extra.weight");
    expect_text(allowed.out, sound.out);
    forget(&allowed);
    forget(&sound);
    remove_folder(folder);
}

/* ---- C15 and T4: sizes that do not go together ------------------------------------------------------------------- */

static void c15_a_long_context_costs_nothing_until_it_is_used(void **state)
{
    (void)state;
    char *folder = reconfigured("\"max_position_embeddings\": 4096", "\"max_position_embeddings\": 1000000000");
    struct answer answer = run(plainly, "generate", folder, "--ids", "1,2,3", "-n", "4", "-q");
    struct answer sound = run(plainly, "generate", GOLDEN "qwen3", "--ids", "1,2,3", "-n", "4", "-q");
    expect_code(&answer, ALLOY_OK);
    expect_text(answer.out, sound.out);
    forget(&answer);
    answer = run(plainly, "info", folder, "--json");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "\"cache_bytes_for_context\": 1024000000000");
    forget(&answer);
    forget(&sound);
    remove_folder(folder);
}

static void t4_ids_above_the_embedding_warn_and_are_refused_when_fed(void **state)
{
    (void)state;
    char *folder = copied_model(GOLDEN "qwen3"); /* 256 rows; the tokenizer has 2,048 ids */
    copy_file(MOBY, folder, "tokenizer.json");
    struct answer answer = run(plainly, "generate", folder, "--ids", "1,2,3", "-n", "2");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.err, "the tokenizer has 2048 ids and the model 256");
    forget(&answer);
    answer = run(plainly, "generate", folder, "-p", "Call me Ishmael.", "-n", "2");
    expect_code(&answer, ALLOY_RANGE);
    expect_in(answer.err, "the tokenizer has 2048 ids and the model 256");
    expect_in(answer.err, "the model knows 0 to 255");
    assert_int_equal(answer.out_size, 0);
    forget(&answer);
    remove_folder(folder);
}

/* ---- G3: lengths ------------------------------------------------------------------------------------------------- */

static void g3_max_length_counts_the_prompt(void **state)
{
    (void)state;
    char *folder = copied_model(GOLDEN "qwen3");
    write_text(folder, "generation_config.json", "{\"max_length\": 5}");
    struct answer answer = run(plainly, "generate", folder, "--ids", "1,2,3", "--sample", "--ignore-eos", "--json");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "\"completion_tokens\":2");
    forget(&answer);
    answer = run(plainly, "generate", folder, "--ids", "1,2,3,4,5", "--sample");
    expect_error(&answer, ALLOY_RANGE, "max_length is 5", "the prompt has 5 tokens");
    forget(&answer);
    answer = run(plainly, "generate", folder, "--ids", "1,2,3,4,5", "--sample", "-n", "2", "-q");
    expect_code(&answer, ALLOY_OK); /* the flag wins */
    forget(&answer);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spoiled_weights_are_told),
        cmocka_unit_test(s20_weights_that_are_read_are_a_warning),
        cmocka_unit_test(s23_left_over_tensors_can_be_allowed),
        cmocka_unit_test(c15_a_long_context_costs_nothing_until_it_is_used),
        cmocka_unit_test(t4_ids_above_the_embedding_warn_and_are_refused_when_fed),
        cmocka_unit_test(g3_max_length_counts_the_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
