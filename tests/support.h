/* What the tests share: cmocka and its prerequisites, checks that print both values, folders that disappear, files made
 * from bytes.
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {cmocka_unit_test(a_missing_comma_is_an_error)};
 *         return cmocka_run_group_tests(tests, NULL, NULL);
 *     }
 *
 * A test that needs files takes a folder of its own: `char *folder = test_folder();` ... `remove_folder(folder);`.
 *
 * ALLOY_TEST_FILTER=a_missing_comma_is_an_error in the environment runs that test alone (* and ? stand for others). */
#ifndef ALLOY_TESTS_SUPPORT_H
#define ALLOY_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "alloy/alloy.h"

#if defined(__SANITIZE_ADDRESS__)
#define ALLOY_TEST_SANITIZED 1 /* limits of time and memory do not hold under a sanitizer */
#else
#define ALLOY_TEST_SANITIZED 0
#endif
#if ALLOY_TEST_SANITIZED || !defined(__OPTIMIZE__)
#define ALLOY_TEST_SLOW 1 /* limits of time do not hold, and what takes long is made smaller */
#else
#define ALLOY_TEST_SLOW 0
#endif

/* ---- Choosing ---------------------------------------------------------------------------------------------------- */

__attribute__((constructor)) static void choose_tests(void)
{
    const char *filter = getenv("ALLOY_TEST_FILTER");
    if (filter && *filter)
        cmocka_set_test_filter(filter);
}

/* ---- Checks ------------------------------------------------------------------------------------------------------ */

/* The call succeeded. */
#define expect_ok(status) check_status((status), #status, __FILE__, __LINE__, ALLOY_OK, NULL)

/* The call failed with this status, and its text holds each of these words:
 *     expect_failure(alloy_json_close(&json), ALLOY_FORMAT, "config.json:1:3", "comma"); */
#define expect_failure(status, expected, ...)                                                                          \
    check_status((status), #status, __FILE__, __LINE__, (expected), __VA_ARGS__, NULL)

/* Texts are equal; `size` bytes of `bytes` are the string `expected`. */
#define expect_text(actual, expected)                                                                                  \
    check_bytes((actual), strlen(actual), (expected), strlen(expected), __FILE__, __LINE__)
#define expect_bytes(bytes, size, expected)                                                                            \
    check_bytes((bytes), (size), (expected), strlen(expected), __FILE__, __LINE__)

static inline void check_status(alloy_status actual, const char *call, const char *file, int line,
                                alloy_status expected, ...)
{
    bool right = actual == expected;
    const char *missing = NULL;
    va_list words;
    va_start(words, expected);
    for (const char *word; right && expected && !missing && (word = va_arg(words, const char *));)
        missing = strstr(alloy_error(), word) ? NULL : word;
    va_end(words);
    if (right && !missing)
        return;
    print_error("%s\n  gave     %s: %s\n  expected %s", call, alloy_status_name(actual), actual ? alloy_error() : "",
                alloy_status_name(expected));
    print_error(missing ? " with \"%s\" in its text\n" : "\n", missing);
    _fail(file, line);
}

/* Is `actual` within `bound` of `expected`? A bound that data made may come out as infinite or NaN, and would let
 * everything pass: nothing is near then, and neither is a number that is not finite. */
static inline bool is_near(double actual, double expected, double bound)
{
    double error = actual - expected;
    return bound - bound == 0 && error <= bound && -error <= bound;
}

static inline void check_bytes(const char *actual, size_t size, const char *expected, size_t expected_size,
                               const char *file, int line)
{
    if (size == expected_size && memcmp(actual, expected, size) == 0)
        return;
    print_error("actual   %zu bytes: \"%.*s\"\nexpected %zu bytes: \"%.*s\"\n", size, (int)size, actual, expected_size,
                (int)expected_size, expected);
    _fail(file, line);
}

/* ---- Folders and files ------------------------------------------------------------------------------------------- */

/* A new empty folder; remove_folder takes it away with all that is in it. */
static inline char *test_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = malloc(4096);
    assert_non_null(path);
    snprintf(path, 4096, "%s/alloy-test-XXXXXX", parent && *parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info, (void)kind, (void)place;
    return remove(path);
}

static inline void remove_folder(char *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

/* folder/name, in one of eight rotating buffers. */
static inline char *path_in(const char *folder, const char *name)
{
    static char paths[8][8192];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Writes a file, with the folders above it that are missing, and returns its path (path_in). */
static inline char *write_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    char *path = path_in(folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline char *write_text(const char *folder, const char *name, const char *text)
{
    return write_file(folder, name, text, strlen(text));
}

/* The whole file; free() it. */
static inline char *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct stat info;
    assert_int_equal(fstat(fileno(file), &info), 0);
    char *bytes = malloc((size_t)info.st_size + 1);
    assert_non_null(bytes);
    *size = fread(bytes, 1, (size_t)info.st_size, file);
    bytes[*size] = 0;
    fclose(file);
    return bytes;
}

/* The config.json of a folder with one text in place of another that it holds; free() the result. */
static inline char *changed_config(const char *folder, const char *old, const char *fresh)
{
    size_t size;
    char *text = read_whole(path_in(folder, "config.json"), &size), *changed = malloc(size + strlen(fresh) + 1);
    const char *at = strstr(text, old);
    assert_non_null(at);
    assert_non_null(changed);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, fresh, at + strlen(old));
    free(text);
    return changed;
}

/* A safetensors file as it is told to be, sound or not: the header's size as 8 bytes little endian, the header, the
 * data. */
static inline char *write_safetensors(const char *folder, const char *name, const char *header, const void *data,
                                      size_t size)
{
    size_t header_size = strlen(header);
    uint8_t *bytes = malloc(8 + header_size + size);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)header_size >> 8 * i);
    memcpy(bytes + 8, header, header_size);
    if (size)
        memcpy(bytes + 8 + header_size, data, size);
    char *path = write_file(folder, name, bytes, 8 + header_size + size);
    free(bytes);
    return path;
}

/* ---- Warnings ---------------------------------------------------------------------------------------------------- */

struct warnings {
    int count;
    char text[4096]; /* all lines, each with its newline */
};

static inline void keep_warning(void *user, const char *line)
{
    struct warnings *warnings = user;
    size_t used = strlen(warnings->text);
    warnings->count++;
    snprintf(warnings->text + used, sizeof warnings->text - used, "%s\n", line);
}

/* Collects the library's warnings from here on; stop with alloy_set_log(NULL, NULL). */
static inline void collect_warnings(struct warnings *warnings)
{
    memset(warnings, 0, sizeof *warnings);
    alloy_set_log(keep_warning, warnings);
}

/* ---- Locale ------------------------------------------------------------------------------------------------------ */

/* Sets a locale with a decimal comma, one of the system's or one made in `folder`; false where neither can be.
 * setlocale(LC_ALL, "C") ends it. */
static inline bool use_comma_locale(const char *folder)
{
    char command[8192];
    if (setlocale(LC_ALL, "de_DE.UTF-8"))
        return true;
    snprintf(command, sizeof command, "localedef -c -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", folder);
    if (system(command) != 0)
        return false;
    setenv("LOCPATH", folder, 1);
    return setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}

/* ---- Time and memory --------------------------------------------------------------------------------------------- */

/* Processor seconds of this process: what other programs do does not count. */
static inline double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* What refusing a bad input may take: a second of processor time, and so much memory beyond the input's own size.
 * Beside busy neighbours a second of a processor does a fraction of its work, so a test fails only beyond what a defect
 * takes. */
enum { REFUSAL_BYTES = 64 << 20, REFUSAL_SECONDS = 1, HANG_SECONDS = 5 };

struct refusal {
    double began;
    struct rlimit before;
};

/* Limits the address space to what the process has, the input and REFUSAL_BYTES: a call that asks for more gets NOMEM,
 * and no longer the status that its test expects. Sanitizers have a memory and a time of their own. */
static inline struct refusal begin_refusal(size_t input)
{
    struct refusal refusal = {.began = processor_seconds()};
    getrlimit(RLIMIT_AS, &refusal.before);
    if (ALLOY_TEST_SANITIZED)
        return refusal;
    FILE *statm = fopen("/proc/self/statm", "r");
    size_t pages = 0;
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%zu", &pages), 1);
    fclose(statm);
    struct rlimit limit = refusal.before;
    limit.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + input + REFUSAL_BYTES;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    return refusal;
}

static inline void end_refusal(const struct refusal *refusal, const char *what)
{
    double seconds = processor_seconds() - refusal->began;
    assert_int_equal(setrlimit(RLIMIT_AS, &refusal->before), 0);
    if (seconds > REFUSAL_SECONDS)
        print_message("%s: refused after %.2f s of processor time; %d is promised\n", what, seconds, REFUSAL_SECONDS);
    if (seconds > HANG_SECONDS && !ALLOY_TEST_SLOW)
        fail_msg("%s: refused after %.2f s of processor time, expected at most %d", what, seconds, HANG_SECONDS);
}

/* Bytes of this process in memory: anonymous only (heap and stacks, no mapped files), now. */
static inline size_t anonymous_bytes(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    size_t kilobytes = 0;
    for (char line[256]; status && fgets(line, sizeof line, status);)
        if (sscanf(line, "RssAnon: %zu", &kilobytes) == 1)
            break;
    if (status)
        fclose(status);
    return kilobytes * 1024;
}

#endif
