/* What each command computes and prints, on small models; prompts that are wrong (bad_input P1 to P9). */
#include "spawn.h"

#include "files/safetensors.h"

/* ---- tokenize and detokenize ------------------------------------------------------------------------------------- */

static void text_goes_to_ids_and_back(void **state)
{
    (void)state;
    const char *const texts[] = {"Call me Ishmael.", "naïve — “whale”\n\n\tand 鯨 🐋", " ", "x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct answer ids = run(plainly, "tokenize", MOBY, (char *)texts[i]);
        expect_code(&ids, ALLOY_OK);
        struct answer back = run((struct setup){.input = ids.out}, "detokenize", MOBY);
        expect_code(&back, ALLOY_OK);
        back.out[back.out_size - 1] = 0; /* the newline at the end */
        expect_text(back.out, texts[i]);
        forget(&ids);
        forget(&back);
    }
}

static void every_way_in_gives_the_same_ids(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *path = write_text(folder, "text.txt", "The whale\n");
    struct answer word = run(plainly, "tokenize", MOBY, "The whale\n");
    struct answer file = run(plainly, "tokenize", MOBY, "-f", path);
    struct answer dash = run((struct setup){.input = "The whale\n"}, "tokenize", MOBY, "-f", "-");
    struct answer pipe = run((struct setup){.input = "The whale\n"}, "tokenize", MOBY);
    struct answer json = run((struct setup){.input = "The whale\n"}, "tokenize", MOBY "/tokenizer.json", "--json");
    expect_text(file.out, word.out);
    expect_text(dash.out, word.out);
    expect_text(pipe.out, word.out);
    expect_json(&json);
    struct answer back = run((struct setup){.input = json.out}, "detokenize", MOBY);
    expect_text(back.out, "The whale\n\n");
    forget(&word), forget(&file), forget(&dash), forget(&pipe), forget(&json), forget(&back);
    remove_folder(folder);
}

static void lines_of_json_stay_in_order(void **state)
{
    (void)state;
    const char *lines = "{\"text\": \"one\"}\n{\"id\": 7, \"text\": \"a \\u00e9\\n\"}\n\n{\"text\": \"\"}";
    struct answer answer = run((struct setup){.input = lines}, "tokenize", MOBY, "--jsonl", "-");
    expect_code(&answer, ALLOY_OK);
    int count = 0;
    for (const char *at = answer.out; (at = strstr(at, "{\"ids\":[")); at++)
        count++;
    assert_int_equal(count, 3);
    forget(&answer);
    answer = run((struct setup){.input = "{\"text\": \"one\"}\n{\"txt\": 1}\n"}, "tokenize", MOBY, "--jsonl", "-");
    expect_code(&answer, ALLOY_FORMAT);
    expect_in(answer.err, "line 2");
    expect_in(answer.err, "\"text\"");
    forget(&answer);
}

/* Bytes that are no UTF-8 are U+FFFD in every entry point; a NUL is text. */
static void p2_p3_p4_bad_utf8_and_nuls_are_read_alike(void **state)
{
    (void)state;
    struct answer word = run(plainly, "tokenize", MOBY, "a\xff\xc3z");
    struct answer pipe = run((struct setup){.input = "a\xff\xc3z"}, "tokenize", MOBY);
    struct answer replaced = run(plainly, "tokenize", MOBY, "a\xEF\xBF\xBD\xEF\xBF\xBDz");
    expect_text(word.out, replaced.out);
    expect_text(pipe.out, replaced.out);
    struct answer nul = run(((struct setup){.input = "a\0b", .input_size = 3}), "tokenize", MOBY);
    struct answer ids = run((struct setup){.input = nul.out}, "detokenize", MOBY);
    assert_int_equal(ids.out_size, 4);
    assert_memory_equal(ids.out, "a\0b\n", 4);
    forget(&word), forget(&pipe), forget(&replaced), forget(&nul), forget(&ids);
}

/* ---- generate ---------------------------------------------------------------------------------------------------- */

static void a_text_is_continued(void **state)
{
    (void)state;
    struct answer flag = run(plainly, "generate", MOBY, "-p", "Call me", "-n", "8");
    struct answer pipe =
        run((struct setup){.input = "Call me\n"}, "generate", MOBY, "-n", "8", "-t", "2", "--chunk", "1");
    expect_code(&flag, ALLOY_OK);
    expect_text(pipe.out, flag.out); /* one newline at the end of a file is left out */
    expect_in(flag.err, "8 tokens (length): prefill ");
    expect_in(flag.err, "read per token");
    forget(&flag);
    forget(&pipe);
}

static void the_same_seed_gives_the_same_text(void **state)
{
    (void)state;
    char *const line[] = {ALLOY_COMMAND, "generate", MOBY, "-p", "The", "-n", "12", "--sample", "--seed", "3", NULL};
    char *const other[] = {ALLOY_COMMAND, "generate", MOBY, "-p", "The", "-n", "12", "--sample", "--seed", "4", NULL};
    struct answer a = run_words(plainly, (char **)line), b = run_words(plainly, (char **)line);
    struct answer c = run_words(plainly, (char **)other);
    expect_code(&a, ALLOY_OK);
    expect_text(b.out, a.out);
    assert_true(strcmp(c.out, a.out) != 0);
    forget(&a), forget(&b), forget(&c);
}

static void a_model_without_a_tokenizer_prints_ids(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "generate", GOLDEN "qwen3", "--ids", "1,2,3", "-n", "4", "--ignore-eos");
    expect_code(&answer, ALLOY_OK);
    int commas = 0;
    for (char *at = answer.out; *at; at++)
        commas += *at == ',';
    assert_int_equal(commas, 3);
    forget(&answer);
    answer = run(plainly, "generate", GOLDEN "qwen3", "-p", "text", "-n", "4");
    expect_error(&answer, ALLOY_IO, "tokenizer.json");
    forget(&answer);
}

static void p1_p6_wrong_prompts_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *ids;
        int code;
    } rows[] = {
        {"-1", ALLOY_RANGE}, {"256", ALLOY_RANGE},   {"4294967296", ALLOY_RANGE}, {"99999999999999999999", ALLOY_RANGE},
        {"", ALLOY_ARG},     {"[1, 2", ALLOY_FORMAT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer answer = run(plainly, "generate", GOLDEN "qwen3", "--ids", (char *)rows[i].ids, "-n", "2");
        expect_error(&answer, rows[i].code, "");
        forget(&answer);
    }
    struct answer answer = run(plainly, "generate", MOBY, "-p", "");
    expect_error(&answer, ALLOY_ARG, "empty");
    forget(&answer);
}

static void p7_p8_p9_the_context_ends_a_prompt_or_an_output(void **state)
{
    (void)state;
    char ids[8192] = "1";
    for (int i = 1; i < 1024; i++)
        strcat(ids, ",1");
    struct answer answer = run(plainly, "generate", MOBY, "--ids", ids, "-n", "2"); /* as long as the context */
    expect_error(&answer, ALLOY_CONTEXT, "1024");
    forget(&answer);
    strcat(ids, ",1");
    answer = run(plainly, "generate", MOBY, "--ids", ids, "-n", "2");
    expect_error(&answer, ALLOY_CONTEXT, "1025");
    forget(&answer);
    ids[2 * 1022 - 1] = 0; /* 1,022 ids: room for two */
    answer = run(plainly, "generate", MOBY, "--ids", ids, "-n", "0", "--ignore-eos", "--json");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "\"finish_reason\":\"length\"");
    expect_in(answer.out, "\"completion_tokens\":2");
    forget(&answer);
}

/* What a model's makers ask for must be possible. */
static void g1_g2_g3_settings_of_the_model_are_checked(void **state)
{
    (void)state;
    const struct {
        const char *text, *key;
    } rows[] = {{"{\"temperature\": -1}", "temperature"},
                {"{\"top_p\": 0}", "top_p"},
                {"{\"top_k\": -1}", "top_k"},
                {"{\"eos_token_id\": [1, 256]}", "eos_token_id"}};
    char *folder = test_folder();
    const char *const names[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        size_t size;
        char *bytes = read_whole(path_in(GOLDEN "qwen3", names[i]), &size);
        write_file(folder, names[i], bytes, size);
        free(bytes);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_text(folder, "generation_config.json", rows[i].text);
        struct answer answer = run(plainly, "generate", folder, "--ids", "1,2", "-n", "2", "--sample");
        expect_error(&answer, ALLOY_RANGE, "generation_config.json", rows[i].key);
        forget(&answer);
    }
    write_text(folder, "generation_config.json", "{\"temperature\": 0}"); /* greedy */
    struct answer zero = run(plainly, "generate", folder, "--ids", "1,2", "-n", "4", "--sample", "--ignore-eos");
    struct answer greedy = run(plainly, "generate", folder, "--ids", "1,2", "-n", "4", "--ignore-eos");
    expect_code(&zero, ALLOY_OK);
    expect_text(zero.out, greedy.out);
    forget(&zero);
    forget(&greedy);
    remove_folder(folder);
}

/* ---- logits, compare, init --------------------------------------------------------------------------------------- */

static void logits_come_as_safetensors(void **state)
{
    (void)state;
    char *folder = test_folder(), *out = path_in(folder, "out.safetensors"),
         *list = write_text(folder, "ids.txt", "5 6\n7");
    struct answer answer = run(plainly, "logits", GOLDEN "qwen3", "--ids-file", list, "--out", out, "--hidden");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    alloy_safetensors file;
    expect_ok(alloy_safetensors_open(&file, out, false));
    const alloy_stored_tensor *logits = alloy_safetensors_find(&file, "logits", 6);
    const alloy_stored_tensor *hidden = alloy_safetensors_find(&file, "hidden.3", 8);
    assert_non_null(logits);
    assert_non_null(hidden);
    assert_int_equal(logits->dtype, ALLOY_F32);
    assert_int_equal(logits->shape[0], 3);
    assert_int_equal(logits->shape[1], 256);
    assert_int_equal(hidden->shape[1], 64);
    assert_null(alloy_safetensors_find(&file, "hidden.4", 8));
    alloy_safetensors_close(&file);
    remove_folder(folder);
}

static void reference_cases_pass_and_other_models_depart(void **state)
{
    (void)state;
    char *const cases[] = {"qwen3", "qwen3_5", "qwen3_moe", "llama_linear_sharded"};
    for (int i = 0; i < 4; i++) {
        char model[512], reference[600];
        snprintf(model, sizeof model, GOLDEN "%s", cases[i]);
        snprintf(reference, sizeof reference, "%s/expected.safetensors", model);
        struct answer answer = run(plainly, "compare", model, reference);
        expect_code(&answer, ALLOY_OK);
        expect_in(answer.out, "logits");
        expect_in(answer.out, "24 of 24 ids equal");
        forget(&answer);
    }
    struct answer answer = run(plainly, "compare", GOLDEN "qwen3", GOLDEN "qwen3_moe/expected.safetensors");
    expect_code(&answer, ALLOY_DIFFERENT);
    expect_in(answer.out, "first layer that departs: 0");
    forget(&answer);
}

static void models_are_compared_with_each_other(void **state)
{
    (void)state;
    struct answer same = run(plainly, "compare", GOLDEN "qwen3", GOLDEN "qwen3", "--tokens", "20");
    expect_code(&same, ALLOY_OK);
    struct answer other = run(plainly, "compare", GOLDEN "qwen3", GOLDEN "qwen3_moe", "--ids", "1,2,3");
    expect_code(&other, ALLOY_DIFFERENT);
    struct answer wide =
        run(plainly, "compare", GOLDEN "qwen3", GOLDEN "qwen3", "--tokens", "20", "--kv-dtype", "bf16");
    expect_code(&wide, ALLOY_OK);
    struct answer unlike = run(plainly, "compare", GOLDEN "qwen3", MOBY);
    expect_error(&unlike, ALLOY_ARG, "256", "2048");
    forget(&same), forget(&other), forget(&wide), forget(&unlike);
}

static void new_weights_are_the_same_wherever_they_are_drawn(void **state)
{
    (void)state;
    char *folder = test_folder();
    const char *const names[] = {"a", "b", "c"}, *const seeds[] = {"5", "5", "6"};
    char *bytes[3];
    size_t sizes[3];
    for (int i = 0; i < 3; i++) {
        struct answer answer = run(plainly, "init", ALLOY_SOURCE_DIR "/tests/composed/mixed.json", "--out",
                                   path_in(folder, names[i]), "--seed", (char *)seeds[i], "--dtype", "bf16", "-q");
        expect_code(&answer, ALLOY_OK);
        forget(&answer);
        char file[64];
        snprintf(file, sizeof file, "%s/model.safetensors", names[i]);
        bytes[i] = read_whole(path_in(folder, file), &sizes[i]);
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    assert_true(memcmp(bytes[0], bytes[2], sizes[0]) != 0);
    struct answer answer = run(plainly, "generate", path_in(folder, "a"), "--ids", "1,2,3", "-n", "3", "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    answer = run(plainly, "info", path_in(folder, "a"), "--json");
    expect_in(answer.out, "\"BF16\"");
    forget(&answer);
    answer = run(plainly, "init", ALLOY_SOURCE_DIR "/tests/composed/mixed.json", "--out", path_in(folder, "shards"),
                 "--max-shard-size", "300000", "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    answer = run(plainly, "verify", path_in(folder, "shards"), "--tokens", "70", "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    for (int i = 0; i < 3; i++)
        free(bytes[i]);
    remove_folder(folder);
}

static void a_converted_model_says_what_it_cost_and_runs(void **state)
{
    (void)state;
    char *folder = test_folder(), *made = path_in(folder, "made"), *again = path_in(folder, "again");
    struct answer answer = run(plainly, "convert", GOLDEN "qwen3_moe", "--out", made, "--dtype", "bf16");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "of largest");
    expect_in(answer.out, "model.layers.0.mlp.experts.*.up_proj.weight"); /* one row for all of them */
    expect_in(answer.out, "113 tensors, 113 rounded or widened");
    forget(&answer);
    answer = run(plainly, "convert", made, "--out", again, "--names", "memory", "--json", "--max-shard-size", "100000");
    expect_code(&answer, ALLOY_OK);
    expect_json(&answer);
    expect_in(answer.out, "\"model.layers.0.mlp.experts.gate_up_proj\"");
    expect_in(answer.out, "\"kept_tensors\": 47");
    forget(&answer);
    answer = run(plainly, "compare", again, made, "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    answer = run(plainly, "convert", made, "--out", again);
    expect_error(&answer, ALLOY_IO, "holds a model already");
    forget(&answer);
    answer = run(plainly, "convert", made, "--out", path_in(folder, "made/model.safetensors"));
    expect_error(&answer, ALLOY_IO, "is not a folder");
    forget(&answer);
    remove_folder(folder);
}

static void a_level_that_is_not_there_is_not_passed(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "verify", GOLDEN "qwen3", "--tokens", "10", "--cpu", "generic", "--json");
    expect_code(&answer, ALLOY_OK);
    assert_null(strstr(answer.out, "avx512")); /* one level was asked for */
    forget(&answer);
    answer = run(plainly, "verify", GOLDEN "qwen3", "--tokens", "10", "--json");
    expect_code(&answer, ALLOY_OK);
    const char *level = strstr(answer.out, "\"avx512\""), *not_run = strstr(answer.out, "\"not_run\"");
    assert_non_null(not_run);
    if (!__builtin_cpu_supports("avx512f") && level)
        assert_true(level > not_run);
    forget(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_goes_to_ids_and_back),
        cmocka_unit_test(every_way_in_gives_the_same_ids),
        cmocka_unit_test(lines_of_json_stay_in_order),
        cmocka_unit_test(p2_p3_p4_bad_utf8_and_nuls_are_read_alike),
        cmocka_unit_test(a_text_is_continued),
        cmocka_unit_test(the_same_seed_gives_the_same_text),
        cmocka_unit_test(a_model_without_a_tokenizer_prints_ids),
        cmocka_unit_test(p1_p6_wrong_prompts_are_refused),
        cmocka_unit_test(p7_p8_p9_the_context_ends_a_prompt_or_an_output),
        cmocka_unit_test(g1_g2_g3_settings_of_the_model_are_checked),
        cmocka_unit_test(logits_come_as_safetensors),
        cmocka_unit_test(reference_cases_pass_and_other_models_depart),
        cmocka_unit_test(models_are_compared_with_each_other),
        cmocka_unit_test(new_weights_are_the_same_wherever_they_are_drawn),
        cmocka_unit_test(a_converted_model_says_what_it_cost_and_runs),
        cmocka_unit_test(a_level_that_is_not_there_is_not_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
