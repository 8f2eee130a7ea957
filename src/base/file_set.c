/* What one run reads and writes (file_set.h). */
#include "base/file_set.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file_write.h"
#include "base/memory.h"
#include "base/status.h"

struct alloy_file_set_entry {
    uint64_t device, inode; /* of the file; of its folder where `name` is given */
    char *name;             /* of a file that is to be made; NULL: it exists */
    bool written;
    const char *what;
};

static alloy_status add(alloy_file_set *set, const struct stat *info, const char *name, bool written, const char *what)
{
    struct alloy_file_set_entry *grown = alloy_memory_grow(set->entries, set->count, &set->capacity, sizeof *grown);
    char *copy = name ? alloy_memory_string(name) : NULL;
    set->entries = grown ? grown : set->entries;
    if (!grown || (name && !copy)) {
        alloy_memory_free(copy);
        return ALLOY_NOMEM;
    }
    set->entries[set->count++] = (struct alloy_file_set_entry){info->st_dev, info->st_ino, copy, written, what};
    return ALLOY_OK;
}

static const struct alloy_file_set_entry *find(const alloy_file_set *set, const struct stat *info, const char *name)
{
    for (int64_t i = 0; i < set->count; i++) {
        const struct alloy_file_set_entry *e = &set->entries[i];
        if (e->device == info->st_dev && e->inode == info->st_ino && !e->name == !name &&
            (!name || strcmp(e->name, name) == 0))
            return e;
    }
    return NULL;
}

/* Files that links lead to; no folders in it. */
static alloy_status add_files_of(alloy_file_set *set, const char *path, const char *what)
{
    alloy_status status = ALLOY_OK;
    struct stat info;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && !status && (entry = readdir(folder));)
        if (fstatat(dirfd(folder), entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode))
            status = add(set, &info, NULL, false, what);
    if (folder)
        closedir(folder);
    return status;
}

alloy_status alloy_file_set_read(alloy_file_set *set, const char *path, const char *what)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return ALLOY_OK; /* who opens it says so */
    return S_ISDIR(info.st_mode) ? add_files_of(set, path, what) : add(set, &info, NULL, false, what);
}

alloy_status alloy_file_set_descriptor(alloy_file_set *set, int descriptor, bool written, const char *what)
{
    struct stat info;
    return fstat(descriptor, &info) == 0 ? add(set, &info, NULL, written, what) : ALLOY_OK;
}

alloy_status alloy_file_set_write(alloy_file_set *set, const char *path, const char *what)
{
    alloy_target target;
    alloy_status status = alloy_target_open(&target, path);
    if (status)
        return status;
    bool shared = target.exists && (!target.path || S_ISCHR(target.info.st_mode));
    const char *name = target.exists ? NULL : alloy_target_name(&target);
    const struct stat *info = target.exists ? &target.info : &target.folder;
    const struct alloy_file_set_entry *e = shared ? NULL : find(set, info, name);
    if (e && e->written)
        status = alloy_fail(ALLOY_IO, "%s: %s and %s would write the same file; give another name",
                            alloy_printable_path(path), e->what, what);
    else if (e)
        status = alloy_fail(ALLOY_IO, "%s: %s would write over a file that this run reads (%s); write elsewhere",
                            alloy_printable_path(path), what, e->what);
    else if (!shared)
        status = add(set, info, name, true, what);
    alloy_target_close(&target);
    return status;
}

void alloy_file_set_free(alloy_file_set *set)
{
    for (int64_t i = 0; i < set->count; i++)
        alloy_memory_free(set->entries[i].name);
    alloy_memory_free(set->entries);
    *set = (alloy_file_set){0};
}
