/* What flags and configs promise: CONTEXT before anything is made for tokens; work and memory that follow the kinds of
 * layers and experts, not their numbers; a head that is counted where it is computed with; each warning once. */
#include "spawn.h"

#include "config/source.h"
#include "files/safetensors.h"

/* ---- Context ----------------------------------------------------------------------------------------------------- */

/* A million ids for a context of 1,024, with no room for buffers of a million rows. */
static void ids_beyond_the_context_are_refused_before_buffers_are_made(void **state)
{
    (void)state;
    enum { IDS = 1000000, MEMORY = 512 << 20 };
    char *folder = test_folder(), *text = malloc(2 * IDS);
    assert_non_null(text);
    for (int i = 0; i < IDS; i++)
        memcpy(text + 2 * i, "5,", 2);
    text[2 * IDS - 1] = '\n';
    char file[256], out[256];
    snprintf(file, sizeof file, "%s", write_file(folder, "ids.txt", text, 2 * IDS));
    snprintf(out, sizeof out, "%s/out.safetensors", folder);
    free(text);
    char *const lines[][MOST_WORDS] = {
        {ALLOY_COMMAND, "logits", MOBY, "--ids-file", file, "-o", out},
        {ALLOY_COMMAND, "logits", MOBY, "--ids-file", file, "-o", out, "--hidden", "--chunk", "1048576"},
        {ALLOY_COMMAND, "verify", MOBY, "--ids-file", file},
        {ALLOY_COMMAND, "verify", MOBY, "-n", "1000000"},
        {ALLOY_COMMAND, "compare", MOBY, MOBY, "--ids-file", file},
        {ALLOY_COMMAND, "compare", MOBY, MOBY, "-n", "1000000"},
        {ALLOY_COMMAND, "roofline", MOBY, "--measure", "--at", "prefill:1000000000"},
        {ALLOY_COMMAND, "roofline", MOBY, "--measure", "--at", "decode:68719476736"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct setup setup = {.memory = ALLOY_TEST_SANITIZED ? 0 : MEMORY};
        struct answer answer = run_words(setup, (char **)lines[i]);
        expect_error(&answer, ALLOY_CONTEXT, "context is 1024");
        forget(&answer);
    }
    remove_folder(folder);
}

/* ---- Numbers of a config ----------------------------------------------------------------------------------------- */

#define FEW                                                                                                            \
    "\"vocab_size\": 256, \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": " \
    "16, \"intermediate_size\": 128, \"moe_intermediate_size\": 32, \"shared_expert_intermediate_size\": 32, "         \
    "\"num_experts_per_tok\": 2"

static const char composed[] =
    "{\"model_type\": \"alloy\", " FEW ", \"num_experts\": 8, \"layer_types\": [\"qwen3_attention\", \"qwen3_5_gdn\", "
    "\"llama_attention\"], \"ffn_types\": [\"qwen3_mlp\", \"qwen3_moe\", \"qwen3_5_moe\"]}";

/* `config` with one more field, or one that it has changed. */
static char *with_field(const char *config, const char *key, double value)
{
    char quoted[64], *text = malloc(strlen(config) + 128);
    assert_non_null(text);
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(config, quoted), *rest = config + 1;
    int before = 1;
    if (at && at[strlen(quoted)] >= '0' && at[strlen(quoted)] <= '9') {
        before = (int)(at - config);
        rest = at + strlen(quoted);
        rest += strspn(rest, "0123456789") + 2; /* and ", " */
    }
    sprintf(text, "%.*s%s%.0f, %s", before, config, quoted, value, rest);
    return text;
}

static void expect_quick(char *path, const char *what)
{
    enum { MEMORY = 160 << 20, MOST_SECONDS = 10 };
    char *const lines[][MOST_WORDS] = {
        {ALLOY_COMMAND, "info", path},
        {ALLOY_COMMAND, "info", path, "--json"},
        {ALLOY_COMMAND, "roofline", path, "--at", "decode:16"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        double begin = (double)time(NULL);
        struct answer answer =
            run_words((struct setup){.memory = ALLOY_TEST_SANITIZED ? 0 : MEMORY}, (char **)lines[i]);
        bool told = answer.code == ALLOY_RANGE || answer.code == ALLOY_LIMIT || answer.code == ALLOY_FORMAT;
        if (answer.code != ALLOY_OK && !told)
            fail_msg("%s: %s: exit code %d: %.300s", what, answer.line, answer.code, answer.err);
        if (told && !strstr(answer.err, "config.json") && !strstr(answer.err, what))
            fail_msg("%s: %s: %.300s", what, answer.line, answer.err);
        if (!ALLOY_TEST_SLOW && (double)time(NULL) - begin > MOST_SECONDS)
            fail_msg("%s: %s: more than %d s", what, answer.line, MOST_SECONDS);
        forget(&answer);
    }
}

/* Every whole number that a config may name, at the end of its range. */
static void every_number_of_a_config_at_its_largest_is_quick(void **state)
{
    (void)state;
    char *folder = test_folder();
    size_t size;
    char *golden = read_whole(GOLDEN "dsv4/config.json", &size);
    const char *const configs[] = {composed, golden};
    int count;
    const alloy_field *fields = alloy_config_fields(&count);
    for (int c = 0; c < (ALLOY_TEST_SLOW ? 1 : 2); c++)
        for (int i = 0; i < count; i++) {
            const alloy_field *field = &fields[i];
            if (field->type != ALLOY_FIELD_INTEGER)
                continue;
            char *text = with_field(configs[c], field->key, field->most);
            expect_quick(write_text(folder, "config.json", text), field->key);
            free(text);
        }
    free(golden);
    remove_folder(folder);
}

/* A kilobyte that names 1,000 layers of 65,536 experts, and 100,000 layers; 400 kB in which each of 10,000 layers has a
 * size of its own. */
static void layers_and_experts_are_counted_by_kinds(void **state)
{
    (void)state;
    static const char many[] =
        "{\"model_type\": \"alloy\", " FEW ", \"num_experts\": 65536, \"layer_types\": {\"pattern\": "
        "[\"qwen3_attention\", \"qwen3_5_gdn\"], \"repeat\": %d}, \"ffn_types\": {\"pattern\": [\"qwen3_moe\", "
        "\"qwen3_mlp\"], \"repeat\": %d}%s}";
    enum { OVERRIDES = 10000 };
    char *folder = test_folder(), *text = malloc(sizeof many + 64 * OVERRIDES), *overrides = malloc(64 * OVERRIDES);
    assert_true(text && overrides);
    static const int repeats[] = {500, 50000};
    for (size_t i = 0; i < sizeof repeats / sizeof *repeats; i++) {
        sprintf(text, many, repeats[i], repeats[i], "");
        expect_quick(write_text(folder, "config.json", text), "many layers");
    }
    char *at = overrides + sprintf(overrides, ", \"layer_overrides\": {");
    for (int i = 0; i < OVERRIDES; i++)
        at += sprintf(at, "%s\"%d\": {\"moe_intermediate_size\": %d}", i ? ", " : "", i, i + 1);
    sprintf(at, "}");
    sprintf(text, many, OVERRIDES / 2, OVERRIDES / 2, overrides);
    expect_quick(write_text(folder, "config.json", text), "layers of their own");
    free(text);
    free(overrides);
    remove_folder(folder);
}

/* Said before any of the tensors is listed. */
static void a_new_model_of_too_many_tensors_is_refused(void **state)
{
    (void)state;
    static const char many[] =
        "{\"model_type\": \"alloy\", " FEW ", \"num_experts\": 65536, \"layer_types\": {\"pattern\": "
        "[\"qwen3_attention\"], \"repeat\": 1000}, \"ffn_types\": {\"pattern\": [\"qwen3_moe\"], \"repeat\": 1000}}";
    enum { MEMORY = 160 << 20 };
    char *folder = test_folder(), *path = write_text(folder, "config.json", many), *out = path_in(folder, "new");
    char *const line[MOST_WORDS] = {ALLOY_COMMAND, "init", path, "--out", out};
    struct answer answer = run_words((struct setup){.memory = ALLOY_TEST_SANITIZED ? 0 : MEMORY}, (char **)line);
    expect_error(&answer, ALLOY_LIMIT, "num_hidden_layers is 1000", "196,617,003 tensors");
    forget(&answer);
    assert_int_equal(access(out, F_OK), -1);
    remove_folder(folder);
}

static void counts_beyond_64_bits_are_shown(void **state)
{
    (void)state;
    static const char huge[] =
        "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": 1048576, \"head_dim\": 16, "
        "\"num_experts_per_tok\": 2, "
        "\"num_experts\": 65536, \"layer_types\": {\"pattern\": [\"qwen3_attention\"], \"repeat\": 100000}, "
        "\"ffn_types\": {\"pattern\": [\"qwen3_moe\"], \"repeat\": 100000},"
        "\"layer_overrides\": {\"qwen3_moe\": {\"moe_intermediate_size\": 1048576}}}";
    char *folder = test_folder(), *path = write_text(folder, "config.json", huge);
    struct answer answer = run(plainly, "info", path);
    expect_code(&answer, ALLOY_OK);
    /* 100,000 layers of 65,536 experts of 3 x 2^20 x 2^20: 2.1617 * 10^22, and what is beside them */
    expect_in(answer.out, "parameters  21,6");
    expect_in(answer.out, " active for a token");
    forget(&answer);
    remove_folder(folder);
}

static void a_report_of_too_many_rows_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"model_type\": \"alloy\", " FEW ", \"layer_types\": {\"pattern\": [\"qwen3_attention\"], "
        "\"repeat\": 100000}, \"ffn_types\": {\"pattern\": [\"qwen3_mlp\"], \"repeat\": 100000}}";
    char *folder = test_folder(), *path = write_text(folder, "config.json", text);
    struct answer answer = run(plainly, "roofline", path, "--at", "decode:16", "--level", "3");
    expect_error(&answer, ALLOY_LIMIT, "num_hidden_layers is 100000", "--num-layers");
    forget(&answer);
    answer = run(plainly, "roofline", path, "--at", "decode:16", "--svg", "-");
    expect_error(&answer, ALLOY_LIMIT, "num_hidden_layers is 100000", "--num-layers");
    forget(&answer);
    answer = run(plainly, "roofline", path, "--at", "decode:16", "--level", "3", "--num-layers", "100");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    remove_folder(folder);
}

/* ---- A head of its own ------------------------------------------------------------------------------------------- */

/* Tied by its config, with a head in its file: that is computed with (so does transformers), and so it is counted. */
static void a_separate_head_of_a_tied_model_is_counted(void **state)
{
    (void)state;
    char *folder = test_folder(),
         *changed = changed_config(GOLDEN "qwen3", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    size_t size;
    char *weights = read_whole(GOLDEN "qwen3/model.safetensors", &size);
    write_file(folder, "model.safetensors", weights, size);
    write_text(folder, "config.json", changed);
    struct answer own = run(plainly, "info", GOLDEN "qwen3"), answer = run(plainly, "info", folder);
    expect_code(&answer, ALLOY_OK);
    const char *line = strstr(own.out, "\nparameters ");
    assert_non_null(line);
    char expected[128];
    snprintf(expected, sizeof expected, "%.*s\n", (int)strcspn(line + 1, "\n"), line + 1);
    expect_in(answer.out, expected);
    assert_null(strstr(answer.out, "embeddings tied"));
    forget(&own);
    forget(&answer);
    answer = run(plainly, "info", folder, "--json");
    expect_in(answer.out, "\"tie_word_embeddings\": false");
    forget(&answer);
    answer = run(plainly, "info", path_in(folder, "config.json"), "--json"); /* a config alone is what it says */
    expect_in(answer.out, "\"tie_word_embeddings\": true");
    forget(&answer);
    free(weights);
    free(changed);
    remove_folder(folder);
}

/* ---- Warnings ---------------------------------------------------------------------------------------------------- */

static void expect_no_line_twice(const struct answer *answer)
{
    for (const char *line = answer->err; *line; line += strcspn(line, "\n"), line += *line != 0) {
        size_t length = strcspn(line, "\n");
        char *copy = strndup(line, length + 1);
        const char *rest = line + length;
        if (length > 0 && strstr(rest, copy))
            fail_msg("%s: twice: %s", answer->line, copy);
        free(copy);
    }
}

static void a_warning_is_said_once(void **state)
{
    (void)state;
    char *folder = test_folder();
    static const char *const files[] = {"model.safetensors", "tokenizer.json"};
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        char *bytes = read_whole(path_in(MOBY, files[i]), &size);
        write_file(folder, files[i], bytes, size);
        free(bytes);
    }
    char *changed = changed_config(MOBY, "{", "{\"auto_map\": {\"AutoModel\": \"x.Y\"}, ");
    write_text(folder, "config.json", changed);
    write_text(folder, "generation_config.json", "{\"do_sample\": true, \"num_beams\": 4, \"eos_token_id\": 0}");
    char out[256], made[256];
    snprintf(out, sizeof out, "%s/out.safetensors", folder);
    snprintf(made, sizeof made, "%s/made", folder);
    char *const lines[][MOST_WORDS] = {
        {ALLOY_COMMAND, "generate", folder, "-p", "Call", "-n", "2", "--sample"},
        {ALLOY_COMMAND, "compare", folder, folder, "-n", "8"},
        {ALLOY_COMMAND, "verify", folder, "-n", "8"},
        {ALLOY_COMMAND, "logits", folder, "--ids", "1,2", "-o", out},
        {ALLOY_COMMAND, "info", folder},
        {ALLOY_COMMAND, "roofline", folder},
        {ALLOY_COMMAND, "convert", folder, "--out", made},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct answer answer = run_words(plainly, (char **)lines[i]);
        expect_code(&answer, ALLOY_OK);
        expect_in(answer.err, "ignored: auto_map");
        expect_no_line_twice(&answer);
        forget(&answer);
    }
    free(changed);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_beyond_the_context_are_refused_before_buffers_are_made),
        cmocka_unit_test(every_number_of_a_config_at_its_largest_is_quick),
        cmocka_unit_test(layers_and_experts_are_counted_by_kinds),
        cmocka_unit_test(a_new_model_of_too_many_tensors_is_refused),
        cmocka_unit_test(counts_beyond_64_bits_are_shown),
        cmocka_unit_test(a_report_of_too_many_rows_is_refused),
        cmocka_unit_test(a_separate_head_of_a_tied_model_is_counted),
        cmocka_unit_test(a_warning_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
