/* What reaches a terminal: names and texts from files, folders and flags can neither move its cursor nor add lines that
 * are not ours, whatever command prints them. */
#include "spawn.h"

#include <termios.h>

#include "base/printable.h"

/* A title, a CSI of C1, an override of direction, a line of its own, a byte that is no UTF-8. */
#define HOSTILE                                                                                                        \
    "\x1B]0;x\x07\xC2\x9B"                                                                                             \
    "5m\xE2\x80\xAE\nalloy: forged\r\xFF"
/* The same in JSON. */
#define HOSTILE_JSON "\\u001b]0;x\\u0007\\u009b5m\\u202e\\nalloy: forged\\r\\u2028"

static void expect_printable(const struct answer *answer, const char *name, const char *text, size_t size)
{
    for (size_t begin = 0, end; begin < size; begin = end + 1) {
        const char *newline = memchr(text + begin, '\n', size - begin);
        end = newline ? (size_t)(newline - text) : size;
        if (!alloy_is_printable(text + begin, end - begin) || strncmp(text + begin, "alloy: forged", 13) == 0) {
            alloy_text form = {0};
            alloy_text_printable(&form, text, size, ALLOY_KEEP_LINES);
            fail_msg("%s\n  printed on %s:\n%s", answer->line, name, form.bytes);
        }
    }
}

/* Runs, and expects nothing but printable lines on both outputs; a signal is a failure too. */
#define run_printably(...) check_run((char *[]){ALLOY_COMMAND, __VA_ARGS__, NULL})

static int check_run(char **words)
{
    struct answer answer = run_words(plainly, words);
    expect_printable(&answer, "stdout", answer.out, answer.out_size);
    expect_printable(&answer, "stderr", answer.err, strlen(answer.err));
    assert_in_range(answer.code, 0, ALLOY_STATUS_COUNT - 1);
    int code = answer.code;
    forget(&answer);
    return code;
}

static void copy_file(const char *from, const char *folder, const char *name)
{
    size_t size;
    char *bytes = read_whole(path_in(from, name), &size);
    write_file(folder, name, bytes, size);
    free(bytes);
}

static void names_of_folders_are_printable_in_every_command(void **state)
{
    (void)state;
    char *folder = test_folder(), model[512], absent[512], out[512], fresh[512], logits[512], plugin[512];
    snprintf(model, sizeof model, "%s/" HOSTILE, folder);
    snprintf(absent, sizeof absent, "%s/no" HOSTILE, folder);
    snprintf(out, sizeof out, "%s/out" HOSTILE, folder);
    snprintf(fresh, sizeof fresh, "%s/fresh" HOSTILE, folder);
    snprintf(logits, sizeof logits, "%s/logits" HOSTILE, folder);
    snprintf(plugin, sizeof plugin, "%s/plugin" HOSTILE ".so", folder);
    assert_int_equal(mkdir(model, 0700), 0);
    static const char *const names[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++)
        copy_file(GOLDEN "qwen3", model, names[i]);
    assert_int_equal(run_printably("info", model), ALLOY_OK);
    assert_int_equal(run_printably("info", model, "--json"), ALLOY_OK);
    assert_int_equal(run_printably("generate", model, "--ids", "1,2", "-n", "2", "-v"), ALLOY_OK);
    assert_int_equal(run_printably("verify", model, "-n", "3"), ALLOY_OK);
    assert_int_equal(run_printably("logits", model, "--ids", "1,2", "--out", logits), ALLOY_OK);
    assert_int_equal(run_printably("compare", model, model, "-n", "3"), ALLOY_OK);
    assert_int_equal(run_printably("roofline", model), ALLOY_OK);
    assert_int_equal(run_printably("roofline", model, "--json"), ALLOY_OK);
    assert_int_equal(run_printably("convert", model, "--out", out), ALLOY_OK);
    assert_int_equal(run_printably("init", model, "--out", fresh), ALLOY_OK);
    assert_int_equal(run_printably("tokenize", model, "x"), ALLOY_IO);
    char *const commands[] = {"info", "generate", "verify",     "logits",  "convert",
                              "init", "tokenize", "detokenize", "roofline"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_true(run_printably(commands[i], absent) != ALLOY_OK);
        assert_true(run_printably(commands[i], absent, "--json") != ALLOY_OK);
        assert_true(run_printably(commands[i], model, "--" HOSTILE) != ALLOY_OK);
    }
    assert_true(run_printably("compare", model, absent) != ALLOY_OK);
    assert_true(run_printably("modules", "--plugin", plugin) != ALLOY_OK);
    assert_true(run_printably("roofline", model, "--hardware", absent) != ALLOY_OK);
    assert_true(run_printably("generate", model, "--ids", HOSTILE) != ALLOY_OK);
    assert_true(run_printably(HOSTILE) != ALLOY_OK);
    remove_folder(folder);
}

/* One file of a model, with names that its makers chose. */
static const struct {
    const char *file, *text;
} bad_files[] = {
    {"config.json", "{\"model_type\": \"" HOSTILE_JSON "\"}"},
    {"config.json", "{\"" HOSTILE_JSON "\": }"},
    {"config.json", "{\"" HOSTILE "\": 1}"},
    {"config.json", HOSTILE},
    {"config.json", "{\"model_type\": \"qwen3\", \"vocab_size\": \"" HOSTILE_JSON "\"}"},
    {"config.json", "{\"model_type\": \"qwen3\", \"auto_map\": {\"" HOSTILE_JSON "\": 1}, \"vocab_size\": 256, "
                    "\"hidden_act\": \"" HOSTILE_JSON "\"}"},
    {"config.json", "{\"model_type\": \"alloy\", \"layer_types\": [\"" HOSTILE_JSON "\"], \"vocab_size\": 256}"},
    {"config.json",
     "{\"model_type\": \"qwen3\", \"vocab_size\": 256, \"quantization_config\": {\"quant_method\": \"" HOSTILE_JSON
     "\"}}"},
    {"generation_config.json", "{\"temperature\": \"" HOSTILE_JSON "\"}"},
    {"generation_config.json", "{\"" HOSTILE_JSON "\": \"" HOSTILE "\"}"},
    {"tokenizer.json", "{\"model\": {\"type\": \"" HOSTILE_JSON "\"}}"},
    {"tokenizer.json", "{\"" HOSTILE_JSON "\": 1}"},
    {"tokenizer.json", "{\"normalizer\": {\"type\": \"" HOSTILE_JSON "\"}, \"model\": {\"type\": \"BPE\", \"vocab\": "
                       "{\"a\": 0}, \"merges\": []}}"},
    {"tokenizer.json",
     "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"" HOSTILE_JSON "\": 0}, \"merges\": [\"" HOSTILE_JSON " x\"]}}"},
    {"model.safetensors.index.json", "{\"weight_map\": {\"" HOSTILE_JSON "\": \"" HOSTILE_JSON ".safetensors\"}}"},
    {"model.safetensors.index.json", "{\"weight_map\": {\"a\": \"../" HOSTILE_JSON "\"}}"},
};

static void names_in_files_are_printable_in_errors_and_warnings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        char *folder = test_folder();
        bool index = strstr(bad_files[i].file, "index") != NULL;
        copy_file(GOLDEN "qwen3", folder, "config.json");
        if (!index)
            copy_file(GOLDEN "qwen3", folder, "model.safetensors");
        write_text(folder, bad_files[i].file, bad_files[i].text);
        run_printably("info", folder);
        run_printably("generate", folder, "--ids", "1,2", "-n", "2");
        run_printably("generate", folder, "--ids", "1,2", "-n", "2", "--json");
        run_printably("tokenize", folder, "abc");
        run_printably("roofline", folder);
        remove_folder(folder);
    }
}

static void names_of_tensors_are_printable(void **state)
{
    (void)state;
    char *folder = test_folder();
    copy_file(GOLDEN "qwen3", folder, "config.json");
    write_safetensors(folder, "model.safetensors",
                      "{\"__metadata__\":{\"dtype\":\"" HOSTILE_JSON "\"},\"" HOSTILE_JSON
                      "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                      "abcd", 4);
    assert_int_equal(run_printably("info", folder), ALLOY_FORMAT);
    assert_int_equal(run_printably("compare", MOBY, path_in(folder, "model.safetensors")), ALLOY_FORMAT);
    write_safetensors(folder, "model.safetensors",
                      "{\"a\":{\"dtype\":\"" HOSTILE_JSON "\",\"shape\":[1],\"data_offsets\":[0,4]}}", "abcd", 4);
    assert_int_equal(run_printably("info", folder), ALLOY_FORMAT);
    remove_folder(folder);
}

static void chips_are_printable(void **state)
{
    (void)state;
    char *folder = test_folder(), chip[512], name[512];
    snprintf(name, sizeof name, "%s",
             write_text(folder, "name.json",
                        "{\"name\": \"" HOSTILE_JSON "\", \"memory_bandwidth\": 1e12, \"peaks\": {\"bf16\": 1e15}}"));
    assert_int_equal(run_printably("roofline", MOBY, "--hardware", name), ALLOY_FORMAT);
    snprintf(chip, sizeof chip, "%s",
             write_text(folder, "chip.json",
                        "{\"name\": \"chip\", \"source\": \"" HOSTILE_JSON
                        "\", \"memory_bandwidth\": 1e12, \"peaks\": {\"bf16\": 1e15}}"));
    static char *const forms[] = {"--json", "--csv", "--explain", "--list", "--level", NULL};
    for (int i = 0; forms[i]; i++)
        assert_int_equal(run_printably("roofline", MOBY, "--hardware", chip, forms[i], i == 4 ? "3" : "-q"), ALLOY_OK);
    assert_int_equal(run_printably("roofline", MOBY, "--hardware", chip, "--html", "-"), ALLOY_OK);
    assert_int_equal(run_printably("roofline", MOBY, "--hardware", chip, "--svg", "-"), ALLOY_OK);
    remove_folder(folder);
}

/* What a run prints on a terminal; its code in *code. */
static char *on_terminal(char **words, int *code)
{
    static char text[65536];
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), status;
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int screen = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC),
        nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct termios settings;
    assert_int_equal(tcgetattr(screen, &settings), 0);
    cfmakeraw(&settings);
    assert_int_equal(tcsetattr(screen, TCSANOW, &settings), 0);
    pid_t pid = fork();
    if (pid == 0)
        child(&plainly, words, nothing, screen, nothing);
    close(screen);
    close(nothing);
    size_t size = 0;
    for (ssize_t n; (n = read(terminal, text + size, sizeof text - 1 - size)) > 0;)
        size += (size_t)n;
    text[size] = 0;
    close(terminal);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return text;
}

/* A model's text is what it is in a pipe; a terminal is shown what would act on it. */
static void results_are_bytes_but_on_a_terminal(void **state)
{
    (void)state;
    int code;
    static const char text[] = "a\x1B[2J\tb\r\n\xD7\xA9\xE2\x80\xAE.";
    struct answer ids = run(((struct setup){.input = text}), "tokenize", MOBY);
    expect_code(&ids, ALLOY_OK);
    ids.out[strcspn(ids.out, "\n")] = 0;
    struct answer piped = run(plainly, "detokenize", MOBY, ids.out);
    expect_code(&piped, ALLOY_OK);
    expect_bytes(piped.out, piped.out_size, "a\x1B[2J\tb\r\n\xD7\xA9\xE2\x80\xAE.\n");
    char *shown = on_terminal((char *[]){ALLOY_COMMAND, "detokenize", MOBY, ids.out, NULL}, &code);
    assert_int_equal(code, ALLOY_OK);
    expect_text(shown, "a\\x1B[2J\tb\\x0D\n\xD7\xA9\xE2\x80\xAE.\n");
    forget(&ids);
    forget(&piped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_folders_are_printable_in_every_command),
        cmocka_unit_test(names_in_files_are_printable_in_errors_and_warnings),
        cmocka_unit_test(names_of_tensors_are_printable),
        cmocka_unit_test(chips_are_printable),
        cmocka_unit_test(results_are_bytes_but_on_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
