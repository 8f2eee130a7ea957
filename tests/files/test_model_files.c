/* Finding a model's folder, and which files may be opened from it: X1 to X4, X9 to X12; what config.json may not be: C1
 * to C5. */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "files/json.h"
#include "files/model_files.h"

static void link_to(const char *target, const char *folder, const char *name)
{
    assert_int_equal(symlink(target, path_in(folder, name)), 0);
}

static void make_folder(const char *folder, const char *name)
{
    expect_ok(alloy_folder_create(path_in(folder, name)));
}

/* Opens a file of the model at `where`. */
static alloy_status open_in(const char *where, const char *name, bool follow_symlinks)
{
    alloy_model_files files;
    alloy_file file;
    alloy_status status = alloy_model_files_open(&files, where, follow_symlinks);
    if (!status && !(status = alloy_model_files_file(&files, name, SIZE_MAX, true, &file)))
        alloy_file_close(&file);
    alloy_model_files_close(&files);
    return status;
}

static alloy_status read_from(const char *where, const char *name, alloy_text *out)
{
    alloy_model_files files;
    alloy_status status = alloy_model_files_open(&files, where, false);
    if (!status)
        status = alloy_model_files_read(&files, name, ALLOY_CONFIG_BYTES, out);
    alloy_model_files_close(&files);
    return status;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void x1_to_x4_a_file_is_one_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t size;
    } bad[] = {
        {"../x", 4},
        {"..", 2}, /* X1: upwards */
        {"/etc/passwd", 11},
        {"/", 1}, /* X2: absolute */
        {"a/b", 3},
        {"a/", 2},
        {"a\\b", 3},
        {"a\0b", 3}, /* X3: more than one name, and a NUL */
        {"", 0},
        {".", 1}, /* X4: none */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_failure(alloy_file_name_check(bad[i].name, bad[i].size, "index"), ALLOY_TRUST, "index: \"",
                       "name of a file");
    static const char *const good[] = {"model.safetensors", "...", ".hidden", "a b", "-", "\xC3\xA9"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        expect_ok(alloy_file_name_check(good[i], strlen(good[i]), "index"));
    char *folder = test_folder();
    expect_failure(open_in(folder, "../x", true), ALLOY_TRUST, "../x");
    remove_folder(folder);
}

/* ---- Links ------------------------------------------------------------------------------------------------------- */

static void x9_links_may_not_leave_the_folder(void **state)
{
    (void)state;
    char *folder = test_folder();
    write_text(folder, "secret", "s");
    write_text(folder, "model/inner/file", "f");
    write_text(folder, "model-other/file", "f");
    link_to("../secret", folder, "model/out");
    link_to(path_in(folder, "secret"), folder, "model/absolute");
    link_to("inner/file", folder, "model/in");
    link_to("../model/in", folder, "model/twice");
    link_to("../model-other/file", folder, "model/neighbour"); /* a name that begins like the folder's */
    link_to("../blobs", folder, "model/blobs-link");
    write_text(folder, "blobs/x", "b");
    link_to("../blobs/x", folder, "model/blob"); /* blobs count beside a folder named snapshots only */
    char where[256];
    snprintf(where, sizeof where, "%s/model", folder);
    expect_failure(open_in(where, "out", false), ALLOY_TRUST, "model/out", "outside", "secret", "--follow-symlinks");
    expect_failure(open_in(where, "absolute", false), ALLOY_TRUST, "outside");
    expect_failure(open_in(where, "neighbour", false), ALLOY_TRUST, "outside");
    expect_failure(open_in(where, "blob", false), ALLOY_TRUST, "outside");
    expect_ok(open_in(where, "in", false));
    expect_ok(open_in(where, "twice", false));
    expect_ok(open_in(where, "out", true));
    remove_folder(folder);
}

/* X9: a snapshot of the Hub's cache, as huggingface_hub lays it: every file is a link to ../../blobs/NAME. */
static char *make_cache(const char *folder)
{
    write_text(folder, "models--user--name/refs/main", "0123abc");
    write_text(folder, "models--user--name/blobs/b10b", "{\"a\": 1}");
    write_text(folder, "models--user--name/snapshots/0123abc/real.txt", "real");
    link_to("../../blobs/b10b", folder, "models--user--name/snapshots/0123abc/config.json");
    link_to("../../refs/main", folder, "models--user--name/snapshots/0123abc/escape");
    return path_in(folder, "models--user--name/snapshots/0123abc");
}

static void clear_environment(void)
{
    unsetenv("HF_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/nowhere", 1);
}

static void x9_a_snapshot_of_the_hubs_cache_links_to_its_blobs(void **state)
{
    (void)state;
    char *folder = test_folder(), *snapshot = make_cache(folder);
    alloy_text text = {0};
    clear_environment();
    setenv("HF_HUB_CACHE", folder, 1);
    expect_ok(read_from("user/name", "config.json", &text));
    expect_text(text.bytes, "{\"a\": 1}");
    expect_ok(read_from(snapshot, "config.json", &text));
    expect_ok(read_from("user/name", "real.txt", &text));
    expect_failure(open_in("user/name", "escape", false), ALLOY_TRUST, "escape", "outside");

    /* Files are opened in the folder, wherever the program goes meanwhile. */
    alloy_model_files files;
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(snapshot), 0);
    alloy_status opened = alloy_model_files_open(&files, ".", false);
    assert_int_equal(chdir(here), 0);
    expect_ok(opened);
    expect_ok(alloy_model_files_read(&files, "config.json", ALLOY_CONFIG_BYTES, &text));
    expect_text(text.bytes, "{\"a\": 1}");
    alloy_model_files_close(&files);

    /* A file that is called as the user hides none of the user's models. */
    write_text(folder, "user", "x");
    assert_int_equal(chdir(folder), 0);
    alloy_status status = read_from("user/name", "real.txt", &text);
    assert_int_equal(chdir(here), 0);
    expect_ok(status);

    /* The cache may itself be reached through a link, and so may the folder. */
    link_to(folder, folder, "cache-link");
    setenv("HF_HUB_CACHE", path_in(folder, "cache-link"), 1);
    expect_ok(read_from("user/name", "config.json", &text));
    link_to(snapshot, folder, "snapshot-link");
    expect_ok(read_from(path_in(folder, "snapshot-link"), "config.json", &text));
    alloy_text_free(&text);
    clear_environment();
    remove_folder(folder);
}

/* X9: a folder that is laid out like the cache is none for that: its blobs must be a folder, not a link to others. */
static void x9_blobs_that_are_a_link_hold_nothing(void **state)
{
    (void)state;
    char *folder = test_folder(), where[256];
    write_text(folder, "home/secret", "s");
    write_text(folder, "clone/snapshots/1/real", "r");
    link_to("../home", folder, "clone/blobs");
    link_to("../../blobs/secret", folder, "clone/snapshots/1/config.json");
    link_to("../../../home/secret", folder, "clone/snapshots/1/plain");
    snprintf(where, sizeof where, "%s/clone/snapshots/1", folder);
    expect_failure(open_in(where, "config.json", false), ALLOY_TRUST, "config.json", "home/secret");
    expect_failure(open_in(where, "plain", false), ALLOY_TRUST, "plain", "home/secret");
    expect_ok(open_in(where, "real", false));
    expect_ok(open_in(where, "config.json", true));
    remove_folder(folder);
}

/* X9: who can write to the folder exchanges a file for a link to a secret, and a folder on a link's way for another,
 * while files are opened: what is read is the model's, or nothing. */
struct exchange {
    const char *folder;
    atomic_bool stop;
};

static void *exchange_all_the_time(void *argument)
{
    struct exchange *e = argument;
    static const char *const pairs[][2] = {{"model/file", "model/spare"}, {"model/inner", "model/outer"}};
    char a[300], b[300];
    for (int i = 0; !atomic_load(&e->stop); i++) {
        snprintf(a, sizeof a, "%s/%s", e->folder, pairs[i % 2][0]);
        snprintf(b, sizeof b, "%s/%s", e->folder, pairs[i % 2][1]);
        renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
    }
    return NULL;
}

static void x9_what_was_checked_is_what_is_read(void **state)
{
    (void)state;
    enum { TIMES = 3000 };
    char *folder = test_folder(), where[256];
    write_text(folder, "home/file", "SECRET");
    write_text(folder, "model/file", "open");
    write_text(folder, "model/inner/file", "open");
    link_to("../home/file", folder, "model/spare");
    link_to("../home", folder, "model/outer");
    link_to("inner/file", folder, "model/link");
    snprintf(where, sizeof where, "%s/model", folder);
    struct exchange exchange = {.folder = folder};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, exchange_all_the_time, &exchange), 0);
    alloy_text text = {0};
    int read = 0, refused = 0;
    for (int i = 0; i < TIMES; i++) {
        alloy_status status = read_from(where, i % 2 ? "file" : "link", &text);
        if (!status)
            expect_text(text.bytes, "open");
        else if (status != ALLOY_TRUST && status != ALLOY_IO)
            fail_msg("ended with %s: %s", alloy_status_name(status), alloy_error());
        read += !status;
        refused += status != ALLOY_OK;
    }
    atomic_store(&exchange.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("read %d times, refused %d times\n", read, refused);
    alloy_text_free(&text);
    remove_folder(folder);
}

static void x10_to_x12_absent_is_only_the_name_that_is_not_there(void **state)
{
    (void)state;
    char *folder = test_folder();
    bool has;
    alloy_model_files files;
    write_text(folder, "file", "x");
    make_folder(folder, "folder");
    link_to("nowhere", folder, "dangling");
    assert_int_equal(mkfifo(path_in(folder, "fifo"), 0600), 0);
    expect_ok(alloy_model_files_open(&files, folder, false));
    static const char *const there[] = {"file", "folder", "dangling", "fifo"};
    for (int i = 0; i < 4; i++) {
        expect_ok(alloy_model_files_has(&files, there[i], &has));
        assert_true(has);
    }
    expect_ok(alloy_model_files_has(&files, "absent", &has));
    assert_false(has);
    char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    expect_failure(alloy_model_files_has(&files, long_name, &has), ALLOY_IO, "name too long");
    alloy_model_files_close(&files);
    remove_folder(folder);
}

/* ---- The cache's place ------------------------------------------------------------------------------------------- */

static void the_cache_is_where_the_environment_says(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *below;
    } places[] = {{"HOME", ".cache/huggingface/hub"},
                  {"XDG_CACHE_HOME", "huggingface/hub"},
                  {"HF_HOME", "hub"},
                  {"HF_HUB_CACHE", ""}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *folder = test_folder();
        char cache[512];
        snprintf(cache, sizeof cache, "%s/%s", folder, places[i].below);
        expect_ok(alloy_folder_create(cache));
        make_cache(cache);
        clear_environment();
        for (size_t other = 0; other < i; other++) /* those that are asked later lead nowhere */
            setenv(places[other].variable, "/nowhere", 1);
        setenv(places[i].variable, folder, 1);
        expect_ok(open_in("user/name", "real.txt", false));
        remove_folder(folder);
    }
    clear_environment();
}

/* As huggingface_hub reads its variables, which a file of settings gives without a shell. */
static void a_home_that_is_spelled_as_in_a_shell(void **state)
{
    (void)state;
    char *folder = test_folder();
    char hub[256];
    snprintf(hub, sizeof hub, "%s/hf/hub", folder);
    expect_ok(alloy_folder_create(hub));
    make_cache(hub);
    clear_environment();
    setenv("HOME", folder, 1);
    setenv("HF_HOME", "~/hf", 1);
    expect_ok(open_in("user/name", "real.txt", false));
    setenv("HF_HUB_CACHE", "~", 1);
    expect_failure(open_in("user/name", "real.txt", false), ALLOY_IO, folder, "models--user--name");
    setenv("HF_HUB_CACHE", "~other/hub", 1); /* the home of somebody else is not looked up */
    expect_failure(open_in("user/name", "real.txt", false), ALLOY_IO, "(~other/hub/models--user--name)");
    clear_environment();
    remove_folder(folder);
}

static void a_model_that_is_not_there_is_told_with_where_it_was_looked_for(void **state)
{
    (void)state;
    char *folder = test_folder();
    clear_environment();
    setenv("HF_HUB_CACHE", folder, 1);
    expect_failure(open_in("user/absent", "x", false), ALLOY_IO, "user/absent: no such folder", "models--user--absent");
    expect_failure(open_in("absent", "x", false), ALLOY_IO, "models--absent");
    static const char *const no_names[] = {"",     "/absent", "./absent", "../absent", "a/b/c",
                                           "a//b", "a/",      "a b",      ".a/b",      "a\nb"};
    for (size_t i = 0; i < sizeof no_names / sizeof *no_names; i++) {
        expect_failure(open_in(no_names[i], "x", false), ALLOY_IO, "no such folder");
        assert_null(strstr(alloy_error(), "cache"));
    }
    write_text(folder, "file", "x");
    expect_failure(open_in(path_in(folder, "file"), "x", false), ALLOY_IO, "is a file", "folder");

    make_folder(folder, "models--no--refs/snapshots/1");
    expect_failure(open_in("no/refs", "x", false), ALLOY_IO, "models--no--refs/refs/main", "No such file");
    write_text(folder, "models--no--snapshot/refs/main", "1\n");
    expect_failure(open_in("no/snapshot", "x", false), ALLOY_IO, "snapshots/1", "no such snapshot");
    write_text(folder, "models--bad--ref/refs/main", "../../../other");
    expect_failure(open_in("bad/ref", "x", false), ALLOY_TRUST, "refs/main", "../../../other");
    write_text(folder, "secret", "../../../of-others");
    make_folder(folder, "models--link--ref/refs");
    link_to("../../secret", folder, "models--link--ref/refs/main");
    expect_failure(open_in("link/ref", "x", false), ALLOY_IO, "refs/main", "symbolic links");
    assert_null(strstr(alloy_error(), "of-others"));
    write_text(folder, "models--empty--ref/refs/main", "\n");
    expect_failure(open_in("empty/ref", "x", false), ALLOY_TRUST, "refs/main");
    clear_environment();
    remove_folder(folder);
}

/* ---- Things that are no files ------------------------------------------------------------------------------------ */

static void x10_fifos_folders_and_devices_are_refused_and_never_hang(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_text text = {0};
    assert_int_equal(mkfifo(path_in(folder, "fifo"), 0600), 0);
    make_folder(folder, "folder");
    expect_failure(read_from(folder, "fifo", &text), ALLOY_IO, "fifo", "not a regular file");
    expect_failure(read_from(folder, "folder", &text), ALLOY_IO, "folder", "not a regular file");
    link_to("/dev/zero", folder, "device");
    expect_failure(read_from(folder, "device", &text), ALLOY_TRUST, "device", "/dev/zero");
    expect_failure(alloy_file_read(&text, "/dev/zero", SIZE_MAX), ALLOY_IO, "/dev/zero", "not a regular file");
    alloy_text_free(&text);
    remove_folder(folder);
}

static void x11_dangling_and_looping_links_are_io(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_text text = {0};
    link_to("nothing", folder, "dangling");
    link_to("loop2", folder, "loop1");
    link_to("loop1", folder, "loop2");
    expect_failure(read_from(folder, "dangling", &text), ALLOY_IO, "dangling", "No such file");
    expect_failure(read_from(folder, "loop1", &text), ALLOY_IO, "loop1", "symbolic links");
    expect_failure(read_from(folder, "absent", &text), ALLOY_IO, "absent", "No such file");
    alloy_text_free(&text);
    remove_folder(folder);
}

/* X12: mode 000. Root reads such files, so a root test steps down first. */
static void x12_a_file_that_may_not_be_read_is_io(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_text text = {0};
    assert_int_equal(chmod(write_text(folder, "config.json", "{}"), 0), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    bool root = geteuid() == 0;
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    alloy_status status = read_from(folder, "config.json", &text);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    expect_failure(status, ALLOY_IO, "config.json", "Permission denied");
    alloy_text_free(&text);
    remove_folder(folder);
}

/* ---- config.json ------------------------------------------------------------------------------------------------- */

static alloy_status read_config(const char *folder)
{
    alloy_text text = {0};
    alloy_status status = read_from(folder, "config.json", &text);
    if (!status) {
        alloy_json json;
        alloy_json_open(&json, "config.json", alloy_text_get(&text), text.size);
        alloy_json_skip(&json);
        status = alloy_json_close(&json);
    }
    alloy_text_free(&text);
    return status;
}

static void c1_to_c5_a_config_that_is_no_json(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "the end of the text"},
        {"{\"hidden_size\": 40", "',' or '}'"},
        {"{\"a\": 1, \"b\": 2, \"a\": 3}", "duplicate key \"a\""},
        {"{\"a\": NaN}", "\"a\": expected a value"},
        {"{\"a\": -Infinity}", "a digit"},
        {"{\"a\": 1e400}", "\"a\": the number 1e400 does not fit"},
    };
    char *folder = test_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(folder, "config.json", cases[i].text);
        expect_failure(read_config(folder), ALLOY_FORMAT, "config.json:1:", cases[i].word);
    }
    char *deep = malloc(200000);
    assert_non_null(deep);
    memset(deep, '[', 200000);
    write_file(folder, "config.json", deep, 129);
    expect_failure(read_config(folder), ALLOY_LIMIT, "config.json:1:129:", "128 levels");
    write_file(folder, "config.json", deep, 200000);
    expect_failure(read_config(folder), ALLOY_LIMIT, "config.json:1:129:", "128 levels");
    free(deep);
    char *large = malloc(ALLOY_CONFIG_BYTES + 1);
    assert_non_null(large);
    memset(large, ' ', ALLOY_CONFIG_BYTES + 1);
    memcpy(large, "{}", 2);
    write_file(folder, "config.json", large, ALLOY_CONFIG_BYTES);
    expect_ok(read_config(folder));
    write_file(folder, "config.json", large, ALLOY_CONFIG_BYTES + 1);
    expect_failure(read_config(folder), ALLOY_LIMIT, "config.json", "4194305 bytes", "4194304");
    free(large);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x1_to_x4_a_file_is_one_name),
        cmocka_unit_test(x9_links_may_not_leave_the_folder),
        cmocka_unit_test(x9_a_snapshot_of_the_hubs_cache_links_to_its_blobs),
        cmocka_unit_test(a_home_that_is_spelled_as_in_a_shell),
        cmocka_unit_test(x9_blobs_that_are_a_link_hold_nothing),
        cmocka_unit_test(x9_what_was_checked_is_what_is_read),
        cmocka_unit_test(x10_to_x12_absent_is_only_the_name_that_is_not_there),
        cmocka_unit_test(the_cache_is_where_the_environment_says),
        cmocka_unit_test(a_model_that_is_not_there_is_told_with_where_it_was_looked_for),
        cmocka_unit_test(x10_fifos_folders_and_devices_are_refused_and_never_hang),
        cmocka_unit_test(x11_dangling_and_looping_links_are_io),
        cmocka_unit_test(x12_a_file_that_may_not_be_read_is_io),
        cmocka_unit_test(c1_to_c5_a_config_that_is_no_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
