/* Folders that become models: the old one or the new one at any moment, and what no model brought stays. */
#include "killed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "base/file_write.h"
#include "base/memory.h"
#include "files/folder_write.h"

static const char *const NAMES[] = {"config.json", "tokenizer.json", NULL};

/* ---- What the tests share ---------------------------------------------------------------------------------------- */

static alloy_status put(const alloy_folder_writer *w, const char *name, const char *text)
{
    return alloy_file_replace(path_in(w->path, name), text, strlen(text));
}

struct writing {
    const char *folder, *text;
    bool force;
};

/* Writes a model whose files hold `text`: two files of weights, and config.json last. */
static alloy_status write_model(void *context)
{
    const struct writing *writing = context;
    alloy_folder_writer w;
    alloy_status status = alloy_folder_open(&w, writing->folder, NAMES, writing->force);
    if (status)
        return status;
    status = put(&w, "model.safetensors", writing->text);
    status = status ? status : put(&w, "tokenizer.json", writing->text);
    status = status ? status : put(&w, "config.json", writing->text);
    status = status ? status : alloy_folder_commit(&w);
    if (status)
        alloy_folder_abandon(&w);
    return status;
}

#define write_to(folder, text, force) write_model(&(struct writing){(folder), (text), (force)})

static bool holds(const char *folder, const char *name, const char *text)
{
    size_t size;
    char *path = path_in(folder, name);
    if (access(path, F_OK) != 0)
        return false;
    char *bytes = read_whole(path, &size);
    bool same = size == strlen(text) && memcmp(bytes, text, size) == 0;
    free(bytes);
    return same;
}

/* Are all files of the model of that text? */
static bool is_model(const char *folder, const char *text)
{
    return alloy_folder_holds_model(folder) && holds(folder, "model.safetensors", text) &&
           holds(folder, "tokenizer.json", text) && holds(folder, "config.json", text);
}

static int count_entries(const char *folder)
{
    int count = -2; /* . and .. */
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count;
}

static char *kept(const char *folder, const char *name)
{
    char *path = strdup(path_in(folder, name));
    assert_non_null(path);
    return path;
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

/* ---- Which folders ----------------------------------------------------------------------------------------------- */

static void w6_a_folder_is_made_and_a_model_is_not_written_over(void **state)
{
    (void)state;
    char *parent = test_folder(), *folder = kept(parent, "a/b/m");
    expect_ok(alloy_folder_check(folder, NAMES, false));
    assert_int_equal(count_entries(parent), 0);
    expect_ok(write_to(folder, "old", false));
    assert_true(is_model(folder, "old"));
    assert_int_equal(count_entries(folder), 3);
    assert_int_equal(count_entries(path_in(parent, "a/b")), 1);

    expect_failure(alloy_folder_check(folder, NAMES, false), ALLOY_IO, folder, "holds a model already", "--force");
    expect_failure(alloy_folder_check(folder, NULL, false), ALLOY_IO, folder, "holds a model already");
    expect_failure(write_to(folder, "new", false), ALLOY_IO, folder, "holds a model already");
    assert_true(is_model(folder, "old"));
    remove(path_in(folder, "config.json"));
    expect_failure(write_to(folder, "new", false), ALLOY_IO, folder, "would be written over");
    expect_ok(alloy_folder_check(folder, NULL, false));
    expect_ok(write_to(folder, "new", true));
    assert_true(is_model(folder, "new"));
    free(folder);
    remove_folder(parent);
}

static void w3_names_that_cannot_be_folders_are_refused_before(void **state)
{
    (void)state;
    char *parent = test_folder(), *file = kept(parent, "file"), *below = kept(parent, "file/m");
    write_text(parent, "file", "text");
    expect_failure(alloy_folder_check("", NAMES, true), ALLOY_ARG, "empty");
    expect_failure(alloy_folder_check(file, NAMES, true), ALLOY_IO, "file", "not a folder");
    expect_failure(alloy_folder_check(below, NAMES, true), ALLOY_IO, "file", "Not a directory");
    expect_failure(write_to(below, "new", true), ALLOY_IO, "file");
    bool root = geteuid() == 0;
    assert_int_equal(chmod(parent, 0555), 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    alloy_status status = alloy_folder_check(path_in(parent, "new/m"), NAMES, true);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    expect_failure(status, ALLOY_IO, "new/m", "Permission denied");
    chmod(parent, 0755);
    assert_int_equal(count_entries(parent), 1);
    free(file);
    free(below);
    remove_folder(parent);
}

/* What no model brought: files, links, folders. */
static void add_foreign(const char *folder)
{
    write_text(folder, "README.md", "mine");
    write_text(folder, ".git/objects/x", "mine");
    assert_int_equal(symlink("README.md", path_in(folder, "link")), 0);
    assert_int_equal(mkfifo(path_in(folder, "fifo"), 0600), 0);
}

static bool has_foreign_files(const char *folder)
{
    struct stat info;
    return holds(folder, "README.md", "mine") && lstat(path_in(folder, "link"), &info) == 0 && S_ISLNK(info.st_mode) &&
           lstat(path_in(folder, "fifo"), &info) == 0 && S_ISFIFO(info.st_mode);
}

static void w6_force_leaves_what_no_model_brought(void **state)
{
    (void)state;
    char *parent = test_folder(), *folder = kept(parent, "m");
    expect_ok(write_to(folder, "old", false));
    add_foreign(folder);
    expect_ok(write_to(folder, "new", true));
    assert_true(is_model(folder, "new"));
    assert_true(has_foreign_files(folder));
    assert_true(holds(folder, ".git/objects/x", "mine"));
    assert_int_equal(count_entries(folder), 3 + 4);
    assert_int_equal(count_entries(parent), 1);

    /* a folder of the user's without a model is written in place */
    char *other = kept(parent, "other");
    assert_int_equal(mkdir(other, 0700), 0);
    add_foreign(other);
    expect_ok(write_to(other, "new", false));
    assert_true(is_model(other, "new") && has_foreign_files(other));
    assert_int_equal(count_entries(other), 3 + 4);
    assert_int_equal(mode_of(other), 0700);
    free(folder);
    free(other);
    remove_folder(parent);
}

static void w6_modes_and_owners_stay(void **state)
{
    (void)state;
    char *parent = test_folder(), *folder = kept(parent, "m");
    struct stat info;
    expect_ok(write_to(folder, "old", false));
    assert_int_equal(chmod(folder, 0750), 0);
    assert_int_equal(chmod(path_in(folder, "model.safetensors"), 0600), 0);
    assert_int_equal(chmod(path_in(folder, "config.json"), 0664), 0);
    bool root = geteuid() == 0;
    assert_int_equal(root ? chown(folder, 65534, 4321) : 0, 0);
    assert_int_equal(root ? chown(path_in(folder, "model.safetensors"), 65534, 4321) : 0, 0);
    expect_ok(write_to(folder, "new", true));
    assert_int_equal(mode_of(folder), 0750);
    assert_int_equal(mode_of(path_in(folder, "model.safetensors")), 0600);
    assert_int_equal(mode_of(path_in(folder, "config.json")), 0664);
    assert_int_equal(stat(folder, &info), 0);
    if (root)
        assert_int_equal(info.st_gid, 4321);
    assert_int_equal(stat(path_in(folder, "model.safetensors"), &info), 0);
    if (root)
        assert_int_equal(info.st_uid, 65534);
    free(folder);
    remove_folder(parent);
}

static void w2_a_link_to_a_folder_stays(void **state)
{
    (void)state;
    char *parent = test_folder(), *folder = kept(parent, "a/m"), *link = kept(parent, "link");
    struct stat info;
    write_text(parent, "a/x", "");
    assert_int_equal(symlink("a/m", link), 0);
    for (int i = 0; i < 2; i++) {
        const char *text = i ? "new" : "old";
        char slash[4200];
        snprintf(slash, sizeof slash, "%s%s", link, i ? "/" : "");
        expect_ok(write_to(slash, text, i > 0));
        assert_int_equal(lstat(link, &info), 0);
        assert_true(S_ISLNK(info.st_mode));
        assert_true(is_model(folder, text));
        assert_int_equal(count_entries(path_in(parent, "a")), 2);
    }
    free(folder);
    free(link);
    remove_folder(parent);
}

/* They cannot change places with another folder: a model is written there once, and not replaced. */
static void w6_the_current_folder_and_mount_points_are_not_replaced(void **state)
{
    (void)state;
    char *parent = test_folder(), *folder = kept(parent, "m"), command[9000], before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_int_equal(chdir(folder), 0);
    alloy_status first = write_to(".", "old", false), second = write_to(".", "new", true);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(first, ALLOY_OK);
    expect_failure(second, ALLOY_IO, "current folder");
    assert_true(is_model(folder, "old"));

    char *mount = kept(parent, "mount");
    assert_int_equal(mkdir(mount, 0777), 0);
    snprintf(command, sizeof command, "mount -t tmpfs none '%s' 2>/dev/null", mount);
    if (system(command) == 0) {
        first = write_to(mount, "old", false);
        second = write_to(mount, "new", true);
        bool whole = is_model(mount, "old");
        snprintf(command, sizeof command, "umount '%s'", mount);
        assert_int_equal(system(command), 0);
        assert_int_equal(first, ALLOY_OK);
        expect_failure(second, ALLOY_IO, "mount point");
        assert_true(whole);
    } else {
        print_message("not run: no file system can be mounted here\n");
    }
    assert_int_equal(count_entries(parent), 2);
    free(mount);
    free(folder);
    remove_folder(parent);
}

static void f12_a_second_writer_is_refused(void **state)
{
    (void)state;
    char *parent = test_folder(), *folder = kept(parent, "m");
    for (int i = 0; i < 2; i++) { /* where nothing is, and where a model is */
        alloy_folder_writer w;
        expect_ok(alloy_folder_open(&w, folder, NAMES, true));
        expect_failure(write_to(folder, "new", true), ALLOY_IO, "another process is writing");
        expect_ok(put(&w, "model.safetensors", "first"));
        expect_ok(put(&w, "tokenizer.json", "first"));
        expect_ok(put(&w, "config.json", "first"));
        expect_ok(alloy_folder_commit(&w));
        assert_true(is_model(folder, "first"));
        assert_int_equal(count_entries(parent), 1);
    }
    free(folder);
    remove_folder(parent);
}

/* ---- Names that others made -------------------------------------------------------------------------------------- */

/* A folder beside m with a model's files, as if a killed writer of m had left it. */
static char *plant(const char *parent, const char *ending)
{
    char name[64];
    snprintf(name, sizeof name, ".m.0123456789abcdef.%s", ending);
    char *folder = kept(parent, name);
    assert_int_equal(mkdir(folder, 0755), 0);
    write_text(folder, "config.json", "planted");
    write_text(folder, "chat_template.jinja", "planted");
    return folder;
}

/* Another user's, or one that others may write to: neither taken back nor moved from, and nobody waits for its lock. */
static void folders_that_others_may_have_made_are_left_alone(void **state)
{
    (void)state;
    bool root = geteuid() == 0;
    const struct {
        const char *ending;
        unsigned mode;
        bool foreign, force;
    } cases[] = {
        {"tmp", 01777, false, false}, {"old", 0777, false, false}, {"tmp", 0775, false, true},
        {"tmp", 0700, true, false},   {"old", 0755, true, false},  {"old", 0777, true, false},
        {"tmp", 0777, true, true},    {"old", 0755, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].foreign && !root)
            continue;
        char *parent = test_folder(), *folder = kept(parent, "m");
        assert_int_equal(chmod(parent, 01777), 0);
        if (cases[i].force)
            expect_ok(write_to(folder, "old", false));
        char *planted = plant(parent, cases[i].ending);
        assert_int_equal(chmod(planted, cases[i].mode), 0);
        assert_int_equal(cases[i].foreign ? chown(planted, 65534, 65534) : 0, 0);
        int lock;
        expect_ok(alloy_folder_lock(planted, &lock));
        expect_ok(write_to(folder, "new", cases[i].force));
        alloy_folder_unlock(lock);
        assert_true(is_model(folder, "new"));
        assert_int_equal(count_entries(folder), 3);
        assert_true(holds(planted, "chat_template.jinja", "planted"));
        free(planted);
        free(folder);
        remove_folder(parent);
    }
    if (!root)
        print_message("not run: folders of another user, which root alone can make here\n");
}

static void a_mark_that_another_user_made_gives_nothing_away(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("not run: a file of another user, which root alone can make here\n");
        return;
    }
    char *parent = test_folder(), *folder = kept(parent, "m");
    write_text(parent, "m/model.safetensors", "mine");
    write_text(parent, "m/.alloy-writing", "");
    assert_int_equal(chown(path_in(folder, ".alloy-writing"), 65534, 65534), 0);
    expect_failure(write_to(folder, "new", false), ALLOY_IO, "would be written over");
    assert_true(holds(folder, "model.safetensors", "mine"));
    assert_int_equal(chown(path_in(folder, ".alloy-writing"), 0, 0), 0);
    expect_ok(write_to(folder, "new", false));
    assert_true(is_model(folder, "new"));
    free(folder);
    remove_folder(parent);
}

/* Nobody else can put a file into a model that is being written; the mode that it gets at the end is the usual one. */
static void a_folder_being_written_is_private(void **state)
{
    (void)state;
    char *parent = test_folder(), *folder = kept(parent, "m");
    mode_t before = umask(0002);
    for (int i = 0; i < 2; i++) {
        alloy_folder_writer w;
        expect_ok(alloy_folder_open(&w, folder, NAMES, true));
        assert_int_equal(mode_of(w.path), 0700);
        expect_ok(put(&w, "model.safetensors", "new"));
        expect_ok(put(&w, "tokenizer.json", "new"));
        expect_ok(put(&w, "config.json", "new"));
        expect_ok(alloy_folder_commit(&w));
        assert_int_equal(mode_of(folder), 0775);
    }
    umask(before);
    free(folder);
    remove_folder(parent);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

static void f5_what_fails_leaves_the_old_model_and_nothing_beside(void **state)
{
    (void)state;
    char *parent = test_folder(), *folder = kept(parent, "m"), *missing = kept(parent, "new");
    struct rlimit old, full;
    expect_ok(write_to(folder, "old", false));
    write_text(folder, "README.md", "mine");
    getrlimit(RLIMIT_FSIZE, &old);
    full = old;
    for (full.rlim_cur = 0; full.rlim_cur < 3; full.rlim_cur++) {
        setrlimit(RLIMIT_FSIZE, &full);
        alloy_status over = write_to(folder, "new", true), fresh = write_to(missing, "new", false);
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(over, ALLOY_IO);
        expect_failure(fresh, ALLOY_IO, "cannot write", "File too large");
        assert_true(is_model(folder, "old") && holds(folder, "README.md", "mine"));
        assert_int_equal(count_entries(parent), 1);
    }
    for (int n = 0;; n++) {
        alloy_memory_fail_after(n);
        alloy_status status = write_to(folder, "new", true);
        alloy_memory_fail_after(-1);
        if (!status)
            break;
        expect_failure(status, ALLOY_NOMEM, "memory");
        assert_true(is_model(folder, "old") && holds(folder, "README.md", "mine"));
        assert_int_equal(count_entries(parent), 1);
        assert_true(n < 500);
    }
    assert_true(is_model(folder, "new"));
    free(folder);
    free(missing);
    remove_folder(parent);
}

/* ---- Kills ------------------------------------------------------------------------------------------------------- */

/* renameat2 is unknown from here on, as on an older system. */
static void forget_renameat2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

static alloy_status write_without_renameat2(void *context)
{
    forget_renameat2();
    return write_model(context);
}

/* What a reader may find at any moment; `old` NULL: there was none. */
static void check_killed(const char *folder, const char *old, int stop, bool in_two)
{
    bool there = access(folder, F_OK) == 0;
    bool none = !there || !alloy_folder_holds_model(folder);
    if (is_model(folder, "new") || (old && is_model(folder, old)) || (!old && none))
        return;
    if (in_two && !there) /* between the two renames: the next writer takes it back */
        return;
    fail_msg("killed at stop %d: the folder is neither the old model nor the new one, %s", stop,
             there ? "and there" : "and not there");
}

/* Kills at each stop; the next writer finds a folder that it can write, and leaves nothing else. */
static void kill_everywhere(alloy_status (*call)(void *), const char *old, bool foreign)
{
    char *before = begin_in_memory();
    bool in_two = call == write_without_renameat2;
    int stops = 0, olds = 0, news = 0;
    for (bool killed = true; killed; stops += ALLOY_TEST_SLOW ? 5 : 1) {
        char *parent = test_folder(), *folder = kept(parent, "m");
        if (old)
            expect_ok(write_to(folder, old, false));
        else if (foreign)
            assert_int_equal(mkdir(folder, 0777), 0);
        if (foreign)
            add_foreign(folder);
        killed = run_and_kill(call, &(struct writing){folder, "new", old != NULL}, stops);
        check_killed(folder, old, stops, in_two);
        news += is_model(folder, "new");
        olds += !is_model(folder, "new");
        bool away = in_two && access(folder, F_OK) != 0;
        if (foreign && !away)
            assert_true(has_foreign_files(folder));
        expect_ok(write_to(folder, "next", alloy_folder_holds_model(folder) || away));
        assert_true(is_model(folder, "next"));
        assert_true(!foreign || (has_foreign_files(folder) && holds(folder, ".git/objects/x", "mine")));
        assert_int_equal(count_entries(parent), 1);
        assert_int_equal(count_entries(folder), foreign ? 7 : 3);
        free(folder);
        remove_folder(parent);
    }
    assert_true(olds > 0 && news > 0);
    end_in_memory(before);
}

static void w6_f11_a_killed_writer_leaves_no_model_or_the_new_one(void **state)
{
    (void)state;
    kill_everywhere(write_model, NULL, false);
    kill_everywhere(write_model, NULL, true);
}

static void w6_f11_a_killed_replacement_leaves_the_old_model_or_the_new_one(void **state)
{
    (void)state;
    kill_everywhere(write_model, "old", true);
}

static void w6_f11_so_does_one_without_the_exchange(void **state)
{
    (void)state;
    kill_everywhere(write_without_renameat2, "old", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(w6_a_folder_is_made_and_a_model_is_not_written_over),
        cmocka_unit_test(w3_names_that_cannot_be_folders_are_refused_before),
        cmocka_unit_test(w6_force_leaves_what_no_model_brought),
        cmocka_unit_test(w6_modes_and_owners_stay),
        cmocka_unit_test(w2_a_link_to_a_folder_stays),
        cmocka_unit_test(w6_the_current_folder_and_mount_points_are_not_replaced),
        cmocka_unit_test(f12_a_second_writer_is_refused),
        cmocka_unit_test(folders_that_others_may_have_made_are_left_alone),
        cmocka_unit_test(a_mark_that_another_user_made_gives_nothing_away),
        cmocka_unit_test(a_folder_being_written_is_private),
        cmocka_unit_test(f5_what_fails_leaves_the_old_model_and_nothing_beside),
        cmocka_unit_test(w6_f11_a_killed_writer_leaves_no_model_or_the_new_one),
        cmocka_unit_test(w6_f11_a_killed_replacement_leaves_the_old_model_or_the_new_one),
        cmocka_unit_test(w6_f11_so_does_one_without_the_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
