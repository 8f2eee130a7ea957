/* What the system says of this machine (host.h): Linux's description of its first processor's caches, one folder each
 * with files of a line: level, type, size ("512K") and shared_cpu_list ("0-3,8"). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/processors.h"
#include "roofline/host.h"

enum { MOST_CACHES = 16, MOST_LINE = 256 };

/* The file's first line, without its newline; false where there is none. */
static bool read_line(const char *folder, int index, const char *name, char line[MOST_LINE])
{
    char path[512];
    snprintf(path, sizeof path, "%s/index%d/%s", folder, index, name);
    FILE *file = fopen(path, "re");
    bool found = file && fgets(line, MOST_LINE, file);
    if (file)
        fclose(file);
    if (found)
        line[strcspn(line, "\n")] = 0;
    return found;
}

/* "512K" as bytes; 0 for what is not so. */
static double parse_size(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    double unit = *end == 'K' ? 1024.0 : *end == 'M' ? 1048576.0 : *end == 'G' ? 1073741824.0 : 1.0;
    return end > text && number > 0 ? (double)number * unit : 0;
}

/* How many numbers a list like "0-3,8" has; at least 1. */
static int64_t count_list(const char *text)
{
    int64_t count = 0;
    while (*text >= '0' && *text <= '9') {
        char *end;
        long long first = strtoll(text, &end, 10), last = first;
        if (*end == '-')
            last = strtoll(end + 1, &end, 10);
        count += last >= first ? last - first + 1 : 1;
        text = *end == ',' ? end + 1 : end;
    }
    return count > 0 ? count : 1;
}

static int insert(alloy_cache_level levels[ALLOY_CACHE_LEVELS], int count, alloy_cache_level found)
{
    int at = 0;
    while (at < count && levels[at].level < found.level)
        at++;
    if (count == ALLOY_CACHE_LEVELS || (at < count && levels[at].level == found.level))
        return count;
    memmove(&levels[at + 1], &levels[at], (size_t)(count - at) * sizeof *levels);
    levels[at] = found;
    return count + 1;
}

static int described(alloy_cache_level levels[ALLOY_CACHE_LEVELS], const char *folder)
{
    char line[MOST_LINE];
    int count = 0;
    for (int i = 0; i < MOST_CACHES; i++) {
        alloy_cache_level found = {.shared = 1};
        if (!read_line(folder, i, "type", line) || strcmp(line, "Instruction") == 0)
            continue;
        if (read_line(folder, i, "level", line))
            found.level = strtoll(line, NULL, 10);
        if (read_line(folder, i, "size", line))
            found.size = parse_size(line);
        if (read_line(folder, i, "shared_cpu_list", line))
            found.shared = count_list(line);
        if (found.level > 0 && found.size > 0)
            count = insert(levels, count, found);
    }
    return count;
}

int alloy_cache_levels(alloy_cache_level levels[ALLOY_CACHE_LEVELS], const char *folder)
{
    int count = described(levels, folder ? folder : "/sys/devices/system/cpu/cpu0/cache");
    if (count > 0)
        return count;
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    for (int i = 0; i < 3; i++) {
        long size = sysconf(names[i]);
        if (size > 0)
            count = insert(levels, count, (alloy_cache_level){i + 1, (double)size, i == 2 ? alloy_processors() : 1});
    }
    if (count == 0)
        levels[count++] = (alloy_cache_level){1, 32768, 1};
    return count;
}

void alloy_processor_name(char *name, size_t size)
{
    char line[MOST_LINE];
    struct utsname system;
    snprintf(name, size, "%s", uname(&system) == 0 ? system.machine : "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(name, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (file)
        fclose(file);
}

double alloy_installed_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (double)pages * (double)page : 0;
}
