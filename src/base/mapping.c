/* The list of mappings (mapping.h). Reader and remover meet as in Dekker's algorithm: a reader announces itself before
 * it loads the list, a remover changes the list before it looks for readers, all of it sequentially consistent. */
#include "base/mapping.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

struct alloy_mapping {
    _Atomic(alloy_mapping *) next;
    uintptr_t begin;
    size_t size;     /* bytes */
    uint64_t offset; /* of the first byte in the file */
    bool identified;
    uint64_t device, inode; /* under `lock` */
    char path[];            /* printable */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(alloy_mapping *) first; /* changed under `lock` */
static atomic_int readers;

alloy_status alloy_mapping_add(alloy_mapping **out, uintptr_t begin, size_t size, uint64_t offset, const char *path)
{
    const char *printable = alloy_printable_path(path);
    size_t length = strlen(printable);
    alloy_mapping *mapping = *out = alloy_memory_new(1, sizeof *mapping + length + 1);
    if (!mapping)
        return ALLOY_NOMEM;
    mapping->begin = begin;
    mapping->size = size;
    mapping->offset = offset;
    mapping->identified = false;
    memcpy(mapping->path, printable, length + 1);
    pthread_mutex_lock(&lock);
    atomic_init(&mapping->next, atomic_load(&first));
    atomic_store(&first, mapping);
    pthread_mutex_unlock(&lock);
    return ALLOY_OK;
}

void alloy_mapping_identify(alloy_mapping *mapping, uint64_t device, uint64_t inode)
{
    pthread_mutex_lock(&lock);
    mapping->device = device;
    mapping->inode = inode;
    mapping->identified = true;
    pthread_mutex_unlock(&lock);
}

bool alloy_mapping_holds(uint64_t device, uint64_t inode)
{
    bool holds = false;
    pthread_mutex_lock(&lock);
    for (const alloy_mapping *m = atomic_load(&first); m && !holds; m = atomic_load(&m->next))
        holds = m->identified && m->device == device && m->inode == inode;
    pthread_mutex_unlock(&lock);
    return holds;
}

void alloy_mapping_remove(alloy_mapping *mapping)
{
    if (!mapping)
        return;
    pthread_mutex_lock(&lock);
    _Atomic(alloy_mapping *) *link = &first;
    while (atomic_load(link) != mapping)
        link = &atomic_load(link)->next;
    atomic_store(link, atomic_load(&mapping->next));
    while (atomic_load(&readers) > 0) /* in the handler of another thread, which is short */
        sched_yield();
    pthread_mutex_unlock(&lock);
    alloy_memory_free(mapping);
}

static void copy_path(char *out, size_t size, const char *path)
{
    size_t i = 0;
    for (; path[i] && i + 1 < size; i++)
        out[i] = path[i];
    out[i] = 0;
}

bool alloy_mapping_find(const void *address, char *path, size_t size, uint64_t *offset)
{
    uintptr_t at = (uintptr_t)address;
    bool found = false;
    atomic_fetch_add(&readers, 1);
    for (const alloy_mapping *m = atomic_load(&first); m && !found; m = atomic_load(&m->next)) {
        if (at < m->begin || at - m->begin >= m->size)
            continue;
        copy_path(path, size, m->path);
        *offset = m->offset + (at - m->begin);
        found = true;
    }
    atomic_fetch_sub(&readers, 1);
    return found;
}
