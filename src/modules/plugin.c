/* Plug-ins: modules that come in a shared object and register themselves (ALLOY_PLUGIN in extend.h).
 *
 * A plug-in is code: the moment it is opened, its constructors run with the rights of the process. What can be known
 * before that is therefore asked before that:
 *   1. The path was meant: it holds a '/', so that no folder is searched and no bare name can ever become one. (TRUST)
 *   2. Nobody else can have put it there, and it is a shared object for this kind of processor of which nothing is
 *      missing: plugin_file.h. (TRUST, FORMAT)
 * Then it is opened, by the descriptor that was judged, and before its alloy_plugin_init is called, its alloy_plugin
 * must give the ABI version and the struct sizes of this library. Every other fault is FORMAT, also that of a file that
 * is not there: that the path holds a plug-in is what the user said.
 *
 * An opened plug-in stays open for good: the registry points into it. Opening the same file again does nothing; what
 * the same file is, device and inode say.
 *
 * To the loader a plug-in's name is /proc/self/fd/N. It takes an object of the same name for the same object, so N must
 * not become another file's while the object is there: the descriptor stays open as long as it is. */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloy/extend.h"
#include "base/mapping.h"
#include "base/status.h"
#include "base/text.h"
#include "modules/plugin_file.h"

enum { MOST_PLUGINS = 64 };

struct plugin {
    alloy_plugin_file file;
    void *object;
    bool ready; /* its init was called and succeeded */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plugin loaded[MOST_PLUGINS]; /* guarded by `lock` */
static int loaded_count;

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
        status = check_size(path, "alloy_op", info->op_size, sizeof(alloy_op));
    if (!status)
        status = check_size(path, "alloy_residual", info->residual_size, sizeof(alloy_residual));
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

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

enum { NAME_SIZE = 40 };

/* What the loader opens: the descriptor's file, or the path where there is no /proc. */
static const char *loader_name(const alloy_plugin_file *file, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "/proc/self/fd/%d", file->descriptor);
    return access(name, F_OK) == 0 ? name : file->path;
}

/* The loader's reason, with the plug-in's path in place of the name that the loader knows. */
static alloy_status fail_loader(const char *path, const char *name)
{
    const char *reason = dlerror();
    alloy_text text = {0};
    reason = reason ? reason : "cannot be loaded";
    for (const char *at; (at = strstr(reason, name)); reason = at + strlen(name)) {
        alloy_text_append(&text, reason, (size_t)(at - reason));
        alloy_text_string(&text, path);
    }
    alloy_text_string(&text, reason);
    alloy_status status = alloy_text_status(&text);
    if (!status)
        status = alloy_fail(ALLOY_FORMAT, "plug-in %s", text.bytes);
    alloy_text_free(&text);
    return status;
}

static alloy_status open_object(struct plugin *plugin)
{
    char buffer[NAME_SIZE];
    const char *name = loader_name(&plugin->file, buffer);
    show_own_symbols();
    plugin->object = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    return plugin->object ? ALLOY_OK : fail_loader(plugin->file.path, name);
}

/* Closes what was refused. An object may stay all the same (some are marked so), and its descriptor with it. */
static void close_plugin(struct plugin *plugin)
{
    char buffer[NAME_SIZE];
    const char *name = loader_name(&plugin->file, buffer);
    if (plugin->object)
        dlclose(plugin->object);
    void *stays = plugin->object ? dlopen(name, RTLD_NOW | RTLD_NOLOAD) : NULL;
    if (stays) {
        dlclose(stays);
        plugin->file.descriptor = -1;
    }
    alloy_plugin_file_close(&plugin->file);
}

/* Its pages can be lost as those of any mapped file. They stay mapped for good. */
static alloy_status tell_mappings(const struct plugin *plugin)
{
    struct link_map *map;
    alloy_status status = ALLOY_OK;
    if (dlinfo(plugin->object, RTLD_DI_LINKMAP, &map) != 0)
        return ALLOY_OK;
    for (int i = 0; i < plugin->file.segment_count && !status; i++) {
        const Elf64_Phdr *s = &plugin->file.segments[i];
        alloy_mapping *mapping;
        status = alloy_mapping_add(&mapping, map->l_addr + s->p_vaddr, s->p_filesz, s->p_offset, plugin->file.path);
        if (!status)
            alloy_mapping_identify(mapping, plugin->file.device, plugin->file.inode);
    }
    return status;
}

/* What can be known of an opened object without calling it. */
static alloy_status check_object(const struct plugin *plugin)
{
    const char *path = plugin->file.path;
    const alloy_plugin_info *info = symbol(path, plugin->object, "alloy_plugin");
    return info && symbol(path, plugin->object, "alloy_plugin_init") ? check_info(path, info) : ALLOY_FORMAT;
}

/* The place of a plug-in that was opened before, by whatever path. */
static struct plugin *find_loaded(const alloy_plugin_file *file)
{
    for (int i = 0; i < loaded_count; i++)
        if (loaded[i].file.device == file->device && loaded[i].file.inode == file->inode)
            return &loaded[i];
    return NULL;
}

/* Adds a file, which it takes, to the plug-ins. */
static alloy_status add(const alloy_plugin_file *file)
{
    struct plugin plugin = {.file = *file};
    alloy_status status = ALLOY_OK;
    if (loaded_count == MOST_PLUGINS)
        status =
            alloy_fail(ALLOY_LIMIT, "%s: %d plug-ins are loaded, the most there may be", file->path, (int)MOST_PLUGINS);
    if (!status)
        status = open_object(&plugin);
    if (!status)
        status = check_object(&plugin);
    if (status) {
        close_plugin(&plugin);
        return status;
    }
    loaded[loaded_count++] = plugin;
    return tell_mappings(&plugin);
}

static alloy_status load(const char *path)
{
    alloy_plugin_file file;
    alloy_status status = alloy_plugin_file_open(&file, path);
    if (status)
        return status;
    struct plugin *plugin = find_loaded(&file);
    if (plugin)
        alloy_plugin_file_close(&file);
    else if ((status = add(&file)))
        return status;
    else
        plugin = &loaded[loaded_count - 1];
    if (plugin->ready)
        return ALLOY_OK;
    /* It stays also when its init fails: what that registered before points into it. */
    status = call_init(plugin->file.path, plugin->object);
    plugin->ready = !status;
    return status;
}

alloy_status alloy_plugin_load(const char *path)
{
    if (!path || !*path)
        return alloy_fail(ALLOY_ARG, "a plug-in without a path");
    if (!strchr(path, '/'))
        return alloy_fail(ALLOY_TRUST, "plug-in '%s': a path with a '/' is needed (./%s): no folder is searched",
                          alloy_printable(path, strlen(path)), alloy_printable(path, strlen(path)));
    pthread_mutex_lock(&lock);
    alloy_status status = load(path);
    pthread_mutex_unlock(&lock);
    return status;
}
