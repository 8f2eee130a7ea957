/* Files that others cut short and write again while a command uses them: each command ends by itself, with what it
 * found or with an error, never by a signal. F1, F2. */
#include "shrinking.h"
#include "spawn.h"

enum { TIMES = ALLOY_TEST_SLOW ? 1 : 3, MODEL_FILES = 4 };

static const char *const model_files[MODEL_FILES] = {"config.json", "model.safetensors", "tokenizer.json",
                                                     "generation_config.json"};

/* moby in two folders, one of which loses a file. */
static void make_models(const char *folder, char one[512], char other[512])
{
    snprintf(one, 512, "%s/one", folder);
    snprintf(other, 512, "%s/other", folder);
    for (int i = 0; i < 2 * MODEL_FILES; i++) {
        size_t size;
        const char *name = model_files[i % MODEL_FILES];
        char *bytes = read_whole(path_in(MOBY, name), &size), target[64];
        snprintf(target, sizeof target, "%s/%s", i < MODEL_FILES ? "one" : "other", name);
        write_file(folder, target, bytes, size);
        free(bytes);
    }
}

static void check_answer(struct answer *answer, const char *path, const char *out)
{
    char line[600];
    if (answer->code < 0 || answer->code >= ALLOY_STATUS_COUNT || answer->code == ALLOY_NOMEM)
        fail_msg("%s\n  while %s shrank: ended with %d (signal %d)\n  %s", answer->line, path, answer->code,
                 answer->signal, answer->err);
    if (answer->code == ALLOY_IO)
        expect_in(answer->err, strrchr(path, '/') + 1);
    forget(answer);
    snprintf(line, sizeof line, "rm -rf '%s'", out);
    assert_int_equal(system(line), 0);
}

/* Runs while `path` shrinks and grows again. */
static void run_while_it_shrinks(const char *path, const char *out, char **words)
{
    struct shrinking shrinking;
    shrinking_begin(&shrinking, path);
    for (int i = 0; i < TIMES; i++) {
        struct answer answer = run_words(plainly, words);
        check_answer(&answer, path, out);
    }
    shrinking_end(&shrinking);
}

struct cut {
    const char *path;
    useconds_t after;
};

static void *cut_later(void *argument)
{
    struct cut *cut = argument;
    usleep(cut->after);
    assert_int_equal(truncate(cut->path, 8192), 0);
    return NULL;
}

/* Runs while `path`, of weights that are mapped by then, is cut to two pages; did it end with IO? */
static bool run_and_cut(const char *path, const char *out, char **words, useconds_t after)
{
    struct cut cut = {path, after};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cut_later, &cut), 0);
    struct answer answer = run_words(plainly, words);
    assert_int_equal(pthread_join(thread, NULL), 0);
    bool io = answer.code == ALLOY_IO;
    check_answer(&answer, path, out);
    return io;
}

#define COMMANDS(one, other, out)                                                                                      \
    {                                                                                                                  \
        (char *[]){                                                                                                    \
            ALLOY_COMMAND, "generate", one, "-p", "Call me", "-n", "30", "--ignore-eos", "-t", "3", "-q", NULL},       \
            (char *[]){ALLOY_COMMAND, "logits", one, "--ids", "1,2,3,4,5", "--out", out, "-q", NULL},                  \
            (char *[]){ALLOY_COMMAND, "verify", one, "-n", "8", "-q", NULL},                                           \
            (char *[]){ALLOY_COMMAND, "compare", other, one, "-n", "8", "-q", NULL},                                   \
            (char *[]){ALLOY_COMMAND, "compare", one, other, "-n", "8", "-q", NULL},                                   \
            (char *[]){ALLOY_COMMAND, "convert", one, "--out", out, "--dtype", "f16", "-q", NULL},                     \
            (char *[]){ALLOY_COMMAND, "info", one, "-q", NULL},                                                        \
            (char *[]){ALLOY_COMMAND, "tokenize", one, "Call me", "-q", NULL},                                         \
            (char *[]){ALLOY_COMMAND, "roofline", one, "-q", NULL},                                                    \
    }

static void f1_files_that_shrink_and_grow_under_every_command(void **state)
{
    (void)state;
    char *folder = test_folder(), one[512], other[512], out[512], path[600];
    make_models(folder, one, other);
    snprintf(out, sizeof out, "%s/out", folder);
    char **const commands[] = COMMANDS(one, other, out);
    for (int f = 0; f < MODEL_FILES; f++) {
        snprintf(path, sizeof path, "%s/%s", one, model_files[f]);
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            run_while_it_shrinks(path, out, commands[i]);
    }
    remove_folder(folder);
}

static void f2_weights_that_are_cut_under_every_command(void **state)
{
    (void)state;
    enum { DELAYS = ALLOY_TEST_SLOW ? 2 : 8, STEP = ALLOY_TEST_SLOW ? 60000 : 5000 }; /* microseconds */
    char *folder = test_folder(), one[512], other[512], out[512], path[600];
    int io = 0, runs = 0;
    make_models(folder, one, other);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(path, sizeof path, "%s/model.safetensors", one);
    char **const commands[] = COMMANDS(one, other, out);
    size_t size;
    char *weights = read_whole(path, &size);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        for (int d = 0; d < DELAYS; d++, runs++) {
            write_file(one, "model.safetensors", weights, size);
            io += run_and_cut(path, out, commands[i], (useconds_t)(d * STEP));
        }
    print_message("%d of %d runs ended with IO\n", io, runs);
    free(weights);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(f1_files_that_shrink_and_grow_under_every_command),
                                       cmocka_unit_test(f2_weights_that_are_cut_under_every_command)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
