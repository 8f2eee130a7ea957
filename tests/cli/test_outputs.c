/* What commands write: every flag that names an output, taken from the tables, in every command. A flag of this kind
 * that is added later is tried here without a new line. */
#include "spawn.h"

#include <sys/sysmacros.h>

#include "cli/command.h"

/* ---- The flags --------------------------------------------------------------------------------------------------- */

/* Runs a command on `model` with flag VALUE, and what else it needs; `other` is the --out of logits where it is not the
 * flag. */
static struct answer run_with(const struct setup *setup, const char *command, const char *model, const char *flag,
                              const char *value, const char *other)
{
    char name[64], *words[16] = {(char *)ALLOY_COMMAND, (char *)command, (char *)model};
    int count = 3;
    snprintf(name, sizeof name, "--%s", flag);
    if (strcmp(command, "logits") == 0) {
        words[count++] = (char *)"--ids";
        words[count++] = (char *)"1,2";
        if (strcmp(flag, "out") != 0) {
            words[count++] = (char *)"--out";
            words[count++] = (char *)other;
        }
    }
    words[count++] = name;
    words[count++] = (char *)value;
    return run_words(*setup, words);
}

/* Calls `try` for each flag of each command that writes such a thing. */
static int each_output(alloy_cli_use use, void (*try)(const char *command, const char *flag))
{
    int count = 0;
    for (int i = 0; i < alloy_cli_command_count; i++)
        for (const alloy_cli_option *o = alloy_cli_commands[i]->flags; o && o->name; o++)
            if (o->use == use) {
                print_message("           alloy %s --%s\n", alloy_cli_commands[i]->name, o->name);
                try(alloy_cli_commands[i]->name, o->name);
                count++;
            }
    return count;
}

/* No flag whose value is a file or a folder may say nothing of its use. */
static void w5_every_flag_that_names_a_file_says_what_becomes_of_it(void **state)
{
    (void)state;
    for (int i = -2; i < alloy_cli_command_count; i++) {
        const alloy_cli_option *o = i == -2   ? alloy_cli_every_flags
                                    : i == -1 ? alloy_cli_model_flags
                                              : alloy_cli_commands[i]->flags;
        for (; o && o->name; o++)
            if (o->value && (strstr(o->value, "FILE") || strstr(o->value, "FOLDER")) && !o->use)
                fail_msg("--%s of %s takes a %s and says neither that it is read nor that it is written", o->name,
                         i < 0 ? "several commands" : alloy_cli_commands[i]->name, o->value);
    }
}

/* ---- Models that cannot be opened, so that an error of the output came before ------------------------------------ */

static char *folder; /* of the test that runs */

/* A model whose config is sound and whose weights are not. */
static char *broken_model(void)
{
    size_t size;
    char *config = read_whole(GOLDEN "qwen3/config.json", &size), *model = strdup(path_in(folder, "broken"));
    mkdir(model, 0777);
    write_file(model, "config.json", config, size);
    write_text(model, "model.safetensors", "no weights");
    free(config);
    return model;
}

static char *saved(const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Every output that must be refused, on a model that would fail to load: the output's error comes first. */
static void refuse(const char *command, const char *flag)
{
    char *model = broken_model(), target[4200];
    struct setup plain = {0};
    struct {
        const char *value;
        alloy_status status;
        const char *word;
    } cases[] = {
        {"", ALLOY_ARG, flag},
        {saved("absent/out"), ALLOY_IO, "absent"},
        {folder, ALLOY_IO, "is a folder"},
        {saved("broken/model.safetensors"), ALLOY_IO, "file of the model"},
        {saved("broken/config.json"), ALLOY_IO, "file of the model"},
        {saved("hard"), ALLOY_IO, "MODEL"},
        {saved("soft"), ALLOY_IO, "file of the model"},
    };
    snprintf(target, sizeof target, "%s/model.safetensors", model);
    assert_int_equal(link(target, saved("hard")), 0);
    assert_int_equal(symlink("broken/model.safetensors", saved("soft")), 0);
    cases[1].value = strdup(saved("absent/out")); /* saved rotates */
    cases[3].value = strdup(saved("broken/model.safetensors"));
    cases[4].value = strdup(saved("broken/config.json"));
    cases[5].value = strdup(saved("hard"));
    cases[6].value = strdup(saved("soft"));
    char *other = strdup(saved("other"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer answer = run_with(&plain, command, model, flag, cases[i].value, other);
        expect_error(&answer, cases[i].status, cases[i].word);
        forget(&answer);
        if (i != 0 && i != 2)
            free((char *)cases[i].value);
    }
    size_t size;
    char *weights = read_whole(target, &size);
    expect_bytes(weights, size, "no weights");
    assert_int_equal(access(other, F_OK), -1);
    free(weights);
    free(other);
    free(model);
    remove(saved("hard"));
    remove(saved("soft"));
}

static void w3_w4_w5_outputs_are_checked_before_anything_is_opened(void **state)
{
    (void)state;
    folder = test_folder();
    assert_true(each_output(ALLOY_CLI_WRITES, refuse) >= 4);
    remove_folder(folder);
}

/* ---- Outputs that are written ------------------------------------------------------------------------------------ */

static void write_one(const char *command, const char *flag)
{
    struct stat before, after;
    struct setup plain = {0};
    char *file = strdup(saved("file")), *link_to = strdup(saved("link")), *other = strdup(saved("other")),
         *null = strdup(saved("null")), *fifo = strdup(saved("fifo")), *fresh = strdup(saved("fresh"));
    write_text(folder, "file", "old");
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(symlink("file", link_to), 0);
    const char *const outs[] = {link_to, fresh};
    for (int i = 0; i < 2; i++) {
        struct answer answer = run_with(&plain, command, GOLDEN "qwen3_moe", flag, outs[i], other);
        expect_code(&answer, ALLOY_OK);
        forget(&answer);
    }
    assert_int_equal(lstat(link_to, &after), 0);
    assert_true(S_ISLNK(after.st_mode));
    assert_int_equal(stat(file, &after), 0);
    assert_int_equal(after.st_mode & 07777, 0600);
    size_t expected_size, size;
    char *expected = read_whole(fresh, &expected_size), *actual = read_whole(file, &size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(actual, expected, size);
    free(actual);

    if (mknod(null, S_IFCHR | 0666, makedev(1, 3)) == 0 && access(null, W_OK) == 0) {
        assert_int_equal(stat(null, &before), 0);
        struct answer answer = run_with(&plain, command, GOLDEN "qwen3_moe", flag, null, other);
        assert_int_equal(lstat(null, &after), 0);
        assert_true(S_ISCHR(after.st_mode));
        assert_int_equal(before.st_ino, after.st_ino);
        forget(&answer);
    } else {
        print_message("not run: this user makes no devices\n");
    }

    assert_int_equal(mkfifo(fifo, 0600), 0);
    pid_t reader = fork();
    if (reader == 0) {
        alarm(60);
        int from = open(fifo, O_RDONLY);
        size_t all = 0;
        char bytes[65536];
        for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0; all += (size_t)n)
            if (all + (size_t)n > expected_size || memcmp(bytes, expected + all, (size_t)n) != 0)
                _exit(1);
        _exit(all == expected_size ? 0 : 2);
    }
    struct answer answer = run_with(&plain, command, GOLDEN "qwen3_moe", flag, fifo, other);
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    int status;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);

    answer = run_with(&plain, command, GOLDEN "qwen3_moe", flag, "-", other);
    expect_code(&answer, ALLOY_OK);
    assert_int_equal(answer.out_size, expected_size);
    assert_memory_equal(answer.out, expected, expected_size);
    forget(&answer);
    assert_int_equal(access("-", F_OK), -1);
    answer = run_with(&(struct setup){.broken_pipe = true}, command, GOLDEN "qwen3_moe", flag, "-", other);
    expect_code(&answer, ALLOY_IO);
    forget(&answer);
    char *all[] = {file, link_to, other, null, fifo, fresh};
    for (size_t i = 0; i < 6; i++) {
        remove(all[i]);
        free(all[i]);
    }
    free(expected);
}

static void w1_w2_outputs_go_where_they_lead(void **state)
{
    (void)state;
    folder = test_folder();
    assert_true(each_output(ALLOY_CLI_WRITES, write_one) >= 4);
    remove_folder(folder);
}

/* A run that fails does not leave a FIFO's reader waiting. */
static void release(const char *command, const char *flag)
{
    char *model = broken_model(), *fifo = strdup(saved("fifo"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    pid_t reader = fork();
    if (reader == 0) {
        alarm(60);
        char byte;
        int from = open(fifo, O_RDONLY);
        _exit(read(from, &byte, 1) == 0 ? 0 : 1);
    }
    int status = 0;
    while (waitpid(reader, &status, WNOHANG) == 0) { /* until the reader was there before the command ended */
        struct answer answer = run_with(&(struct setup){0}, command, model, flag, fifo, saved("other"));
        assert_true(answer.code == ALLOY_FORMAT || answer.code == ALLOY_IO);
        forget(&answer);
        usleep(10000);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    remove(fifo);
    free(fifo);
    free(model);
}

static void w1_a_run_that_fails_lets_a_reader_go(void **state)
{
    (void)state;
    folder = test_folder();
    assert_true(each_output(ALLOY_CLI_WRITES, release) >= 4);
    remove_folder(folder);
}

/* ---- What the same run reads and writes -------------------------------------------------------------------------- */

static void w5_two_outputs_are_not_one_file(void **state)
{
    (void)state;
    char *parent = folder = test_folder(), *x = strdup(path_in(parent, "x")), *y = strdup(path_in(parent, "y")),
         *dotted = strdup(path_in(parent, "./x"));
    const char *const model = GOLDEN "qwen3_moe";
    assert_int_equal(symlink("x", y), 0); /* to what is not there yet */
    char *const seconds[] = {x, y, dotted};
    for (int i = 0; i < 3; i++) {
        struct answer answer =
            run(plainly, "logits", (char *)model, "--ids", "1", "--out", x, "--routing-out", seconds[i]);
        expect_error(&answer, ALLOY_IO, "--out", "--routing-out", "same file");
        forget(&answer);
        answer = run(plainly, "roofline", (char *)model, "--svg", seconds[i], "--html", x);
        expect_error(&answer, ALLOY_IO, "--html", "--svg", "same file");
        forget(&answer);
    }
    assert_int_equal(access(x, F_OK), -1);
    struct answer answer = run(plainly, "logits", (char *)model, "--ids", "1", "--out", "-", "--routing-out", "-");
    expect_error(&answer, ALLOY_ARG, "standard output");
    forget(&answer);
    answer = run(plainly, "logits", (char *)model, "--ids", "1", "--out", "-", "--json");
    expect_code(&answer, ALLOY_ARG);
    forget(&answer);
    answer = run((struct setup){.output = write_text(parent, "x", "")}, "roofline", (char *)model, "--html", x);
    expect_error(&answer, ALLOY_IO, "standard output", "same file");
    forget(&answer);
    free(x);
    free(y);
    free(dotted);
    remove_folder(parent);
}

static void w5_no_input_is_written_over(void **state)
{
    (void)state;
    char *parent = folder = test_folder(), *ids = strdup(path_in(parent, "ids.json")),
         *hard = strdup(path_in(parent, "hard")), *chip = strdup(path_in(parent, "chip.json"));
    write_text(parent, "ids.json", "[1,2,3]");
    write_text(parent, "chip.json", "{}");
    assert_int_equal(link(ids, hard), 0);
    const char *const model = GOLDEN "qwen3_moe";
    char both[9000];
    snprintf(both, sizeof both, "H100,%s", chip);
    struct answer answer = run(plainly, "logits", (char *)model, "--ids-file", ids, "--out", hard);
    expect_error(&answer, ALLOY_IO, "--ids-file");
    forget(&answer);
    answer = run(plainly, "roofline", (char *)model, "--hardware", both, "--html", chip);
    expect_error(&answer, ALLOY_IO, "--hardware");
    forget(&answer);
    answer = run(plainly, "roofline", (char *)model, "--routing", ids, "--svg", ids);
    expect_error(&answer, ALLOY_IO, "--routing");
    forget(&answer);
    write_text(parent, "p.so", "no plug-in");
    answer =
        run(plainly, "roofline", (char *)model, "--plugin", path_in(parent, "p.so"), "--svg", path_in(parent, "p.so"));
    expect_error(&answer, ALLOY_IO, "--plugin"); /* before its code runs */
    forget(&answer);
    answer = run(plainly, "roofline", path_in(parent, "chip.json"), "--svg", chip);
    expect_error(&answer, ALLOY_IO, "MODEL");
    forget(&answer);
    size_t size;
    char *text = read_whole(ids, &size);
    expect_text(text, "[1,2,3]");
    free(text);
    free(ids);
    free(hard);
    free(chip);
    remove_folder(parent);
}

/* ---- Models ------------------------------------------------------------------------------------------------------ */

/* On a model that cannot be opened: the folder is refused first, --force leaves it when it then fails. */
static void refuse_model(const char *command, const char *flag)
{
    char *model = broken_model(), *target = strdup(saved("target"));
    struct setup plain = {0};
    mkdir(target, 0777);
    write_text(target, "config.json", "{}");
    write_text(target, "model.safetensors", "weights");
    char *const outs[] = {target, model};
    for (int i = 0; i < 2; i++) {
        struct answer answer = run_with(&plain, command, model, flag, outs[i], NULL);
        expect_error(&answer, ALLOY_IO, "holds a model already", "--force");
        forget(&answer);
    }
    struct answer answer = run_with(&plain, command, model, flag, "", NULL);
    expect_error(&answer, ALLOY_ARG, flag);
    forget(&answer);
    answer = run_with(&plain, command, model, flag, path_in(target, "config.json"), NULL);
    expect_error(&answer, ALLOY_IO, "not a folder");
    forget(&answer);
    size_t size;
    char *weights = read_whole(path_in(target, "model.safetensors"), &size);
    expect_bytes(weights, size, "weights");
    free(weights);
    free(target);
    free(model);
}

static void w6_a_folder_with_a_model_is_refused_before_anything_is_opened(void **state)
{
    (void)state;
    folder = test_folder();
    assert_true(each_output(ALLOY_CLI_WRITES_FOLDER, refuse_model) >= 2);
    remove_folder(folder);
}

static void w6_init_and_convert_replace_with_force(void **state)
{
    (void)state;
    char *parent = folder = test_folder(), *model = strdup(path_in(parent, "m"));
    char config[] = GOLDEN "qwen3";
    struct answer answer = run(plainly, "init", config, "--out", model, "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    write_text(model, "README.md", "mine");
    size_t size, again;
    char *before = read_whole(path_in(model, "model.safetensors"), &size);
    answer = run(plainly, "init", model, "--out", model, "--seed", "5", "--force", "-q"); /* its own config */
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    char *after = read_whole(path_in(model, "model.safetensors"), &again);
    assert_int_equal(size, again);
    assert_memory_not_equal(before, after, size);
    answer = run(plainly, "convert", config, "--out", model, "--force", "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    answer = run(plainly, "convert", model, "--out", model, "--force", "-q");
    expect_error(&answer, ALLOY_IO, "own folder");
    forget(&answer);
    answer = run(plainly, "compare", model, config, "--ids", "1,2,3", "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    assert_int_equal(access(path_in(model, "README.md"), F_OK), 0);
    free(before);
    free(after);
    free(model);
    remove_folder(parent);
}

/* A folder that holds its config alone is a place for its weights; another config there is not written over. */
static void w6_init_beside_a_config(void **state)
{
    (void)state;
    char *parent = folder = test_folder(), *place = strdup(path_in(parent, "m"));
    size_t size;
    char *config = read_whole(GOLDEN "qwen3/config.json", &size);
    mkdir(place, 0777);
    write_file(place, "config.json", config, size);
    struct answer answer = run(plainly, "init", place, "--out", place, "--dtype", "f16", "-q");
    expect_error(&answer, ALLOY_IO, "config.json, which would be written over");
    forget(&answer);
    answer = run(plainly, "init", place, "--out", place, "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    answer = run(plainly, "info", place, "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    answer = run(plainly, "init", place, "--out", place, "-q");
    expect_error(&answer, ALLOY_IO, "holds a model already");
    forget(&answer);
    free(config);
    free(place);
    remove_folder(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(w5_every_flag_that_names_a_file_says_what_becomes_of_it),
        cmocka_unit_test(w3_w4_w5_outputs_are_checked_before_anything_is_opened),
        cmocka_unit_test(w1_w2_outputs_go_where_they_lead),
        cmocka_unit_test(w1_a_run_that_fails_lets_a_reader_go),
        cmocka_unit_test(w5_two_outputs_are_not_one_file),
        cmocka_unit_test(w5_no_input_is_written_over),
        cmocka_unit_test(w6_a_folder_with_a_model_is_refused_before_anything_is_opened),
        cmocka_unit_test(w6_init_and_convert_replace_with_force),
        cmocka_unit_test(w6_init_beside_a_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
