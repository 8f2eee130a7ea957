/* Files: opening what may be opened, whatever becomes of it meanwhile. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/file_write.h"
#include "base/memory.h"

static void a_file_is_mapped_or_read(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = write_text(folder, "f", "hello");
    for (int map = 0; map < 2; map++) {
        alloy_file file;
        expect_ok(alloy_file_open(&file, path, 5, map));
        assert_int_equal(file.mapped, map);
        expect_bytes((const char *)file.data, file.size, "hello");
        expect_text(file.path, path);
        expect_ok(alloy_file_check(&file));
        alloy_file_close(&file);
        assert_null(file.data);
        expect_failure(alloy_file_open(&file, path, 4, map), ALLOY_LIMIT, path, "5 bytes", "at most 4");
        assert_null(file.data);
        expect_ok(alloy_file_open(&file, write_text(folder, "empty", ""), 0, map));
        assert_non_null(file.data);
        assert_int_equal(file.size, 0);
        alloy_file_close(&file);
    }
    alloy_text text = {0};
    alloy_text_string(&text, "old");
    expect_ok(alloy_file_read(&text, path, 5));
    expect_text(text.bytes, "hello");
    expect_failure(alloy_file_read(&text, path, 4), ALLOY_LIMIT, path, "5 bytes");
    alloy_text_free(&text);
    remove_folder(folder);
}

static void only_regular_files_are_opened_and_nothing_hangs(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_file file;
    assert_int_equal(mkfifo(path_in(folder, "fifo"), 0600), 0);
    expect_failure(alloy_file_open(&file, path_in(folder, "fifo"), SIZE_MAX, false), ALLOY_IO, "fifo",
                   "not a regular file");
    expect_failure(alloy_file_open(&file, folder, SIZE_MAX, true), ALLOY_IO, "not a regular file");
    expect_failure(alloy_file_open(&file, "/dev/null", SIZE_MAX, true), ALLOY_IO, "/dev/null", "not a regular file");
    expect_failure(alloy_file_open(&file, path_in(folder, "absent"), SIZE_MAX, true), ALLOY_IO, "absent",
                   "No such file");
    remove_folder(folder);
}

static void folders_are_created_with_those_above_them(void **state)
{
    (void)state;
    char *folder = test_folder();
    expect_ok(alloy_folder_create(path_in(folder, "a/b/c")));
    expect_ok(alloy_folder_create(path_in(folder, "a/b/c/")));
    assert_true(alloy_folder_exists(path_in(folder, "a/b/c")));
    assert_false(alloy_file_exists(path_in(folder, "a/b/c")));
    assert_true(alloy_file_exists(write_text(folder, "a/file", "")));
    expect_failure(alloy_folder_create(path_in(folder, "a/file/d")), ALLOY_IO, "a/file", "File exists");
    alloy_text path = {0};
    expect_ok(alloy_path_join(&path, "a/", "b"));
    expect_text(path.bytes, "a/b");
    expect_ok(alloy_path_join(&path, "a", "b"));
    expect_text(path.bytes, "a/b");
    alloy_text_free(&path);
    remove_folder(folder);
}

static void f9_descriptors_that_run_out_are_io(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = write_text(folder, "f", "x");
    struct rlimit old, few;
    getrlimit(RLIMIT_NOFILE, &old);
    few = old;
    few.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &few);
    alloy_file file;
    alloy_status opened = alloy_file_open(&file, path, 10, true);
    setrlimit(RLIMIT_NOFILE, &old);
    expect_failure(opened, ALLOY_IO, path, "Too many open files");
    remove_folder(folder);
}

static void on_interrupt(int number)
{
    (void)number;
}

/* EINTR: a timer that fires all the time must not be seen by who reads and writes. */
static void f9_interrupted_calls_go_on(void **state)
{
    (void)state;
    enum { SIZE = 16 * 1024 * 1024 };
    char *folder = test_folder(), *path = path_in(folder, "f"), *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    struct sigaction action = {.sa_handler = on_interrupt}, before; /* no SA_RESTART */
    sigaction(SIGALRM, &action, &before);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    struct itimerspec often = {{0, 200000}, {0, 200000}};
    timer_settime(timer, 0, &often, NULL);
    alloy_status written = alloy_file_replace(path, bytes, SIZE);
    alloy_file file;
    alloy_status opened = alloy_file_open(&file, path, SIZE, false);
    timer_delete(timer);
    sigaction(SIGALRM, &before, NULL);
    expect_ok(written);
    expect_ok(opened);
    assert_int_equal(file.size, SIZE);
    alloy_file_close(&file);
    free(bytes);
    remove_folder(folder);
}

/* To its end, whatever size it claims: files of /proc claim none, and others may be written to meanwhile. */
static void a_file_is_read_to_its_end(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_text text = {0};
    struct stat info;
    assert_int_equal(stat("/proc/self/maps", &info), 0);
    assert_int_equal(info.st_size, 0);
    expect_ok(alloy_file_read(&text, "/proc/self/maps", 1 << 20));
    assert_true(text.size > 500 && strlen(text.bytes) == text.size);
    expect_failure(alloy_file_read(&text, "/proc/self/maps", 100), ALLOY_LIMIT, "/proc/self/maps", "at most 100");
    assert_int_equal(text.size, 0);
    expect_ok(alloy_file_read(&text, write_text(folder, "empty", ""), 0));
    expect_text(text.bytes, "");
    alloy_text_free(&text);
    remove_folder(folder);
}

/* A file with holes claims any size; what is read whole must fit the machine. */
static void a_file_larger_than_memory_is_not_read(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = write_text(folder, "holes", "x");
    alloy_file file;
    if (truncate(path, (off_t)1 << 43) != 0) {
        print_message("no file of 8 TiB can be made here: not tried\n");
        remove_folder(folder);
        return;
    }
    expect_failure(alloy_file_open(&file, path, SIZE_MAX, false), ALLOY_NOMEM, path, "8796093022208 bytes",
                   "of memory");
    expect_ok(alloy_file_open(&file, path, SIZE_MAX, true));
    assert_int_equal(file.data[0], 'x');
    alloy_file_close(&file);
    remove_folder(folder);
}

static void a_file_is_copied_in_pieces(void **state)
{
    (void)state;
    enum { SIZE = 600001 };
    char *folder = test_folder(), from[256], to[256], *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 + i / 256);
    snprintf(to, sizeof to, "%s/to", folder);
    static const size_t sizes[] = {0, 1, 256 * 1024, SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(from, sizeof from, "%s", write_file(folder, "from", bytes, sizes[i]));
        alloy_file_writer writer;
        expect_ok(alloy_file_create(&writer, to));
        expect_ok(alloy_file_copy(&writer, alloy_file_open_at(AT_FDCWD, from, 0), from));
        expect_ok(alloy_file_commit(&writer));
        size_t size;
        char *copy = read_whole(to, &size);
        assert_int_equal(size, sizes[i]);
        assert_memory_equal(copy, bytes, size);
        free(copy);
    }
    alloy_file_writer writer;
    expect_ok(alloy_file_create(&writer, to));
    expect_failure(alloy_file_copy(&writer, alloy_file_open_at(AT_FDCWD, folder, 0), folder), ALLOY_IO, folder,
                   "not a regular file");
    alloy_file_abandon(&writer);
    free(bytes);
    remove_folder(folder);
}

static void a_mapped_file_that_shrank_is_told(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = write_text(folder, "f", "hello");
    alloy_file file;
    expect_ok(alloy_file_open(&file, path, 5, true));
    assert_int_equal(truncate(path, 2), 0);
    expect_failure(alloy_file_check(&file), ALLOY_IO, path, "2 bytes, 5 when it was opened");
    assert_int_equal(truncate(path, 5), 0);
    expect_ok(alloy_file_check(&file));
    assert_int_equal(rename(write_text(folder, "other", "longer than before"), path), 0);
    expect_ok(alloy_file_check(&file));
    alloy_file_close(&file);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_mapped_or_read),
        cmocka_unit_test(only_regular_files_are_opened_and_nothing_hangs),
        cmocka_unit_test(folders_are_created_with_those_above_them),
        cmocka_unit_test(f9_descriptors_that_run_out_are_io),
        cmocka_unit_test(f9_interrupted_calls_go_on),
        cmocka_unit_test(a_file_is_read_to_its_end),
        cmocka_unit_test(a_file_larger_than_memory_is_not_read),
        cmocka_unit_test(a_file_is_copied_in_pieces),
        cmocka_unit_test(a_mapped_file_that_shrank_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
