/* Reads the normalizer, the pre-tokenizer and the decoder of a tokenizer.json, and checks truncation and padding
 * (tokenizer.h). Each component becomes one or more primitive steps. */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"
#include "tokenizer/component.h"

enum { MOST_NORMALIZERS = 32 };

/* ---- Normalizers ------------------------------------------------------------------------------------------------- */

static alloy_normalizer_step *new_normalizer(alloy_normalizer *normalizer, alloy_normalizer_kind kind)
{
    alloy_normalizer_step *steps =
        alloy_memory_grow(normalizer->steps, normalizer->count, &normalizer->capacity, sizeof *steps);
    if (!steps)
        return NULL;
    normalizer->steps = steps;
    steps[normalizer->count] = (alloy_normalizer_step){.kind = kind};
    return &steps[normalizer->count++];
}

static alloy_status add_form(alloy_normalizer *normalizer, alloy_form form)
{
    alloy_normalizer_step *step = new_normalizer(normalizer, ALLOY_NORMALIZE_FORM);
    if (!step)
        return ALLOY_NOMEM;
    step->form = form;
    return alloy_form_map_open(&step->form_map, form);
}

/* Characters of base64 in groups of four, at most two = at the end. */
static bool is_base64(const alloy_text *text)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = text->size;
    if (size % 4 != 0)
        return false;
    for (int i = 0; i < 2 && size > 0 && text->bytes[size - 1] == '='; i++)
        size--;
    for (size_t i = 0; i < size; i++)
        if (!memchr(alphabet, text->bytes[i], sizeof alphabet - 1))
            return false;
    return true;
}

static alloy_status take_normalizer(void *target, const alloy_component *c)
{
    static const char known[] = "Sequence, NFC, NFD, NFKC, NFKD, Strip, Replace, Prepend, Lowercase";
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"}; /* in the order of alloy_form */
    alloy_normalizer *normalizer = target;
    alloy_normalizer_step *step;
    if (normalizer->count == MOST_NORMALIZERS)
        return alloy_fail(ALLOY_LIMIT, "%s: more than %d normalizers", c->name, MOST_NORMALIZERS);
    for (int i = 0; i < 4; i++)
        if (alloy_component_is(c, forms[i]))
            return add_form(normalizer, (alloy_form)i);
    if (alloy_component_is(c, "Lowercase"))
        return new_normalizer(normalizer, ALLOY_NORMALIZE_LOWERCASE) ? ALLOY_OK : ALLOY_NOMEM;
    if (alloy_component_is(c, "Strip")) {
        if (!(step = new_normalizer(normalizer, ALLOY_NORMALIZE_STRIP)))
            return ALLOY_NOMEM;
        step->left = c->strip_left;
        step->right = c->strip_right;
        return ALLOY_OK;
    }
    if (alloy_component_is(c, "Prepend") && c->prepend.size == 0) /* the library doubles the first character */
        return alloy_fail(ALLOY_FORMAT, "%s: Prepend: a \"prepend\" that is not empty is expected", c->name);
    if (alloy_component_is(c, "Prepend"))
        return (step = new_normalizer(normalizer, ALLOY_NORMALIZE_PREPEND))
                   ? alloy_component_copy(&step->content, &c->prepend)
                   : ALLOY_NOMEM;
    if (alloy_component_is(c, "Replace")) {
        if (!(step = new_normalizer(normalizer, ALLOY_NORMALIZE_REPLACE)))
            return ALLOY_NOMEM;
        alloy_status status = alloy_component_pattern(c, &step->pattern);
        if (!status && !c->has_content)
            status = alloy_fail(ALLOY_FORMAT, "%s: Replace without \"content\"", c->name);
        return status ? status : alloy_component_copy(&step->content, &c->content);
    }
    if (alloy_component_is(c, "Precompiled") && (!c->has_charsmap || !is_base64(&c->charsmap)))
        return alloy_fail(ALLOY_FORMAT,
                          "%s: Precompiled: \"precompiled_charsmap\" is not base64 (and Precompiled is not supported)",
                          c->name);
    return alloy_component_unsupported(c, known);
}

alloy_status alloy_load_normalizer(alloy_normalizer *normalizer, alloy_part part)
{
    return alloy_component_read(part, take_normalizer, normalizer);
}

/* ---- Pre-tokenizers ---------------------------------------------------------------------------------------------- */

static alloy_pretokenizer_step *new_step(alloy_pretokenizer *pretokenizer, alloy_pretokenizer_kind kind)
{
    if (pretokenizer->count == ALLOY_MOST_PRETOKENIZER_STEPS) {
        alloy_fail(ALLOY_LIMIT, "pre_tokenizer: more than %d steps", ALLOY_MOST_PRETOKENIZER_STEPS);
        return NULL;
    }
    alloy_pretokenizer_step *steps =
        alloy_memory_grow(pretokenizer->steps, pretokenizer->count, &pretokenizer->capacity, sizeof *steps);
    if (!steps)
        return NULL;
    pretokenizer->steps = steps;
    steps[pretokenizer->count] = (alloy_pretokenizer_step){.kind = kind};
    return &steps[pretokenizer->count++];
}

static alloy_status add_text_step(alloy_pretokenizer *pretokenizer, alloy_pretokenizer_kind kind, const char *content,
                                  size_t size, bool first_only)
{
    alloy_pretokenizer_step *step = new_step(pretokenizer, kind);
    if (!step)
        return alloy_last_status();
    step->first_only = first_only;
    alloy_text_append(&step->content, content, size);
    return alloy_text_status(&step->content);
}

/* A split by the characters of a set, which is freed. */
static alloy_status add_set_split(alloy_pretokenizer *pretokenizer, alloy_code_set *set, alloy_split_behavior behavior)
{
    alloy_pretokenizer_step *step = new_step(pretokenizer, ALLOY_PRETOKENIZE_SPLIT);
    alloy_status status = step ? alloy_pattern_open_set(&step->pattern, set) : alloy_last_status();
    if (step)
        step->behavior = behavior;
    alloy_code_set_free(set);
    return status;
}

static alloy_status read_behavior(const alloy_component *c, alloy_split_behavior *behavior)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    for (int i = 0; i < 5; i++)
        if (strcmp(alloy_text_get(&c->behavior), names[i]) == 0) {
            *behavior = (alloy_split_behavior)i;
            return ALLOY_OK;
        }
    return alloy_fail(ALLOY_FORMAT,
                      "%s: %s: \"behavior\" is \"%s\"; Removed, Isolated, MergedWithPrevious, MergedWithNext or "
                      "Contiguous is expected",
                      c->name, alloy_text_get(&c->type),
                      alloy_printable(alloy_text_get(&c->behavior), c->behavior.size));
}

static alloy_status add_split(alloy_pretokenizer *pretokenizer, const alloy_component *c)
{
    alloy_split_behavior behavior = ALLOY_SPLIT_REMOVED;
    alloy_status status = read_behavior(c, &behavior);
    alloy_pretokenizer_step *step = status ? NULL : new_step(pretokenizer, ALLOY_PRETOKENIZE_SPLIT);
    if (!step)
        return status ? status : alloy_last_status();
    step->behavior = behavior;
    step->invert = c->invert;
    return alloy_component_pattern(c, &step->pattern);
}

static alloy_status add_byte_level(alloy_pretokenizer *pretokenizer, const alloy_component *c)
{
    /* GPT-2's */
    static const char regex[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    alloy_status status = ALLOY_OK;
    if (c->add_prefix_space)
        status = add_text_step(pretokenizer, ALLOY_PRETOKENIZE_PREFIX, " ", 1, false);
    if (!status && c->use_regex) {
        alloy_pretokenizer_step *step = new_step(pretokenizer, ALLOY_PRETOKENIZE_SPLIT);
        if (!step)
            return alloy_last_status();
        step->behavior = ALLOY_SPLIT_ISOLATED;
        status = alloy_pattern_open_regex(&step->pattern, regex, sizeof regex - 1, c->budget);
    }
    if (!status && !new_step(pretokenizer, ALLOY_PRETOKENIZE_BYTES))
        status = alloy_last_status();
    return status;
}

static alloy_status add_metaspace(alloy_pretokenizer *pretokenizer, const alloy_component *c)
{
    alloy_prepend prepend = ALLOY_PREPEND_NEVER;
    const alloy_text *mark = &c->replacement;
    alloy_status status = alloy_component_one_character(c, "replacement", mark);
    if (!status)
        status = alloy_component_prepend(c, &prepend);
    if (!status)
        status = add_text_step(pretokenizer, ALLOY_PRETOKENIZE_REPLACE, mark->bytes, mark->size, false);
    if (!status && prepend != ALLOY_PREPEND_NEVER)
        status = add_text_step(pretokenizer, ALLOY_PRETOKENIZE_PREFIX, mark->bytes, mark->size,
                               prepend == ALLOY_PREPEND_FIRST);
    if (status || !c->split)
        return status;
    alloy_pretokenizer_step *step = new_step(pretokenizer, ALLOY_PRETOKENIZE_SPLIT);
    if (!step)
        return alloy_last_status();
    step->behavior = ALLOY_SPLIT_MERGED_WITH_NEXT;
    return alloy_pattern_open_string(&step->pattern, mark->bytes, mark->size);
}

static alloy_status add_punctuation(alloy_pretokenizer *pretokenizer, const alloy_component *c)
{
    alloy_split_behavior behavior = ALLOY_SPLIT_ISOLATED;
    alloy_status status = c->behavior.size > 0 ? read_behavior(c, &behavior) : ALLOY_OK;
    if (status)
        return status;
    alloy_code_set set = {0};
    alloy_code_set_add_list(&set, alloy_unicode_punctuation_8);
    alloy_code_set_add_range(&set, '!', '/');
    alloy_code_set_add_range(&set, ':', '@');
    alloy_code_set_add_range(&set, '[', '`');
    alloy_code_set_add_range(&set, '{', '~');
    return add_set_split(pretokenizer, &set, behavior);
}

static alloy_status add_length(alloy_pretokenizer *pretokenizer, const alloy_component *c)
{
    if (c->length < 1)
        return alloy_fail(ALLOY_FORMAT, "%s: FixedLength: \"length\" is %lld, at least 1 is expected", c->name,
                          (long long)c->length);
    alloy_pretokenizer_step *step = new_step(pretokenizer, ALLOY_PRETOKENIZE_LENGTH);
    if (!step)
        return alloy_last_status();
    step->length = c->length;
    return ALLOY_OK;
}

static alloy_status take_pretokenizer(void *target, const alloy_component *c)
{
    static const char known[] =
        "Sequence, Split, ByteLevel, Metaspace, Digits, Punctuation, FixedLength, WhitespaceSplit";
    alloy_code_set set = {0};
    if (alloy_component_is(c, "Split"))
        return add_split(target, c);
    if (alloy_component_is(c, "ByteLevel"))
        return add_byte_level(target, c);
    if (alloy_component_is(c, "Metaspace"))
        return add_metaspace(target, c);
    if (alloy_component_is(c, "Digits")) {
        alloy_code_set_add_list(&set, alloy_unicode_numbers_17);
        return add_set_split(target, &set, c->individual_digits ? ALLOY_SPLIT_ISOLATED : ALLOY_SPLIT_CONTIGUOUS);
    }
    if (alloy_component_is(c, "Punctuation"))
        return add_punctuation(target, c);
    if (alloy_component_is(c, "FixedLength"))
        return add_length(target, c);
    if (alloy_component_is(c, "WhitespaceSplit")) {
        alloy_code_set_add_list(&set, alloy_unicode_white_space);
        return add_set_split(target, &set, ALLOY_SPLIT_REMOVED);
    }
    return alloy_component_unsupported(c, known);
}

alloy_status alloy_load_pretokenizer(alloy_pretokenizer *pretokenizer, alloy_part part)
{
    return alloy_component_read(part, take_pretokenizer, pretokenizer);
}

/* ---- Decoders ---------------------------------------------------------------------------------------------------- */

static alloy_status fill_decoder(alloy_decoder_stage *stage, const alloy_component *c)
{
    alloy_status status = ALLOY_OK;
    alloy_prepend prepend = ALLOY_PREPEND_NEVER;
    switch (stage->kind) {
    case ALLOY_DECODE_STRIP:
        stage->start = c->start;
        stage->stop = c->stop;
        status = alloy_component_one_character(c, "content", &c->content);
        return status ? status : alloy_component_copy(&stage->content, &c->content);
    case ALLOY_DECODE_REPLACE:
        status = alloy_component_pattern(c, &stage->pattern);
        if (!status && !c->has_content)
            status = alloy_fail(ALLOY_FORMAT, "%s: Replace without \"content\"", c->name);
        return status ? status : alloy_component_copy(&stage->content, &c->content);
    case ALLOY_DECODE_METASPACE:
        status = alloy_component_one_character(c, "replacement", &c->replacement);
        if (!status)
            status = alloy_component_prepend(c, &prepend);
        if (status)
            return status;
        stage->drop_first = prepend != ALLOY_PREPEND_NEVER;
        return alloy_component_copy(&stage->content, &c->replacement);
    default:
        return ALLOY_OK;
    }
}

static alloy_status take_decoder(void *target, const alloy_component *c)
{
    static const char *const names[] = {"ByteLevel", "ByteFallback", "Fuse",
                                        "Strip",     "Replace",      "Metaspace"}; /* as in alloy_decoder_kind */
    alloy_decoder_chain *chain = target;
    int kind = 0;
    while (kind < 6 && !alloy_component_is(c, names[kind]))
        kind++;
    if (kind == 6)
        return alloy_component_unsupported(c, "Sequence, ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace");
    if (chain->count == ALLOY_MOST_DECODER_STAGES)
        return alloy_fail(ALLOY_LIMIT, "%s: more than %d decoders", c->name, ALLOY_MOST_DECODER_STAGES);
    alloy_decoder_stage *stages = alloy_memory_grow(chain->stages, chain->count, &chain->capacity, sizeof *stages);
    if (!stages)
        return ALLOY_NOMEM;
    chain->stages = stages;
    stages[chain->count] = (alloy_decoder_stage){.kind = (alloy_decoder_kind)kind};
    return fill_decoder(&stages[chain->count++], c);
}

alloy_status alloy_load_decoder(alloy_decoder_chain *decoder, alloy_part part)
{
    return alloy_component_read(part, take_decoder, decoder);
}

/* ---- Truncation and padding: checked, not applied ---------------------------------------------------------------- */

alloy_status alloy_check_truncation(alloy_part part)
{
    alloy_json json;
    alloy_json_string_view key;
    uint64_t length = UINT64_MAX, stride = 0;
    alloy_json_open(&json, part.name, part.json, part.size);
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key))
        if (alloy_json_key_is(&key, "max_length"))
            length = alloy_json_uint64(&json);
        else if (alloy_json_key_is(&key, "stride"))
            stride = alloy_json_uint64(&json);
        else
            alloy_json_skip(&json);
    alloy_status status = alloy_json_close(&json);
    if (!status && stride >= length)
        status = alloy_fail(ALLOY_FORMAT, "%s: \"stride\" %llu is not below \"max_length\" %llu", part.name,
                            (unsigned long long)stride, (unsigned long long)length);
    return status;
}

alloy_status alloy_check_padding(alloy_part part)
{
    alloy_json json;
    alloy_json_string_view key;
    bool fixed = false;
    uint64_t length = 0;
    alloy_json_open(&json, part.name, part.json, part.size);
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key)) {
        if (!alloy_json_key_is(&key, "strategy") || alloy_json_peek(&json) != ALLOY_JSON_OBJECT) {
            alloy_json_skip(&json);
            continue;
        }
        alloy_json_object(&json);
        while (alloy_json_next_key(&json, &key)) {
            fixed = true;
            length = alloy_json_uint64(&json);
        }
    }
    alloy_status status = alloy_json_close(&json);
    if (!status && fixed && length == 0)
        status = alloy_fail(ALLOY_FORMAT, "%s: a fixed length of 0", part.name);
    return status;
}
