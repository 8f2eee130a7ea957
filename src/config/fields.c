/* Fields of JSON objects by tables (fields.h). */
#include "config/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

enum { MOST_LIST_ITEMS = 100000, MOST_NAME_BYTES = 255 };

static const struct {
    const char *name;
    alloy_dtype dtype;
} dtypes[] = {{"float32", ALLOY_F32}, {"bfloat16", ALLOY_BF16}, {"float16", ALLOY_F16}};

enum { DTYPES = sizeof dtypes / sizeof *dtypes };

const char *alloy_torch_dtype_name(alloy_dtype dtype)
{
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return NULL;
}

int alloy_field_find(const alloy_field *fields, int count, const alloy_json_string_view *key)
{
    for (int i = 0; i < count; i++)
        if (alloy_json_key_is(key, fields[i].key))
            return i;
    return -1;
}

size_t alloy_field_size(const alloy_field *field)
{
    switch (field->type) {
    case ALLOY_FIELD_INTEGER:
        return sizeof(int64_t);
    case ALLOY_FIELD_NUMBER:
        return sizeof(double);
    case ALLOY_FIELD_BOOL:
        return sizeof(bool);
    case ALLOY_FIELD_TOKENS:
    case ALLOY_FIELD_INTEGERS:
        return sizeof(alloy_integers);
    case ALLOY_FIELD_STRING:
        return sizeof(const char *);
    case ALLOY_FIELD_DTYPE:
        return sizeof(alloy_dtype);
    case ALLOY_FIELD_VALUE:
    case ALLOY_FIELD_ROPE: /* not in a file */
        break;
    }
    return sizeof(alloy_json_string_view);
}

void alloy_field_set(const alloy_field *field, void *member, double value)
{
    if (field->type == ALLOY_FIELD_INTEGER)
        *(int64_t *)member = (int64_t)value;
    else if (field->type == ALLOY_FIELD_NUMBER)
        *(double *)member = value;
    else if (field->type == ALLOY_FIELD_BOOL)
        *(bool *)member = value != 0;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* Takes the next value and fails at it: what `key` is, and what was expected in its place. */
static void refuse(alloy_json *json, alloy_status status, const char *key, const char *expected)
{
    alloy_json_type type = alloy_json_peek(json);
    alloy_json_string_view value = alloy_json_raw(json);
    const char *found = type == ALLOY_JSON_OBJECT  ? "an object"
                        : type == ALLOY_JSON_ARRAY ? "a list"
                        : type == ALLOY_JSON_STRING && value.size >= 2
                            ? alloy_printable(value.bytes + 1, value.size - 2)
                            : alloy_printable(value.bytes, value.size);
    const char *quote = type == ALLOY_JSON_STRING ? "\"" : "";
    alloy_json_fail(json, status, "%s is %s%s%s, expected %s", key, quote, found, quote, expected);
}

static int64_t read_integer(alloy_json *json, const alloy_field *field)
{
    size_t at = json->at;
    int64_t value = 0, least = (int64_t)field->least, most = (int64_t)field->most;
    bool is_number = alloy_json_peek(json) == ALLOY_JSON_NUMBER;
    alloy_json_string_view digits = is_number ? alloy_json_raw(json) : (alloy_json_string_view){0};
    if (is_number && !json->status && alloy_parse_int64(digits.bytes, digits.size, &value) && value >= least &&
        value <= most)
        return value;
    if (json->status)
        return 0;
    char expected[96];
    snprintf(expected, sizeof expected, "an integer in %lld..%lld", (long long)least, (long long)most);
    json->at = at;
    refuse(json, ALLOY_RANGE, field->key, expected);
    return 0;
}

static double read_number(alloy_json *json, const alloy_field *field)
{
    size_t at = json->at;
    bool above = field->flags & ALLOY_FIELD_ABOVE, is_number = alloy_json_peek(json) == ALLOY_JSON_NUMBER;
    double value = is_number ? alloy_json_double(json) : 0;
    if (is_number && (above ? value > field->least : value >= field->least) && value <= field->most)
        return value;
    char expected[96];
    alloy_snprintf(expected, sizeof expected, above ? "a number above %g and at most %g" : "a number in %g..%g",
                   field->least, field->most);
    if (!json->status) {
        json->at = at;
        refuse(json, ALLOY_RANGE, field->key, expected);
    }
    return 0;
}

static bool read_bool(alloy_json *json, const alloy_field *field)
{
    if (alloy_json_peek(json) == ALLOY_JSON_BOOL)
        return alloy_json_bool(json);
    if (!json->status)
        refuse(json, ALLOY_FORMAT, field->key, "true or false");
    return false;
}

static int compare_integers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The items of a list, in *items (to be freed by the caller, also after a failure). */
static int64_t read_items(alloy_json *json, const alloy_field *field, int64_t **items)
{
    int64_t count = 0, capacity = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        int64_t item = read_integer(json, field);
        if (json->status)
            break;
        if (count == MOST_LIST_ITEMS) {
            alloy_json_fail(json, ALLOY_RANGE, "%s has more than %d items", field->key, (int)MOST_LIST_ITEMS);
            break;
        }
        int64_t *grown = alloy_memory_grow(*items, count, &capacity, sizeof **items);
        if (!grown) {
            json->status = ALLOY_NOMEM;
            break;
        }
        *items = grown;
        grown[count++] = item;
    }
    return count;
}

static alloy_integers read_integers(alloy_json *json, alloy_arena *arena, const alloy_field *field)
{
    int64_t one, *items = NULL, count = 1;
    alloy_json_type type = alloy_json_peek(json);
    if (type == ALLOY_JSON_ARRAY) {
        size_t at = json->value_at;
        count = read_items(json, field, &items);
        json->value_at = at;
        if (count == 0 && !json->status && field->type == ALLOY_FIELD_TOKENS)
            alloy_json_fail(json, ALLOY_RANGE, "%s is an empty list, expected an id or a list of ids", field->key);
    } else if (field->type == ALLOY_FIELD_TOKENS || json->status) {
        one = read_integer(json, field);
    } else {
        refuse(json, ALLOY_FORMAT, field->key, "a list of integers");
    }
    int64_t *copy = json->status ? NULL : alloy_arena_take(arena, (size_t)count, sizeof *copy);
    if (!json->status && !copy)
        json->status = ALLOY_NOMEM;
    if (copy && count > 0)
        memcpy(copy, type == ALLOY_JSON_ARRAY ? items : &one, (size_t)count * sizeof *copy);
    if (copy && field->type == ALLOY_FIELD_INTEGERS && !(field->flags & ALLOY_FIELD_ORDERED))
        qsort(copy, (size_t)count, sizeof *copy, compare_integers);
    alloy_memory_free(items);
    return copy ? (alloy_integers){copy, count} : (alloy_integers){0};
}

const char *alloy_read_name(alloy_json *json, alloy_arena *arena, const char *key)
{
    if (alloy_json_peek(json) != ALLOY_JSON_STRING) {
        if (!json->status)
            refuse(json, ALLOY_FORMAT, key, "a string");
        return NULL;
    }
    alloy_json_string_view view = alloy_json_string(json);
    alloy_text text = {0};
    if (!json->status && alloy_json_unescape(&view, &text))
        json->status = ALLOY_NOMEM;
    const char *name = NULL;
    if (json->status) {
        ;
    } else if (text.size == 0 || text.size > MOST_NAME_BYTES || memchr(text.bytes, 0, text.size)) {
        alloy_json_fail(json, ALLOY_FORMAT, "%s is \"%s\", expected 1 to %d bytes without a NUL", key,
                        alloy_printable(alloy_text_get(&text), text.size), (int)MOST_NAME_BYTES);
    } else {
        name = alloy_arena_copy(arena, text.bytes, text.size);
        if (!name)
            json->status = ALLOY_NOMEM;
    }
    alloy_text_free(&text);
    return name;
}

/* Fails: what stands in place of one of these words. */
static void refuse_word(alloy_json *json, const char *key, const char *word, const char *const *words)
{
    char known[256] = "";
    for (size_t used = 0; *words && used < sizeof known; words++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s\"%s\"", used ? ", " : "", *words);
    alloy_json_fail(json, ALLOY_FORMAT, "%s \"%s\" is unsupported, expected one of: %s", key,
                    alloy_printable(word, strlen(word)), known);
}

static const char *read_string(alloy_json *json, alloy_arena *arena, const alloy_field *field)
{
    const char *string = alloy_read_name(json, arena, field->key);
    if (!string || !field->words)
        return string;
    for (const char *const *word = field->words; *word; word++)
        if (strcmp(string, *word) == 0)
            return *word;
    refuse_word(json, field->key, string, field->words);
    return NULL;
}

static alloy_dtype read_dtype(alloy_json *json, alloy_arena *arena, const alloy_field *field)
{
    static const char prefix[] = "torch.";
    static const char *const names[] = {"float32", "bfloat16", "float16", NULL};
    const char *name = alloy_read_name(json, arena, field->key);
    if (!name)
        return ALLOY_DTYPE_NONE;
    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        name += sizeof prefix - 1;
    for (int i = 0; i < DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0)
            return dtypes[i].dtype;
    refuse_word(json, field->key, name, names);
    return ALLOY_DTYPE_NONE;
}

alloy_field_state alloy_field_read(alloy_json *json, alloy_arena *arena, const alloy_field *field, void *base)
{
    void *member = (char *)base + field->offset;
    if ((field->flags & ALLOY_FIELD_NULLABLE) && alloy_json_null(json))
        return ALLOY_FIELD_NULL;
    switch (field->type) {
    case ALLOY_FIELD_INTEGER:
        *(int64_t *)member = read_integer(json, field);
        break;
    case ALLOY_FIELD_NUMBER:
        *(double *)member = read_number(json, field);
        break;
    case ALLOY_FIELD_BOOL:
        *(bool *)member = read_bool(json, field);
        break;
    case ALLOY_FIELD_TOKENS:
    case ALLOY_FIELD_INTEGERS:
        *(alloy_integers *)member = read_integers(json, arena, field);
        break;
    case ALLOY_FIELD_STRING:
        *(const char **)member = read_string(json, arena, field);
        break;
    case ALLOY_FIELD_DTYPE:
        *(alloy_dtype *)member = read_dtype(json, arena, field);
        break;
    case ALLOY_FIELD_ROPE:
    case ALLOY_FIELD_VALUE:
        *(alloy_json_string_view *)member = alloy_json_raw(json);
        break;
    }
    return ALLOY_FIELD_GIVEN;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static void write_integers(alloy_json_writer *writer, const alloy_integers *list)
{
    alloy_json_write_array(writer);
    for (int64_t i = 0; i < list->count; i++)
        alloy_json_write_int64(writer, list->items[i]);
    alloy_json_write_array_end(writer);
}

static void write_string(alloy_json_writer *writer, const char *string)
{
    if (string)
        alloy_json_write_string(writer, string, strlen(string));
    else
        alloy_json_write_null(writer);
}

void alloy_field_write(alloy_json_writer *writer, const alloy_field *field, const void *base)
{
    const void *member = (const char *)base + field->offset;
    const alloy_integers *list = member;
    switch (field->type) {
    case ALLOY_FIELD_INTEGER:
        alloy_json_write_int64(writer, *(const int64_t *)member);
        break;
    case ALLOY_FIELD_NUMBER:
        alloy_json_write_double(writer, *(const double *)member);
        break;
    case ALLOY_FIELD_BOOL:
        alloy_json_write_bool(writer, *(const bool *)member);
        break;
    case ALLOY_FIELD_TOKENS:
        if (list->count == 1)
            alloy_json_write_int64(writer, list->items[0]);
        else
            write_integers(writer, list);
        break;
    case ALLOY_FIELD_INTEGERS:
        write_integers(writer, list);
        break;
    case ALLOY_FIELD_STRING:
        write_string(writer, *(const char *const *)member);
        break;
    case ALLOY_FIELD_DTYPE:
        write_string(writer, alloy_torch_dtype_name(*(const alloy_dtype *)member));
        break;
    case ALLOY_FIELD_ROPE:
    case ALLOY_FIELD_VALUE:
        break;
    }
}
