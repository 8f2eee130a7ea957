/* Reads the model of a tokenizer.json (load_model.h), in one pass over its megabytes. Merges can only be understood
 * with the vocabulary, so where they stand before it they are read again after it. */
#include "tokenizer/load_model.h"

#include <string.h>

#include "base/status.h"

/* Bytes of continuing_subword_prefix and of end_of_word_suffix: they are joined to each character of a text. */
enum { MOST_AFFIX = 32 };

struct model {
    alloy_json *json;
    alloy_vocabulary *vocabulary;
    alloy_bpe *bpe;
    alloy_text scratch[2];
    bool has_vocabulary, has_merges, merges_read;
    alloy_json_string_view merges; /* of merges that stand before the vocabulary */
};

/* A string's value: where it stands, or in scratch memory when it holds escapes. */
static const char *value_of(struct model *m, const alloy_json_string_view *view, int which, size_t *size)
{
    *size = view->size;
    if (!view->escaped)
        return view->bytes;
    alloy_text *scratch = &m->scratch[which];
    alloy_text_clear(scratch);
    if (alloy_json_unescape(view, scratch))
        alloy_json_fail(m->json, ALLOY_NOMEM, "out of memory");
    *size = scratch->size;
    return alloy_text_get(scratch);
}

/* Gives a failure of another room's function its place in the file. */
static void check(struct model *m, alloy_status status)
{
    if (status && !m->json->status)
        alloy_json_fail(m->json, status, "%s", alloy_error());
}

static void read_vocabulary(struct model *m)
{
    alloy_json_string_view key;
    if (alloy_json_peek(m->json) == ALLOY_JSON_ARRAY) {
        alloy_json_fail(m->json, ALLOY_FORMAT,
                        "a vocabulary in a list belongs to a Unigram model, which is not supported: only BPE is");
        return;
    }
    alloy_json_object(m->json);
    while (alloy_json_next_key(m->json, &key)) {
        size_t size;
        int64_t id = alloy_json_int64(m->json);
        if (m->json->status)
            return;
        const char *text = value_of(m, &key, 0, &size);
        check(m, alloy_vocabulary_add(m->vocabulary, text, size, id));
    }
    if (!m->json->status)
        check(m, alloy_vocabulary_finish(m->vocabulary));
    m->has_vocabulary = true;
}

/* "left right" */
static void read_merge_text(struct model *m, alloy_json *json)
{
    alloy_json_string_view view = alloy_json_string(json);
    size_t size;
    const char *text = value_of(m, &view, 0, &size);
    const char *space = size > 0 ? memchr(text, ' ', size) : NULL;
    if (json->status)
        return;
    if (!space || memchr(space + 1, ' ', size - (size_t)(space + 1 - text))) {
        alloy_json_fail(json, ALLOY_FORMAT, "merge %lld is \"%s\"; two parts with one space between them are expected",
                        (long long)m->bpe->merge_count, alloy_printable(text, size));
        return;
    }
    size_t left = (size_t)(space - text);
    check(m, alloy_bpe_add_merge(m->bpe, text, left, space + 1, size - left - 1));
}

/* ["left", "right"] */
static void read_merge_pair(struct model *m, alloy_json *json)
{
    alloy_json_string_view parts[2];
    int count = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        alloy_json_string_view view = alloy_json_string(json);
        if (count < 2)
            parts[count] = view;
        count++;
    }
    if (json->status)
        return;
    if (count != 2) {
        alloy_json_fail(json, ALLOY_FORMAT, "merge %lld has %d parts, 2 are expected", (long long)m->bpe->merge_count,
                        count);
        return;
    }
    size_t sizes[2];
    const char *left = value_of(m, &parts[0], 0, &sizes[0]), *right = value_of(m, &parts[1], 1, &sizes[1]);
    check(m, alloy_bpe_add_merge(m->bpe, left, sizes[0], right, sizes[1]));
}

static void read_merges(struct model *m, alloy_json *json)
{
    alloy_json *whole = m->json;
    m->json = json;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        if (alloy_json_peek(json) == ALLOY_JSON_ARRAY)
            read_merge_pair(m, json);
        else
            read_merge_text(m, json);
    }
    m->json = whole;
    m->merges_read = true;
}

static void read_early_merges(struct model *m)
{
    alloy_json json;
    alloy_json_open(&json, "model: merges", m->merges.bytes, m->merges.size);
    read_merges(m, &json);
    check(m, alloy_json_close(&json));
}

static void read_option_text(struct model *m, alloy_text *text, bool *has)
{
    if (alloy_json_null(m->json))
        return;
    alloy_json_string_view view = alloy_json_string(m->json);
    alloy_text_clear(text);
    if (alloy_json_unescape(&view, text))
        alloy_json_fail(m->json, ALLOY_NOMEM, "out of memory");
    if (has)
        *has = true;
    else if (text->size > MOST_AFFIX)
        alloy_json_fail(m->json, ALLOY_LIMIT, "a prefix or suffix of symbols has %zu bytes, at most %d are allowed",
                        text->size, MOST_AFFIX);
    if (text == &m->bpe->prefix && text->size > 0 && m->merges_read)
        alloy_json_fail(m->json, ALLOY_FORMAT,
                        "continuing_subword_prefix stands after the merges that it changes: not supported");
}

static void read_type(struct model *m)
{
    alloy_json_string_view type = alloy_json_string(m->json);
    if (!m->json->status && !alloy_json_key_is(&type, "BPE"))
        alloy_json_fail(m->json, ALLOY_FORMAT, "model type \"%s\" is not supported: only BPE is",
                        alloy_printable(type.bytes, type.size));
}

static void read_dropout(struct model *m)
{
    if (!alloy_json_null(m->json) && alloy_json_double(m->json) != 0)
        alloy_json_fail(m->json, ALLOY_FORMAT, "dropout is not supported: ids would be random");
}

static void read_flag(struct model *m, bool *flag)
{
    if (!alloy_json_null(m->json))
        *flag = alloy_json_bool(m->json);
}

static void read_field(struct model *m, const alloy_json_string_view *key)
{
    alloy_bpe *bpe = m->bpe;
    if (alloy_json_key_is(key, "vocab"))
        read_vocabulary(m);
    else if (alloy_json_key_is(key, "merges")) {
        m->has_merges = true;
        if (m->has_vocabulary)
            read_merges(m, m->json);
        else
            m->merges = alloy_json_raw(m->json);
    } else if (alloy_json_key_is(key, "type"))
        read_type(m);
    else if (alloy_json_key_is(key, "dropout"))
        read_dropout(m);
    else if (alloy_json_key_is(key, "unk_token"))
        read_option_text(m, &bpe->unknown, &bpe->has_unknown);
    else if (alloy_json_key_is(key, "continuing_subword_prefix"))
        read_option_text(m, &bpe->prefix, NULL);
    else if (alloy_json_key_is(key, "end_of_word_suffix"))
        read_option_text(m, &bpe->suffix, NULL);
    else if (alloy_json_key_is(key, "fuse_unk"))
        read_flag(m, &bpe->fuse_unknown);
    else if (alloy_json_key_is(key, "byte_fallback"))
        read_flag(m, &bpe->byte_fallback);
    else if (alloy_json_key_is(key, "ignore_merges"))
        read_flag(m, &bpe->ignore_merges);
    else
        alloy_json_skip(m->json);
}

void alloy_load_model(alloy_json *json, alloy_vocabulary *vocabulary, alloy_bpe *bpe)
{
    struct model m = {.json = json, .vocabulary = vocabulary, .bpe = bpe};
    alloy_json_string_view key;
    bpe->vocabulary = vocabulary;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key))
        read_field(&m, &key);
    if (!json->status && (!m.has_vocabulary || !m.has_merges))
        alloy_json_fail(json, ALLOY_FORMAT, "a model without \"%s\"", m.has_vocabulary ? "merges" : "vocab");
    if (!json->status && !m.merges_read)
        read_early_merges(&m);
    alloy_text_free(&m.scratch[0]);
    alloy_text_free(&m.scratch[1]);
}
