/* Which parts of mapped files stay in memory (residency.h).
 *
 * Invariants, under the lock: a block is absent, held (pins > 0, in no list) or in exactly one list; `resident` is the
 * bytes of the blocks that are not absent, `announced` of those in that list. */
#include "files/residency.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"

enum {
    BLOCK = 64 * 1024,    /* bytes */
    PARTS = 4,            /* of the limit: one may be held by a reader, one announced */
    LEAST_BLOCKS = 32,    /* of a limit */
    MOST_TURNS = 1 << 15, /* ranges whose order is learned */
    AHEAD = 8,            /* the part of the limit that the ranges in turn may be read ahead */
};

static const uint32_t NONE = UINT32_MAX;

enum list_name { IN_TURN, BY_CHOICE, ANNOUNCED, LISTS, ABSENT, HELD };

struct block {
    uint32_t older, newer; /* in its list; NONE at the ends */
    uint32_t pins;
    uint8_t place; /* enum list_name */
};

struct list {
    uint32_t oldest, newest;
};

struct mapped {
    const alloy_file *file;
    uintptr_t from; /* address of its first block */
    uint32_t first; /* number of its first block */
    uint32_t count; /* blocks */
    int descriptor; /* -1: the path leads elsewhere */
};

/* A range that is read in turn, as blocks. */
struct turn {
    uint32_t first, last;
};

struct alloy_residency {
    pthread_mutex_t lock;
    uint64_t limit, announced;
    struct mapped *files; /* [file_count] in the order of addresses */
    int64_t file_count;
    struct block *blocks; /* [block_count] */
    uint32_t block_count;
    struct list lists[LISTS];

    struct turn *turns; /* [MOST_TURNS] the order learned; turn_count are known */
    uint32_t turn_count;
    uint32_t turn_next; /* the one expected next */
    uint32_t ahead;     /* of those from turn_next on, so many are announced */
    uint64_t ahead_bytes;

    alloy_weight_memory report;
    uint64_t disk_before; /* bytes that this process had read from disks; UINT64_MAX: not told */
};

/* ---- Lists ------------------------------------------------------------------------------------------------------- */

static void add_newest(alloy_residency *r, enum list_name name, uint32_t b)
{
    struct list *list = &r->lists[name];
    struct block *block = &r->blocks[b];
    block->place = (uint8_t)name;
    block->newer = NONE;
    block->older = list->newest;
    if (list->newest != NONE)
        r->blocks[list->newest].newer = b;
    else
        list->oldest = b;
    list->newest = b;
}

static void take_out(alloy_residency *r, uint32_t b)
{
    struct block *block = &r->blocks[b];
    struct list *list = &r->lists[block->place];
    if (block->newer != NONE)
        r->blocks[block->newer].older = block->older;
    else
        list->newest = block->older;
    if (block->older != NONE)
        r->blocks[block->older].newer = block->newer;
    else
        list->oldest = block->newer;
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

static struct mapped *file_at(const alloy_residency *r, uintptr_t address)
{
    int64_t low = 0, high = r->file_count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if ((uintptr_t)r->files[middle].file->data <= address)
            low = middle + 1;
        else
            high = middle;
    }
    struct mapped *file = low > 0 ? &r->files[low - 1] : NULL;
    return file && address - (uintptr_t)file->file->data < file->file->size ? file : NULL;
}

static const struct mapped *file_of(const alloy_residency *r, uint32_t block)
{
    int64_t low = 0, high = r->file_count;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (r->files[middle].first <= block)
            low = middle;
        else
            high = middle;
    }
    return &r->files[low];
}

/* Where blocks first..last lie in their file: the offset, and the bytes, whole pages but for the file's end. */
static size_t span_of(const struct mapped *m, uint32_t first, uint32_t last, size_t *offset)
{
    uintptr_t begin = (uintptr_t)m->file->data, end = begin + m->file->size;
    uintptr_t from = m->from + (uintptr_t)(first - m->first) * BLOCK,
              to = m->from + (uintptr_t)(last + 1 - m->first) * BLOCK;
    from = from < begin ? begin : from;
    to = to > end ? end : to;
    *offset = from - begin;
    return to - from;
}

static uint64_t bytes_of(const alloy_residency *r, uint32_t first, uint32_t last)
{
    size_t offset;
    return span_of(file_of(r, first), first, last, &offset);
}

static bool blocks_of(const alloy_residency *r, const void *data, size_t bytes, uint32_t *first, uint32_t *last)
{
    const struct mapped *m = bytes > 0 ? file_at(r, (uintptr_t)data) : NULL;
    if (!m)
        return false;
    uintptr_t at = (uintptr_t)data, end = (uintptr_t)m->file->data + m->file->size;
    uintptr_t to = end - at < bytes ? end : at + bytes;
    *first = m->first + (uint32_t)((at - m->from) / BLOCK);
    *last = m->first + (uint32_t)((to - 1 - m->from) / BLOCK);
    return true;
}

/* Out of the process and the page cache. */
static void drop(const struct mapped *m, uint32_t first, uint32_t last)
{
    size_t offset, bytes = span_of(m, first, last, &offset);
    madvise((void *)(m->file->data + offset), bytes, MADV_DONTNEED);
    if (m->descriptor >= 0)
        posix_fadvise(m->descriptor, (off_t)offset, (off_t)bytes, POSIX_FADV_DONTNEED);
}

/* The block that is needed last; NONE where all are held or announced. */
static uint32_t needed_last(const alloy_residency *r)
{
    return r->lists[BY_CHOICE].oldest != NONE ? r->lists[BY_CHOICE].oldest : r->lists[IN_TURN].newest;
}

/* Drops blocks until `bytes` more fit, neighbours at once. False where too much is held or announced. */
static bool make_room(alloy_residency *r, uint64_t bytes)
{
    while (r->report.resident + bytes > r->limit) {
        uint32_t first = needed_last(r), last = first;
        if (first == NONE)
            return false;
        const struct mapped *m = file_of(r, first);
        for (uint32_t b = first; b != NONE;) {
            take_out(r, b);
            r->blocks[b].place = ABSENT;
            r->report.resident -= bytes_of(r, b, b);
            first = b < first ? b : first;
            last = b > last ? b : last;
            uint32_t next = r->report.resident + bytes > r->limit ? needed_last(r) : NONE;
            b = next != NONE && (next == last + 1 || next + 1 == first) && file_of(r, next) == m ? next : NONE;
        }
        r->report.released += bytes_of(r, first, last);
        drop(m, first, last);
    }
    return true;
}

/* Asks the system for the absent blocks first..last of one file. */
static void bring(alloy_residency *r, uint32_t first, uint32_t last)
{
    size_t offset;
    const struct mapped *m = file_of(r, first);
    size_t bytes = span_of(m, first, last, &offset);
    r->report.resident += bytes;
    r->report.read += bytes;
    if (r->report.resident > r->report.peak)
        r->report.peak = r->report.resident;
    madvise((void *)(m->file->data + offset), bytes, MADV_WILLNEED);
}

/* The last of the absent blocks that begin with `first`. */
static uint32_t absent_until(const alloy_residency *r, uint32_t first, uint32_t last)
{
    while (first < last && r->blocks[first + 1].place == ABSENT)
        first++;
    return first;
}

/* ---- Announcing -------------------------------------------------------------------------------------------------- */

static bool announce(alloy_residency *r, uint32_t first, uint32_t last)
{
    for (uint32_t b = first; b <= last; b++) {
        struct block *block = &r->blocks[b];
        if (block->place == BY_CHOICE) { /* needed soon: not the next to leave */
            take_out(r, b);
            add_newest(r, BY_CHOICE, b);
        }
        if (block->place != ABSENT)
            continue;
        uint32_t end = absent_until(r, b, last);
        uint64_t bytes = bytes_of(r, b, end);
        if (r->announced + bytes > r->limit / PARTS || !make_room(r, bytes))
            return false;
        bring(r, b, end);
        r->announced += bytes;
        r->report.ahead += bytes;
        for (; b <= end; b++)
            add_newest(r, ANNOUNCED, b);
        b = end;
    }
    return true;
}

/* ---- The order of what is read in turn --------------------------------------------------------------------------- */

static bool is_turn(const alloy_residency *r, uint32_t i, uint32_t first, uint32_t last)
{
    return r->turns[i].first == first && r->turns[i].last == last;
}

/* Notes that a range is read, and finds what follows. */
static void learn(alloy_residency *r, uint32_t first, uint32_t last)
{
    uint32_t i = r->turn_next, searched = 0;
    while (searched < r->turn_count && !is_turn(r, i, first, last)) {
        i = i + 1 < r->turn_count ? i + 1 : 0;
        searched++;
    }
    if (searched == r->turn_count) {
        if (r->turn_count == MOST_TURNS)
            return;
        i = r->turn_count++;
        r->turns[i] = (struct turn){first, last};
    }
    if (i == r->turn_next && r->ahead > 0) {
        r->ahead--;
        r->ahead_bytes -= bytes_of(r, first, last);
    } else {
        r->ahead = 0;
        r->ahead_bytes = 0;
    }
    r->turn_next = i + 1 < r->turn_count ? i + 1 : 0;
}

static void look_ahead(alloy_residency *r)
{
    while (r->ahead + 1 < r->turn_count && r->ahead_bytes < r->limit / AHEAD) {
        const struct turn *turn = &r->turns[(r->turn_next + r->ahead) % r->turn_count];
        if (!announce(r, turn->first, turn->last))
            return;
        r->ahead++;
        r->ahead_bytes += bytes_of(r, turn->first, turn->last);
    }
}

/* ---- Holding ----------------------------------------------------------------------------------------------------- */

/* Blocks that are there are held first, so that making room for the others does not drop them. */
static void hold_present(alloy_residency *r, uint32_t first, uint32_t last)
{
    for (uint32_t b = first; b <= last; b++) {
        struct block *block = &r->blocks[b];
        if (block->place == ABSENT)
            continue;
        if (block->place != HELD)
            take_out(r, b);
        if (block->place == ANNOUNCED)
            r->announced -= bytes_of(r, b, b);
        block->place = HELD;
        block->pins++;
        r->report.hits += bytes_of(r, b, b);
    }
}

static void hold_absent(alloy_residency *r, uint32_t first, uint32_t last)
{
    for (uint32_t b = first; b <= last; b++) {
        if (r->blocks[b].place != ABSENT)
            continue;
        uint32_t end = absent_until(r, b, last);
        make_room(r, bytes_of(r, b, end));
        bring(r, b, end);
        for (; b <= end; b++) {
            r->blocks[b].place = HELD;
            r->blocks[b].pins = 1;
        }
        b = end;
    }
}

void alloy_residency_hold(alloy_residency *r, const void *data, size_t bytes, alloy_read_kind kind)
{
    uint32_t first, last;
    pthread_mutex_lock(&r->lock);
    if (blocks_of(r, data, bytes, &first, &last)) {
        hold_present(r, first, last);
        hold_absent(r, first, last);
        if (kind == ALLOY_READ_IN_TURN) {
            learn(r, first, last);
            look_ahead(r);
        }
    }
    pthread_mutex_unlock(&r->lock);
}

void alloy_residency_let_go(alloy_residency *r, const void *data, size_t bytes, alloy_read_kind kind)
{
    uint32_t first, last;
    pthread_mutex_lock(&r->lock);
    if (blocks_of(r, data, bytes, &first, &last))
        for (uint32_t b = first; b <= last; b++)
            if (--r->blocks[b].pins == 0)
                add_newest(r, kind == ALLOY_READ_IN_TURN ? IN_TURN : BY_CHOICE, b);
    make_room(r, 0); /* where two readers held too much */
    pthread_mutex_unlock(&r->lock);
}

bool alloy_residency_announce(alloy_residency *r, const void *data, size_t bytes)
{
    uint32_t first, last;
    pthread_mutex_lock(&r->lock);
    bool done = !blocks_of(r, data, bytes, &first, &last) || announce(r, first, last);
    pthread_mutex_unlock(&r->lock);
    return done;
}

void alloy_residency_begin(alloy_residency *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->lists[ANNOUNCED].oldest != NONE) {
        uint32_t b = r->lists[ANNOUNCED].oldest;
        take_out(r, b);
        add_newest(r, BY_CHOICE, b);
    }
    r->announced = 0;
    pthread_mutex_unlock(&r->lock);
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

uint64_t alloy_residency_least(uint64_t row)
{
    uint64_t least = PARTS * alloy_residency_cover((size_t)row);
    return least > (uint64_t)LEAST_BLOCKS * BLOCK ? least : (uint64_t)LEAST_BLOCKS * BLOCK;
}

size_t alloy_residency_cover(size_t bytes)
{
    return (bytes + BLOCK - 1) / BLOCK * BLOCK + BLOCK;
}

size_t alloy_residency_piece(const alloy_residency *r)
{
    return (size_t)(r->limit / PARTS);
}

/* read_bytes of /proc/self/io: what this process made the disks read; UINT64_MAX where the system does not tell. */
static uint64_t disk_bytes(void)
{
    uint64_t bytes = UINT64_MAX;
    char line[128];
    FILE *file = fopen("/proc/self/io", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "read_bytes: ", 12) == 0)
            bytes = strtoull(line + 12, NULL, 10);
    if (file)
        fclose(file);
    return bytes;
}

void alloy_residency_report(alloy_residency *r, alloy_weight_memory *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->report;
    uint64_t now = disk_bytes();
    out->disk = now == UINT64_MAX || r->disk_before == UINT64_MAX ? -1 : (int64_t)(now - r->disk_before);
    pthread_mutex_unlock(&r->lock);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct mapped *)a)->file->data,
              y = (uintptr_t)((const struct mapped *)b)->file->data;
    return (x > y) - (x < y);
}

/* A descriptor of the file that is mapped; -1 where its path leads to another one or cannot be opened. */
static int descriptor_of(const alloy_file *file)
{
    struct stat info;
    int descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0 || (fstat(descriptor, &info) == 0 && info.st_dev == file->device && info.st_ino == file->inode))
        return descriptor;
    close(descriptor);
    return -1;
}

static alloy_status add_files(alloy_residency *r, const alloy_file *const *files, int64_t count)
{
    r->files = alloy_memory_zeroed((size_t)count, sizeof *r->files);
    if (!r->files)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < count; i++)
        if (files[i]->mapped)
            r->files[r->file_count++] = (struct mapped){.file = files[i], .descriptor = -1};
    qsort(r->files, (size_t)r->file_count, sizeof *r->files, by_address);
    uint64_t blocks = 0;
    for (int64_t i = 0; i < r->file_count; i++) {
        struct mapped *m = &r->files[i];
        uintptr_t begin = (uintptr_t)m->file->data;
        m->from = begin / BLOCK * BLOCK;
        m->first = (uint32_t)blocks;
        m->count = (uint32_t)((begin + m->file->size - m->from + BLOCK - 1) / BLOCK);
        blocks += m->count;
        if (blocks >= NONE)
            return alloy_fail(ALLOY_LIMIT, "weight_memory: files of more than %u blocks of 64 KiB", NONE - 1);
    }
    r->block_count = (uint32_t)blocks;
    r->blocks = alloy_memory_zeroed(r->block_count, sizeof *r->blocks);
    r->turns = alloy_memory_new(MOST_TURNS, sizeof *r->turns);
    return r->blocks && r->turns ? ALLOY_OK : ALLOY_NOMEM;
}

/* Nothing of the files is in memory, and pages come only when they are asked for. */
static void begin_absent(alloy_residency *r)
{
    for (uint32_t b = 0; b < r->block_count; b++)
        r->blocks[b].place = ABSENT;
    for (int i = 0; i < LISTS; i++)
        r->lists[i] = (struct list){NONE, NONE};
    for (int64_t i = 0; i < r->file_count; i++) {
        struct mapped *m = &r->files[i];
        m->descriptor = descriptor_of(m->file);
        madvise((void *)m->file->data, m->file->size, MADV_RANDOM);
        if (m->count > 0)
            drop(m, m->first, m->first + m->count - 1);
    }
}

alloy_status alloy_residency_open(alloy_residency **out, uint64_t limit, const alloy_file *const *files, int64_t count)
{
    *out = NULL;
    alloy_residency *r = alloy_memory_zeroed(1, sizeof *r);
    if (!r)
        return ALLOY_NOMEM;
    pthread_mutex_init(&r->lock, NULL);
    r->limit = r->report.limit = limit;
    alloy_status status = add_files(r, files, count);
    if (status) {
        alloy_residency_close(r);
        return status;
    }
    begin_absent(r);
    r->disk_before = disk_bytes();
    *out = r;
    return ALLOY_OK;
}

void alloy_residency_close(alloy_residency *r)
{
    if (!r)
        return;
    for (int64_t i = 0; i < r->file_count; i++)
        if (r->files[i].descriptor >= 0)
            close(r->files[i].descriptor);
    pthread_mutex_destroy(&r->lock);
    alloy_memory_free(r->files);
    alloy_memory_free(r->blocks);
    alloy_memory_free(r->turns);
    alloy_memory_free(r);
}
