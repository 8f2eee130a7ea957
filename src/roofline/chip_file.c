/* A chip as a JSON file (alloy.h). Each value is checked where it stands, by a table of keys and ranges. */
#include <stddef.h>
#include <string.h>

#include "base/file.h"
#include "base/names.h"
#include "base/printable.h"
#include "base/status.h"
#include "config/fields.h"
#include "roofline/chips.h"

enum { MOST_BYTES = 1024 * 1024 };

#define AT(member) offsetof(alloy_chip, member)
#define TEXT(name) ALLOY_ROW(#name, STRING, 0, AT(name), 0, 0, NULL)
#define NUMBER(key, member, least) ALLOY_ROW(key, NUMBER, 0, AT(member), least, ALLOY_CHIP_MOST, NULL)

static const alloy_field fields[] = {
    TEXT(name),
    TEXT(vendor),
    TEXT(source),
    TEXT(notes),
    ALLOY_ROW("fp32_is_vector", BOOL, 0, AT(fp32_is_vector), 0, 0, NULL),
    NUMBER("memory_bandwidth", memory_bandwidth, 1),
    NUMBER("memory", memory, 1),
    NUMBER("link", link_bandwidth, 1),
    NUMBER("power", power, 0),
    NUMBER("price_per_hour", price_per_hour, 0),
    NUMBER("cache", cache, 0),
    NUMBER("cache_bandwidth", cache_bandwidth, 0),
};
enum { FIELDS = sizeof fields / sizeof *fields };

/* Keys that hold an object of peaks. */
static const char *const objects[] = {"peaks", "vector_peaks"};

/* What is kept with a chip. */
struct kept {
    alloy_chip chip;    /* first: what users see */
    alloy_arena *arena; /* holds all of it */
};

/* Takes the value of a key that is none of these and fails at the key. */
static void refuse_key(alloy_json *json, const alloy_json_string_view *key, const char *const *known, int count)
{
    char name[64] = "";
    alloy_text list = {0};
    for (int i = 0; i < count; i++)
        alloy_text_format(&list, "%s%s", i ? ", " : "", known[i]);
    if (key->size < sizeof name)
        memcpy(name, key->bytes, key->size);
    const char *nearest = alloy_nearest_name(name, known, (size_t)count);
    alloy_json_skip(json);
    json->value_at = (size_t)(key->bytes - json->text) - 1; /* its quote */
    alloy_json_fail(json, ALLOY_FORMAT, "unknown key \"%s\"%s%s%s (known are %s)",
                    alloy_printable(key->bytes, key->size), nearest ? ", did you mean \"" : "", nearest ? nearest : "",
                    nearest ? "\"?" : "", alloy_text_get(&list));
    alloy_text_free(&list);
}

static void read_peaks(alloy_json *json, alloy_arena *arena, double values[ALLOY_PEAK_COUNT])
{
    const char *names[ALLOY_PEAK_COUNT];
    alloy_json_string_view key;
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++)
        names[i] = alloy_peak_name((alloy_peak)i);
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int i = 0;
        while (i < ALLOY_PEAK_COUNT && !alloy_json_key_is(&key, names[i]))
            i++;
        alloy_field peak = ALLOY_ROW(i < ALLOY_PEAK_COUNT ? names[i] : NULL, NUMBER, 0, 0, 1, ALLOY_CHIP_MOST, NULL);
        if (peak.key)
            alloy_field_read(json, arena, &peak, &values[i]);
        else
            refuse_key(json, &key, names, ALLOY_PEAK_COUNT);
    }
}

static void refuse_chip_key(alloy_json *json, const alloy_json_string_view *key)
{
    const char *names[FIELDS + 2];
    for (int i = 0; i < FIELDS; i++)
        names[i] = fields[i].key;
    for (int i = 0; i < 2; i++)
        names[FIELDS + i] = objects[i];
    refuse_key(json, key, names, FIELDS + 2);
}

static void read_chip(alloy_json *json, struct kept *kept)
{
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int row = alloy_field_find(fields, FIELDS, &key);
        if (row >= 0)
            alloy_field_read(json, kept->arena, &fields[row], &kept->chip);
        else if (alloy_json_key_is(&key, objects[0]))
            read_peaks(json, kept->arena, kept->chip.peak);
        else if (alloy_json_key_is(&key, objects[1]))
            read_peaks(json, kept->arena, kept->chip.vector_peak);
        else
            refuse_chip_key(json, &key);
    }
}

/* What must be there, and what goes with what. */
static alloy_status check(const alloy_chip *chip, const char *file)
{
    const char *name = alloy_printable(file, strlen(file));
    bool has_peak = false;
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++)
        has_peak = has_peak || chip->peak[i] > 0;
    if (!chip->name)
        return alloy_fail(ALLOY_FORMAT, "%s: \"name\" is missing", name);
    if (!alloy_is_printable(chip->name, strlen(chip->name)))
        return alloy_fail(ALLOY_FORMAT, "%s: \"name\" is \"%s\", expected one line of printable characters", name,
                          alloy_printable(chip->name, strlen(chip->name)));
    if (chip->memory_bandwidth == 0)
        return alloy_fail(ALLOY_FORMAT, "%s: \"memory_bandwidth\" (bytes/s) is missing", name);
    if (!has_peak)
        return alloy_fail(ALLOY_FORMAT, "%s: \"peaks\" is missing or empty, expected {\"bf16\": FLOP/s, ...}", name);
    if ((chip->cache > 0) != (chip->cache_bandwidth > 0))
        return alloy_fail(ALLOY_FORMAT, "%s: \"cache\" (bytes) and \"cache_bandwidth\" (bytes/s) need each other",
                          name);
    if (chip->fp32_is_vector && chip->peak[ALLOY_PEAK_FP32] == 0)
        return alloy_fail(ALLOY_FORMAT, "%s: \"fp32_is_vector\" is true, and \"peaks\" has no \"fp32\"", name);
    alloy_status status = alloy_chip_check(chip);
    return status ? alloy_fail_in(status, name) : ALLOY_OK;
}

alloy_status alloy_chip_parse(alloy_chip **out, const char *name, const void *bytes, size_t size)
{
    *out = NULL;
    if (size > MOST_BYTES)
        return alloy_fail(ALLOY_LIMIT, "%s: %zu bytes, at most %d are read", alloy_printable(name, strlen(name)), size,
                          (int)MOST_BYTES);
    alloy_arena *arena = alloy_arena_new();
    struct kept *kept = arena ? alloy_arena_take_zeroed(arena, 1, sizeof *kept) : NULL;
    if (!kept) {
        alloy_arena_free(arena);
        return ALLOY_NOMEM;
    }
    kept->arena = arena;
    alloy_json json;
    alloy_json_open(&json, name, bytes, size);
    read_chip(&json, kept);
    alloy_status status = alloy_json_close(&json);
    if (!status)
        status = check(&kept->chip, name);
    if (status)
        alloy_arena_free(arena);
    else
        *out = &kept->chip;
    return status;
}

alloy_status alloy_chip_open(alloy_chip **out, const char *path)
{
    alloy_text bytes = {0};
    *out = NULL;
    alloy_status status = alloy_file_read(&bytes, path, MOST_BYTES);
    if (!status)
        status = alloy_chip_parse(out, path, alloy_text_get(&bytes), bytes.size);
    alloy_text_free(&bytes);
    return status;
}

void alloy_chip_close(alloy_chip *chip)
{
    if (chip)
        alloy_arena_free(((struct kept *)chip)->arena);
}
