/* Signals: a page of a mapped file that cannot be read ends the command with a line and the code of IO (F2); Ctrl-C
 * stops a generation and leaves what was printed whole. */
#include "spawn.h"

#include "cli/job.h"
#include "cli/signals.h"
#include "model/model.h"

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

/* In a process of its own: opens the model, cuts its file to one page, reads a tensor. */
static void touch_what_was_cut(const char *folder, bool no_mmap)
{
    alloy_cli_common common = {.no_mmap = no_mmap};
    alloy_model *model;
    alloy_cli_signals_open();
    if (alloy_cli_open_model(&model, &common, folder) || truncate(path_in(folder, "model.safetensors"), 4096))
        _exit(99);
    const volatile char *data = model->final_norm->data;
    char byte = *data;
    (void)byte;
    _exit(0);
}

static int run_apart(const char *folder, bool no_mmap, char *line, size_t size)
{
    int err[2];
    assert_int_equal(pipe(err), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(err[1], 2);
        touch_what_was_cut(folder, no_mmap);
    }
    close(err[1]);
    ssize_t n = read(err[0], line, size - 1);
    line[n > 0 ? n : 0] = 0;
    close(err[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_page_that_cannot_be_read_names_file_and_byte(void **state)
{
    (void)state;
    char line[2048], *folder = test_folder();
    copy_model(GOLDEN "qwen3", folder);
    assert_int_equal(run_apart(folder, false, line, sizeof line), ALLOY_IO);
    expect_in(line, "alloy: ");
    expect_in(line, "model.safetensors: byte ");
    expect_in(line, "--no-mmap");
    remove_folder(folder);
}

static void files_that_were_read_do_not_mind(void **state)
{
    (void)state;
    char line[2048], *folder = test_folder();
    copy_model(GOLDEN "qwen3", folder);
    assert_int_equal(run_apart(folder, true, line, sizeof line), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_that_cannot_be_read_names_file_and_byte),
        cmocka_unit_test(files_that_were_read_do_not_mind),
        cmocka_unit_test(ctrl_c_stops_with_the_last_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
