/* Writing files (file_write.h). */
#include "base/file_write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

enum {
    MOST_LINKS = 40,  /* as Linux follows */
    MOST_TRIES = 100, /* of random names */
    RANDOM_DIGITS = 16,
    ACL_BYTES = 4096,
};

static alloy_status fail_io(const char *path, const char *what)
{
    return alloy_fail(ALLOY_IO, "%s: %s: %s", alloy_printable_path(path), what, strerror(errno));
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

char *alloy_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !slash ? alloy_memory_string(".") : alloy_memory_copy(path, slash == path ? 1 : (size_t)(slash - path));
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Not for secrets: O_EXCL finds what it names taken. */
static uint64_t random_64(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) == (ssize_t)sizeof value)
        return value;
    struct timespec now; /* before the machine has gathered any, or without the call */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 16 ^ (uintptr_t)&value) *
           UINT64_C(0x9E3779B97F4A7C15);
}

alloy_status alloy_temporary_name(alloy_text *text, const char *folder, const char *name, const char *ending)
{
    size_t most = NAME_MAX - RANDOM_DIGITS - strlen(ending) - 3, size = strlen(name); /* three dots */
    alloy_status status = alloy_path_join(text, folder, ".");
    alloy_text_append(text, name, size < most ? size : most);
    alloy_text_format(text, ".%016" PRIx64 ".%s", random_64(), ending);
    return status ? status : alloy_text_status(text);
}

bool alloy_is_temporary_name(const char *name, const char *ending, size_t *size)
{
    size_t all = strlen(name), tail = 1 + RANDOM_DIGITS + 1 + strlen(ending);
    if (name[0] != '.' || all < 2 + tail)
        return false;
    const char *digits = name + all - tail + 1;
    *size = all - 1 - tail;
    return digits[-1] == '.' && strspn(digits, "0123456789abcdef") == RANDOM_DIGITS && digits[RANDOM_DIGITS] == '.' &&
           strcmp(digits + RANDOM_DIGITS + 1, ending) == 0;
}

/* ---- Folders ----------------------------------------------------------------------------------------------------- */

bool alloy_folder_holds_model(const char *folder)
{
    static const char *const weights[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                          "pytorch_model.bin.index.json"};
    struct stat info;
    int descriptor = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC); /* no memory is needed to answer */
    if (descriptor < 0)
        return false;
    bool holds = false;
    for (size_t i = 0; i < sizeof weights / sizeof *weights && !holds; i++)
        holds = fstatat(descriptor, weights[i], &info, AT_SYMLINK_NOFOLLOW) == 0;
    holds = holds && fstatat(descriptor, "config.json", &info, AT_SYMLINK_NOFOLLOW) == 0;
    close(descriptor);
    return holds;
}

alloy_status alloy_folder_sync(const char *folder)
{
    alloy_status status = ALLOY_OK;
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0 && errno == EACCES)
        return ALLOY_OK; /* one that may be written and not read */
    if (descriptor < 0 || (fsync(descriptor) != 0 && errno != EINVAL))
        status = fail_io(folder, "cannot sync folder");
    if (descriptor >= 0)
        close(descriptor);
    return status;
}

/* ---- Targets ----------------------------------------------------------------------------------------------------- */

/* The descriptor that /dev/stdout or /dev/fd/N names; -1: another path. Opened by its name, a regular file that the
 * shell had opened for appending would begin anew. */
static int named_descriptor(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "/dev/stdout") == 0 || strcmp(path, "/dev/stderr") == 0)
        return strcmp(path, "/dev/stdout") == 0 ? STDOUT_FILENO : STDERR_FILENO;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        size_t size = strlen(folders[i]);
        int64_t number;
        if (strncmp(path, folders[i], size) == 0 && alloy_parse_int64(path + size, strlen(path + size), &number) &&
            number >= 0 && number <= INT_MAX)
            return (int)number;
    }
    return -1;
}

/* What one link in place of *at leads to. */
static alloy_status follow_one(char **at)
{
    char to[PATH_MAX];
    ssize_t size = readlink(*at, to, sizeof to - 1);
    if (size < 0)
        return fail_io(*at, "cannot read the link");
    to[size] = 0;
    alloy_text next = {0};
    char *folder = to[0] == '/' ? NULL : alloy_folder_of(*at);
    if (to[0] != '/' && !folder)
        return ALLOY_NOMEM;
    alloy_status status = folder ? alloy_path_join(&next, folder, to) : ALLOY_OK;
    if (!status && !folder)
        alloy_text_string(&next, to);
    status = status ? status : alloy_text_status(&next);
    alloy_memory_free(folder);
    if (status) {
        alloy_text_free(&next);
        return status;
    }
    alloy_memory_free(*at);
    *at = next.bytes;
    return ALLOY_OK;
}

/* Follows the links of the last part of *at. *is_model: a folder on the way holds a model. */
static alloy_status follow(char **at, struct stat *info, bool *exists, bool *is_model)
{
    for (int links = 0;; links++) {
        char *folder = alloy_folder_of(*at);
        if (!folder)
            return ALLOY_NOMEM;
        *is_model |= alloy_folder_holds_model(folder);
        alloy_memory_free(folder);
        *exists = false;
        if (named_descriptor(*at) >= 0)
            return ALLOY_OK;
        if (lstat(*at, info) != 0)
            return errno == ENOENT ? ALLOY_OK : fail_io(*at, "cannot write here");
        *exists = !S_ISLNK(info->st_mode);
        if (*exists)
            return ALLOY_OK;
        if (links == MOST_LINKS) {
            errno = ELOOP;
            return fail_io(*at, "cannot write here");
        }
        alloy_status status = follow_one(at);
        if (status)
            return status;
    }
}

alloy_status alloy_follow_links(char **out, const char *path)
{
    struct stat info;
    bool exists, is_model = false;
    *out = alloy_memory_string(path);
    alloy_status status = *out ? follow(out, &info, &exists, &is_model) : ALLOY_NOMEM;
    if (status) {
        alloy_memory_free(*out);
        *out = NULL;
    }
    return status;
}

/* Is this a folder `blobs` beside `snapshots`? */
static bool is_hub_blobs(const char *folder)
{
    if (strcmp(name_of(folder), "blobs") != 0)
        return false;
    int descriptor = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat info;
    bool is = descriptor >= 0 && fstatat(descriptor, "../snapshots", &info, 0) == 0 && S_ISDIR(info.st_mode);
    if (descriptor >= 0)
        close(descriptor);
    return is;
}

/* May a file of this folder be made and renamed? */
static alloy_status check_folder(alloy_target *t, const char *given, const char *folder)
{
    if (stat(folder, &t->folder) != 0)
        return alloy_fail(ALLOY_IO, "%s: cannot write here: the folder %s: %s", alloy_printable_path(given),
                          alloy_printable_path(folder), strerror(errno));
    if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
        return fail_io(given, "cannot create a file in its folder");
    bool others = (t->folder.st_mode & S_ISVTX) && geteuid() != 0 && geteuid() != t->folder.st_uid;
    if (t->exists && others && geteuid() != t->info.st_uid)
        return alloy_fail(ALLOY_IO, "%s: belongs to another user, in a folder where only owners replace their files",
                          alloy_printable_path(given));
    return ALLOY_OK;
}

/* Would a new file of this name, beside a model, become a part of it? */
static bool is_read_with_model(const char *path)
{
    static const char *const names[] = {
        "generation_config.json", "tokenizer.json",           "tokenizer_config.json",       "special_tokens_map.json",
        "added_tokens.json",      "chat_template.jinja",      "chat_template.json",          "hf_quant_config.json",
        "model.safetensors",      "preprocessor_config.json", "model.safetensors.index.json"};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static alloy_status check_regular(alloy_target *t, const char *given, const char *folder, bool is_model)
{
    const char *printable = alloy_printable_path(given);
    if (t->exists && is_model)
        return alloy_fail(ALLOY_IO, "%s: is a file of the model in its folder; write elsewhere", printable);
    if (!t->exists && is_model && is_read_with_model(t->path))
        return alloy_fail(ALLOY_IO, "%s: would become a file of the model in its folder; write elsewhere", printable);
    if (t->exists && is_hub_blobs(folder))
        return alloy_fail(ALLOY_IO, "%s: is a file of the Hub's cache; write elsewhere", printable);
    if (t->exists && alloy_mapping_holds(t->info.st_dev, t->info.st_ino))
        return alloy_fail(ALLOY_IO, "%s: is in use by this program; write elsewhere", printable);
    return check_folder(t, given, folder);
}

/* What stands there says how it is written. */
static alloy_status classify(alloy_target *t, const char *given, bool is_model)
{
    mode_t mode = t->exists ? t->info.st_mode : S_IFREG;
    struct stat now;
    if (!t->exists && stat(given, &now) == 0 && lstat(t->path, &now) != 0) /* as links of /proc do to what is deleted */
        return alloy_fail(ALLOY_IO, "%s: leads to a file that has no name", alloy_printable_path(given));
    t->stream = S_ISCHR(mode) || S_ISFIFO(mode);
    if (S_ISDIR(mode))
        return alloy_fail(ALLOY_IO, "%s: is a folder, expected a file", alloy_printable_path(given));
    if (!t->stream && !S_ISREG(mode))
        return alloy_fail(ALLOY_IO, "%s: is a %s, expected a file, a FIFO or a character device",
                          alloy_printable_path(given), S_ISSOCK(mode) ? "socket" : "disk");
    if (t->exists && faccessat(AT_FDCWD, t->path, W_OK, AT_EACCESS) != 0)
        return fail_io(given, "cannot write here");
    char *folder = alloy_folder_of(t->path);
    if (!folder)
        return ALLOY_NOMEM;
    alloy_status status = ALLOY_OK;
    if (t->stream)
        (void)!stat(folder, &t->folder);
    else
        status = check_regular(t, given, folder, is_model);
    alloy_memory_free(folder);
    return status;
}

static alloy_status take_descriptor(alloy_target *t)
{
    t->descriptor = named_descriptor(t->path);
    t->exists = t->stream = true;
    alloy_status status = fstat(t->descriptor, &t->info) != 0 ? fail_io(t->path, "cannot write here") : ALLOY_OK;
    alloy_memory_free(t->path);
    t->path = NULL;
    return status;
}

alloy_status alloy_target_open(alloy_target *t, const char *path)
{
    *t = (alloy_target){.descriptor = -1};
    bool is_model = false;
    size_t size = strlen(path);
    if (size == 0)
        return alloy_fail(ALLOY_ARG, "the name of the file to write is empty");
    if (!(t->path = alloy_memory_string(path)))
        return ALLOY_NOMEM;
    alloy_status status = follow(&t->path, &t->info, &t->exists, &is_model);
    if (!status && !t->exists && named_descriptor(t->path) >= 0)
        status = take_descriptor(t);
    else if (!status && !t->exists && *name_of(t->path) == 0)
        status = alloy_fail(ALLOY_IO, "%s: names a folder, expected a file", alloy_printable_path(path));
    else if (!status)
        status = classify(t, path, is_model);
    if (status)
        alloy_target_close(t);
    return status;
}

void alloy_target_close(alloy_target *t)
{
    alloy_memory_free(t->path);
    *t = (alloy_target){.descriptor = -1};
}

const char *alloy_target_name(const alloy_target *t)
{
    return t->path ? name_of(t->path) : "";
}

alloy_status alloy_file_check_target(const char *path)
{
    alloy_target target;
    alloy_status status = alloy_target_open(&target, path);
    alloy_target_close(&target);
    return status;
}

void alloy_file_release_reader(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISFIFO(info.st_mode))
        return;
    int descriptor = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); /* fails where nobody reads */
    if (descriptor >= 0)
        close(descriptor);
}

/* ---- Modes and owners -------------------------------------------------------------------------------------------- */

/* The list of further users of a file; false where there was one and it could not be given on. */
static bool keep_acl(int descriptor, const char *old)
{
    static const char name[] = "system.posix_acl_access";
    char acl[ACL_BYTES];
    ssize_t size = getxattr(old, name, acl, sizeof acl);
    return size < 0 ? errno == ENODATA || errno == ENOTSUP : fsetxattr(descriptor, name, acl, (size_t)size, 0) == 0;
}

/* A group that cannot be kept must not give its rights to another: then what everybody may do is what the group may. */
static mode_t narrowed(mode_t mode)
{
    return (mode & ~(mode_t)(S_ISGID | S_IRWXG)) | (mode & S_IRWXG & (mode & S_IRWXO) << 3);
}

void alloy_keep_mode(int descriptor, const struct stat *old)
{
    struct stat now;
    mode_t mode = old->st_mode & 07777;
    if (fstat(descriptor, &now) != 0)
        return;
    if (now.st_gid != old->st_gid && fchown(descriptor, (uid_t)-1, old->st_gid) != 0)
        mode = narrowed(mode);
    if (now.st_uid != old->st_uid && fchown(descriptor, old->st_uid, (gid_t)-1) != 0)
        mode &= ~(mode_t)S_ISUID;
    (void)!fchmod(descriptor, mode); /* where modes cannot be set, the file stays its owner's alone */
}

/* ---- Writers ----------------------------------------------------------------------------------------------------- */

/* Opens a new file of a name that nobody has. */
static alloy_status open_temporary(alloy_file_writer *writer, const char *name, mode_t mode)
{
    alloy_text text = {0};
    char *folder = alloy_folder_of(writer->target);
    alloy_status status = folder ? ALLOY_OK : ALLOY_NOMEM;
    for (int i = 0; i < MOST_TRIES && !status && writer->descriptor < 0; i++) {
        status = alloy_temporary_name(&text, folder, name, "tmp");
        if (status)
            break;
        writer->descriptor = open(text.bytes, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (writer->descriptor < 0 && errno != EEXIST && errno != EINTR)
            status = fail_io(writer->path, "cannot create a file beside it");
    }
    if (!status && writer->descriptor < 0)
        status = alloy_fail(ALLOY_IO, "%s: no name is free for a file beside it", alloy_printable_path(writer->path));
    alloy_memory_free(folder);
    if (writer->descriptor >= 0)
        writer->temporary = text.bytes;
    else
        alloy_text_free(&text);
    return status;
}

static alloy_status open_stream(alloy_file_writer *writer, const alloy_target *target)
{
    do
        writer->descriptor = target->path ? open(target->path, O_WRONLY | O_NOCTTY | O_CLOEXEC)
                                          : fcntl(target->descriptor, F_DUPFD_CLOEXEC, 0);
    while (writer->descriptor < 0 && errno == EINTR);
    return writer->descriptor < 0 ? fail_io(writer->path, "cannot open for writing") : ALLOY_OK;
}

static alloy_status open_file(alloy_file_writer *writer, alloy_target *target)
{
    const struct stat *old = target->exists ? &target->info : NULL;
    writer->target = target->path;
    target->path = NULL;
    alloy_status status = open_temporary(writer, name_of(writer->target), old ? 0600 : 0666);
    if (status || !old)
        return status;
    struct stat kept = *old;
    alloy_keep_mode(writer->descriptor, &kept);
    if (!keep_acl(writer->descriptor, writer->target))
        (void)!fchmod(writer->descriptor, narrowed(kept.st_mode & 07777));
    return ALLOY_OK;
}

alloy_status alloy_file_create(alloy_file_writer *writer, const char *path)
{
    *writer = (alloy_file_writer){.descriptor = -1};
    alloy_target target;
    alloy_status status = alloy_target_open(&target, path);
    if (!status && !(writer->path = alloy_memory_string(path)))
        status = ALLOY_NOMEM;
    if (!status)
        status = target.stream ? open_stream(writer, &target) : open_file(writer, &target);
    alloy_target_close(&target);
    if (status)
        alloy_file_abandon(writer);
    return status;
}

/* write, without the signals that a closed pipe and a limit of file sizes send to the thread. */
static ssize_t write_quietly(int descriptor, const void *bytes, size_t size)
{
    static const struct timespec at_once = {0};
    sigset_t ours, before, waiting;
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGXFSZ);
    sigpending(&waiting);
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    ssize_t n = write(descriptor, bytes, size);
    int error = errno;
    if (n < 0 && (error == EPIPE || error == EFBIG)) {
        sigdelset(&ours, error == EPIPE ? SIGXFSZ : SIGPIPE);
        if (!sigismember(&waiting, error == EPIPE ? SIGPIPE : SIGXFSZ))
            while (sigtimedwait(&ours, NULL, &at_once) < 0 && errno == EINTR)
                continue;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return n;
}

/* A write found no memory where its bytes are: a mapped file was cut short. It is to blame, not what is written. */
static alloy_status fail_source(const void *from, const char *to)
{
    char path[600];
    uint64_t offset;
    if (!alloy_mapping_find(from, path, sizeof path, &offset))
        return fail_io(to, "cannot write");
    return alloy_fail(ALLOY_IO, "%s: byte %llu could not be read: the file was cut short while it was mapped", path,
                      (unsigned long long)offset);
}

alloy_status alloy_file_write(alloy_file_writer *writer, const void *bytes, size_t size)
{
    const char *from = bytes;
    while (size > 0) {
        ssize_t n = write_quietly(writer->descriptor, from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return errno == EFAULT ? fail_source(from, writer->path) : fail_io(writer->path, "cannot write");
        }
        from += n;
        size -= (size_t)n;
        writer->written += (uint64_t)n;
    }
    return ALLOY_OK;
}

alloy_status alloy_file_finish(alloy_file_writer *writer)
{
    alloy_status status = ALLOY_OK;
    if (writer->temporary && fsync(writer->descriptor) != 0)
        status = fail_io(writer->path, "cannot sync");
    int closed = close(writer->descriptor);
    writer->descriptor = -1;
    if (!status && closed != 0)
        status = fail_io(writer->path, "cannot close");
    return status;
}

/* Renames, and cuts `target` for a moment to sync its folder, so that after the rename no memory is needed. */
static alloy_status rename_and_sync(alloy_file_writer *writer)
{
    if (rename(writer->temporary, writer->target) != 0)
        return fail_io(writer->path, "cannot rename the temporary file to this name");
    alloy_memory_free(writer->temporary);
    writer->temporary = NULL;
    char *slash = strrchr(writer->target, '/');
    if (slash)
        *slash = 0;
    return alloy_folder_sync(!slash ? "." : slash == writer->target ? "/" : writer->target);
}

alloy_status alloy_file_commit(alloy_file_writer *writer)
{
    alloy_status status = writer->descriptor >= 0 ? alloy_file_finish(writer) : ALLOY_OK;
    if (!status && writer->temporary)
        status = rename_and_sync(writer);
    alloy_file_abandon(writer);
    return status;
}

void alloy_file_abandon(alloy_file_writer *writer)
{
    bool open = writer->path && writer->descriptor >= 0;
    if (open)
        close(writer->descriptor);
    if (writer->temporary)
        unlink(writer->temporary);
    alloy_memory_free(writer->temporary);
    alloy_memory_free(writer->target);
    alloy_memory_free(writer->path);
    *writer = (alloy_file_writer){.descriptor = -1};
}

alloy_status alloy_file_replace(const char *path, const void *bytes, size_t size)
{
    alloy_file_writer writer;
    alloy_status status = alloy_file_create(&writer, path);
    if (status)
        return status;
    status = alloy_file_write(&writer, bytes, size);
    if (status) {
        alloy_file_abandon(&writer);
        return status;
    }
    return alloy_file_commit(&writer);
}
