/* Components of a tokenizer.json (component.h). */
#include "tokenizer/component.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"

enum { MOST_NESTED = 8 };

static void read_text(alloy_json *json, alloy_text *text)
{
    alloy_json_string_view view = alloy_json_string(json);
    alloy_text_clear(text);
    if (alloy_json_unescape(&view, text))
        alloy_json_fail(json, ALLOY_NOMEM, "out of memory");
}

/* {"String": text} or {"Regex": text} */
static void read_pattern(alloy_json *json, alloy_component *c)
{
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        bool regex = alloy_json_key_is(&key, "Regex");
        if (!regex && !alloy_json_key_is(&key, "String")) {
            alloy_json_fail(json, ALLOY_FORMAT, "a pattern is {\"String\": ...} or {\"Regex\": ...}, not \"%s\"",
                            alloy_printable(key.bytes, key.size));
            return;
        }
        c->has_pattern = true;
        c->regex = regex;
        read_text(json, &c->pattern);
    }
}

static alloy_part read_part(alloy_json *json, const alloy_component *c)
{
    alloy_json_string_view raw = alloy_json_raw(json);
    return (alloy_part){c->name, raw.bytes, raw.size, c->budget};
}

/* The fields that are text; false: another one. */
static bool read_text_field(alloy_json *json, const alloy_json_string_view *key, alloy_component *c)
{
    struct {
        const char *name;
        alloy_text *text;
        bool *has;
    } fields[] = {{"type", &c->type, NULL},
                  {"content", &c->content, &c->has_content},
                  {"behavior", &c->behavior, NULL},
                  {"prepend", &c->prepend, NULL},
                  {"replacement", &c->replacement, NULL},
                  {"prepend_scheme", &c->prepend_scheme, &c->has_prepend_scheme},
                  {"delimiter", &c->delimiter, NULL},
                  {"precompiled_charsmap", &c->charsmap, &c->has_charsmap}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!alloy_json_key_is(key, fields[i].name))
            continue;
        if (!alloy_json_null(json)) {
            read_text(json, fields[i].text);
            if (fields[i].has)
                *fields[i].has = true;
        }
        return true;
    }
    return false;
}

static bool read_flag_field(alloy_json *json, const alloy_json_string_view *key, alloy_component *c)
{
    struct {
        const char *name;
        bool *flag;
    } fields[] = {{"invert", &c->invert},
                  {"use_regex", &c->use_regex},
                  {"split", &c->split},
                  {"individual_digits", &c->individual_digits},
                  {"strip_left", &c->strip_left},
                  {"strip_right", &c->strip_right},
                  {"add_prefix_space", &c->add_prefix_space}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!alloy_json_key_is(key, fields[i].name))
            continue;
        if (!alloy_json_null(json)) {
            *fields[i].flag = alloy_json_bool(json);
            c->has_add_prefix_space |= fields[i].flag == &c->add_prefix_space;
        }
        return true;
    }
    return false;
}

static void read_count(alloy_json *json, int64_t *count)
{
    *count = alloy_json_int64(json);
    if (*count < 0)
        alloy_json_fail(json, ALLOY_FORMAT, "%lld: a number of at least 0 is expected", (long long)*count);
}

/* One field; the items of a Sequence go to *items. */
static void read_field(alloy_json *json, const alloy_json_string_view *key, alloy_component *c, alloy_part *items)
{
    if (read_text_field(json, key, c) || read_flag_field(json, key, c))
        return;
    if (alloy_json_key_is(key, "pattern"))
        read_pattern(json, c);
    else if (alloy_json_key_is(key, "start"))
        read_count(json, &c->start);
    else if (alloy_json_key_is(key, "stop"))
        read_count(json, &c->stop);
    else if (alloy_json_key_is(key, "length"))
        read_count(json, &c->length);
    else if (alloy_json_key_is(key, "single"))
        c->single = read_part(json, c);
    else if (alloy_json_key_is(key, "special_tokens"))
        c->special_tokens = read_part(json, c);
    else if (alloy_json_key_is(key, "normalizers") || alloy_json_key_is(key, "pretokenizers") ||
             alloy_json_key_is(key, "decoders") || alloy_json_key_is(key, "processors"))
        *items = read_part(json, c);
    else
        alloy_json_skip(json);
}

static alloy_status read_component(alloy_part part, int depth, alloy_component_function *take, void *target);

static alloy_status read_items(alloy_part items, int depth, alloy_component_function *take, void *target)
{
    alloy_json json;
    alloy_status status = ALLOY_OK;
    alloy_json_open(&json, items.name, items.json, items.size);
    alloy_json_array(&json);
    while (!status && alloy_json_next_item(&json)) {
        alloy_json_string_view raw = alloy_json_raw(&json);
        if (raw.size > 0)
            status =
                read_component((alloy_part){items.name, raw.bytes, raw.size, items.budget}, depth + 1, take, target);
    }
    alloy_status closed = alloy_json_close(&json);
    return status ? status : closed;
}

static void free_component(alloy_component *c)
{
    alloy_text *texts[] = {&c->type,        &c->pattern,        &c->content,   &c->behavior, &c->prepend,
                           &c->replacement, &c->prepend_scheme, &c->delimiter, &c->charsmap};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        alloy_text_free(texts[i]);
}

/* The text of a sequence is read once at each level above its items, so there are few. */
static alloy_status read_component(alloy_part part, int depth, alloy_component_function *take, void *target)
{
    alloy_component c = {.name = part.name, .budget = part.budget, .use_regex = true, .split = true};
    alloy_part items = {0};
    alloy_json json;
    alloy_json_string_view key;
    alloy_json_open(&json, part.name, part.json, part.size);
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key))
        read_field(&json, &key, &c, &items);
    alloy_status status = alloy_json_close(&json);
    if (!status && c.type.size == 0)
        status = alloy_fail(ALLOY_FORMAT, "%s: a component without \"type\"", part.name);
    if (!status && !alloy_component_is(&c, "Sequence"))
        status = take(target, &c);
    else if (!status && items.size == 0)
        status = alloy_fail(ALLOY_FORMAT, "%s: a Sequence without its list of components", part.name);
    else if (!status && depth == MOST_NESTED)
        status = alloy_fail(ALLOY_LIMIT, "%s: sequences are nested more than %d deep", part.name, MOST_NESTED);
    else if (!status)
        status = read_items(items, depth, take, target);
    free_component(&c);
    return status;
}

alloy_status alloy_component_read(alloy_part part, alloy_component_function *take, void *target)
{
    return read_component(part, 1, take, target);
}

bool alloy_component_is(const alloy_component *c, const char *type)
{
    return c->type.size == strlen(type) && memcmp(c->type.bytes, type, c->type.size) == 0;
}

alloy_status alloy_component_unsupported(const alloy_component *c, const char *known)
{
    return alloy_fail(ALLOY_FORMAT, "%s: type \"%s\" is not supported; supported are %s", c->name,
                      alloy_printable(c->type.bytes, c->type.size), known);
}

alloy_status alloy_component_one_character(const alloy_component *c, const char *field, const alloy_text *text)
{
    if (text->size > 0 && alloy_code_length((uint8_t)text->bytes[0]) == text->size)
        return ALLOY_OK;
    return alloy_fail(ALLOY_FORMAT, "%s: %s: \"%s\" is \"%s\", one character is expected", c->name,
                      alloy_text_get(&c->type), field, alloy_printable(alloy_text_get(text), text->size));
}

alloy_status alloy_component_pattern(const alloy_component *c, alloy_pattern *pattern)
{
    alloy_status status;
    if (!c->has_pattern || c->pattern.size == 0)
        return alloy_fail(ALLOY_FORMAT, "%s: %s: a \"pattern\" that is not empty is expected", c->name,
                          alloy_text_get(&c->type));
    if (c->regex)
        status = alloy_pattern_open_regex(pattern, c->pattern.bytes, c->pattern.size, c->budget);
    else
        status = alloy_pattern_open_string(pattern, c->pattern.bytes, c->pattern.size);
    return status ? alloy_fail_in(status, c->name) : ALLOY_OK;
}

alloy_status alloy_component_prepend(const alloy_component *c, alloy_prepend *prepend)
{
    static const char *const names[] = {"always", "first", "never"};
    const char *scheme = c->has_prepend_scheme ? alloy_text_get(&c->prepend_scheme) : "always";
    if (c->has_add_prefix_space && !c->add_prefix_space && strcmp(scheme, "never") != 0)
        return alloy_fail(ALLOY_FORMAT, "%s: Metaspace: \"add_prefix_space\" is false and \"prepend_scheme\" is \"%s\"",
                          c->name, alloy_printable(scheme, strlen(scheme)));
    for (int i = 0; i < 3; i++)
        if (strcmp(scheme, names[i]) == 0) {
            *prepend = (alloy_prepend)i;
            return ALLOY_OK;
        }
    return alloy_fail(ALLOY_FORMAT, "%s: Metaspace: \"prepend_scheme\" is \"%s\"; always, first or never is expected",
                      c->name, alloy_printable(scheme, strlen(scheme)));
}

alloy_status alloy_component_copy(alloy_text *to, const alloy_text *from)
{
    alloy_text_append(to, from->bytes, from->size);
    return alloy_text_status(to);
}
