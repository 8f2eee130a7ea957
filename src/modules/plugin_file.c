/* The file of a plug-in (plugin_file.h). */
#include "modules/plugin_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#if defined(__x86_64__)
enum { THIS_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { THIS_MACHINE = EM_AARCH64 };
#else
enum { THIS_MACHINE = EM_NONE };
#endif

enum { MOST_LINKS = 40 }; /* as the system has it */

/* ---- The way to it ----------------------------------------------------------------------------------------------- */

/* Invariant: `reached` is the path of `folder`, which was judged, and "" for the root. */
struct walk {
    const char *path; /* as it was given */
    int folder;       /* descriptor */
    alloy_text reached, rest;
    int links; /* followed */
};

static alloy_status fail_missing(const char *path)
{
    return alloy_fail(ALLOY_FORMAT, "plug-in %s: %s", alloy_printable_path(path), strerror(errno));
}

/* May what stands at `path` be trusted? Of a link the owner alone counts. */
static alloy_status check_owner(const char *path, const struct stat *info)
{
    const char *shown = alloy_printable_path(*path ? path : "/");
    if (info->st_uid != 0 && info->st_uid != geteuid())
        return alloy_fail(ALLOY_TRUST,
                          "%s belongs to user %u; a plug-in and all folders and links on the way to it must belong to "
                          "you or to root",
                          shown, (unsigned)info->st_uid);
    bool sticky = S_ISDIR(info->st_mode) && (info->st_mode & S_ISVTX);
    if (!S_ISLNK(info->st_mode) && (info->st_mode & (S_IWGRP | S_IWOTH)) && !sticky)
        return alloy_fail(ALLOY_TRUST, "%s is writable by %s, who could put other code there; chmod go-w it", shown,
                          info->st_mode & S_IWOTH ? "everybody" : "its group");
    return ALLOY_OK;
}

/* Goes on from a folder's descriptor, which is the walk's from then on. */
static alloy_status enter(struct walk *w, int folder)
{
    struct stat info;
    if (w->folder >= 0)
        close(w->folder);
    w->folder = folder;
    if (folder < 0 || fstat(folder, &info) != 0)
        return fail_missing(w->path);
    return check_owner(alloy_text_get(&w->reached), &info);
}

static alloy_status enter_root(struct walk *w)
{
    alloy_text_clear(&w->reached);
    return enter(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static alloy_status enter_parent(struct walk *w)
{
    while (w->reached.size > 0 && w->reached.bytes[--w->reached.size] != '/')
        ;
    if (w->reached.bytes)
        w->reached.bytes[w->reached.size] = 0;
    return enter(w, openat(w->folder, "..", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/* What is left becomes the target of the link `name` and then what was left. */
static alloy_status follow(struct walk *w, int link)
{
    char target[PATH_MAX];
    ssize_t size = readlinkat(link, "", target, sizeof target);
    if (++w->links > MOST_LINKS) {
        errno = ELOOP;
        size = -1;
    }
    if (size <= 0 || size == sizeof target)
        return fail_missing(w->path);
    alloy_text rest = {0};
    alloy_text_append(&rest, target, (size_t)size);
    alloy_text_char(&rest, '/');
    alloy_text_append(&rest, alloy_text_get(&w->rest), w->rest.size);
    alloy_text_free(&w->rest);
    w->rest = rest;
    alloy_status status = alloy_text_status(&rest);
    return !status && target[0] == '/' ? enter_root(w) : status;
}

/* Opens the file that the walk leads to, whose name is the end of `reached`. */
static alloy_status open_last(struct walk *w, const char *name, alloy_plugin_file *file)
{
    struct stat info;
    const char *path = alloy_text_get(&w->reached);
    file->descriptor = alloy_file_open_at(w->folder, name, O_NOFOLLOW);
    if (file->descriptor < 0 || fstat(file->descriptor, &info) != 0)
        return fail_missing(w->path);
    if (!S_ISREG(info.st_mode))
        return alloy_fail(ALLOY_TRUST, "%s is not a regular file", alloy_printable_path(path));
    alloy_status status = check_owner(path, &info);
    if (!status && !(file->path = alloy_memory_string(path)))
        status = ALLOY_NOMEM;
    file->device = info.st_dev;
    file->inode = info.st_ino;
    return status;
}

/* One name further: into a folder, along a link, or to the file. */
static alloy_status step(struct walk *w, const char *name, alloy_plugin_file *file)
{
    struct stat info;
    int found = openat(w->folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (found < 0 || fstat(found, &info) != 0) {
        alloy_status status = fail_missing(w->path);
        if (found >= 0)
            close(found);
        return status;
    }
    size_t before = w->reached.size;
    bool last = strspn(alloy_text_get(&w->rest), "/") == w->rest.size;
    alloy_text_char(&w->reached, '/');
    alloy_text_string(&w->reached, name);
    alloy_status status = alloy_text_status(&w->reached);
    if (!status && S_ISDIR(info.st_mode) && !last)
        return enter(w, found); /* which judges it */
    if (!status)
        status = check_owner(alloy_text_get(&w->reached), &info);
    if (!status && S_ISLNK(info.st_mode)) {
        w->reached.bytes[w->reached.size = before] = 0;
        status = follow(w, found);
    } else if (!status && (!S_ISREG(info.st_mode) || !last)) {
        status = alloy_fail(ALLOY_TRUST, "%s is not a regular file", alloy_printable_path(w->reached.bytes));
    } else if (!status) {
        status = open_last(w, name, file);
    }
    close(found);
    return status;
}

/* Takes the next name off what is left; "" at its end. */
static alloy_status next_name(struct walk *w, char name[NAME_MAX + 1])
{
    const char *rest = alloy_text_get(&w->rest);
    size_t slashes = strspn(rest, "/"), size = strcspn(rest + slashes, "/");
    if (size > NAME_MAX) {
        errno = ENAMETOOLONG;
        return fail_missing(w->path);
    }
    memcpy(name, rest + slashes, size);
    name[size] = 0;
    if (w->rest.bytes) {
        w->rest.size -= slashes + size;
        memmove(w->rest.bytes, rest + slashes + size, w->rest.size + 1);
    }
    return ALLOY_OK;
}

static alloy_status walk_to_end(struct walk *w, alloy_plugin_file *file)
{
    char name[NAME_MAX + 1] = "";
    alloy_status status = enter_root(w);
    while (!status && file->descriptor < 0) {
        status = next_name(w, name);
        if (status)
            return status;
        if (!*name)
            return alloy_fail(ALLOY_TRUST, "%s is not a regular file", alloy_printable_path(w->path));
        if (strcmp(name, "..") == 0)
            status = enter_parent(w);
        else if (strcmp(name, ".") != 0)
            status = step(w, name, file);
    }
    return status;
}

static alloy_status find(alloy_plugin_file *file, const char *path)
{
    struct walk w = {.path = path, .folder = -1};
    alloy_status status = ALLOY_OK;
    if (path[0] != '/') { /* the folders above the current one count too */
        char *here = getcwd(NULL, 0);
        if (!here)
            return fail_missing(path);
        alloy_text_format(&w.rest, "%s/", here);
        free(here);
    }
    alloy_text_string(&w.rest, path);
    status = alloy_text_status(&w.rest);
    if (!status)
        status = walk_to_end(&w, file);
    if (w.folder >= 0)
        close(w.folder);
    alloy_text_free(&w.reached);
    alloy_text_free(&w.rest);
    return status;
}

/* ---- ELF --------------------------------------------------------------------------------------------------------- */

/* Reads `size` bytes at `offset`; FORMAT, with `what` they are, where the file has not as many. */
static alloy_status read_at(const alloy_plugin_file *file, void *to, size_t size, uint64_t offset, const char *what)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(file->descriptor, (char *)to + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alloy_fail(ALLOY_IO, "%s: %s", alloy_printable_path(file->path), strerror(errno));
        if (n == 0)
            return alloy_fail(ALLOY_FORMAT, "%s %s", alloy_printable_path(file->path), what);
        done += (size_t)n;
    }
    return ALLOY_OK;
}

static alloy_status check_header(const alloy_plugin_file *file, Elf64_Ehdr *header)
{
    static const char NOT_ELF[] = "is not an ELF file; a plug-in is a shared object (.so)";
    const char *path = alloy_printable_path(file->path);
    alloy_status status = read_at(file, header, sizeof *header, 0, NOT_ELF);
    if (status)
        return status;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return alloy_fail(ALLOY_FORMAT, "%s %s", path, NOT_ELF);
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != THIS_MACHINE)
        return alloy_fail(ALLOY_FORMAT, "%s is for another processor (ELF machine %d, this is %d); compile it here",
                          path, (int)header->e_machine, (int)THIS_MACHINE);
    if (header->e_type != ET_DYN)
        return alloy_fail(ALLOY_FORMAT, "%s is an ELF file of type %d, not a shared object", path, (int)header->e_type);
    if (header->e_phentsize != sizeof(Elf64_Phdr))
        return alloy_fail(ALLOY_FORMAT, "%s: its program headers have %d bytes each, expected %zu", path,
                          (int)header->e_phentsize, sizeof(Elf64_Phdr));
    return ALLOY_OK;
}

static bool lies_within(uint64_t offset, uint64_t bytes, uint64_t size)
{
    return offset <= size && bytes <= size - offset;
}

/* Adds a segment that will be mapped: all of its bytes are there, and its addresses come after those before it. */
static alloy_status add_segment(alloy_plugin_file *file, const Elf64_Phdr *segment, uint64_t size)
{
    const char *path = alloy_printable_path(file->path);
    if (file->segment_count == ALLOY_PLUGIN_SEGMENTS)
        return alloy_fail(ALLOY_FORMAT, "%s: more than %d segments", path, (int)ALLOY_PLUGIN_SEGMENTS);
    if (!lies_within(segment->p_offset, segment->p_filesz, size))
        return alloy_fail(ALLOY_FORMAT,
                          "%s is truncated: a segment of %llu bytes at byte %llu, the file has %llu bytes; build it "
                          "again",
                          path, (unsigned long long)segment->p_filesz, (unsigned long long)segment->p_offset,
                          (unsigned long long)size);
    const Elf64_Phdr *last = file->segment_count ? &file->segments[file->segment_count - 1] : NULL;
    if (segment->p_filesz > segment->p_memsz || segment->p_vaddr > UINT64_MAX - segment->p_memsz ||
        (last && segment->p_vaddr < last->p_vaddr + last->p_memsz))
        return alloy_fail(ALLOY_FORMAT, "%s: segment %d has impossible sizes or addresses", path, file->segment_count);
    file->segments[file->segment_count++] = *segment;
    return ALLOY_OK;
}

/* Does a part that the loader reads lie in what is mapped? */
static alloy_status check_mapped(const alloy_plugin_file *file, const Elf64_Phdr *part)
{
    for (int i = 0; i < file->segment_count; i++) {
        const Elf64_Phdr *s = &file->segments[i];
        if (part->p_vaddr >= s->p_vaddr && lies_within(part->p_vaddr - s->p_vaddr, part->p_filesz, s->p_filesz))
            return ALLOY_OK;
    }
    return alloy_fail(ALLOY_FORMAT, "%s: its dynamic section lies outside of its segments",
                      alloy_printable_path(file->path));
}

static alloy_status check_elf(alloy_plugin_file *file)
{
    static const char CUT[] = "is truncated: its program headers lie beyond its end";
    Elf64_Ehdr header;
    Elf64_Phdr part, dynamic = {0};
    struct stat info;
    alloy_status status = check_header(file, &header);
    if (!status && fstat(file->descriptor, &info) != 0)
        status = fail_missing(file->path);
    for (int i = 0; !status && i < header.e_phnum; i++) {
        uint64_t offset = (uint64_t)i * sizeof part, size = (uint64_t)info.st_size;
        if (header.e_phoff > size || offset > size - header.e_phoff)
            return alloy_fail(ALLOY_FORMAT, "%s %s", alloy_printable_path(file->path), CUT);
        status = read_at(file, &part, sizeof part, header.e_phoff + offset, CUT);
        if (!status && part.p_type == PT_LOAD)
            status = add_segment(file, &part, size);
        if (!status && part.p_type == PT_DYNAMIC)
            dynamic = part;
    }
    if (!status && (file->segment_count == 0 || dynamic.p_type != PT_DYNAMIC))
        return alloy_fail(ALLOY_FORMAT, "%s has no segments to load, or no dynamic section",
                          alloy_printable_path(file->path));
    return status ? status : check_mapped(file, &dynamic);
}

/* ---- The whole of it --------------------------------------------------------------------------------------------- */

alloy_status alloy_plugin_file_open(alloy_plugin_file *file, const char *path)
{
    *file = (alloy_plugin_file){.descriptor = -1};
    alloy_status status = find(file, path);
    if (!status)
        status = check_elf(file);
    if (status)
        alloy_plugin_file_close(file);
    return status;
}

void alloy_plugin_file_close(alloy_plugin_file *file)
{
    if (file->descriptor >= 0)
        close(file->descriptor);
    alloy_memory_free(file->path);
    *file = (alloy_plugin_file){.descriptor = -1};
}
