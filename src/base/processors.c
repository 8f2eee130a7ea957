/* What of the machine this process may use (processors.h).
 *
 * Control groups form trees, and a quota of any group between the process's and the root of its tree holds. Version 2:
 * one tree, cpu.max with "QUOTA PERIOD" or "max PERIOD". Version 1: a tree of the controller `cpu`, with a file each
 * for quota (-1: none) and period. /proc/self/cgroup has a line for each tree, ID:CONTROLLERS:GROUP (version 2: ID 0,
 * no controllers), and /proc/self/mountinfo where the tree, or a part of it, is mounted:
 *
 *     number parent device ROOT POINT options [tags ...] - TYPE source SUPER_OPTIONS
 *
 * POINT shows the group ROOT. A group that is not below ROOT (it lies outside of this container) is taken for it. */
#include "base/processors.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/threads.h"

enum { MOST_LINE = 4096, MOST_LINES = 65536, MOST_PROCESSORS = 1 << 20 };

/* ---- Affinity ---------------------------------------------------------------------------------------------------- */

/* The system refuses a set that is smaller than its own. */
static int processors_in_mask(void)
{
    for (int most = CPU_SETSIZE; most <= MOST_PROCESSORS; most *= 2) {
        size_t bytes = CPU_ALLOC_SIZE((size_t)most);
        cpu_set_t *set = alloy_memory_new(bytes, 1);
        if (!set)
            break;
        bool known = sched_getaffinity(0, bytes, set) == 0, larger = !known && errno == EINVAL;
        int count = known ? CPU_COUNT_S(bytes, set) : 0;
        alloy_memory_free(set);
        if (known)
            return count;
        if (!larger)
            break;
    }
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* ---- Control groups ---------------------------------------------------------------------------------------------- */

/* A regular file, or NULL: a FIFO or a device in its place does not hang. */
static FILE *open_regular(const char *path)
{
    struct stat info;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0)
        return NULL;
    FILE *file = fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode) ? fdopen(descriptor, "r") : NULL;
    if (!file)
        close(descriptor);
    return file;
}

/* The next line without its newline, "" for one that does not fit; false at the end. */
static bool next_line(FILE *file, char line[MOST_LINE])
{
    if (!fgets(line, MOST_LINE, file))
        return false;
    char *end = strchr(line, '\n');
    if (end) {
        *end = 0;
        return true;
    }
    int c;
    do
        c = getc(file);
    while (c != '\n' && c != EOF);
    line[0] = 0;
    return true;
}

/* Up to `most` numbers of the first line of folder/name, -1 for one that is the word "max"; how many there are. */
static int read_numbers(const char *folder, const char *name, double *numbers, int most)
{
    char path[2 * MOST_LINE], line[MOST_LINE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = open_regular(path);
    if (!file)
        return 0;
    bool found = next_line(file, line);
    fclose(file);
    int count = 0;
    char *rest = NULL;
    for (char *word = found ? strtok_r(line, " ", &rest) : NULL; word && count < most;
         word = strtok_r(NULL, " ", &rest)) {
        char *end;
        long long number = strtoll(word, &end, 10);
        bool none = strcmp(word, "max") == 0;
        if (!none && (end == word || *end))
            break;
        numbers[count++] = none ? -1 : (double)number;
    }
    return count;
}

/* Whole processors of one group's quota; 0: none. */
static int quota_of(const char *folder, bool second)
{
    double numbers[2] = {0};
    int count = second ? read_numbers(folder, "cpu.max", numbers, 2)
                       : read_numbers(folder, "cpu.cfs_quota_us", &numbers[0], 1) +
                             read_numbers(folder, "cpu.cfs_period_us", &numbers[1], 1);
    if (count < 2 || numbers[0] <= 0 || numbers[1] <= 0)
        return 0;
    double processors = numbers[0] / numbers[1];
    return processors <= 1 ? 1 : processors >= ALLOY_MOST_THREADS ? ALLOY_MOST_THREADS : (int)(processors + 0.999999);
}

/* The least quota from folder/group up to `folder`; 0: none. */
static int least_quota(const char *folder, const char *group, bool second)
{
    char path[2 * MOST_LINE];
    size_t top = (size_t)snprintf(path, sizeof path, "%s", folder);
    snprintf(path + top, sizeof path - top, "%s", group);
    int least = 0;
    for (;;) {
        int quota = quota_of(path, second);
        if (quota && (!least || quota < least))
            least = quota;
        char *slash = strrchr(path + top, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* A word of a list like "rw,cpu,cpuacct". */
static bool is_listed(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += size)
        if ((at == list || at[-1] == ',') && (at[size] == 0 || at[size] == ','))
            return true;
    return false;
}

/* \040 and its like, which stand for white space in mountinfo. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        bool escaped = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
                       from[3] >= '0' && from[3] <= '7';
        *to = escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + from[3] - '0') : *from;
        from += escaped ? 4 : 1;
    }
    *to = 0;
}

/* Is the line of mountinfo a mount of the tree? Then its ROOT and POINT, which lie in the line. */
static bool is_mount(char *line, bool second, char **root, char **point)
{
    char *rest = NULL, *word = strtok_r(line, " ", &rest), *type = NULL, *options = NULL;
    *root = *point = NULL;
    for (int place = 0, after = 0; word; place++, word = strtok_r(NULL, " ", &rest)) {
        *root = place == 3 ? word : *root;
        *point = place == 4 ? word : *point;
        type = after == 1 ? word : type;
        options = after == 3 ? word : options;
        after += after > 0 || (place > 5 && strcmp(word, "-") == 0);
    }
    if (!options || strcmp(type, second ? "cgroup2" : "cgroup") != 0 || !(second || is_listed(options, "cpu")))
        return false;
    unescape(*root);
    unescape(*point);
    return true;
}

/* What of `group` lies below `root`: "" for what does not. */
static const char *below(const char *group, const char *root)
{
    size_t size = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool inside = strncmp(group, root, size) == 0 && (group[size] == '/' || group[size] == 0);
    return inside && !strstr(group, "/..") && strcmp(group + size, "/") != 0 ? group + size : "";
}

static int quota_of_tree(const char *group, bool second, const char *mounts)
{
    char line[MOST_LINE], *root, *point;
    FILE *file = open_regular(mounts);
    int quota = 0;
    for (int i = 0; file && i < MOST_LINES && next_line(file, line); i++)
        if (is_mount(line, second, &root, &point)) {
            quota = least_quota(point, below(group, root), second);
            break;
        }
    if (file)
        fclose(file);
    return quota;
}

int alloy_processor_quota(const char *groups, const char *mounts)
{
    char line[MOST_LINE];
    FILE *file = open_regular(groups);
    int least = 0;
    for (int i = 0; file && i < MOST_LINES && next_line(file, line); i++) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *controllers++ = *group++ = 0;
        bool second = *controllers == 0;
        int quota = second || is_listed(controllers, "cpu") ? quota_of_tree(group, second, mounts) : 0;
        if (quota && (!least || quota < least))
            least = quota;
    }
    if (file)
        fclose(file);
    return least;
}

int alloy_processors(void)
{
    int count = processors_in_mask(), quota = alloy_processor_quota("/proc/self/cgroup", "/proc/self/mountinfo");
    if (quota && quota < count)
        count = quota;
    return count < 1 ? 1 : count > ALLOY_MOST_THREADS ? ALLOY_MOST_THREADS : count;
}
