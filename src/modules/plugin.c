/* Plug-ins: modules that come in a shared object and register themselves (ALLOY_PLUGIN in extend.h).
 *
 * A plug-in is code: the moment it is opened, its constructors run with the rights of the process. What can be known
 * before that is therefore asked before that:
 *   1. The path was meant: it holds a '/', so that no folder is searched and no bare name can ever become one. (TRUST)
 *   2. Nobody else can have put it there: the file, its folder and the folder of a link to it belong to the user or to
 *      root, and neither their group nor others may write to them. (TRUST)
 *   3. It is a shared object for this kind of processor, by its ELF header. (FORMAT)
 * Then it is opened, and before its alloy_plugin_init is called, its alloy_plugin must tell the ABI and the struct
 * sizes of this library. Every other fault is FORMAT, that of a file which is not there too: that the path holds a
 * plug-in is what the user said.
 *
 * An opened plug-in stays open for good: the registry points into it. Opening the same file again does nothing. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloy/extend.h"
#include "base/memory.h"
#include "base/status.h"

#if defined(__x86_64__)
enum { THIS_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { THIS_MACHINE = EM_AARCH64 };
#else
enum { THIS_MACHINE = EM_NONE };
#endif

enum { MOST_PLUGINS = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const alloy_plugin_info *loaded[MOST_PLUGINS]; /* guarded by `lock` */
static int loaded_count;

static alloy_status check_owner(const char *path, const struct stat *stat)
{
    if (stat->st_uid != 0 && stat->st_uid != geteuid())
        return alloy_fail(ALLOY_TRUST, "%s belongs to user %u; a plug-in and its folder must belong to you or to root",
                          path, (unsigned)stat->st_uid);
    if (stat->st_mode & (S_IWGRP | S_IWOTH))
        return alloy_fail(ALLOY_TRUST, "%s is writable by %s, who could put other code there; chmod go-w it", path,
                          stat->st_mode & S_IWOTH ? "everybody" : "its group");
    return ALLOY_OK;
}

/* The folder that a path with a '/' in it lies in. */
static alloy_status check_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == path ? alloy_memory_string("/") : alloy_memory_copy(path, (size_t)(slash - path));
    if (!folder)
        return ALLOY_NOMEM;
    struct stat stat_;
    alloy_status status = stat(folder, &stat_) ? alloy_fail(ALLOY_FORMAT, "plug-in %s: %s", path, strerror(errno))
                                               : check_owner(folder, &stat_);
    alloy_memory_free(folder);
    return status;
}

static alloy_status check_elf(const char *path, int descriptor)
{
    Elf64_Ehdr header;
    ssize_t size;
    do
        size = read(descriptor, &header, sizeof header);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return alloy_fail(ALLOY_IO, "%s: %s", path, strerror(errno));
    if (size < (ssize_t)sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return alloy_fail(ALLOY_FORMAT, "%s is not an ELF file; a plug-in is a shared object (.so)", path);
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != THIS_MACHINE)
        return alloy_fail(ALLOY_FORMAT, "%s is for another processor (ELF machine %d, this is %d); compile it here",
                          path, (int)header.e_machine, (int)THIS_MACHINE);
    if (header.e_type != ET_DYN)
        return alloy_fail(ALLOY_FORMAT, "%s is an ELF file of type %d, not a shared object", path, (int)header.e_type);
    return ALLOY_OK;
}

/* Everything that can be known without running any of its code. */
static alloy_status check_file(const char *path)
{
    alloy_status status = check_folder(path);
    if (status)
        return status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (descriptor < 0)
        return alloy_fail(ALLOY_FORMAT, "plug-in %s: %s", path, strerror(errno));
    struct stat stat_;
    if (fstat(descriptor, &stat_))
        status = alloy_fail(ALLOY_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(stat_.st_mode))
        status = alloy_fail(ALLOY_TRUST, "%s is not a regular file", path);
    else
        status = check_owner(path, &stat_);
    if (!status)
        status = check_elf(path, descriptor);
    close(descriptor);
    return status;
}

static alloy_status check_size(const char *path, const char *what, uint32_t found, size_t expected)
{
    if (found == expected)
        return ALLOY_OK;
    return alloy_fail(ALLOY_FORMAT,
                      "%s: its struct %s has %u bytes, this library's %zu; recompile it with this library's headers",
                      path, what, (unsigned)found, expected);
}

static alloy_status check_info(const char *path, const alloy_plugin_info *info)
{
    if (info->abi_version != ALLOY_ABI_VERSION)
        return alloy_fail(ALLOY_FORMAT,
                          "%s: ABI version %u, this library has %d; recompile it with this library's headers", path,
                          (unsigned)info->abi_version, (int)ALLOY_ABI_VERSION);
    alloy_status status = check_size(path, "alloy_mixer", info->mixer_size, sizeof(alloy_mixer));
    if (!status)
        status = check_size(path, "alloy_ffn", info->ffn_size, sizeof(alloy_ffn));
    if (!status)
        status = check_size(path, "alloy_config", info->config_size, sizeof(struct alloy_config));
    if (!status)
        status = check_size(path, "alloy_op", info->op_size, sizeof(alloy_op));
    return status;
}

/* A plug-in does not link the library: the process has it, once, and the registry with it. Where this library was
 * itself opened with RTLD_LOCAL (as Python does), its symbols are made visible to what is opened next. */
static void show_own_symbols(void)
{
    Dl_info self;
    if (dladdr((const void *)&loaded_count, &self) && self.dli_fname)
        dlopen(self.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

static bool is_loaded(const alloy_plugin_info *info)
{
    for (int i = 0; i < loaded_count; i++)
        if (loaded[i] == info)
            return true;
    return false;
}

static void *symbol(const char *path, void *object, const char *name)
{
    void *found = dlsym(object, name);
    if (!found)
        alloy_fail(ALLOY_FORMAT, "%s: no symbol %s; a plug-in is written with ALLOY_PLUGIN (alloy/extend.h)", path,
                   name);
    return found;
}

static alloy_status call_init(const char *path, void *object)
{
    void *address = dlsym(object, "alloy_plugin_init");
    alloy_status (*init)(void);
    memcpy(&init, &address, sizeof init); /* ISO C has no conversion between pointers to data and to code */
    alloy_fail(ALLOY_FORMAT, "its alloy_plugin_init failed and did not say why"); /* unless a call in it says why */
    alloy_status status = init();
    return status ? alloy_fail_in(status == ALLOY_NOMEM ? ALLOY_NOMEM : ALLOY_FORMAT, path) : ALLOY_OK;
}

/* Closes the object where it is refused before its init was called. After that it stays, even when init failed: what
 * init registered before it failed points into it. */
static alloy_status register_modules(const char *path, void *object)
{
    const alloy_plugin_info *info = symbol(path, object, "alloy_plugin");
    if (info && is_loaded(info))
        return ALLOY_OK;
    alloy_status status = info && symbol(path, object, "alloy_plugin_init") ? check_info(path, info) : ALLOY_FORMAT;
    if (status) {
        dlclose(object);
        return status;
    }
    status = call_init(path, object);
    if (!status)
        loaded[loaded_count++] = info;
    return status;
}

/* `path` is absolute and without links. */
static alloy_status load(const char *path)
{
    alloy_status status = check_file(path);
    if (status)
        return status;
    if (loaded_count == MOST_PLUGINS)
        return alloy_fail(ALLOY_LIMIT, "%s: %d plug-ins are loaded, the most there may be", path, (int)MOST_PLUGINS);
    show_own_symbols();
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        return alloy_fail(ALLOY_FORMAT, "plug-in %s", dlerror());
    return register_modules(path, object);
}

alloy_status alloy_plugin_load(const char *path)
{
    if (!path || !*path)
        return alloy_fail(ALLOY_ARG, "a plug-in without a path");
    if (!strchr(path, '/'))
        return alloy_fail(ALLOY_TRUST, "plug-in '%s': a path with a '/' is needed (./%s): no folder is searched",
                          alloy_printable(path, strlen(path)), alloy_printable(path, strlen(path)));
    alloy_status status = check_folder(path);
    if (status)
        return status;
    char *resolved = realpath(path, NULL);
    if (!resolved)
        return alloy_fail(ALLOY_FORMAT, "plug-in %s: %s", alloy_printable(path, strlen(path)), strerror(errno));
    pthread_mutex_lock(&lock);
    status = load(resolved);
    pthread_mutex_unlock(&lock);
    free(resolved);
    return status;
}
