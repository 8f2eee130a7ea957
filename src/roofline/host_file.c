/* The file that keeps what was measured of this machine (host.h):
 *
 *     {"checksum": "hash of the value of host, its bytes",
 *      "host": {"version", "processor", "processors", "cpu", "threads", "measured", "busy", "elementwise",
 *               "peaks": {"fp32", "bf16", "fp16"}, "levels": [{"level", "size", ...}], "points": [...]}}
 *
 * It is used only if the checksum fits, every value is there and within its range, and it is about this very host. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/file_write.h"
#include "base/hash.h"
#include "base/processors.h"
#include "base/status.h"
#include "base/threads.h"
#include "config/fields.h"
#include "roofline/host.h"

enum { MOST_BYTES = 64 * 1024 };

#define MOST_RATE 1e18 /* a second */
#define MOST_SIZE 1e18 /* bytes */

static const alloy_hash_key fixed_key = {0x616c6c6f79, 1};

/* Everything of the file, as alloy_field reads it. */
struct kept {
    const char *version, *processor, *cpu;
    int64_t processors, threads, measured;
    bool busy;
    alloy_host host; /* what is measured */
};

#define AT(member) offsetof(struct kept, member)
#define PEAK(which) offsetof(struct kept, host.chip.peak[which])
#define RATE(key, offset) ALLOY_ROW(key, NUMBER, 0, offset, 1, MOST_RATE, NULL)
#define SIZE(key, offset) ALLOY_ROW(key, NUMBER, 0, offset, 1, MOST_SIZE, NULL)

static const alloy_field host_fields[] = {
    ALLOY_ROW("version", STRING, 0, AT(version), 0, 0, NULL),
    ALLOY_ROW("processor", STRING, 0, AT(processor), 0, 0, NULL),
    ALLOY_ROW("cpu", STRING, 0, AT(cpu), 0, 0, NULL),
    ALLOY_ROW("processors", INTEGER, 0, AT(processors), 1, ALLOY_MOST_THREADS, NULL),
    ALLOY_ROW("threads", INTEGER, 0, AT(threads), 1, ALLOY_MOST_THREADS, NULL),
    ALLOY_ROW("measured", INTEGER, 0, AT(measured), 0, 1e12, NULL),
    ALLOY_ROW("busy", BOOL, 0, AT(busy), 0, 0, NULL),
    RATE("elementwise", AT(host.elementwise)),
    RATE("linear_fp32", PEAK(ALLOY_PEAK_FP32)),
    RATE("linear_bf16", PEAK(ALLOY_PEAK_BF16)),
    RATE("linear_fp16", PEAK(ALLOY_PEAK_FP16)),
};

static const alloy_field level_fields[] = {
    ALLOY_ROW("level", INTEGER, 0, offsetof(alloy_host_level, level), 0, 9, NULL),
    SIZE("size", offsetof(alloy_host_level, size)),
    SIZE("working_set", offsetof(alloy_host_level, working_set)),
    RATE("read", offsetof(alloy_host_level, read)),
    RATE("write", offsetof(alloy_host_level, write)),
    RATE("copy", offsetof(alloy_host_level, copy)),
};

static const alloy_field point_fields[] = {
    SIZE("working_set", offsetof(alloy_host_point, working_set)),
    RATE("read", offsetof(alloy_host_point, read)),
};

enum {
    HOST_FIELDS = sizeof host_fields / sizeof *host_fields,
    LEVEL_FIELDS = sizeof level_fields / sizeof *level_fields,
    POINT_FIELDS = sizeof point_fields / sizeof *point_fields,
};

/* ---- Its name ---------------------------------------------------------------------------------------------------- */

char *alloy_host_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool has_cache = cache && *cache == '/'; /* others are to be ignored, the specification says */
    alloy_text path = {0};
    if (!has_cache && !(home && *home == '/'))
        return NULL;
    alloy_text_format(&path, "%s%s/alloy", has_cache ? cache : home, has_cache ? "" : "/.cache");
    if (path.failed)
        alloy_text_free(&path);
    return path.bytes;
}

alloy_status alloy_host_file(const alloy_host *host, alloy_text *path)
{
    alloy_text about = {0};
    char *folder = alloy_host_folder();
    if (!folder)
        return ALLOY_IO;
    alloy_text_clear(path);
    alloy_text_string(path, folder);
    alloy_free(folder);
    alloy_text_format(&about, "%s|%d|%s|%d|%s", host->processor, alloy_processors(), host->cpu, host->threads,
                      alloy_version());
    alloy_status status = alloy_text_status(&about);
    alloy_text_format(path, "/host-%016" PRIx64 ".json", alloy_hash(&fixed_key, about.bytes, about.size));
    alloy_text_free(&about);
    return status ? status : alloy_text_status(path);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* An object that has all of these fields and nothing else. */
static void read_object(alloy_json *json, alloy_arena *arena, const alloy_field *fields, int count, void *base,
                        void (*other)(alloy_json *json, alloy_arena *arena, const alloy_json_string_view *key,
                                      void *base))
{
    alloy_json_string_view key;
    int found = 0;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int row = alloy_field_find(fields, count, &key);
        if (row >= 0) {
            alloy_field_read(json, arena, &fields[row], base);
            found++;
        } else if (other) {
            other(json, arena, &key, base);
        } else {
            alloy_json_fail(json, ALLOY_FORMAT, "unknown key");
        }
    }
    if (found < count)
        alloy_json_fail(json, ALLOY_FORMAT, "a value is missing");
}

/* A list of 1 to `most` objects; how many. */
static int read_list(alloy_json *json, alloy_arena *arena, const alloy_field *fields, int count, void *items,
                     size_t size, int most)
{
    int items_read = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        if (items_read == most)
            alloy_json_fail(json, ALLOY_FORMAT, "more than %d items", most);
        else
            read_object(json, arena, fields, count, (char *)items + (size_t)items_read++ * size, NULL);
    }
    if (items_read == 0)
        alloy_json_fail(json, ALLOY_FORMAT, "an empty list");
    return items_read;
}

static void read_lists(alloy_json *json, alloy_arena *arena, const alloy_json_string_view *key, void *base)
{
    alloy_host *host = &((struct kept *)base)->host;
    if (alloy_json_key_is(key, "levels"))
        host->level_count =
            read_list(json, arena, level_fields, LEVEL_FIELDS, host->levels, sizeof *host->levels, ALLOY_HOST_LEVELS);
    else if (alloy_json_key_is(key, "points"))
        host->point_count =
            read_list(json, arena, point_fields, POINT_FIELDS, host->points, sizeof *host->points, ALLOY_HOST_POINTS);
    else
        alloy_json_fail(json, ALLOY_FORMAT, "unknown key");
}

static void hex(char out[17], alloy_json_string_view bytes)
{
    snprintf(out, 17, "%016" PRIx64, alloy_hash(&fixed_key, bytes.bytes, bytes.size));
}

/* The value of "host", which the checksum fits. */
static alloy_json_string_view read_outer(alloy_json *json)
{
    alloy_json_string_view key, host = {0}, checksum = {0};
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key))
        if (alloy_json_key_is(&key, "checksum"))
            checksum = alloy_json_string(json);
        else if (alloy_json_key_is(&key, "host"))
            host = alloy_json_raw(json);
        else
            alloy_json_fail(json, ALLOY_FORMAT, "unknown key");
    char expected[17] = "";
    if (host.bytes)
        hex(expected, host);
    if (!host.bytes || !checksum.bytes || !alloy_json_key_is(&checksum, expected))
        alloy_json_fail(json, ALLOY_FORMAT, "the checksum does not fit");
    return host;
}

/* Is it what was measured of this host, and does it have all of it? */
static bool is_of(const struct kept *kept, const alloy_host *host)
{
    return kept->host.level_count > 0 && kept->host.point_count > 0 &&
           kept->host.levels[kept->host.level_count - 1].level == 0 && strcmp(kept->version, alloy_version()) == 0 &&
           strcmp(kept->processor, host->processor) == 0 && strcmp(kept->cpu, host->cpu) == 0 &&
           kept->processors == alloy_processors() && kept->threads == host->threads;
}

static void take(alloy_host *host, const struct kept *kept)
{
    alloy_host identity = *host;
    *host = kept->host;
    memcpy(host->processor, identity.processor, sizeof host->processor);
    memcpy(host->cpu, identity.cpu, sizeof host->cpu);
    host->threads = identity.threads;
    host->measured = kept->measured;
    host->busy = kept->busy;
    host->from_file = true;
    alloy_host_complete(host);
}

static alloy_status parse(alloy_host *host, const char *path, const alloy_text *bytes)
{
    alloy_arena *arena = alloy_arena_new();
    struct kept *kept = arena ? alloy_arena_take_zeroed(arena, 1, sizeof *kept) : NULL;
    alloy_status status = kept ? ALLOY_OK : ALLOY_NOMEM;
    alloy_json json;
    alloy_json_string_view inner = {0};
    if (!status) {
        alloy_json_open(&json, path, alloy_text_get(bytes), bytes->size);
        inner = read_outer(&json);
        status = alloy_json_close(&json);
    }
    if (!status) {
        alloy_json_open(&json, path, inner.bytes, inner.size);
        read_object(&json, arena, host_fields, HOST_FIELDS, kept, read_lists);
        status = alloy_json_close(&json);
    }
    if (!status && !is_of(kept, host))
        status = alloy_fail(ALLOY_FORMAT, "%s: not of this machine", alloy_printable_path(path));
    if (!status)
        take(host, kept);
    alloy_arena_free(arena);
    return status;
}

alloy_status alloy_host_read(alloy_host *host, const char *path)
{
    alloy_text bytes = {0};
    alloy_status status = alloy_file_read(&bytes, path, MOST_BYTES);
    if (!status)
        status = parse(host, path, &bytes);
    alloy_text_free(&bytes);
    return status;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static void write_fields(alloy_json_writer *writer, const alloy_field *fields, int count, const void *base)
{
    for (int i = 0; i < count; i++) {
        alloy_json_write_key(writer, fields[i].key);
        alloy_field_write(writer, &fields[i], base);
    }
}

static void write_list(alloy_json_writer *writer, const char *key, const alloy_field *fields, int count,
                       const void *items, size_t size, int n)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_array(writer);
    for (int i = 0; i < n; i++) {
        alloy_json_write_object(writer);
        write_fields(writer, fields, count, (const char *)items + (size_t)i * size);
        alloy_json_write_object_end(writer);
    }
    alloy_json_write_array_end(writer);
}

static void write_host(alloy_text *out, const alloy_host *host)
{
    const struct kept kept = {.version = alloy_version(),
                              .processor = host->processor,
                              .cpu = host->cpu,
                              .processors = alloy_processors(),
                              .threads = host->threads,
                              .measured = host->measured,
                              .busy = host->busy,
                              .host = *host};
    alloy_json_writer writer;
    alloy_json_writer_open(&writer, out, 0);
    alloy_json_write_object(&writer);
    write_fields(&writer, host_fields, HOST_FIELDS, &kept);
    write_list(&writer, "levels", level_fields, LEVEL_FIELDS, host->levels, sizeof *host->levels, host->level_count);
    write_list(&writer, "points", point_fields, POINT_FIELDS, host->points, sizeof *host->points, host->point_count);
    alloy_json_write_object_end(&writer);
}

/* Creates the folders of a file. */
static alloy_status make_folder(const char *path)
{
    alloy_text folder = {0};
    alloy_text_append(&folder, path, (size_t)(strrchr(path, '/') - path));
    alloy_status status = alloy_text_status(&folder);
    if (!status)
        status = alloy_folder_create(folder.bytes);
    alloy_text_free(&folder);
    return status;
}

alloy_status alloy_host_write(const alloy_host *host, const char *path)
{
    alloy_text inner = {0}, out = {0};
    char checksum[17];
    write_host(&inner, host);
    alloy_status status = alloy_text_status(&inner);
    if (!status) {
        hex(checksum, (alloy_json_string_view){inner.bytes, inner.size, false});
        alloy_text_format(&out, "{\"checksum\": \"%s\",\n\"host\": %s}\n", checksum, inner.bytes);
        status = alloy_text_status(&out);
    }
    if (!status)
        status = make_folder(path);
    if (!status)
        status = alloy_file_replace(path, out.bytes, out.size);
    alloy_text_free(&inner);
    alloy_text_free(&out);
    return status;
}
