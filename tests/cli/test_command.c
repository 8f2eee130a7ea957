/* The command as its users and scripts meet it: exit codes, standard streams, --json, help (bad_input A1-A6). */
#include "spawn.h"

static const char *const commands[] = {"generate", "tokenize", "detokenize", "info", "modules",
                                       "logits",   "compare",  "verify",     "init", "convert"};

enum { COMMANDS = sizeof commands / sizeof *commands };

/* ---- Help and names ---------------------------------------------------------------------------------------------- */

static void every_command_explains_itself(void **state)
{
    (void)state;
    for (int i = 0; i < COMMANDS; i++) {
        struct answer answer = run(plainly, (char *)commands[i], "--help");
        expect_code(&answer, ALLOY_OK);
        expect_in(answer.out, "Usage: alloy ");
        expect_in(answer.out, commands[i]);
        expect_in(answer.out, "--json");
        expect_in(answer.out, "Examples:\n  alloy ");
        expect_text(answer.err, "");
        for (char *line = answer.out; line && *line;) {
            char *newline = strchr(line, '\n');
            assert_non_null(newline);
            assert_true(newline == line || newline[-1] != ' '); /* no white space at the end of a line */
            line = newline + 1;
        }
        forget(&answer);
    }
}

static void the_overview_lists_commands_and_exit_codes(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "--help");
    expect_code(&answer, ALLOY_OK);
    for (int i = 0; i < COMMANDS; i++)
        expect_in(answer.out, commands[i]);
    expect_in(answer.out, "6 IO");
    forget(&answer);
    answer = run(plainly, "--version");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, alloy_version());
    forget(&answer);
}

static void unknown_commands_name_the_nearest(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "genrate", MOBY);
    expect_error(&answer, ALLOY_ARG, "genrate", "did you mean generate");
    forget(&answer);
}

/* ---- A1 to A3: flags --------------------------------------------------------------------------------------------- */

static void a1_a2_wrong_flags_are_arg(void **state)
{
    (void)state;
    char *const lines[][MOST_WORDS] = {
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--threads", "0"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--threads", "-1"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--threads", "1e9"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--threads", "4x"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--threads", ""},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--threads"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--thraeds", "2"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "-t", "1", "--threads", "1"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--top-p", "0"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--top-p", "1.5"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--top-k", "-1"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--temperature", "nan"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--temperature", "-1"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--cpu", "pentium"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--kv-dtype", "f64"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "-f", "y"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--ids", "1"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "x", "--stop", ""},
        {ALLOY_COMMAND, "generate", MOBY, "--ids", "1,x"},
        {ALLOY_COMMAND, "generate", MOBY, "--ids", "1,,2"},
        {ALLOY_COMMAND, "generate", MOBY, "--ids", "1,2,"},
        {ALLOY_COMMAND, "generate", "", "-p", "x"},
        {ALLOY_COMMAND, "generate"},
        {ALLOY_COMMAND, "logits", MOBY, "--ids", "1"},
        {ALLOY_COMMAND, "logits", MOBY, "--out", "/tmp/x.safetensors"},
        {ALLOY_COMMAND, "init", MOBY},
        {ALLOY_COMMAND, "convert", MOBY},
        {ALLOY_COMMAND, "convert", MOBY, "--out", "/tmp/x", "--dtype", "i8"},
        {ALLOY_COMMAND, "compare", MOBY},
        {ALLOY_COMMAND, "tokenize", MOBY, "a", "b"},
        {ALLOY_COMMAND, "detokenize", MOBY, "1,a"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct answer answer = run_words(plainly, (char **)lines[i]);
        expect_error(&answer, ALLOY_ARG, "");
        forget(&answer);
    }
}

static void what_is_not_there_yet_is_unsupported(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "generate", MOBY, "-p", "x", "--math", "fast");
    expect_error(&answer, ALLOY_UNSUPPORTED, "--math fast", "canonical");
    forget(&answer);
}

static void a3_long_arguments_and_bad_paths_are_told_briefly(void **state)
{
    (void)state;
    enum { SIZE = 120 * 1024 }; /* what one argument may have on Linux */
    char *huge = malloc(SIZE + 1);
    assert_non_null(huge);
    memset(huge, 'y', SIZE);
    huge[SIZE] = 0;
    struct answer answer = run(plainly, "info", huge);
    expect_error(&answer, ALLOY_IO, "");
    assert_true(strlen(answer.err) < 8192);
    forget(&answer);
    answer = run(plainly, "info", "/no/such/\xff\xfe\x1b[2J");
    expect_error(&answer, ALLOY_IO, "no/such");
    assert_null(strchr(answer.err, 0x1B));
    forget(&answer);
    free(huge);
}

/* ---- A4 to A6: streams and locale -------------------------------------------------------------------------------- */

static void a5_output_that_cannot_be_written_is_io(void **state)
{
    (void)state;
    char *const lines[][MOST_WORDS] = {
        {ALLOY_COMMAND, "--help"},
        {ALLOY_COMMAND, "generate", "--help"},
        {ALLOY_COMMAND, "modules"},
        {ALLOY_COMMAND, "modules", "--json"},
        {ALLOY_COMMAND, "info", MOBY, "--json"},
        {ALLOY_COMMAND, "tokenize", MOBY, "text"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "Call", "-n", "4", "-q"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "Call", "-n", "4", "-q", "--json"},
        {ALLOY_COMMAND, "verify", GOLDEN "qwen3", "--tokens", "10", "--cpu", "generic"},
    };
    const struct setup setups[] = {{.output = "/dev/full"}, {.broken_pipe = true}, {.closed_output = true}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        for (size_t s = 0; s < sizeof setups / sizeof *setups; s++) {
            struct answer answer = run_words(setups[s], (char **)lines[i]);
            expect_error(&answer, ALLOY_IO, "standard output");
            forget(&answer);
        }
}

static void a4_a_closed_standard_input_is_io(void **state)
{
    (void)state;
    struct answer answer = run((struct setup){.closed_input = true}, "generate", MOBY, "-n", "2");
    expect_error(&answer, ALLOY_IO, "standard input");
    forget(&answer);
    answer = run((struct setup){.closed_input = true}, "generate", MOBY, "-n", "2", "-p", "Call", "-q");
    expect_code(&answer, ALLOY_OK); /* what needs no input runs without one */
    forget(&answer);
}

static void a6_the_locale_changes_nothing(void **state)
{
    (void)state;
    char *folder = test_folder();
    bool comma = use_comma_locale(folder);
    setlocale(LC_ALL, "C");
    if (!comma)
        print_message("  no locale with a decimal comma on this machine\n");
    struct setup german = {.locale = "de_DE.UTF-8"};
    struct answer plain = run(plainly, "generate", MOBY, "-p", "Call", "-n", "4", "-q", "--temperature", "0.5");
    struct answer answer = run(german, "generate", MOBY, "-p", "Call", "-n", "4", "-q", "--temperature", "0.5");
    expect_code(&answer, ALLOY_OK);
    expect_text(answer.out, plain.out);
    forget(&answer);
    forget(&plain);
    answer = run(german, "generate", MOBY, "-p", "Call", "-n", "4", "--temperature", "0,5");
    expect_error(&answer, ALLOY_ARG, "--temperature", "0,5");
    forget(&answer);
    remove_folder(folder);
}

/* ---- --json and exit codes --------------------------------------------------------------------------------------- */

static void json_is_one_document(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *out = path_in(folder, "out.safetensors"), *made = path_in(folder, "made"),
         *converted = path_in(folder, "converted");
    char *const lines[][MOST_WORDS] = {
        {ALLOY_COMMAND, "modules", "--json"},
        {ALLOY_COMMAND, "info", MOBY, "--json"},
        {ALLOY_COMMAND, "info", MOBY "/config.json", "--json", "--kv-dtype", "f16", "--num-layers", "2"},
        {ALLOY_COMMAND, "tokenize", MOBY, "text", "--json"},
        {ALLOY_COMMAND, "detokenize", MOBY, "1,2,3", "--json"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "Call", "-n", "3", "--json", "--logprobs", "2"},
        {ALLOY_COMMAND, "generate", GOLDEN "qwen3", "--ids", "1,2,3", "-n", "3", "--json"},
        {ALLOY_COMMAND, "generate", MOBY, "-p", "Call", "-n", "3", "--json", "-v", "--num-return-sequences", "3"},
        {ALLOY_COMMAND, "logits", GOLDEN "qwen3", "--ids", "1,2,3", "--json", "--out", out},
        {ALLOY_COMMAND, "compare", GOLDEN "qwen3", GOLDEN "qwen3/expected.safetensors", "--json"},
        {ALLOY_COMMAND, "verify", GOLDEN "qwen3", "--tokens", "20", "--json"},
        {ALLOY_COMMAND, "init", GOLDEN "qwen3", "--out", made, "--json"},
        {ALLOY_COMMAND, "convert", GOLDEN "qwen3", "--out", converted, "--dtype", "bf16", "--json"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct answer answer = run_words(plainly, (char **)lines[i]);
        expect_code(&answer, ALLOY_OK);
        expect_json(&answer);
        forget(&answer);
    }
    remove_folder(folder);
}

static void an_error_is_a_document_too(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "info", "/no/such/model", "--json");
    expect_code(&answer, ALLOY_IO);
    expect_json(&answer);
    expect_in(answer.out, "\"status\": \"IO\"");
    expect_in(answer.out, "\"code\": 6");
    forget(&answer);
    answer = run(plainly, "info", "--json", "--no-such-flag");
    expect_code(&answer, ALLOY_ARG);
    expect_json(&answer);
    forget(&answer);
}

static void exit_codes_are_status_numbers(void **state)
{
    (void)state;
    char *folder = test_folder();
    write_text(folder, "broken/config.json", "{\"model_type\": \"qwen3\",}");
    write_text(folder, "zero/config.json", "{\"model_type\": \"qwen3\", \"hidden_size\": 0}");
    write_text(folder, "deep/config.json", "{\"model_type\": \"no_such_family\"}");
    const struct {
        int code;
        char *folder;
    } rows[] = {
        {ALLOY_FORMAT, path_in(folder, "broken")},
        {ALLOY_RANGE, path_in(folder, "zero")},
        {ALLOY_FORMAT, path_in(folder, "deep")},
        {ALLOY_IO, path_in(folder, "absent")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer answer = run(plainly, "info", rows[i].folder);
        expect_error(&answer, rows[i].code, "");
        forget(&answer);
    }
    remove_folder(folder);
}

static void quiet_runs_leave_standard_error_empty(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "generate", MOBY, "-p", "Call", "-n", "3", "-q");
    expect_code(&answer, ALLOY_OK);
    expect_text(answer.err, "");
    assert_true(answer.out_size > 0);
    forget(&answer);
}

static void verbose_runs_tell_what_was_opened_and_with_what_it_computes(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "generate", MOBY, "-p", "Call", "-n", "3", "-v", "-t", "1", "--cpu", "generic");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.err, MOBY ": 4 layers");
    expect_in(answer.err, "kernels: generic, threads: 1");
    forget(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_explains_itself),
        cmocka_unit_test(the_overview_lists_commands_and_exit_codes),
        cmocka_unit_test(unknown_commands_name_the_nearest),
        cmocka_unit_test(a1_a2_wrong_flags_are_arg),
        cmocka_unit_test(what_is_not_there_yet_is_unsupported),
        cmocka_unit_test(a3_long_arguments_and_bad_paths_are_told_briefly),
        cmocka_unit_test(a5_output_that_cannot_be_written_is_io),
        cmocka_unit_test(a4_a_closed_standard_input_is_io),
        cmocka_unit_test(a6_the_locale_changes_nothing),
        cmocka_unit_test(json_is_one_document),
        cmocka_unit_test(an_error_is_a_document_too),
        cmocka_unit_test(exit_codes_are_status_numbers),
        cmocka_unit_test(quiet_runs_leave_standard_error_empty),
        cmocka_unit_test(verbose_runs_tell_what_was_opened_and_with_what_it_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
