/* Writing files: what was there stays until all of the new is there, and what is no file is not made one. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/file_set.h"
#include "base/file_write.h"
#include "base/memory.h"

/* ---- What the tests share ---------------------------------------------------------------------------------------- */

static void expect_file(const char *path, const char *expected)
{
    size_t size;
    char *bytes = read_whole(path, &size);
    expect_bytes(bytes, size, expected);
    free(bytes);
}

/* The only file in the folder is "f", and it holds `expected`. */
static void expect_only(const char *folder, const char *expected)
{
    char command[512];
    expect_file(path_in(folder, "f"), expected);
    snprintf(command, sizeof command, "test \"$(ls -A '%s')\" = f", folder);
    assert_int_equal(system(command), 0);
}

static alloy_status replace(const char *path, const char *text)
{
    return alloy_file_replace(path, text, strlen(text));
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info.st_mode & 07777;
}

/* A path that is not one of path_in's rotating buffers. */
static char *kept(const char *folder, const char *name)
{
    char *path = strdup(path_in(folder, name));
    assert_non_null(path);
    return path;
}

/* ---- Regular files ----------------------------------------------------------------------------------------------- */

static void w1_a_file_is_replaced_when_all_of_it_is_there(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = write_text(folder, "f", "old");
    alloy_file_writer writer;
    expect_ok(alloy_file_create(&writer, path));
    expect_ok(alloy_file_write(&writer, "new ", 4));
    expect_ok(alloy_file_write(&writer, "text", 4));
    assert_int_equal(writer.written, 8);
    expect_file(path, "old");
    expect_ok(alloy_file_commit(&writer));
    expect_only(folder, "new text");

    expect_ok(alloy_file_create(&writer, path));
    expect_ok(alloy_file_write(&writer, "lost", 4));
    expect_ok(alloy_file_finish(&writer));
    alloy_file_abandon(&writer);
    expect_only(folder, "new text");
    alloy_file_abandon(&writer);
    alloy_file_abandon(&(alloy_file_writer){0});
    remove_folder(folder);
}

static void f5_a_failed_write_leaves_the_old_file_and_nothing_else(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = write_text(folder, "f", "old");
    struct rlimit old, full;
    getrlimit(RLIMIT_FSIZE, &old);
    for (rlim_t limit = 0; limit < 8; limit++) {
        full = old;
        full.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &full);
        alloy_status status = replace(path, "too long"); /* SIGXFSZ would end the process here */
        setrlimit(RLIMIT_FSIZE, &old);
        expect_failure(status, ALLOY_IO, "/f: cannot write", "File too large");
        expect_only(folder, "old");
    }
    sigset_t waiting;
    sigpending(&waiting);
    assert_false(sigismember(&waiting, SIGXFSZ));
    for (int n = 0;; n++) {
        alloy_memory_fail_after(n);
        alloy_status status = replace(path, "new");
        alloy_memory_fail_after(-1);
        if (!status)
            break;
        expect_failure(status, ALLOY_NOMEM, "memory");
        expect_only(folder, "old");
        assert_true(n < 20);
    }
    expect_only(folder, "new");
    remove_folder(folder);
}

/* F5: a file system of one page, which is full at the second. */
static void f5_a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    char *folder = test_folder(), command[512];
    snprintf(command, sizeof command, "mount -t tmpfs -o size=8k none '%s' 2>/dev/null", folder);
    if (system(command) != 0) {
        print_message("not run: no file system can be mounted here\n");
        remove_folder(folder);
        return;
    }
    char *path = write_text(folder, "f", "old"), bytes[16384] = {0};
    alloy_status status = alloy_file_replace(path, bytes, sizeof bytes);
    expect_failure(status, ALLOY_IO, "/f: cannot write", "No space left");
    expect_only(folder, "old");
    snprintf(command, sizeof command, "umount '%s'", folder);
    assert_int_equal(system(command), 0);
    remove_folder(folder);
}

static void w1_the_mode_stays_and_a_new_file_has_what_the_umask_leaves(void **state)
{
    (void)state;
    static const unsigned modes[] = {0600, 0640, 0644, 0664, 0400, 0755, 0666};
    char *folder = test_folder(), *path = kept(folder, "f");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        write_text(folder, "f", "old");
        assert_int_equal(chmod(path, modes[i]), 0);
        if ((modes[i] & 0200) || geteuid() == 0)
            expect_ok(replace(path, "new"));
        assert_int_equal(mode_of(path), modes[i]);
        remove(path);
    }
    mode_t before = umask(027);
    expect_ok(replace(path, "new"));
    umask(before);
    assert_int_equal(mode_of(path), 0640);
    free(path);
    remove_folder(folder);
}

static void w1_the_owner_stays_where_the_system_permits(void **state)
{
    (void)state;
    enum { OTHER = 65534, GROUP = 4321 };
    if (geteuid() != 0) {
        print_message("not run: only root has files of others\n");
        return;
    }
    char *folder = test_folder(), *path = kept(folder, "f");
    struct stat info;
    write_text(folder, "f", "old");
    assert_int_equal(chown(path, OTHER, GROUP), 0);
    assert_int_equal(chmod(path, 0640), 0);
    expect_ok(replace(path, "new"));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_uid, OTHER);
    assert_int_equal(info.st_gid, GROUP);
    assert_int_equal(info.st_mode & 07777, 0640);

    /* one who may not give the group away: the rights of that group go to nobody else */
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(chmod(path, 0664), 0);
    assert_int_equal(seteuid(OTHER), 0);
    alloy_status status = replace(path, "third");
    assert_int_equal(seteuid(0), 0);
    expect_ok(status);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_uid, OTHER);
    if (info.st_gid != GROUP)
        assert_int_equal(info.st_mode & 07777, 0644);
    expect_file(path, "third");
    free(path);
    remove_folder(folder);
}

/* In a folder such as /tmp the rename would fail after all work is done. */
static void w4_a_file_of_another_user_in_a_sticky_folder_is_refused_before(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("not run: only root can make one\n");
        return;
    }
    char *folder = test_folder(), *path = kept(folder, "f");
    write_text(folder, "f", "old");
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(chmod(folder, 01777), 0);
    assert_int_equal(seteuid(65534), 0);
    alloy_status before = alloy_file_check_target(path), status = replace(path, "new");
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(before, ALLOY_IO);
    expect_failure(status, ALLOY_IO, "/f", "another user");
    expect_only(folder, "old");
    free(path);
    remove_folder(folder);
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

enum { THREADS = 2, WRITES = 200, BYTES = 10000 };

static void *write_many(void *context)
{
    char bytes[BYTES];
    const char *const *path_and_letter = context;
    memset(bytes, *path_and_letter[1], sizeof bytes);
    for (int i = 0; i < WRITES; i++)
        if (alloy_file_replace(path_and_letter[0], bytes, sizeof bytes))
            return (void *)"failed";
    return NULL;
}

/* The same path at the same time: no write finds the other's temporary file, and what is read is of one of them. */
static void w1_two_threads_may_write_one_path(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = kept(folder, "f");
    pthread_t threads[THREADS];
    const char *contexts[THREADS][2] = {{path, "a"}, {path, "b"}};
    write_text(folder, "f", "a");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, contexts[i]), 0);
    for (int i = 0; i < 500; i++) {
        size_t size;
        char *bytes = read_whole(path, &size);
        if (size != 1 && (size != BYTES || strspn(bytes, "a") % BYTES != 0 || strspn(bytes, "b") % BYTES != 0))
            fail_msg("read %zu bytes, %zu of them a", size, strspn(bytes, "a"));
        free(bytes);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    char command[512];
    snprintf(command, sizeof command, "test \"$(ls -A '%s')\" = f", folder);
    assert_int_equal(system(command), 0);
    free(path);
    remove_folder(folder);
}

static void temporary_names_are_random_and_known_again(void **state)
{
    (void)state;
    alloy_text one = {0}, other = {0};
    size_t size;
    expect_ok(alloy_temporary_name(&one, "a", "f.html", "tmp"));
    expect_ok(alloy_temporary_name(&other, "a", "f.html", "tmp"));
    assert_string_not_equal(one.bytes, other.bytes);
    assert_true(alloy_is_temporary_name(one.bytes + 2, "tmp", &size));
    assert_int_equal(size, 6);
    assert_false(alloy_is_temporary_name(one.bytes + 2, "old", &size));
    assert_false(alloy_is_temporary_name(one.bytes + 3, "tmp", &size));
    assert_false(alloy_is_temporary_name(".f.html.tmp", "tmp", &size));
    char name[300];
    memset(name, 'x', 255);
    name[255] = 0;
    expect_ok(alloy_temporary_name(&one, ".", name, "tmp"));
    assert_int_equal(one.size, 2 + 255); /* "./" and the longest name */
    alloy_text_free(&one);
    alloy_text_free(&other);

    char *folder = test_folder(), *path = kept(folder, name);
    expect_ok(replace(path, "text")); /* which has no room for more letters */
    expect_file(path, "text");
    free(path);
    remove_folder(folder);
}

/* ---- Links ------------------------------------------------------------------------------------------------------- */

static void w2_links_are_followed_and_stay(void **state)
{
    (void)state;
    char *folder = test_folder(), *file = kept(folder, "a/f"), *link = kept(folder, "b/link"),
         *chain = kept(folder, "c"), *absolute = kept(folder, "absolute");
    write_text(folder, "a/f", "old");
    write_text(folder, "b/x", "");
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(symlink("../a/f", link), 0);
    assert_int_equal(symlink("b/link", chain), 0);
    assert_int_equal(symlink(link, absolute), 0);
    const char *paths[] = {link, chain, absolute};
    for (size_t i = 0; i < 3; i++) {
        char text[] = {(char)('0' + i), 0};
        struct stat info;
        expect_ok(replace(paths[i], text));
        expect_file(file, text);
        assert_int_equal(mode_of(file), 0600);
        assert_int_equal(lstat(paths[i], &info), 0);
        assert_true(S_ISLNK(info.st_mode));
    }
    free(file);
    free(link);
    free(chain);
    free(absolute);
    remove_folder(folder);
}

static void w2_a_dangling_link_makes_its_target(void **state)
{
    (void)state;
    char *folder = test_folder(), *link = kept(folder, "link"), *lost = kept(folder, "lost"),
         *loop = kept(folder, "loop");
    assert_int_equal(symlink("f", link), 0);
    expect_ok(replace(link, "text"));
    expect_file(path_in(folder, "f"), "text");
    expect_file(link, "text");
    assert_int_equal(symlink("absent/f", lost), 0);
    expect_failure(replace(lost, "text"), ALLOY_IO, "lost", "No such file");
    assert_int_equal(symlink("loop", loop), 0);
    expect_failure(replace(loop, "text"), ALLOY_IO, "loop", "symbolic links");
    free(link);
    free(lost);
    free(loop);
    remove_folder(folder);
}

/* The other name keeps the old file: a replaced file is another one. */
static void w2_a_hard_link_keeps_what_it_had(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = kept(folder, "f"), *other = kept(folder, "other");
    write_text(folder, "f", "old");
    assert_int_equal(link(path, other), 0);
    expect_ok(replace(path, "new"));
    expect_file(path, "new");
    expect_file(other, "old");
    free(path);
    free(other);
    remove_folder(folder);
}

/* ---- Devices and pipes ------------------------------------------------------------------------------------------- */

/* A process that reads a FIFO to its end and exits with 0 if that was `expected`. */
static pid_t read_in_child(const char *path, const char *expected)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char bytes[64] = "";
    size_t size = 0;
    alarm(60); /* a hang is a failure */
    int descriptor = open(path, O_RDONLY);
    for (ssize_t n; (n = read(descriptor, bytes + size, sizeof bytes - size)) > 0;)
        size += (size_t)n;
    _exit(size == strlen(expected) && memcmp(bytes, expected, size) == 0 ? 0 : 1);
}

static void expect_read(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void w1_a_fifo_gives_its_reader_the_bytes_and_the_end(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = kept(folder, "fifo"), *link = kept(folder, "link");
    struct stat info;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(symlink("fifo", link), 0);
    for (int i = 0; i < 2; i++) {
        pid_t reader = read_in_child(path, "hello reader");
        expect_ok(replace(i ? link : path, "hello reader"));
        expect_read(reader);
    }
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));

    /* nothing comes: the reader sees the end all the same */
    pid_t reader = read_in_child(path, "");
    int status;
    while (waitpid(reader, &status, WNOHANG) == 0) {
        alloy_file_release_reader(path);
        usleep(1000);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    alloy_file_release_reader(path); /* nobody reads: at once */
    free(path);
    free(link);
    remove_folder(folder);
}

static void w1_a_reader_that_leaves_is_io_and_no_signal(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = kept(folder, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    alloy_file_writer writer;
    expect_ok(alloy_file_create(&writer, path));
    expect_ok(alloy_file_write(&writer, "x", 1));
    close(reader);
    expect_failure(alloy_file_write(&writer, "x", 1), ALLOY_IO, "fifo", "Broken pipe"); /* SIGPIPE would end us */
    alloy_file_abandon(&writer);
    sigset_t waiting;
    sigpending(&waiting);
    assert_false(sigismember(&waiting, SIGPIPE));
    assert_int_equal(access(path, F_OK), 0);
    free(path);
    remove_folder(folder);
}

/* Devices of the test's own: /dev/null and /dev/full by their numbers. */
static void w1_a_device_stays_a_device(void **state)
{
    (void)state;
    char *folder = test_folder(), *null = kept(folder, "null"), *full = kept(folder, "full"),
         *disk = kept(folder, "disk");
    struct stat info;
    if (mknod(null, S_IFCHR | 0666, makedev(1, 3)) != 0 || mknod(full, S_IFCHR | 0666, makedev(1, 7)) != 0 ||
        mknod(disk, S_IFBLK | 0666, makedev(7, 250)) != 0) {
        print_message("not run: this user makes no devices\n");
    } else {
        int opened = open(null, O_WRONLY);
        if (opened < 0) {
            print_message("not run: devices cannot be opened here\n");
        } else {
            close(opened);
            expect_ok(replace(null, "text"));
            expect_failure(replace(full, "text"), ALLOY_IO, "full: cannot write", "No space left");
        }
        expect_failure(replace(disk, "text"), ALLOY_IO, "disk", "is a disk");
        const char *paths[] = {null, full, disk};
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(lstat(paths[i], &info), 0);
            assert_false(S_ISREG(info.st_mode));
        }
    }
    free(null);
    free(full);
    free(disk);
    remove_folder(folder);
}

/* What a shell appends to is appended to. */
static void w1_an_open_descriptor_is_written_to(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = kept(folder, "f"), name[64];
    write_text(folder, "f", "old ");
    int descriptor = open(path, O_WRONLY | O_APPEND);
    snprintf(name, sizeof name, "/dev/fd/%d", descriptor);
    expect_ok(replace(name, "new"));
    expect_only(folder, "old new");
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    expect_ok(replace(name, "er"));
    expect_only(folder, "old newer");
    close(descriptor);
    expect_failure(replace(name, "x"), ALLOY_IO, name);
    free(path);
    remove_folder(folder);
}

/* ---- What is refused --------------------------------------------------------------------------------------------- */

static void w3_f6_targets_that_cannot_be_replaced_are_io(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = kept(folder, "f"), *socket_path = kept(folder, "s");
    expect_failure(replace(path_in(folder, "absent/f"), "x"), ALLOY_IO, "absent/f", "No such file");
    expect_failure(alloy_file_check_target(path_in(folder, "absent/f")), ALLOY_IO, "absent/f", "No such file");
    expect_failure(replace("", "x"), ALLOY_ARG, "empty");
    expect_failure(alloy_file_check_target(""), ALLOY_ARG, "empty");
    expect_failure(replace(path_in(folder, "new/"), "x"), ALLOY_IO, "names a folder");
    expect_ok(alloy_folder_create(path_in(folder, "f/full")));
    expect_failure(replace(path, "x"), ALLOY_IO, "/f: is a folder");
    expect_failure(replace(path_in(folder, "f/"), "x"), ALLOY_IO, "is a folder");
    expect_failure(replace(path_in(folder, "f/."), "x"), ALLOY_IO, "is a folder");
    write_text(folder, "g", "");
    expect_failure(replace(path_in(folder, "g/x"), "x"), ALLOY_IO, "g/x", "Not a directory");
    remove(path_in(folder, "g"));

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(bound, (struct sockaddr *)&address, sizeof address), 0);
    expect_failure(replace(socket_path, "x"), ALLOY_IO, "/s: is a socket");
    close(bound);
    remove(socket_path);
    char command[512];
    snprintf(command, sizeof command, "test \"$(ls -A '%s')\" = f", folder);
    assert_int_equal(system(command), 0);

    bool root = geteuid() == 0; /* root writes to folders that forbid it */
    assert_int_equal(chmod(folder, 0555), 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    alloy_status before = alloy_file_check_target(path_in(folder, "g")), status = replace(path_in(folder, "g"), "x");
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(before, ALLOY_IO);
    expect_failure(status, ALLOY_IO, "/g: cannot create", "Permission denied");
    chmod(folder, 0755);
    free(path);
    free(socket_path);
    remove_folder(folder);
}

/* A folder with config.json and weights, a file of it, and the ways to it. */
static void w5_a_file_of_a_model_is_refused_by_any_link(void **state)
{
    (void)state;
    static const char *const files[] = {"model.safetensors", "config.json", "tokenizer.json", "README.md"};
    char *folder = test_folder(), *link = kept(folder, "link"), *to_folder = kept(folder, "to-folder");
    for (size_t i = 0; i < 4; i++) {
        char target[64];
        snprintf(target, sizeof target, "m/%s", files[i]);
        write_text(folder, target, "old");
    }
    assert_int_equal(symlink("m", to_folder), 0);
    for (size_t i = 0; i < 4; i++) {
        char target[64];
        snprintf(target, sizeof target, "m/%s", files[i]);
        expect_failure(replace(path_in(folder, target), "x"), ALLOY_IO, "is a file of the model");
        expect_failure(replace(path_in(to_folder, files[i]), "x"), ALLOY_IO, "is a file of the model");
        assert_int_equal(symlink(target, link), 0);
        expect_failure(replace(link, "x"), ALLOY_IO, "is a file of the model");
        remove(link);
        expect_file(path_in(folder, target), "old");
    }
    expect_ok(replace(path_in(folder, "m/new.html"), "x")); /* a new file is none of the model's, but for its name */
    expect_failure(replace(path_in(folder, "m/generation_config.json"), "x"), ALLOY_IO, "would become a file");
    expect_failure(replace(path_in(to_folder, "tokenizer_config.json"), "x"), ALLOY_IO, "would become a file");
    remove(path_in(folder, "m/config.json"));
    expect_ok(replace(path_in(folder, "m/model.safetensors"), "x")); /* nor are weights alone a model */

    /* of the Hub's cache: a snapshot's links lead to blobs, which may be named themselves */
    write_text(folder, "models--a--b/blobs/1234", "old");
    write_text(folder, "models--a--b/snapshots/r/config.json", "old");
    assert_int_equal(symlink("../../blobs/1234", path_in(folder, "models--a--b/snapshots/r/model.safetensors")), 0);
    expect_failure(replace(path_in(folder, "models--a--b/snapshots/r/model.safetensors"), "x"), ALLOY_IO,
                   "is a file of the model");
    expect_failure(replace(path_in(folder, "models--a--b/blobs/1234"), "x"), ALLOY_IO, "Hub's cache");
    free(link);
    free(to_folder);
    remove_folder(folder);
}

static void w5_f8_a_file_that_is_mapped_is_refused(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = kept(folder, "f"), *hard = kept(folder, "hard");
    write_text(folder, "f", "old");
    assert_int_equal(link(path, hard), 0);
    alloy_file one, two;
    expect_ok(alloy_file_open(&one, path, 10, true));
    expect_ok(alloy_file_open(&two, path, 10, true));
    alloy_file_close(&one);
    expect_failure(replace(path, "new"), ALLOY_IO, "/f", "in use");
    expect_failure(alloy_file_check_target(hard), ALLOY_IO, "/hard", "in use");
    alloy_file_close(&two);
    expect_ok(alloy_file_open(&one, path, 10, false)); /* one that was read is */
    expect_ok(replace(path, "new"));
    alloy_file_close(&one);
    free(path);
    free(hard);
    remove_folder(folder);
}

/* ---- What one run reads and writes ------------------------------------------------------------------------------- */

static void w5_no_file_of_a_run_is_written_twice_or_over(void **state)
{
    (void)state;
    char *folder = test_folder(), *ids = kept(folder, "ids"), *hard = kept(folder, "hard"),
         *soft = kept(folder, "soft"), *in_model = kept(folder, "m/weights");
    alloy_file_set set = {0};
    write_text(folder, "ids", "1");
    write_text(folder, "m/weights", "w");
    write_text(folder, "m/sub/x", "");
    assert_int_equal(link(ids, hard), 0);
    assert_int_equal(symlink("new", soft), 0);
    expect_ok(alloy_file_set_read(&set, ids, "--ids-file"));
    expect_ok(alloy_file_set_read(&set, path_in(folder, "m"), "MODEL"));
    expect_ok(alloy_file_set_read(&set, path_in(folder, "absent"), "--prompt"));
    expect_failure(alloy_file_set_write(&set, ids, "--out"), ALLOY_IO, "/ids", "--ids-file", "--out");
    expect_failure(alloy_file_set_write(&set, hard, "--out"), ALLOY_IO, "/hard", "--ids-file");
    expect_failure(alloy_file_set_write(&set, path_in(folder, "m/../ids"), "--out"), ALLOY_IO, "--ids-file");
    expect_failure(alloy_file_set_write(&set, in_model, "--out"), ALLOY_IO, "MODEL");
    expect_ok(alloy_file_set_write(&set, path_in(folder, "m/sub/x"), "--out"));

    expect_ok(alloy_file_set_write(&set, path_in(folder, "new"), "--html")); /* not there yet */
    expect_failure(alloy_file_set_write(&set, path_in(folder, "new"), "--svg"), ALLOY_IO, "--html", "--svg", "same");
    expect_failure(alloy_file_set_write(&set, path_in(folder, "m/../new"), "--svg"), ALLOY_IO, "--html");
    expect_failure(alloy_file_set_write(&set, soft, "--svg"), ALLOY_IO, "--html");
    expect_ok(alloy_file_set_write(&set, path_in(folder, "newer"), "--svg"));
    assert_int_equal(access(path_in(folder, "new"), F_OK), -1);

    write_text(folder, "stream", "");
    int stream = open(path_in(folder, "stream"), O_WRONLY);
    expect_ok(alloy_file_set_descriptor(&set, stream, true, "standard output"));
    expect_failure(alloy_file_set_write(&set, path_in(folder, "stream"), "--out"), ALLOY_IO, "standard output", "same");
    close(stream);
    alloy_file_set_free(&set);
    for (int n = 0;; n++) {
        alloy_memory_fail_after(n);
        alloy_status status = alloy_file_set_read(&set, path_in(folder, "m"), "MODEL");
        status = status ? status : alloy_file_set_write(&set, path_in(folder, "new"), "--out");
        alloy_memory_fail_after(-1);
        alloy_file_set_free(&set);
        if (!status)
            break;
        assert_int_equal(status, ALLOY_NOMEM);
        assert_true(n < 20);
    }
    free(ids);
    free(hard);
    free(soft);
    free(in_model);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(w1_a_file_is_replaced_when_all_of_it_is_there),
        cmocka_unit_test(f5_a_failed_write_leaves_the_old_file_and_nothing_else),
        cmocka_unit_test(f5_a_full_disk_leaves_the_old_file),
        cmocka_unit_test(w1_the_mode_stays_and_a_new_file_has_what_the_umask_leaves),
        cmocka_unit_test(w1_the_owner_stays_where_the_system_permits),
        cmocka_unit_test(w4_a_file_of_another_user_in_a_sticky_folder_is_refused_before),
        cmocka_unit_test(w1_two_threads_may_write_one_path),
        cmocka_unit_test(temporary_names_are_random_and_known_again),
        cmocka_unit_test(w2_links_are_followed_and_stay),
        cmocka_unit_test(w2_a_dangling_link_makes_its_target),
        cmocka_unit_test(w2_a_hard_link_keeps_what_it_had),
        cmocka_unit_test(w1_a_fifo_gives_its_reader_the_bytes_and_the_end),
        cmocka_unit_test(w1_a_reader_that_leaves_is_io_and_no_signal),
        cmocka_unit_test(w1_a_device_stays_a_device),
        cmocka_unit_test(w1_an_open_descriptor_is_written_to),
        cmocka_unit_test(w3_f6_targets_that_cannot_be_replaced_are_io),
        cmocka_unit_test(w5_a_file_of_a_model_is_refused_by_any_link),
        cmocka_unit_test(w5_f8_a_file_that_is_mapped_is_refused),
        cmocka_unit_test(w5_no_file_of_a_run_is_written_twice_or_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
