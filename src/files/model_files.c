/* Finding a model's folder and opening its files (model_files.h). */
#include "files/model_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

/* ---- Names and links --------------------------------------------------------------------------------------------- */

alloy_status alloy_file_name_check(const char *name, size_t size, const char *what)
{
    bool single = size > 0 && !memchr(name, '/', size) && !memchr(name, '\\', size) && !memchr(name, 0, size);
    if (single && !(name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'))))
        return ALLOY_OK;
    return alloy_fail(ALLOY_TRUST, "%s: \"%s\" is not the name of a file in the model's folder", what,
                      alloy_printable(name, size));
}

/* The path without links, in our own memory; IO where there is none, with `shown` and `what` before the system's
 * reason. */
static alloy_status real_path(char **out, const char *path, const char *shown, const char *what)
{
    *out = NULL;
    char *real = realpath(path, NULL);
    if (!real)
        return alloy_fail(ALLOY_IO, "%s: %s%s", alloy_printable_path(shown), what, strerror(errno));
    *out = alloy_memory_string(real);
    free(real);
    return *out ? ALLOY_OK : ALLOY_NOMEM;
}

/* Is `path` below `folder`? Both are without links. */
static bool is_below(const char *path, const char *folder)
{
    size_t size = folder ? strlen(folder) : 0;
    if (size > 0 && folder[size - 1] == '/')
        size--;
    return folder && strncmp(path, folder, size) == 0 && path[size] == '/';
}

alloy_status alloy_model_files_path(const alloy_model_files *files, const char *name, alloy_text *path)
{
    alloy_status status = alloy_file_name_check(name, strlen(name), files->path);
    return status ? status : alloy_path_join(path, files->path, name);
}

alloy_status alloy_model_files_has(const alloy_model_files *files, const char *name, bool *has)
{
    struct stat info;
    *has = fstatat(files->folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (*has || errno == ENOENT)
        return ALLOY_OK;
    return alloy_fail(ALLOY_IO, "%s/%s: %s", alloy_printable_path(files->path), alloy_printable(name, strlen(name)),
                      strerror(errno));
}

static alloy_status fail_open(const char *path)
{
    return alloy_fail(ALLOY_IO, "%s: cannot open: %s", alloy_printable_path(path), strerror(errno));
}

/* Opens `path`, which is below the folder and has no links in it, going down folder by folder; -1 with errno. `path` is
 * cut up. */
static int open_below(int folder, char *path)
{
    int at = folder;
    for (char *next; at >= 0 && (next = strchr(path, '/')); path = next + 1) {
        *next = 0;
        int below = openat(at, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        if (at != folder)
            close(at);
        errno = error;
        at = below;
    }
    int descriptor = at < 0 ? -1 : alloy_file_open_at(at, path, O_NOFOLLOW);
    int error = errno;
    if (at >= 0 && at != folder)
        close(at);
    errno = error;
    return descriptor;
}

/* The part of `real` below one of the two folders that files may come from, and which; NULL below neither. */
static char *find_below(const alloy_model_files *files, char *real, int *folder)
{
    bool in_blobs = is_below(real, files->blobs);
    if (!in_blobs && !is_below(real, files->real))
        return NULL;
    const char *above = in_blobs ? files->blobs : files->real;
    *folder = in_blobs ? files->blobs_folder : files->folder;
    char *below = real + strlen(above);
    return *below == '/' ? below + 1 : below; /* only the root ends with its slash */
}

/* Opens what the link `name` leads to. `path` is for messages: the current folder may be another since it was given. */
static alloy_status open_link(const alloy_model_files *files, const char *name, const char *path, int *descriptor)
{
    char *real = NULL;
    int folder;
    alloy_text link = {0};
    alloy_status status = alloy_path_join(&link, files->real, name);
    if (!status)
        status = real_path(&real, link.bytes, path, "a link that leads nowhere: ");
    alloy_text_free(&link);
    if (status)
        return status;
    char *below = find_below(files, real, &folder);
    if (!below)
        status =
            alloy_fail(ALLOY_TRUST, "%s: is a link to %s, outside of the model's folder; --follow-symlinks allows it",
                       alloy_printable_path(path), alloy_printable_path(real));
    else if ((*descriptor = open_below(folder, below)) < 0)
        status = fail_open(path);
    alloy_memory_free(real);
    return status;
}

/* The one function that opens files of models: a descriptor, and the path for messages. */
static alloy_status open_file(const alloy_model_files *files, const char *name, int *descriptor, alloy_text *path)
{
    alloy_status status = alloy_model_files_path(files, name, path);
    if (status)
        return status;
    *descriptor = alloy_file_open_at(files->folder, name, files->follow_symlinks ? 0 : O_NOFOLLOW);
    if (*descriptor >= 0)
        return ALLOY_OK;
    if (errno == ELOOP && !files->follow_symlinks)
        return open_link(files, name, path->bytes, descriptor);
    return fail_open(path->bytes);
}

alloy_status alloy_model_files_file(const alloy_model_files *files, const char *name, size_t most, bool map,
                                    alloy_file *file)
{
    alloy_text path = {0};
    int descriptor;
    *file = (alloy_file){0};
    alloy_status status = open_file(files, name, &descriptor, &path);
    if (!status)
        status = alloy_file_open_descriptor(file, descriptor, path.bytes, most, map);
    alloy_text_free(&path);
    return status;
}

alloy_status alloy_model_files_read(const alloy_model_files *files, const char *name, size_t most, alloy_text *out)
{
    alloy_text path = {0};
    int descriptor;
    alloy_text_clear(out);
    alloy_status status = open_file(files, name, &descriptor, &path);
    if (!status)
        status = alloy_file_read_descriptor(out, descriptor, path.bytes, most);
    alloy_text_free(&path);
    return status;
}

alloy_status alloy_model_files_check(const alloy_model_files *files, const char *name)
{
    alloy_text path = {0};
    int descriptor;
    alloy_status status = open_file(files, name, &descriptor, &path);
    if (!status)
        status = alloy_file_check_descriptor(descriptor, path.bytes);
    alloy_text_free(&path);
    return status;
}

alloy_status alloy_model_files_copy(const alloy_model_files *files, const char *name, alloy_file_writer *writer)
{
    alloy_text path = {0};
    int descriptor;
    alloy_status status = open_file(files, name, &descriptor, &path);
    if (!status)
        status = alloy_file_copy(writer, descriptor, path.bytes);
    alloy_text_free(&path);
    return status;
}

/* ---- The Hub's cache --------------------------------------------------------------------------------------------- */

/* The value of an environment variable, or NULL where it is unset or empty. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* The folder of the Hub's cache. */
static alloy_status cache_folder(alloy_text *out)
{
    static const struct {
        const char *variable, *below;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"},
                  {"HOME", "/.cache/huggingface/hub"}};
    const char *home = environment("HOME");
    alloy_text_clear(out);
    for (size_t i = 0; i < sizeof places / sizeof *places && out->size == 0; i++) {
        const char *value = environment(places[i].variable);
        bool at_home = value && home && value[0] == '~' && (value[1] == '/' || value[1] == 0);
        if (value)
            alloy_text_format(out, "%s%s%s", at_home ? home : "", value + at_home, places[i].below);
    }
    return alloy_text_status(out);
}

/* Can `where` be a model's name on the Hub: one or two parts of letters, digits, '-', '_' and '.'? */
static bool is_hub_name(const char *where)
{
    int slashes = 0;
    for (const char *p = where; *p; p++) {
        bool letter =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '_';
        bool first = p == where || p[-1] == '/';
        if (*p == '/' ? first || ++slashes > 1 : !letter && (*p != '.' || first))
            return false;
    }
    return *where && where[strlen(where) - 1] != '/';
}

/* Reads a file of the cache that is no link. */
static alloy_status read_unlinked(alloy_text *out, const char *path)
{
    int descriptor = alloy_file_open_at(AT_FDCWD, path, O_NOFOLLOW);
    return descriptor < 0 ? fail_open(path) : alloy_file_read_descriptor(out, descriptor, path, 4096);
}

/* The revision that refs/main names: one name. */
static alloy_status read_revision(const char *repository, alloy_text *revision)
{
    alloy_text path = {0};
    alloy_status status = alloy_path_join(&path, repository, "refs/main");
    if (!status)
        status = read_unlinked(revision, path.bytes);
    while (!status && revision->size > 0 && strchr("\r\n \t", revision->bytes[revision->size - 1]))
        revision->bytes[--revision->size] = 0;
    if (!status)
        status = alloy_file_name_check(alloy_text_get(revision), revision->size, path.bytes);
    alloy_text_free(&path);
    return status;
}

/* CACHE/models--user--name/snapshots/REVISION. */
static alloy_status find_snapshot(const char *name, alloy_text *out)
{
    alloy_text repository = {0}, revision = {0};
    alloy_status status = cache_folder(&repository);
    if (!status) {
        alloy_text_string(&repository, "/models--");
        for (const char *p = name; *p; p++)
            alloy_text_append(&repository, *p == '/' ? "--" : p, *p == '/' ? 2 : 1);
        status = alloy_text_status(&repository);
    }
    if (!status && !alloy_folder_exists(repository.bytes))
        status = alloy_fail(ALLOY_IO, "%s: no such folder, and no model of that name in the Hub's cache (%s)",
                            alloy_printable_path(name), alloy_printable_path(repository.bytes));
    if (!status)
        status = read_revision(repository.bytes, &revision);
    if (!status) {
        alloy_text_clear(out);
        alloy_text_format(out, "%s/snapshots/%s", repository.bytes, revision.bytes);
        status = alloy_text_status(out);
    }
    if (!status && !alloy_folder_exists(out->bytes))
        status = alloy_fail(
            ALLOY_IO, "%s: the Hub's cache has no such snapshot, though refs/main names it; download the model again",
            alloy_printable_path(out->bytes));
    alloy_text_free(&repository);
    alloy_text_free(&revision);
    return status;
}

static int open_folder(const char *path)
{
    return open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The `blobs` of the cache that a folder is a snapshot of: NAME/snapshots/REVISION has NAME/blobs. A link in its place
 * is none: whoever made the folder could have it lead anywhere. */
static alloy_status find_blobs(alloy_model_files *files)
{
    const char *last = strrchr(files->real, '/');
    static const char snapshots[] = "/snapshots", blobs[] = "/blobs";
    size_t size = sizeof snapshots - 1;
    if (!last || (size_t)(last - files->real) <= size || memcmp(last - size, snapshots, size) != 0)
        return ALLOY_OK;
    alloy_text path = {0};
    alloy_text_append(&path, files->real, (size_t)(last - files->real) - size);
    alloy_text_string(&path, blobs);
    alloy_status status = alloy_text_status(&path);
    if (!status && (files->blobs_folder = open_folder(path.bytes)) >= 0 &&
        !(files->blobs = alloy_memory_string(path.bytes)))
        status = ALLOY_NOMEM;
    alloy_text_free(&path);
    return status;
}

/* Why MODEL is no folder, and no name in the cache either. */
static alloy_status no_folder(const char *where)
{
    struct stat info;
    const char *path = alloy_printable_path(where);
    if (stat(where, &info) != 0)
        return errno == ENOENT ? alloy_fail(ALLOY_IO, "%s: no such folder", path)
                               : alloy_fail(ALLOY_IO, "%s: no such folder: %s", path, strerror(errno));
    if (S_ISREG(info.st_mode))
        return alloy_fail(ALLOY_IO, "%s: is a file; a model is the folder that holds it", path);
    return alloy_fail(ALLOY_IO, "%s: no such folder: neither a folder nor a regular file", path);
}

static alloy_status find_folder(const char *where, alloy_text *path)
{
    struct stat info;
    bool exists = lstat(where, &info) == 0;
    if (exists && alloy_folder_exists(where))
        alloy_text_string(path, where);
    else if (!exists && (errno == ENOENT || errno == ENOTDIR) && is_hub_name(where))
        return find_snapshot(where, path);
    else
        return no_folder(where);
    return alloy_text_status(path);
}

alloy_status alloy_model_files_open(alloy_model_files *files, const char *where, bool follow_symlinks)
{
    *files = (alloy_model_files){.follow_symlinks = follow_symlinks, .folder = -1, .blobs_folder = -1};
    alloy_text path = {0};
    alloy_status status = find_folder(where, &path);
    if (!status && !(files->path = alloy_memory_string(path.bytes)))
        status = ALLOY_NOMEM;
    if (!status)
        status = real_path(&files->real, files->path, files->path, "");
    if (!status && (files->folder = open_folder(files->real)) < 0)
        status = fail_open(files->path);
    if (!status)
        status = find_blobs(files);
    alloy_text_free(&path);
    if (status)
        alloy_model_files_close(files);
    return status;
}

void alloy_model_files_close(alloy_model_files *files)
{
    if (files->path && files->folder >= 0)
        close(files->folder);
    if (files->path && files->blobs_folder >= 0)
        close(files->blobs_folder);
    alloy_memory_free(files->path);
    alloy_memory_free(files->real);
    alloy_memory_free(files->blobs);
    *files = (alloy_model_files){0};
}

alloy_status alloy_model_files_find(alloy_model_files **out, const char *where, bool follow_symlinks)
{
    *out = NULL;
    alloy_model_files *files = alloy_memory_zeroed(1, sizeof *files);
    alloy_status status = files ? alloy_model_files_open(files, where, follow_symlinks) : ALLOY_NOMEM;
    if (status)
        alloy_memory_free(files);
    else
        *out = files;
    return status;
}

void alloy_model_files_release(alloy_model_files *files)
{
    if (files)
        alloy_model_files_close(files);
    alloy_memory_free(files);
}

const char *alloy_model_files_folder(const alloy_model_files *files)
{
    return files->path;
}
