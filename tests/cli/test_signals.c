/* Signals: a page of a mapped file that cannot be read ends the command with a line and the code of IO (F2); Ctrl-C
 * stops a generation and leaves what was printed whole. */
#include "spawn.h"

#include <pthread.h>

#include "cli/job.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "checkpoint/model.h"

static void copy_model(const char *from, const char *folder)
{
    const char *const names[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        size_t size;
        char *bytes = read_whole(path_in(from, names[i]), &size);
        write_file(folder, names[i], bytes, size);
        free(bytes);
    }
}

/* What is mapped, and who touches a byte of it that is no longer there. Each runs in a process of its own. */
static void touch(const volatile uint8_t *data)
{
    uint8_t byte = *data;
    (void)byte;
}

static void touch_the_model(const char *folder, bool no_mmap)
{
    alloy_cli_common common = {.no_mmap = no_mmap};
    alloy_model *model;
    if (alloy_cli_open_model(&model, &common, folder) || truncate(path_in(folder, "model.safetensors"), 4096))
        _exit(99);
    touch(alloy_norm_weight(&model->ends[ALLOY_END_NORM])->data);
}

static void *touch_in_a_thread(void *data)
{
    touch(data);
    return NULL;
}

static void touch_the_third_of_three_models_in_a_thread(const char *folder, bool no_mmap)
{
    alloy_cli_common common = {.no_mmap = no_mmap};
    alloy_model *models[3];
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        if (alloy_cli_open_model(&models[i], &common, i == 2 ? folder : MOBY))
            _exit(99);
    if (truncate(path_in(folder, "model.safetensors"), 4096) ||
        pthread_create(&thread, NULL, touch_in_a_thread,
                       (void *)alloy_norm_weight(&models[2]->ends[ALLOY_END_NORM])->data))
        _exit(99);
    pthread_join(thread, NULL);
}

static void touch_a_file_beside_models(const char *folder, bool no_mmap)
{
    alloy_file file;
    const char *path = path_in(folder, "model.safetensors");
    if (alloy_file_open(&file, path, SIZE_MAX, !no_mmap) || truncate(path, 4096))
        _exit(99);
    touch(file.data + 8192);
}

static int run_apart(void (*part)(const char *, bool), const char *folder, bool no_mmap, char *line, size_t size)
{
    int err[2];
    assert_int_equal(pipe(err), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(err[1], 2);
        alloy_cli_signals_open();
        part(folder, no_mmap);
        _exit(0);
    }
    close(err[1]);
    ssize_t n = read(err[0], line, size - 1);
    line[n > 0 ? n : 0] = 0;
    close(err[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Workers that meet lost pages at the same time, and --json. */
static void touch_in_four_threads(const char *folder, bool no_mmap)
{
    alloy_file file;
    const char *path = path_in(folder, "model.safetensors");
    pthread_t threads[4];
    alloy_cli_output_set(true, true, false);
    if (alloy_file_open(&file, path, SIZE_MAX, !no_mmap) || truncate(path, 0))
        _exit(99);
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, touch_in_a_thread, (void *)(file.data + 8192 * i)))
            _exit(99);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void f2_many_lost_pages_are_one_line_and_one_document(void **state)
{
    (void)state;
    char line[2048], name[64], *folder = test_folder();
    int out = dup(STDOUT_FILENO), captured[2];
    copy_model(GOLDEN "qwen3", folder);
    assert_int_equal(pipe(captured), 0);
    fflush(stdout);
    dup2(captured[1], STDOUT_FILENO);
    int code = run_apart(touch_in_four_threads, folder, false, line, sizeof line);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(captured[1]);
    struct answer answer = {.line = "four threads", .err = line, .out = calloc(1, 4096)};
    assert_non_null(answer.out);
    answer.out_size = (size_t)read(captured[0], answer.out, 4095);
    close(captured[0]);
    assert_int_equal(code, ALLOY_IO);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    expect_json(&answer);
    snprintf(name, sizeof name, "\"code\": %d,\n    \"message\": \"", (int)ALLOY_IO);
    expect_in(answer.out, "{\n  \"error\": {\n    \"status\": \"IO\",\n    ");
    expect_in(answer.out, name);
    expect_in(answer.out, "model.safetensors: byte ");
    free(answer.out);
    remove_folder(folder);
}

/* F3: what was read with --no-mmap does not mind. */
static void f2_f3_a_page_that_cannot_be_read_names_file_and_byte(void **state)
{
    (void)state;
    static void (*const parts[])(const char *, bool) = {touch_the_model, touch_the_third_of_three_models_in_a_thread,
                                                        touch_a_file_beside_models};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (int no_mmap = 0; no_mmap < 2; no_mmap++) {
            char line[2048], *folder = test_folder();
            copy_model(GOLDEN "qwen3", folder);
            assert_int_equal(run_apart(parts[i], folder, no_mmap, line, sizeof line), no_mmap ? 0 : ALLOY_IO);
            if (!no_mmap) {
                expect_in(line, "alloy: ");
                expect_in(line, "model.safetensors: byte ");
                expect_in(line, "--no-mmap");
            }
            remove_folder(folder);
        }
}

/* F6: also by another name of the same file. */
static void f6_what_is_mapped_is_not_written_over(void **state)
{
    (void)state;
    char *folder = test_folder();
    copy_model(GOLDEN "qwen3", folder);
    char *model = path_in(folder, "model.safetensors"), *link_to = path_in(folder, "other.safetensors");
    size_t before, after;
    free(read_whole(model, &before));
    assert_int_equal(symlink("model.safetensors", link_to), 0);
    char *const outs[] = {model, link_to, path_in(folder, "config.json")};
    for (int i = 0; i < 3; i++) {
        struct answer answer = run(plainly, "logits", folder, "--ids", "1,2", "--out", outs[i]);
        expect_error(&answer, ALLOY_IO, "is a file of the model", "elsewhere");
        forget(&answer);
    }
    char *bytes = read_whole(model, &after);
    assert_int_equal(after, before);
    free(bytes);
    remove_folder(folder);
}

static void ctrl_c_stops_with_the_last_line(void **state)
{
    (void)state;
    struct answer answer = run((struct setup){.interrupted = true}, "generate", MOBY, "-p", "Call me", "-n", "0",
                               "--ignore-eos", "--cpu", "generic");
    expect_code(&answer, ALLOY_CLI_INTERRUPTED);
    expect_in(answer.err, "tokens (cancelled): prefill");
    assert_true(answer.out[answer.out_size - 1] == '\n');
    forget(&answer);
}

/* F6, F7: a write fails at the limit of file sizes, SIGXFSZ does not end the command, what was there stays, and nothing
 * is left beside it. */
static void f6_f7_a_limit_of_file_sizes_is_io(void **state)
{
    (void)state;
    char *folder = test_folder(), out[512], model[512], names[600];
    snprintf(out, sizeof out, "%s/out/logits.safetensors", folder);
    snprintf(model, sizeof model, "%s/model", folder);
    write_text(folder, "out/logits.safetensors", "what was there");
    struct answer answer = run(plainly, "init", GOLDEN "qwen3", "--out", model, "-q");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    size_t size, after_size;
    char *before = read_whole(path_in(model, "model.safetensors"), &size);
    static const size_t limits[] = {1, 1000, 100000};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct setup limited = {.file_size = limits[i]};
        answer = run(limited, "init", GOLDEN "qwen3", "--out", model, "--force", "--seed", "9");
        expect_error(&answer, ALLOY_IO, "model.safetensors", "File too large");
        forget(&answer);
        answer = run(limited, "logits", MOBY, "--ids", "1,2,3,4,5,6,7,8,9,10,11,12,13", "--out", out);
        expect_error(&answer, ALLOY_IO, "logits.safetensors", "File too large");
        forget(&answer);
        char *after = read_whole(path_in(model, "model.safetensors"), &after_size);
        assert_int_equal(after_size, size);
        assert_memory_equal(after, before, size);
        free(after);
        after = read_whole(out, &after_size);
        expect_bytes(after, after_size, "what was there");
        free(after);
        snprintf(names, sizeof names, "test \"$(ls '%s' '%s/out' | wc -l)\" = 6", model, folder);
        assert_int_equal(system(names), 0); /* two files, one, two headings and a line between */
    }
    free(before);
    remove_folder(folder);
}

/* F10: with less memory than it needs the command says so; it is not ended by a signal. */
static void f10_little_memory_is_nomem(void **state)
{
    (void)state;
    if (ALLOY_TEST_SANITIZED)
        skip(); /* a sanitizer reserves more than any limit */
    bool done = false, refused = false;
    for (size_t mib = 16; mib <= 256; mib += 4) {
        struct answer answer =
            run(((struct setup){.memory = mib << 20}), "generate", MOBY, "-p", "Call me", "-n", "4", "-t", "2", "-q");
        bool loaded = answer.code != 127; /* else the loader had not enough to begin with */
        if (loaded && answer.code != ALLOY_OK && answer.code != ALLOY_NOMEM)
            fail_msg("with %zu MiB: ended with %d (signal %d): %s", mib, answer.code, answer.signal, answer.err);
        refused = refused || answer.code == ALLOY_NOMEM;
        done = answer.code == ALLOY_OK;
        forget(&answer);
    }
    assert_true(refused && done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f2_f3_a_page_that_cannot_be_read_names_file_and_byte),
        cmocka_unit_test(f2_many_lost_pages_are_one_line_and_one_document),
        cmocka_unit_test(f6_what_is_mapped_is_not_written_over),
        cmocka_unit_test(f6_f7_a_limit_of_file_sizes_is_io),
        cmocka_unit_test(f10_little_memory_is_nomem),
        cmocka_unit_test(ctrl_c_stops_with_the_last_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
