/* What may stand in the place of a model's file: every command that opens the file refuses what is none, by name, and
 * never takes it as absent. X9 to X12. */
#include "spawn.h"

enum { GENERATE = 1, CONVERT = 2, INFO = 4, ROOFLINE = 8, VERIFY = 16, TOKENIZE = 32, INIT = 64, LOGITS = 128 };

static const struct {
    const char *name;
    int opened_by;
} files[] = {
    {"config.json", GENERATE | CONVERT | INFO | ROOFLINE | VERIFY | INIT | LOGITS},
    {"model.safetensors", GENERATE | CONVERT | INFO | ROOFLINE | VERIFY | LOGITS},
    {"tokenizer.json", GENERATE | CONVERT | TOKENIZE},
    {"generation_config.json", GENERATE | CONVERT},
    {"tokenizer_config.json", CONVERT},
};

enum { FILES = sizeof files / sizeof *files };

/* What is put in the place of the file `path`; `model` is a sound one outside. */
static void put_link_out(const char *path, const char *sound)
{
    assert_int_equal(symlink(sound, path), 0);
}

static void put_link_to_a_device(const char *path, const char *sound)
{
    (void)sound;
    assert_int_equal(symlink("/dev/zero", path), 0);
}

static void put_dangling_link(const char *path, const char *sound)
{
    (void)sound;
    assert_int_equal(symlink("nowhere", path), 0);
}

static void put_looping_link(const char *path, const char *sound)
{
    (void)sound;
    assert_int_equal(symlink(strrchr(path, '/') + 1, path), 0);
}

static void put_fifo(const char *path, const char *sound)
{
    (void)sound;
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void put_folder(const char *path, const char *sound)
{
    (void)sound;
    assert_int_equal(mkdir(path, 0700), 0);
}

static void copy_moby(const char *folder)
{
    for (int i = 0; i < FILES; i++) {
        size_t size;
        char *bytes = read_whole(path_in(MOBY, files[i].name), &size);
        write_file(folder, files[i].name, bytes, size);
        free(bytes);
    }
}

static void expect_refused(const char *model, const char *out, int file, alloy_status expected, const char *word)
{
    const struct {
        int command;
        char **words;
    } commands[] = {
        {GENERATE, (char *[]){ALLOY_COMMAND, "generate", (char *)model, "-p", "Call", "-n", "1", "-q", NULL}},
        {CONVERT, (char *[]){ALLOY_COMMAND, "convert", (char *)model, "--out", (char *)out, "-q", NULL}},
        {INFO, (char *[]){ALLOY_COMMAND, "info", (char *)model, NULL}},
        {ROOFLINE, (char *[]){ALLOY_COMMAND, "roofline", (char *)model, NULL}},
        {VERIFY, (char *[]){ALLOY_COMMAND, "verify", (char *)model, "-n", "2", "-q", NULL}},
        {TOKENIZE, (char *[]){ALLOY_COMMAND, "tokenize", (char *)model, "Call", NULL}},
        {INIT, (char *[]){ALLOY_COMMAND, "init", (char *)model, "--out", (char *)out, "-q", NULL}},
        {LOGITS, (char *[]){ALLOY_COMMAND, "logits", (char *)model, "--ids", "1", "--out", (char *)out, "-q", NULL}},
    };
    struct stat info;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!(files[file].opened_by & commands[i].command))
            continue;
        struct answer answer = run_words(plainly, commands[i].words);
        expect_error(&answer, expected, files[file].name, word);
        forget(&answer);
        if (lstat(out, &info) == 0)
            fail_msg("%s of a model whose %s is refused left %s", commands[i].words[1], files[file].name, out);
    }
}

static void try_all(void (*put)(const char *path, const char *sound), alloy_status expected, const char *word)
{
    for (int file = 0; file < FILES; file++) {
        char *folder = test_folder(), path[512], sound[512], out[512];
        copy_moby(folder);
        snprintf(path, sizeof path, "%s/%s", folder, files[file].name);
        snprintf(sound, sizeof sound, "%s/%s", MOBY, files[file].name);
        snprintf(out, sizeof out, "%s/out", folder);
        assert_int_equal(unlink(path), 0);
        put(path, sound);
        expect_refused(folder, out, file, expected, word);
        remove_folder(folder);
    }
}

static void x9_a_link_that_leaves_the_folder(void **state)
{
    (void)state;
    try_all(put_link_out, ALLOY_TRUST, "--follow-symlinks");
    try_all(put_link_to_a_device, ALLOY_TRUST, "/dev/zero");
}

static void x10_a_fifo_or_a_folder(void **state)
{
    (void)state;
    try_all(put_fifo, ALLOY_IO, "not a regular file");
    try_all(put_folder, ALLOY_IO, "not a regular file");
}

static void x11_a_link_that_leads_nowhere(void **state)
{
    (void)state;
    try_all(put_dangling_link, ALLOY_IO, "No such file");
    try_all(put_looping_link, ALLOY_IO, "symbolic links");
}

static void x9_follow_symlinks_lifts_it(void **state)
{
    (void)state;
    char *folder = test_folder(), out[512];
    for (int i = 0; i < FILES; i++) {
        char sound[512];
        snprintf(sound, sizeof sound, "%s/%s", MOBY, files[i].name);
        assert_int_equal(symlink(sound, path_in(folder, files[i].name)), 0);
    }
    snprintf(out, sizeof out, "%s/out", folder);
    struct answer answer = run(plainly, "generate", folder, "-p", "Call", "-n", "1", "-q", "--follow-symlinks");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    answer = run(plainly, "convert", folder, "--out", out, "-q", "--follow-symlinks");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    assert_int_equal(access(path_in(out, "tokenizer_config.json"), R_OK), 0);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x9_a_link_that_leaves_the_folder),
        cmocka_unit_test(x10_a_fifo_or_a_folder),
        cmocka_unit_test(x11_a_link_that_leads_nowhere),
        cmocka_unit_test(x9_follow_symlinks_lifts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
