/* Files (file.h). */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_write.h"
#include "base/memory.h"
#include "base/status.h"

enum { COPY_PIECE = 256 * 1024 }; /* bytes */

static alloy_status fail_io(const char *path, const char *what)
{
    return alloy_fail(ALLOY_IO, "%s: %s: %s", alloy_printable_path(path), what, strerror(errno));
}

int alloy_file_open_at(int folder, const char *name, int flags)
{
    int descriptor;
    do
        descriptor = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

static int open_path(const char *path)
{
    int descriptor = alloy_file_open_at(AT_FDCWD, path, 0);
    if (descriptor < 0)
        fail_io(path, "cannot open");
    return descriptor;
}

/* What a descriptor is open on, in *info; IO unless that is a regular file. */
static alloy_status check_regular(int descriptor, const char *path, struct stat *info)
{
    if (fstat(descriptor, info) != 0)
        return fail_io(path, "cannot stat");
    if (!S_ISREG(info->st_mode))
        return alloy_fail(ALLOY_IO, "%s: not a regular file", alloy_printable_path(path));
    return ALLOY_OK;
}

static alloy_status too_large(const char *path, size_t size, size_t most)
{
    return alloy_fail(ALLOY_LIMIT, "%s: %zu bytes, at most %zu are allowed here", alloy_printable_path(path), size,
                      most);
}

static alloy_status truncated(const char *path, size_t done, size_t size)
{
    return alloy_fail(ALLOY_IO, "%s: ends at byte %zu of %zu: truncated while it was read", alloy_printable_path(path),
                      done, size);
}

/* Reads until `size` bytes are there or the file ends; *done says how many are. */
static alloy_status read_some(int descriptor, uint8_t *to, size_t size, const char *path, size_t *done)
{
    *done = 0;
    while (*done < size) {
        ssize_t n = read(descriptor, to + *done, size - *done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_io(path, "cannot read");
        if (n == 0)
            break;
        *done += (size_t)n;
    }
    return ALLOY_OK;
}

static alloy_status map_bytes(alloy_file *file, int descriptor)
{
    void *mapping = mmap(NULL, file->size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapping == MAP_FAILED && errno == ENOMEM)
        return alloy_fail(ALLOY_NOMEM, "%s: no address space to map its %zu bytes", alloy_printable_path(file->path),
                          file->size);
    if (mapping == MAP_FAILED)
        return fail_io(file->path, "cannot map");
    file->data = mapping;
    file->mapped = true;
    alloy_status status = alloy_mapping_add(&file->mapping, (uintptr_t)mapping, file->size, 0, file->path);
    if (!status)
        alloy_mapping_identify(file->mapping, file->device, file->inode);
    return status;
}

/* Fills file->data from the descriptor. */
static alloy_status take_bytes(alloy_file *file, int descriptor, bool map)
{
    static const uint8_t nothing[1];
    if (file->size == 0) {
        file->data = nothing;
        return ALLOY_OK;
    }
    if (map)
        return map_bytes(file, descriptor);
    size_t memory_size = alloy_memory_of_machine();
    if (file->size > memory_size)
        return alloy_fail(ALLOY_NOMEM, "%s: %zu bytes to read, this machine has %zu bytes of memory",
                          alloy_printable_path(file->path), file->size, memory_size);
    uint8_t *memory = alloy_memory_aligned(file->size, 1);
    if (!memory)
        return ALLOY_NOMEM;
    file->data = memory;
    size_t done;
    alloy_status status = read_some(descriptor, memory, file->size, file->path, &done);
    return !status && done < file->size ? truncated(file->path, done, file->size) : status;
}

alloy_status alloy_file_check_descriptor(int descriptor, const char *path)
{
    struct stat info;
    alloy_status status = check_regular(descriptor, path, &info);
    close(descriptor);
    return status;
}

alloy_status alloy_file_open_descriptor(alloy_file *file, int descriptor, const char *path, size_t most, bool map)
{
    *file = (alloy_file){0};
    struct stat info;
    alloy_status status = check_regular(descriptor, path, &info);
    if (!status && (size_t)info.st_size > most)
        status = too_large(path, (size_t)info.st_size, most);
    if (!status && !(file->path = alloy_memory_string(path)))
        status = ALLOY_NOMEM;
    if (!status) {
        file->size = (size_t)info.st_size;
        file->device = info.st_dev;
        file->inode = info.st_ino;
        status = take_bytes(file, descriptor, map);
    }
    close(descriptor);
    if (status)
        alloy_file_close(file);
    return status;
}

alloy_status alloy_file_open(alloy_file *file, const char *path, size_t most, bool map)
{
    *file = (alloy_file){0};
    int descriptor = open_path(path);
    return descriptor < 0 ? ALLOY_IO : alloy_file_open_descriptor(file, descriptor, path, most, map);
}

void alloy_file_close(alloy_file *file)
{
    if (file->mapped)
        munmap((void *)file->data, file->size);
    else if (file->size > 0)
        alloy_memory_free((void *)file->data);
    alloy_mapping_remove(file->mapping);
    alloy_memory_free(file->path);
    *file = (alloy_file){0};
}

alloy_status alloy_file_check(const alloy_file *file)
{
    struct stat info;
    if (!file->mapped || stat(file->path, &info) != 0 || info.st_dev != file->device || info.st_ino != file->inode)
        return ALLOY_OK;
    if ((size_t)info.st_size == file->size)
        return ALLOY_OK;
    return alloy_fail(ALLOY_IO,
                      "%s: has %zu bytes, %zu when it was opened: it changed while it was in use (reading it into "
                      "memory avoids that)",
                      alloy_printable_path(file->path), (size_t)info.st_size, file->size);
}

/* Reads to the end: `expected` bytes, and whatever follows. */
static alloy_status read_to_end(alloy_text *text, int descriptor, const char *path, size_t expected, size_t most)
{
    size_t done;
    if (!alloy_text_reserve(text, expected))
        return ALLOY_NOMEM;
    alloy_status status = read_some(descriptor, (uint8_t *)text->bytes, expected, path, &done);
    if (!status && done < expected)
        status = truncated(path, done, expected);
    text->size = status ? 0 : expected;
    text->bytes[text->size] = 0;
    for (bool ended = false; !status && !ended; ended = done == 0) {
        uint8_t piece[4096];
        status = read_some(descriptor, piece, sizeof piece, path, &done);
        alloy_text_append(text, piece, done);
        if (!status && text->size > most)
            status = too_large(path, text->size, most);
        if (!status)
            status = alloy_text_status(text);
    }
    return status;
}

alloy_status alloy_file_read_descriptor(alloy_text *text, int descriptor, const char *path, size_t most)
{
    alloy_text_clear(text);
    struct stat info;
    alloy_status status = check_regular(descriptor, path, &info);
    if (!status && (size_t)info.st_size > most)
        status = too_large(path, (size_t)info.st_size, most);
    if (!status)
        status = read_to_end(text, descriptor, path, (size_t)info.st_size, most);
    close(descriptor);
    if (status)
        alloy_text_clear(text);
    return status;
}

alloy_status alloy_file_read(alloy_text *text, const char *path, size_t most)
{
    alloy_text_clear(text);
    int descriptor = open_path(path);
    return descriptor < 0 ? ALLOY_IO : alloy_file_read_descriptor(text, descriptor, path, most);
}

alloy_status alloy_file_copy(alloy_file_writer *writer, int descriptor, const char *path)
{
    struct stat info;
    alloy_status status = check_regular(descriptor, path, &info);
    uint8_t *piece = alloy_memory_new(COPY_PIECE, 1);
    if (!status && !piece)
        status = ALLOY_NOMEM;
    size_t copied = 0, done = COPY_PIECE;
    while (!status && done == COPY_PIECE) {
        status = read_some(descriptor, piece, COPY_PIECE, path, &done);
        copied += done;
        if (!status)
            status = alloy_file_write(writer, piece, done);
    }
    if (!status && copied < (size_t)info.st_size)
        status = truncated(path, copied, (size_t)info.st_size);
    alloy_memory_free(piece);
    close(descriptor);
    return status;
}

alloy_status alloy_path_has(const char *path, bool *has)
{
    struct stat info;
    *has = lstat(path, &info) == 0;
    return *has || errno == ENOENT ? ALLOY_OK : fail_io(path, "cannot stat");
}

bool alloy_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool alloy_folder_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool alloy_file_same(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

alloy_status alloy_folder_create(const char *path)
{
    char *copy = alloy_memory_string(path);
    if (!copy)
        return ALLOY_NOMEM;
    alloy_status status = ALLOY_OK;
    for (char *p = copy + 1; !status; p++) {
        char c = *p;
        if (c != '/' && c != 0)
            continue;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && !(errno == EEXIST && alloy_folder_exists(copy)))
            status = fail_io(copy, "cannot create folder");
        *p = c;
        if (c == 0)
            break;
    }
    alloy_memory_free(copy);
    return status;
}

alloy_status alloy_folder_lock(const char *path, int *descriptor)
{
    *descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*descriptor < 0)
        return fail_io(path, "cannot open folder");
    if (flock(*descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return ALLOY_OK;
    close(*descriptor);
    *descriptor = -1;
    return alloy_fail(ALLOY_IO, "%s: another process is writing here; wait for it, or write elsewhere",
                      alloy_printable_path(path));
}

void alloy_folder_unlock(int descriptor)
{
    if (descriptor >= 0)
        close(descriptor);
}

alloy_status alloy_path_join(alloy_text *text, const char *folder, const char *name)
{
    alloy_text_clear(text);
    alloy_text_string(text, folder);
    if (text->size > 0 && text->bytes[text->size - 1] != '/')
        alloy_text_char(text, '/');
    alloy_text_string(text, name);
    return alloy_text_status(text);
}
