/* Reads a tokenizer.json (tokenizer.h). The model is taken as it comes; the other parts are small, and are read when
 * the whole file has been walked over: they may refer to each other, in any order. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"
#include "tokenizer/class_map.h"
#include "tokenizer/load_model.h"
#include "tokenizer/tokenizer.h"

enum { SPARE_IDS = 65536 };

/* An added token as the file has it. */
struct listed {
    alloy_text text;
    int64_t id;
    bool single_word, left_strip, right_strip, normalized, special;
};

struct loader {
    alloy_tokenizer *tokenizer;
    const char *name;      /* of the file */
    alloy_budget budget;   /* of opening: for patterns, and for normalizing added tokens */
    struct listed *listed; /* [listed_count] */
    int64_t listed_count, listed_capacity;
    int64_t renumbered; /* added tokens that get another id than the file says: a warning for all of them */
    int64_t unfindable; /* that are never found: the same */
    /* size 0: absent or null */
    alloy_json_string_view normalizer, pretokenizer, decoder, post_processor, truncation, padding;
    bool has_model;
};

/* ---- Walking over the file --------------------------------------------------------------------------------------- */

static void read_listed(alloy_json *json, struct listed *token)
{
    alloy_json_string_view key;
    bool has_id = false;
    token->normalized = true;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        if (alloy_json_key_is(&key, "content")) {
            alloy_json_string_view view = alloy_json_string(json);
            if (alloy_json_unescape(&view, &token->text))
                alloy_json_fail(json, ALLOY_NOMEM, "out of memory");
        } else if (alloy_json_key_is(&key, "id")) {
            token->id = alloy_json_int64(json);
            has_id = true;
        } else if (alloy_json_key_is(&key, "single_word"))
            token->single_word = alloy_json_bool(json);
        else if (alloy_json_key_is(&key, "lstrip"))
            token->left_strip = alloy_json_bool(json);
        else if (alloy_json_key_is(&key, "rstrip"))
            token->right_strip = alloy_json_bool(json);
        else if (alloy_json_key_is(&key, "normalized"))
            token->normalized = alloy_json_bool(json);
        else if (alloy_json_key_is(&key, "special"))
            token->special = alloy_json_bool(json);
        else
            alloy_json_skip(json);
    }
    if (json->status)
        return;
    if (token->text.size == 0)
        alloy_json_fail(json, ALLOY_FORMAT, "an added token without \"content\", or with an empty one");
    else if (!has_id || token->id < 0 || token->id >= (int64_t)ALLOY_NO_TOKEN)
        alloy_json_fail(json, ALLOY_FORMAT, "added token \"%s\": id %lld, a number in 0..4294967294 is expected",
                        alloy_printable(token->text.bytes, token->text.size), has_id ? (long long)token->id : -1LL);
}

static void read_added_tokens(struct loader *l, alloy_json *json)
{
    if (alloy_json_null(json))
        return;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        struct listed *grown = alloy_memory_grow(l->listed, l->listed_count, &l->listed_capacity, sizeof *grown);
        if (!grown) {
            alloy_json_fail(json, ALLOY_NOMEM, "out of memory");
            return;
        }
        l->listed = grown;
        grown[l->listed_count] = (struct listed){0};
        read_listed(json, &grown[l->listed_count++]);
    }
}

static void read_version(alloy_json *json)
{
    if (alloy_json_null(json))
        return;
    alloy_json_string_view version = alloy_json_string(json);
    if (!json->status && !alloy_json_key_is(&version, "1.0"))
        alloy_json_fail(json, ALLOY_FORMAT, "version \"%s\" is not supported, \"1.0\" is",
                        alloy_printable(version.bytes, version.size));
}

static void read_section(struct loader *l, alloy_json *json, const alloy_json_string_view *key)
{
    struct {
        const char *name;
        alloy_json_string_view *part;
    } parts[] = {{"normalizer", &l->normalizer},         {"pre_tokenizer", &l->pretokenizer}, {"decoder", &l->decoder},
                 {"post_processor", &l->post_processor}, {"truncation", &l->truncation},      {"padding", &l->padding}};
    if (alloy_json_key_is(key, "model")) {
        alloy_load_model(json, &l->tokenizer->vocabulary, &l->tokenizer->bpe);
        l->has_model = true;
        return;
    }
    if (alloy_json_key_is(key, "added_tokens")) {
        read_added_tokens(l, json);
        return;
    }
    if (alloy_json_key_is(key, "version")) {
        read_version(json);
        return;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (alloy_json_key_is(key, parts[i].name)) {
            if (!alloy_json_null(json))
                *parts[i].part = alloy_json_raw(json);
            return;
        }
    alloy_json_skip(json);
}

/* ---- Putting it together ----------------------------------------------------------------------------------------- */

static alloy_status load_part(struct loader *l, const char *name, const alloy_json_string_view *raw, alloy_part *part,
                              alloy_text *full_name)
{
    alloy_text_clear(full_name);
    alloy_text_format(full_name, "%s: %s", l->name, name);
    *part = (alloy_part){alloy_text_get(full_name), raw->bytes, raw->size, &l->budget};
    return alloy_text_status(full_name);
}

static alloy_status load_parts(struct loader *l)
{
    alloy_tokenizer *t = l->tokenizer;
    alloy_text name = {0};
    alloy_part part;
    alloy_status status = ALLOY_OK;
    if (l->normalizer.size && !(status = load_part(l, "normalizer", &l->normalizer, &part, &name)))
        status = alloy_load_normalizer(&t->normalizer, part);
    if (!status && l->pretokenizer.size && !(status = load_part(l, "pre_tokenizer", &l->pretokenizer, &part, &name)))
        status = alloy_load_pretokenizer(&t->pretokenizer, part);
    if (!status && l->post_processor.size &&
        !(status = load_part(l, "post_processor", &l->post_processor, &part, &name)))
        status = alloy_load_post_processor(&t->post_processor, part);
    if (!status && l->decoder.size && !(status = load_part(l, "decoder", &l->decoder, &part, &name)))
        status = alloy_load_decoder(&t->decoder, part);
    if (!status && l->truncation.size && !(status = load_part(l, "truncation", &l->truncation, &part, &name)))
        status = alloy_check_truncation(part);
    if (!status && l->padding.size && !(status = load_part(l, "padding", &l->padding, &part, &name)))
        status = alloy_check_padding(part);
    alloy_text_free(&name);
    return status;
}

/* Does a step rewrite the whole text, for `tokenizers`? */
static bool rewrites(const alloy_normalizer_step *step)
{
    return step->kind == ALLOY_NORMALIZE_FORM || step->kind == ALLOY_NORMALIZE_LOWERCASE ||
           step->kind == ALLOY_NORMALIZE_STRIP;
}

/* What a Replace puts before the first character of a text, `tokenizers` doubles in each later step that rewrites the
 * text: refused, since neither that nor another answer is of use. */
static alloy_status check_replaces(const struct loader *l)
{
    const alloy_normalizer *n = &l->tokenizer->normalizer;
    const alloy_pretokenizer *p = &l->tokenizer->pretokenizer;
    bool rewritten = false;
    for (int64_t i = 0; i < p->count; i++)
        rewritten |= p->steps[i].kind == ALLOY_PRETOKENIZE_BYTES;
    for (int64_t i = n->count - 1; i >= 0; i--) {
        const alloy_normalizer_step *step = &n->steps[i];
        if (rewritten && step->kind == ALLOY_NORMALIZE_REPLACE && step->content.size > 0 &&
            alloy_pattern_may_be_empty(&step->pattern))
            return alloy_fail(ALLOY_FORMAT,
                              "%s: normalizer: a Replace whose pattern may match nothing, before a step that rewrites "
                              "the text (NFC and its like, Lowercase, Strip, ByteLevel), is not supported",
                              l->name);
        rewritten |= rewrites(step);
    }
    return ALLOY_OK;
}

/* A last step to byte characters is not taken: the model reads bytes. */
static void fold_byte_level(alloy_tokenizer *t)
{
    alloy_pretokenizer *p = &t->pretokenizer;
    t->bpe.byte_level = p->count > 0 && p->steps[p->count - 1].kind == ALLOY_PRETOKENIZE_BYTES;
    p->count -= t->bpe.byte_level;
}

/* No decoder means that tokens are shown with spaces between them. */
static alloy_status complete_decoder(struct loader *l)
{
    alloy_decoder_chain *chain = &l->tokenizer->decoder;
    if (l->decoder.size == 0) {
        chain->stages = alloy_memory_zeroed(1, sizeof *chain->stages);
        if (!chain->stages)
            return ALLOY_NOMEM;
        chain->stages[0].kind = ALLOY_DECODE_JOIN;
        chain->count = chain->capacity = 1;
    }
    size_t longest = 0; /* characters of a token are at most its bytes */
    const alloy_vocabulary *v = &l->tokenizer->vocabulary;
    for (int64_t id = 0; id < v->count; id++)
        longest = v->tokens[id].size > longest ? v->tokens[id].size : longest;
    for (int64_t i = 0; i < chain->count; i++)
        if (chain->stages[i].start > (int64_t)longest || chain->stages[i].stop > (int64_t)longest)
            return alloy_fail(
                ALLOY_FORMAT,
                "%s: decoder: Strip takes %lld off the start and %lld off the end, and no token is that long", l->name,
                (long long)chain->stages[i].start, (long long)chain->stages[i].stop);
    alloy_status status = alloy_decoder_chain_finish(chain);
    return status ? alloy_fail_in(status, l->name) : ALLOY_OK;
}

/* ---- Added tokens ------------------------------------------------------------------------------------------------ */

/* The id of an added token: that of the model's token with this text, else the next one after the model's tokens as
 * `tokenizers` counts, whatever the file says. Files say the same, or warnings are due. */
static alloy_status place_token(struct loader *l, const struct listed *listed, int64_t *next, uint32_t *id)
{
    alloy_vocabulary *v = &l->tokenizer->vocabulary;
    const char *shown = alloy_printable(listed->text.bytes, listed->text.size);
    *id = alloy_vocabulary_find_any(v, listed->text.bytes, listed->text.size);
    bool known = *id != ALLOY_NO_TOKEN;
    if (known && v->tokens[*id].flags & ALLOY_TOKEN_ADDED)
        return alloy_fail(ALLOY_FORMAT, "%s: added token \"%s\" is listed twice", l->name, shown);
    if (listed->id != (known ? (int64_t)*id : *next)) {
        if (alloy_vocabulary_has(v, listed->id))
            return alloy_fail(ALLOY_FORMAT, "%s: added token \"%s\" has id %lld, which is that of token \"%s\"",
                              l->name, shown, (long long)listed->id,
                              alloy_printable(alloy_vocabulary_text(v, listed->id), v->tokens[listed->id].size));
        if (listed->id >= 2 * v->model_count + l->listed_count + SPARE_IDS)
            return alloy_fail(ALLOY_FORMAT, "%s: added token \"%s\": id %lld is far beyond the number of tokens",
                              l->name, shown, (long long)listed->id);
        if (l->renumbered++ == 0)
            alloy_warn("%s: added token \"%s\" gets id %lld, not %lld as the file says (the tokenizers library counts "
                       "so)",
                       l->name, shown, (long long)(known ? (int64_t)*id : *next), (long long)listed->id);
    }
    if (!known) {
        if (alloy_vocabulary_has(v, *next))
            return alloy_fail(ALLOY_FORMAT, "%s: added token \"%s\" would get id %lld, which another token has",
                              l->name, shown, (long long)*next);
        *id = (uint32_t)(*next)++;
        alloy_status status = alloy_vocabulary_place(v, listed->text.bytes, listed->text.size, *id);
        if (status)
            return alloy_fail_in(status, l->name);
    }
    v->tokens[*id].flags |= ALLOY_TOKEN_ADDED | (listed->special ? ALLOY_TOKEN_SPECIAL : 0);
    return ALLOY_OK;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static alloy_status check_listed_ids(const struct loader *l)
{
    int64_t *ids = alloy_memory_new((size_t)l->listed_count, sizeof *ids);
    if (!ids)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < l->listed_count; i++)
        ids[i] = l->listed[i].id;
    qsort(ids, (size_t)l->listed_count, sizeof *ids, by_id);
    alloy_status status = ALLOY_OK;
    for (int64_t i = 1; i < l->listed_count && !status; i++)
        if (ids[i] == ids[i - 1])
            status = alloy_fail(ALLOY_FORMAT, "%s: two added tokens have the same id %lld", l->name, (long long)ids[i]);
    alloy_memory_free(ids);
    return status;
}

/* Puts a token among those that are looked for. One that is looked for in normalized text decodes to its normalized
 * form (as in `tokenizers` since 0.23). */
static alloy_status look_for(struct loader *l, const struct listed *listed, uint32_t id,
                             alloy_normalizer_scratch *scratch)
{
    alloy_tokenizer *t = l->tokenizer;
    alloy_added_token token = {id, listed->single_word, listed->left_strip, listed->right_strip, listed->special};
    const char *text = listed->text.bytes;
    size_t size = listed->text.size;
    if (!listed->normalized)
        return alloy_added_set_add(&t->added, text, size, &token);
    alloy_status status = alloy_normalize(&t->normalizer, scratch, text, size, &l->budget, NULL, &text, &size);
    if (!status && size == 0)
        status = alloy_fail(ALLOY_FORMAT, "added token \"%s\": nothing is left of it when it is normalized",
                            alloy_printable(listed->text.bytes, listed->text.size));
    if (!status && (size != listed->text.size || memcmp(text, listed->text.bytes, size) != 0))
        status = alloy_vocabulary_show(&t->vocabulary, id, text, size);
    int64_t before = t->added_normalized.token_count;
    if (!status)
        status = alloy_added_set_add(&t->added_normalized, text, size, &token);
    if (!status && t->added_normalized.token_count == before && l->unfindable++ == 0)
        alloy_warn("%s: added token \"%s\" is never found: the normalizer makes of it what it makes of one before it",
                   l->name, alloy_printable(listed->text.bytes, listed->text.size));
    return status;
}

/* Marks what decoding without special tokens leaves out: tokens that decode to the content of a special token (added.c
 * says why). */
static void mark_skipped(struct loader *l, const uint32_t *ids)
{
    alloy_vocabulary *v = &l->tokenizer->vocabulary;
    for (int64_t i = 0; i < l->listed_count; i++) {
        size_t size;
        const char *text = alloy_vocabulary_shown(v, ids[i], &size);
        uint32_t same = alloy_vocabulary_find_any(v, text, size);
        if (same != ALLOY_NO_TOKEN && v->tokens[same].flags & ALLOY_TOKEN_SPECIAL)
            v->tokens[ids[i]].flags |= ALLOY_TOKEN_SKIPPED;
    }
}

/* What was warned of once holds for more. */
static void warn_of_more(const struct loader *l)
{
    if (l->renumbered > 1)
        alloy_warn("%s: %lld more added tokens get other ids than the file says", l->name,
                   (long long)l->renumbered - 1);
    if (l->unfindable > 1)
        alloy_warn("%s: %lld more added tokens are never found", l->name, (long long)l->unfindable - 1);
}

static alloy_status load_added_tokens(struct loader *l)
{
    alloy_normalizer_scratch scratch = {0};
    int64_t next = l->tokenizer->vocabulary.model_count;
    uint32_t *ids = alloy_memory_new((size_t)l->listed_count, sizeof *ids);
    alloy_status status = ids ? check_listed_ids(l) : ALLOY_NOMEM;
    for (int64_t i = 0; i < l->listed_count && !status; i++)
        status = place_token(l, &l->listed[i], &next, &ids[i]);
    for (int64_t i = 0; i < l->listed_count && !status; i++)
        if ((status = look_for(l, &l->listed[i], ids[i], &scratch)))
            alloy_fail_in(status, l->name);
    if (!status)
        mark_skipped(l, ids);
    warn_of_more(l);
    alloy_normalizer_scratch_free(&scratch);
    alloy_memory_free(ids);
    return status;
}

/* ---- Checks of the whole ----------------------------------------------------------------------------------------- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* Where bytes have tokens, what looks like one must be one. */
static alloy_status check_byte_tokens(const struct loader *l)
{
    const alloy_tokenizer *t = l->tokenizer;
    const alloy_vocabulary *v = &t->vocabulary;
    bool used = t->bpe.byte_fallback;
    for (int64_t i = 0; i < t->decoder.count; i++)
        used |= t->decoder.stages[i].kind == ALLOY_DECODE_BYTE_FALLBACK;
    for (int64_t id = 0; id < v->count && used; id++) {
        const char *text = v->tokens[id].size == 6 ? alloy_vocabulary_text(v, id) : NULL;
        if (text && memcmp(text, "<0x", 3) == 0 && text[5] == '>' && !(is_hex(text[3]) && is_hex(text[4])))
            return alloy_fail(ALLOY_FORMAT, "%s: token \"%s\" is no byte: <0x00> to <0xFF> are expected", l->name,
                              alloy_printable(text, 6));
    }
    return ALLOY_OK;
}

static alloy_status check_post_processor(const struct loader *l)
{
    const alloy_ids *sides[] = {&l->tokenizer->post_processor.before, &l->tokenizer->post_processor.after};
    for (int side = 0; side < 2; side++)
        for (int64_t i = 0; i < sides[side]->count; i++)
            if (!alloy_vocabulary_has(&l->tokenizer->vocabulary, sides[side]->ids[i]))
                return alloy_fail(ALLOY_FORMAT, "%s: post_processor: the template's id %lld has no token", l->name,
                                  (long long)sides[side]->ids[i]);
    return ALLOY_OK;
}

static alloy_status assemble(struct loader *l)
{
    if (!l->has_model)
        return alloy_fail(ALLOY_FORMAT, "%s: no \"model\": not a tokenizer.json", l->name);
    alloy_status status = load_parts(l);
    if (!status)
        status = check_replaces(l);
    if (status)
        return status;
    fold_byte_level(l->tokenizer);
    if ((status = alloy_bpe_finish(&l->tokenizer->bpe)))
        return alloy_fail_in(status, l->name);
    if (!status)
        status = load_added_tokens(l);
    if (!status)
        status = complete_decoder(l);
    if (!status)
        status = check_byte_tokens(l);
    return status ? status : check_post_processor(l);
}

alloy_status alloy_tokenizer_load(alloy_tokenizer *tokenizer, const char *name, const char *text, size_t size)
{
    struct loader l = {.tokenizer = tokenizer, .name = name};
    alloy_budget_open(&l.budget, size);
    alloy_json json;
    alloy_json_string_view key;
    alloy_json_open(&json, name, text, size);
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key))
        read_section(&l, &json, &key);
    alloy_status status = alloy_json_close(&json);
    if (!status)
        status = assemble(&l);
    for (int64_t i = 0; i < l.listed_count; i++)
        alloy_text_free(&l.listed[i].text);
    alloy_memory_free(l.listed);
    return status;
}
