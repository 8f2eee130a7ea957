/* The folder that a new model is written to (folder_write.h). */
#include "files/folder_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_write.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/safetensors.h"

static const char CONFIG[] = "config.json", MARK[] = ".alloy-writing", MADE[] = "tmp", OLD[] = "old";

enum { MOST_TRIES = 100 }; /* of random names */

/* of renameat2 */
enum { NO_REPLACE = 1, EXCHANGE = 2 };

static alloy_status fail_io(const char *path, const char *what)
{
    return alloy_fail(ALLOY_IO, "%s: %s: %s", alloy_printable_path(path), what, strerror(errno));
}

/* ---- What stands in a folder ------------------------------------------------------------------------------------- */

/* Is it a file that the writer of `names` may write? */
static bool is_ours(const char *name, const char *const *names)
{
    size_t size;
    if (alloy_is_weight_file(name) || strcmp(name, MARK) == 0)
        return true;
    for (int i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0 || (alloy_is_temporary_name(name, MADE, &size) && size == strlen(names[i]) &&
                                            memcmp(name + 1, names[i], size) == 0))
            return true;
    return false;
}

static bool has(int folder, const char *name)
{
    struct stat info;
    return fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Calls `visit` for each entry of an open folder until one fails; IO, with its path, where it cannot be listed. */
static alloy_status each_entry(int folder, const char *path,
                               alloy_status (*visit)(void *context, int folder, const char *name), void *context)
{
    alloy_status status = ALLOY_OK;
    int descriptor = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (!entries) {
        status = fail_io(path, "cannot list the folder");
        if (descriptor >= 0)
            close(descriptor);
        return status;
    }
    for (struct dirent *entry; !status && (entry = readdir(entries));)
        if (!is_dots(entry->d_name))
            status = visit(context, folder, entry->d_name);
    closedir(entries);
    return status;
}

struct taken {
    const char *const *names;
    bool any;
    char first[256];
};

static alloy_status look_for_taken(void *context, int folder, const char *name)
{
    struct taken *taken = context;
    (void)folder;
    if (!taken->any && name[0] != '.' && is_ours(name, taken->names)) { /* not the mark, no temporary file */
        taken->any = true;
        snprintf(taken->first, sizeof taken->first, "%s", name);
    }
    return ALLOY_OK;
}

/* A mark that somebody else made says nothing. */
static bool has_own_mark(int folder)
{
    struct stat info;
    return fstatat(folder, MARK, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid();
}

/* A file that would be written over; what a killed writer left is nobody's. */
static alloy_status find_taken(const char *folder, struct taken *taken)
{
    int descriptor = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return fail_io(folder, "cannot open folder");
    bool left = has_own_mark(descriptor) && !alloy_folder_holds_model(folder);
    alloy_status status = left ? ALLOY_OK : each_entry(descriptor, folder, look_for_taken, taken);
    close(descriptor);
    return status;
}

/* ---- Removing ---------------------------------------------------------------------------------------------------- */

struct removal {
    const char *const *names;
    int target; /* the folder that takes what stays; -1: none */
    bool keeps_mark;
};

/* Removes a file of a model; hands over what stays. What cannot be handed over is left where it is. */
static alloy_status remove_entry(void *context, int folder, const char *name)
{
    const struct removal *r = context;
    struct stat here, there;
    bool same = r->target >= 0 && fstatat(folder, name, &here, AT_SYMLINK_NOFOLLOW) == 0 &&
                fstatat(r->target, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && here.st_dev == there.st_dev &&
                here.st_ino == there.st_ino;
    if (r->keeps_mark && strcmp(name, MARK) == 0)
        return ALLOY_OK;
    if (same || is_ours(name, r->names))
        (void)!unlinkat(folder, name, 0);
    else if (r->target >= 0 && !has(r->target, name))
        (void)!renameat(folder, name, r->target, name);
    return ALLOY_OK;
}

/* Removes an open folder beside `target` with the model that it holds, and moves to `target` what else it holds.
 * config.json goes first: what is half removed is no model. The new model stands: from here on nothing fails, but is
 * said. */
static void remove_folder(int folder, const char *path, const char *target, const char *const *names)
{
    struct removal removal = {names, open(target, O_PATH | O_DIRECTORY | O_CLOEXEC), false};
    if (is_ours(CONFIG, names))
        (void)!unlinkat(folder, CONFIG, 0);
    (void)!each_entry(folder, path, remove_entry, &removal);
    if (rmdir(path) != 0)
        alloy_warn("%s: what is left of an earlier model's folder could not be removed: %s", alloy_printable_path(path),
                   strerror(errno));
    if (removal.target >= 0)
        close(removal.target);
}

/* ---- What killed writers left ------------------------------------------------------------------------------------ */

struct sweep {
    const char *target, *parent, *name; /* of the folder that is written */
    const char *const *names;
    const char *ending, *own; /* `own` is not looked at */
};

/* May what is in a folder have been put there by another user? Anybody can make a folder of such a name where many may
 * write, as in /tmp, and so give the next writer's model files that it never had. */
static bool is_written_by_others(const struct stat *folder)
{
    return folder->st_uid != geteuid() || (folder->st_mode & (S_IWGRP | S_IWOTH));
}

/* Takes the folder away, or back to its name; IO where a writer is at it. What others may have made is left alone. */
static alloy_status sweep_folder(const struct sweep *s, const char *path)
{
    int lock;
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISDIR(info.st_mode) || (s->own && strcmp(path, s->own) == 0))
        return ALLOY_OK;
    if (info.st_uid == geteuid() && is_written_by_others(&info))
        alloy_warn("%s: left by a writer that was killed, but others may write to it; look through it and remove it",
                   alloy_printable_path(path));
    if (is_written_by_others(&info))
        return ALLOY_OK;
    alloy_status status = alloy_folder_lock(path, &lock);
    if (status)
        return alloy_folder_exists(path) ? status : ALLOY_OK; /* its writer is done */
    bool same = fstat(lock, &info) == 0 && !is_written_by_others(&info);
    bool back = same && s->ending == OLD && !alloy_folder_exists(s->target);
    if (back && rename(path, s->target) != 0)
        status = fail_io(path, "cannot take back the model's folder");
    else if (same && !back)
        remove_folder(lock, path, s->target, s->names);
    alloy_folder_unlock(lock);
    return status;
}

static alloy_status sweep_entry(void *context, int folder, const char *name)
{
    const struct sweep *s = context;
    size_t size;
    (void)folder;
    if (!alloy_is_temporary_name(name, s->ending, &size) || size != strlen(s->name) ||
        memcmp(name + 1, s->name, size) != 0)
        return ALLOY_OK;
    alloy_text path = {0};
    alloy_status status = alloy_path_join(&path, s->parent, name);
    status = status ? status : sweep_folder(s, path.bytes);
    alloy_text_free(&path);
    return status;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The folders beside `target` that a killed writer of it left. */
static alloy_status sweep(const char *target, const char *parent, const char *const *names, const char *own)
{
    struct sweep s = {target, parent, name_of(target), names, OLD, own};
    if (!*s.name || access(parent, R_OK | W_OK | X_OK) != 0)
        return ALLOY_OK;
    int folder = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return fail_io(parent, "cannot open folder");
    alloy_status status = each_entry(folder, parent, sweep_entry, &s);
    s.ending = MADE;
    status = status ? status : each_entry(folder, parent, sweep_entry, &s);
    close(folder);
    return status;
}

/* ---- May it be written? ------------------------------------------------------------------------------------------ */

/* Is the root of a file system mounted there? */
static bool is_mount_point(int folder, const char *name)
{
#ifdef STATX_ATTR_MOUNT_ROOT
    struct statx info;
    if (statx(folder, name, AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) == 0 &&
        (info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
        return info.stx_attributes & STATX_ATTR_MOUNT_ROOT;
#endif
    struct stat here, above;
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s/..", name);
    return fstatat(folder, name, &here, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(here.st_mode) &&
           fstatat(folder, parent, &above, 0) == 0 && (here.st_dev != above.st_dev || here.st_ino == above.st_ino);
}

static alloy_status check_writable(const char *given, const char *folder)
{
    if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
        return ALLOY_OK;
    return alloy_fail(ALLOY_IO, "%s: cannot write in the folder %s: %s", alloy_printable_path(given),
                      alloy_printable_path(folder), strerror(errno));
}

/* May the folder `target` change places with one beside it? */
static alloy_status check_replaceable(const char *given, const char *target)
{
    const char *printable = alloy_printable_path(given);
    if (is_mount_point(AT_FDCWD, target))
        return alloy_fail(ALLOY_IO,
                          "%s: holds a model and is a mount point, which cannot be replaced whole; remove the "
                          "model first, or write elsewhere",
                          printable);
    if (alloy_file_same(target, "."))
        return alloy_fail(ALLOY_IO,
                          "%s: holds a model and is the current folder, which cannot be replaced whole; call "
                          "this from another folder",
                          printable);
    char *parent = alloy_folder_of(target);
    alloy_status status = parent ? check_writable(given, parent) : ALLOY_NOMEM;
    alloy_memory_free(parent);
    return status;
}

/* A folder that exists. *replaces: its files are in the way, and may go. */
static alloy_status check_existing(const char *given, const char *target, const char *const *names, bool force,
                                   bool *replaces)
{
    struct taken taken = {.names = names};
    const char *printable = alloy_printable_path(given);
    alloy_status status = check_writable(given, target);
    if (!status && names)
        status = find_taken(target, &taken);
    bool model = alloy_folder_holds_model(target);
    *replaces = model || taken.any;
    if (status || !*replaces)
        return status;
    if (!force && model)
        return alloy_fail(ALLOY_IO, "%s: holds a model already; write elsewhere, or replace it with --force",
                          printable);
    if (!force)
        return alloy_fail(ALLOY_IO,
                          "%s: holds %s, which would be written over; write elsewhere, or replace it with "
                          "--force",
                          printable, alloy_printable(taken.first, strlen(taken.first)));
    return check_replaceable(given, target);
}

/* A folder that does not exist: the lowest one above it that does. */
static alloy_status check_missing(const char *given, const char *target)
{
    char *above = alloy_folder_of(target);
    while (above && access(above, F_OK) != 0 && errno == ENOENT && strcmp(above, ".") != 0 && strcmp(above, "/") != 0) {
        char *next = alloy_folder_of(above);
        alloy_memory_free(above);
        above = next;
    }
    if (!above)
        return ALLOY_NOMEM;
    alloy_status status = ALLOY_OK;
    if (!alloy_folder_exists(above))
        status =
            alloy_fail(ALLOY_IO, "%s: %s is not a folder", alloy_printable_path(given), alloy_printable_path(above));
    else
        status = check_writable(given, above);
    alloy_memory_free(above);
    return status;
}

/* The path without '/' at its end and without links in its last part; one that exists without any. */
static alloy_status resolve(char **out, const char *given)
{
    size_t size = strlen(given);
    *out = NULL;
    if (size == 0)
        return alloy_fail(ALLOY_ARG, "the name of the folder to write is empty");
    while (size > 1 && given[size - 1] == '/')
        size--;
    char *real = realpath(given, NULL), *bare = alloy_memory_copy(given, size);
    alloy_status status = bare ? ALLOY_OK : ALLOY_NOMEM;
    if (!status && real)
        status = (*out = alloy_memory_string(real)) ? ALLOY_OK : ALLOY_NOMEM;
    else if (!status)
        status = alloy_follow_links(out, bare);
    free(real);
    alloy_memory_free(bare);
    const char *slash = status ? NULL : strrchr(*out, '/'), *name = status ? "" : slash ? slash + 1 : *out;
    if (!status && !alloy_folder_exists(*out) && (is_dots(name) || alloy_file_exists(*out) || access(*out, F_OK) == 0))
        status = alloy_fail(ALLOY_IO, "%s: is not a folder", alloy_printable_path(given));
    if (status) {
        alloy_memory_free(*out);
        *out = NULL;
    }
    return status;
}

static alloy_status check(const char *given, const char *target, const char *const *names, bool force, bool *replaces)
{
    *replaces = false;
    return alloy_folder_exists(target) ? check_existing(given, target, names, force, replaces)
                                       : check_missing(given, target);
}

alloy_status alloy_folder_check(const char *folder, const char *const *names, bool force)
{
    char *target;
    bool replaces;
    alloy_status status = resolve(&target, folder);
    if (!status)
        status = check(folder, target, names, force, &replaces);
    alloy_memory_free(target);
    return status;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static alloy_status refuse_entry(void *context, int folder, const char *name)
{
    const alloy_folder_writer *w = context;
    (void)folder;
    return alloy_fail(ALLOY_IO, "%s: another process put %s into the folder that is made for it",
                      alloy_printable_path(w->given), alloy_printable(name, strlen(name)));
}

/* From here to the commit nobody else can write into the folder that was made, or nothing in it could be trusted when
 * its writer is killed. */
static alloy_status make_private(alloy_folder_writer *w)
{
    struct stat info;
    if (fstat(w->lock, &info) != 0)
        return fail_io(w->given, "cannot look at the folder made for it");
    w->mode = info.st_mode & 07777;
    if (fchmod(w->lock, S_IRWXU) != 0) /* a file system without modes */
        w->mode = 0;
    return each_entry(w->lock, w->path, refuse_entry, w);
}

/* Makes and locks a folder beside the target, and sees that no other writer is at it. */
static alloy_status open_beside(alloy_folder_writer *w, const char *parent)
{
    alloy_text path = {0};
    alloy_status status = ALLOY_OK;
    bool made = false;
    for (int i = 0; i < MOST_TRIES && !status && !made; i++) {
        status = alloy_temporary_name(&path, parent, name_of(w->target), MADE);
        made = !status && mkdir(path.bytes, 0777) == 0;
        if (!status && !made && errno != EEXIST)
            status = fail_io(w->given, "cannot create a folder beside it");
    }
    if (!status && !made)
        status = alloy_fail(ALLOY_IO, "%s: no name is free for a folder beside it", alloy_printable_path(w->given));
    w->path = made ? path.bytes : NULL;
    if (!made)
        alloy_text_free(&path);
    status = status ? status : alloy_folder_lock(w->path, &w->lock);
    status = status ? status : make_private(w);
    return status ? status : sweep(w->target, parent, w->names, w->path);
}

/* The mark is there before anything else is. */
static alloy_status open_in_place(alloy_folder_writer *w)
{
    if (!(w->path = alloy_memory_string(w->target)))
        return ALLOY_NOMEM;
    int folder = w->target_lock, mark = -1;
    while (mark < 0 && (mark = openat(folder, MARK, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)) < 0)
        if (errno != EINTR)
            return fail_io(w->given, "cannot create a file in it");
    close(mark);
    struct removal left = {w->names, -1, true};
    alloy_status status = alloy_folder_sync(w->path);
    return status ? status : each_entry(folder, w->path, remove_entry, &left);
}

static alloy_status open_writer(alloy_folder_writer *w, const char *parent, bool force)
{
    alloy_status status = alloy_folder_create(parent);
    status = status ? status : sweep(w->target, parent, w->names, NULL);
    status = status ? status : check(w->given, w->target, w->names, force, &w->replaces);
    if (!status && !alloy_folder_exists(w->target))
        return open_beside(w, parent);
    status = status ? status : alloy_folder_lock(w->target, &w->target_lock);
    status =
        status ? status : check(w->given, w->target, w->names, force, &w->replaces); /* it may have changed since */
    if (status)
        return status;
    return w->replaces ? open_beside(w, parent) : open_in_place(w);
}

alloy_status alloy_folder_open(alloy_folder_writer *w, const char *folder, const char *const *names, bool force)
{
    *w = (alloy_folder_writer){.given = folder, .names = names, .lock = -1, .target_lock = -1};
    alloy_status status = resolve(&w->target, folder);
    char *parent = status ? NULL : alloy_folder_of(w->target);
    if (!status)
        status = parent ? open_writer(w, parent, force) : ALLOY_NOMEM;
    alloy_memory_free(parent);
    if (status)
        alloy_folder_abandon(w);
    return status;
}

/* ---- The change of places ---------------------------------------------------------------------------------------- */

static int rename_with(const char *from, const char *to, unsigned how)
{
#ifdef SYS_renameat2
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, how);
#else
    (void)from, (void)to, (void)how;
    errno = ENOSYS;
    return -1;
#endif
}

/* Can this system, or this file system, not do it at all? */
static bool is_unknown(int error)
{
    return error == ENOSYS || error == EINVAL || error == ENOTSUP;
}

struct carry {
    const alloy_folder_writer *writer;
    int target, fresh;
    bool has_weights;
    struct stat weights; /* of the old model's, where it has any */
};

/* What no writer of models wrote is in both folders from now on; a folder cannot be, and follows. */
static alloy_status carry_over(void *context, int folder, const char *name)
{
    struct carry *c = context;
    struct stat info;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return ALLOY_OK;
    if (alloy_is_weight_file(name) && !c->has_weights) {
        c->weights = info;
        c->has_weights = S_ISREG(info.st_mode);
    }
    if (S_ISDIR(info.st_mode) && is_mount_point(folder, name))
        return alloy_fail(ALLOY_IO, "%s: %s in it is a mount point, so it cannot be replaced whole",
                          alloy_printable_path(c->writer->given), alloy_printable(name, strlen(name)));
    if (!S_ISDIR(info.st_mode) && !is_ours(name, c->writer->names))
        (void)!linkat(folder, name, c->fresh, name, 0); /* else it is moved afterwards */
    return ALLOY_OK;
}

static alloy_status keep_mode_of(void *context, int folder, const char *name)
{
    const struct carry *c = context;
    struct stat old;
    bool known = fstatat(c->target, name, &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode);
    if (!is_ours(name, c->writer->names) || (!known && !(c->has_weights && alloy_is_weight_file(name))))
        return ALLOY_OK;
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file >= 0) {
        alloy_keep_mode(file, known ? &old : &c->weights);
        close(file);
    }
    return ALLOY_OK;
}

static alloy_status carry_all(const alloy_folder_writer *w)
{
    struct carry c = {.writer = w, .target = w->target_lock, .fresh = w->lock};
    struct stat old;
    alloy_status status = each_entry(w->target_lock, w->target, carry_over, &c);
    status = status ? status : each_entry(w->lock, w->path, keep_mode_of, &c);
    if (!status && fstat(w->target_lock, &old) == 0)
        alloy_keep_mode(w->lock, &old);
    return status;
}

/* Where no call lets two folders change places: the old one steps aside, the new one takes its name. */
static alloy_status exchange_in_two(alloy_folder_writer *w)
{
    alloy_text aside = {0};
    size_t stem = strlen(w->path) - strlen(MADE);
    alloy_text_append(&aside, w->path, stem);
    alloy_text_string(&aside, OLD);
    alloy_status status = alloy_text_status(&aside);
    if (!status && rename(w->target, aside.bytes) != 0)
        status = fail_io(w->given, "cannot rename the old folder");
    if (!status && rename(w->path, w->target) != 0) {
        status = fail_io(w->given, "cannot rename the new folder");
        (void)!rename(aside.bytes, w->target);
    } else if (!status) {
        (void)!rename(aside.bytes, w->path); /* whose name says that it may go */
    }
    alloy_text_free(&aside);
    return status;
}

static alloy_status exchange(alloy_folder_writer *w)
{
    if (rename_with(w->path, w->target, EXCHANGE) == 0)
        return ALLOY_OK;
    return is_unknown(errno) ? exchange_in_two(w) : fail_io(w->given, "cannot replace the folder");
}

/* The folder's name was free when this began; IO when it is no more. */
static alloy_status take_name(alloy_folder_writer *w)
{
    int failed = rename_with(w->path, w->target, NO_REPLACE);
    if (failed && is_unknown(errno))
        failed = rename(w->path, w->target);
    return failed ? fail_io(w->given, "cannot take its name") : ALLOY_OK;
}

static void close_writer(alloy_folder_writer *w)
{
    alloy_folder_unlock(w->lock);
    alloy_folder_unlock(w->target_lock);
    alloy_memory_free(w->path);
    alloy_memory_free(w->target);
    *w = (alloy_folder_writer){.lock = -1, .target_lock = -1};
}

static alloy_status commit_beside(alloy_folder_writer *w)
{
    alloy_status status = w->replaces ? carry_all(w) : ALLOY_OK;
    if (!w->replaces && w->mode && fchmod(w->lock, w->mode) != 0)
        status = fail_io(w->given, "cannot set the mode of the folder made for it");
    char *parent = status ? NULL : alloy_folder_of(w->target); /* so that no memory is needed later */
    if (!status && !parent)
        status = ALLOY_NOMEM;
    if (!status && fsync(w->lock) != 0 && errno != EINVAL)
        status = fail_io(w->given, "cannot sync folder");
    status = status ? status : w->replaces ? exchange(w) : take_name(w);
    if (!status) {
        if (w->replaces)
            (void)!fchmod(w->target_lock, S_IRWXU); /* the old one: the next writer may remove it if this is killed */
        status = alloy_folder_sync(parent);
        if (w->replaces)
            remove_folder(w->target_lock, w->path, w->target, w->names);
        close_writer(w);
    }
    alloy_memory_free(parent);
    return status;
}

alloy_status alloy_folder_commit(alloy_folder_writer *w)
{
    alloy_status status = ALLOY_OK;
    if (strcmp(w->path, w->target) != 0) {
        status = commit_beside(w);
    } else {
        (void)!unlinkat(w->target_lock, MARK, 0);
        status = alloy_folder_sync(w->path);
        close_writer(w);
    }
    if (status && w->path)
        alloy_folder_abandon(w);
    return status;
}

void alloy_folder_abandon(alloy_folder_writer *w)
{
    bool beside = w->path && strcmp(w->path, w->target) != 0;
    struct removal removal = {w->names, beside ? w->target_lock : -1, !beside};
    int folder = beside ? w->lock : w->target_lock;
    if (w->path && folder >= 0)
        (void)!each_entry(folder, w->path, remove_entry, &removal);
    if (beside)
        rmdir(w->path);
    else if (w->path)
        (void)!unlinkat(w->target_lock, MARK, 0);
    close_writer(w);
}
