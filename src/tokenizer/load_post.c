/* Reads the post-processor of a tokenizer.json (tokenizer.h): what it puts around a text. ByteLevel changes offsets
 * only, which Alloy does not have. */
#include <string.h>

#include "base/status.h"
#include "files/json.h"
#include "tokenizer/component.h"
#include "tokenizer/ids.h"

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

/* Appends the ids that "special_tokens" has for `name`. */
static alloy_status find_special(const alloy_component *c, const alloy_text *name, alloy_ids *ids)
{
    alloy_json json;
    alloy_json_string_view key;
    alloy_text text = {0};
    bool found = false;
    if (c->special_tokens.size == 0)
        return alloy_fail(ALLOY_FORMAT, "%s: TemplateProcessing without \"special_tokens\"", c->name);
    alloy_json_open(&json, c->name, c->special_tokens.json, c->special_tokens.size);
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key)) {
        alloy_text_clear(&text);
        if (alloy_json_unescape(&key, &text))
            alloy_json_fail(&json, ALLOY_NOMEM, "out of memory");
        if (text.size == name->size && memcmp(alloy_text_get(&text), alloy_text_get(name), text.size) == 0) {
            read_token_ids(&json, ids);
            found = true;
        } else {
            alloy_json_skip(&json);
        }
    }
    alloy_status status = alloy_json_close(&json);
    alloy_text_free(&text);
    if (!status && !found)
        status = alloy_fail(ALLOY_FORMAT, "%s: the template's token \"%s\" is not among its special_tokens", c->name,
                            alloy_printable(alloy_text_get(name), name->size));
    return status;
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
static alloy_status read_piece(alloy_json *json, const alloy_component *c, alloy_ids *before, alloy_ids *after,
                               int *sequences)
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
            status = find_special(c, &id, *sequences ? after : before);
        else if (strcmp(alloy_text_get(&id), "A") != 0 || ++*sequences > 1)
            status = alloy_fail(ALLOY_FORMAT, "%s: a template for one text holds sequence A, once", c->name);
    }
    alloy_text_free(&id);
    return status;
}

/* Puts `inner` around what is there already: processors in a row work from the inside. */
static alloy_status wrap(alloy_post_processor *post, const alloy_ids *before, const alloy_ids *after)
{
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
    alloy_json json;
    alloy_status status = ALLOY_OK;
    int sequences = 0;
    if (c->single.size == 0)
        return alloy_fail(ALLOY_FORMAT, "%s: TemplateProcessing without \"single\"", c->name);
    alloy_json_open(&json, c->name, c->single.json, c->single.size);
    alloy_json_array(&json);
    while (!status && alloy_json_next_item(&json))
        status = read_piece(&json, c, &before, &after, &sequences);
    alloy_status closed = alloy_json_close(&json);
    status = status ? status : closed;
    if (!status && sequences == 0)
        status = alloy_fail(ALLOY_FORMAT, "%s: a template for one text holds sequence A, once", c->name);
    if (!status)
        status = wrap(post, &before, &after);
    alloy_ids_free(&before);
    alloy_ids_free(&after);
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
