/* Reads the post-processor of a tokenizer.json (tokenizer.h): what it puts around a text. ByteLevel changes offsets
 * only, which Alloy does not have. */
#include <string.h>

#include "base/name_table.h"
#include "base/status.h"
#include "files/json.h"
#include "tokenizer/component.h"
#include "tokenizer/ids.h"

enum { MOST_IDS = 1024 }; /* on either side of a text, however short */

/* Reads the "ids" of one special token into `ids`. */
static void read_token_ids(alloy_json *json, alloy_ids *ids)
{
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        if (!alloy_json_key_is(&key, "ids")) {
            alloy_json_skip(json);
            continue;
        }
        alloy_json_array(json);
        while (alloy_json_next_item(json))
            if (!alloy_ids_add(ids, (int64_t)alloy_json_uint64(json)))
                alloy_json_fail(json, ALLOY_NOMEM, "out of memory");
    }
}

/* The part "special_tokens" of a template: names, and the ids of each. */
struct specials {
    alloy_name_table names;
    alloy_ids ids;  /* of all names, one after the other */
    alloy_ids ends; /* [names.count] where those of a name end */
};

static void free_specials(struct specials *specials)
{
    alloy_name_table_free(&specials->names);
    alloy_ids_free(&specials->ids);
    alloy_ids_free(&specials->ends);
}

static alloy_status read_specials(const alloy_component *c, struct specials *specials)
{
    alloy_json json;
    alloy_json_string_view key;
    alloy_text name = {0};
    int64_t number;
    if (c->special_tokens.size == 0)
        return alloy_fail(ALLOY_FORMAT, "%s: TemplateProcessing without \"special_tokens\"", c->name);
    alloy_json_open(&json, c->name, c->special_tokens.json, c->special_tokens.size);
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key)) {
        alloy_text_clear(&name);
        alloy_status status = alloy_json_unescape(&key, &name);
        if (!status)
            status = alloy_name_table_add(&specials->names, alloy_text_get(&name), name.size, &number);
        if (status)
            alloy_json_fail(&json, status, "\"special_tokens\" cannot be kept");
        read_token_ids(&json, &specials->ids);
        if (!json.status && !alloy_ids_add(&specials->ends, specials->ids.count))
            alloy_json_fail(&json, ALLOY_NOMEM, "out of memory");
    }
    alloy_text_free(&name);
    return alloy_json_close(&json);
}

/* Appends the ids of the special token `name`. */
static alloy_status add_special(const alloy_component *c, const struct specials *specials, const alloy_text *name,
                                alloy_ids *ids)
{
    int64_t number = alloy_name_table_find(&specials->names, alloy_text_get(name), name->size);
    if (number < 0)
        return alloy_fail(ALLOY_FORMAT, "%s: the template's token \"%s\" is not among its special_tokens", c->name,
                          alloy_printable(alloy_text_get(name), name->size));
    for (int64_t i = number ? specials->ends.ids[number - 1] : 0; i < specials->ends.ids[number]; i++) {
        if (ids->count == MOST_IDS)
            return alloy_fail(ALLOY_LIMIT, "%s: a template adds more than %d tokens to a text", c->name, MOST_IDS);
        if (!alloy_ids_add(ids, specials->ids.ids[i]))
            return ALLOY_NOMEM;
    }
    return ALLOY_OK;
}

/* The "id" of a piece of the template. */
static void read_piece_id(alloy_json *json, alloy_text *id)
{
    alloy_json_string_view key;
    alloy_text_clear(id);
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        if (!alloy_json_key_is(&key, "id")) {
            alloy_json_skip(json);
            continue;
        }
        alloy_json_string_view view = alloy_json_string(json);
        if (alloy_json_unescape(&view, id))
            alloy_json_fail(json, ALLOY_NOMEM, "out of memory");
    }
}

/* One piece, {"SpecialToken": {"id": ...}} or {"Sequence": {"id": "A"}}. */
static alloy_status read_piece(alloy_json *json, const alloy_component *c, const struct specials *specials,
                               alloy_ids *before, alloy_ids *after, int *sequences)
{
    alloy_json_string_view key;
    alloy_text id = {0};
    alloy_status status = ALLOY_OK;
    alloy_json_object(json);
    while (!status && alloy_json_next_key(json, &key)) {
        bool special = alloy_json_key_is(&key, "SpecialToken");
        if (!special && !alloy_json_key_is(&key, "Sequence")) {
            alloy_json_fail(json, ALLOY_FORMAT, "a template is made of SpecialToken and Sequence, not \"%s\"",
                            alloy_printable(key.bytes, key.size));
            break;
        }
        read_piece_id(json, &id);
        if (json->status)
            break;
        if (special)
            status = add_special(c, specials, &id, *sequences ? after : before);
        else if (strcmp(alloy_text_get(&id), "A") != 0 || ++*sequences > 1)
            status = alloy_fail(ALLOY_FORMAT, "%s: a template for one text holds sequence A, once", c->name);
    }
    alloy_text_free(&id);
    return status;
}

/* Puts `inner` around what is there already: processors in a row work from the inside. */
static alloy_status wrap(alloy_post_processor *post, const alloy_ids *before, const alloy_ids *after)
{
    if (post->before.count + before->count > MOST_IDS || post->after.count + after->count > MOST_IDS)
        return alloy_fail(ALLOY_LIMIT, "post_processor: templates add more than %d tokens to a text", MOST_IDS);
    if (!alloy_ids_reserve(&post->before, before->count) || !alloy_ids_reserve(&post->after, after->count))
        return ALLOY_NOMEM;
    if (before->count > 0) {
        memmove(post->before.ids + before->count, post->before.ids, (size_t)post->before.count * sizeof(int64_t));
        memcpy(post->before.ids, before->ids, (size_t)before->count * sizeof(int64_t));
        post->before.count += before->count;
    }
    if (after->count > 0) {
        memcpy(post->after.ids + post->after.count, after->ids, (size_t)after->count * sizeof(int64_t));
        post->after.count += after->count;
    }
    return ALLOY_OK;
}

static alloy_status add_template(alloy_post_processor *post, const alloy_component *c)
{
    alloy_ids before = {0}, after = {0};
    struct specials specials = {0};
    alloy_json json;
    int sequences = 0;
    if (c->single.size == 0)
        return alloy_fail(ALLOY_FORMAT, "%s: TemplateProcessing without \"single\"", c->name);
    alloy_status status = read_specials(c, &specials);
    alloy_json_open(&json, c->name, c->single.json, c->single.size);
    alloy_json_array(&json);
    while (!status && alloy_json_next_item(&json))
        status = read_piece(&json, c, &specials, &before, &after, &sequences);
    alloy_status closed = alloy_json_close(&json);
    status = status ? status : closed;
    if (!status && sequences == 0)
        status = alloy_fail(ALLOY_FORMAT, "%s: a template for one text holds sequence A, once", c->name);
    if (!status)
        status = wrap(post, &before, &after);
    alloy_ids_free(&before);
    alloy_ids_free(&after);
    free_specials(&specials);
    return status;
}

static alloy_status take_post_processor(void *target, const alloy_component *c)
{
    if (alloy_component_is(c, "ByteLevel"))
        return ALLOY_OK;
    if (alloy_component_is(c, "TemplateProcessing"))
        return add_template(target, c);
    return alloy_component_unsupported(c, "Sequence, ByteLevel, TemplateProcessing");
}

alloy_status alloy_load_post_processor(alloy_post_processor *post_processor, alloy_part part)
{
    return alloy_component_read(part, take_post_processor, post_processor);
}
