/* Normalizers (normalize.h). */
#include "tokenizer/normalize.h"

#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

#define PART "the normalizer"

void alloy_normalizer_close(alloy_normalizer *normalizer)
{
    for (int64_t i = 0; i < normalizer->count; i++) {
        alloy_form_map_close(&normalizer->steps[i].form_map);
        alloy_pattern_close(&normalizer->steps[i].pattern);
        alloy_text_free(&normalizer->steps[i].content);
    }
    alloy_memory_free(normalizer->steps);
    *normalizer = (alloy_normalizer){0};
}

void alloy_normalizer_scratch_free(alloy_normalizer_scratch *scratch)
{
    alloy_text_free(&scratch->text[0]);
    alloy_text_free(&scratch->text[1]);
    alloy_pattern_scan_close(&scratch->scan);
    alloy_form_scratch_free(&scratch->forms);
}

static void strip(const alloy_normalizer_step *step, const char **text, size_t *size, size_t *origin)
{
    const uint8_t *s = (const uint8_t *)*text;
    size_t first = 0, end = *size, length;
    while (step->left && first < end && alloy_unicode_has(alloy_unicode_white_space, alloy_code_at(s + first, &length)))
        first += length;
    while (step->right && end > first) {
        size_t last = end - 1;
        while ((s[last] & 0xC0) == 0x80)
            last--;
        if (!alloy_unicode_has(alloy_unicode_white_space, alloy_code_at(s + last, &length)))
            break;
        end = last;
    }
    *text += first;
    *size = end - first;
    *origin = *origin > first ? *origin - first : 0;
    *origin = *origin < *size ? *origin : *size;
}

/* Appends text[start..end); *first: how many bytes of `out` come from the first `origin` of the text. */
static void append_part(alloy_text *out, const char *text, size_t start, size_t end, size_t origin, size_t *first)
{
    if (start < origin)
        *first = out->size + (end < origin ? end : origin) - start;
    alloy_text_append(out, text + start, end - start);
}

/* What replaces a match comes from the match's last character. */
static alloy_status replace(const alloy_normalizer_step *step, alloy_pattern_scan *scan, const char *text, size_t size,
                            alloy_budget *budget, bool at_start, size_t *origin, alloy_text *out)
{
    alloy_status status = alloy_pattern_scan_begin(scan, &step->pattern, text, size, budget);
    size_t copied = 0, start, end, first = 0;
    bool found = true;
    while (!status && !(status = alloy_pattern_scan_next(scan, &found, &start, &end)) && found) {
        status = alloy_budget_allows(budget, end, out->size + start - copied + step->content.size, PART);
        if (status)
            break;
        append_part(out, text, copied, start, *origin, &first);
        alloy_text_append(out, step->content.bytes, step->content.size);
        if (end > 0 ? end <= *origin : at_start)
            first = out->size;
        copied = end;
    }
    append_part(out, text, copied, size, *origin, &first);
    *origin = first;
    return status ? status : alloy_text_status(out);
}

static alloy_status prepend(const alloy_normalizer_step *step, const char *text, size_t size, alloy_budget *budget,
                            size_t *origin, alloy_text *out)
{
    size_t more = size > 0 ? step->content.size : 0;
    alloy_status status = alloy_budget_allows(budget, size, size + more, PART);
    if (status)
        return status;
    alloy_text_append(out, step->content.bytes, more);
    alloy_text_append(out, text, size);
    *origin += *origin > 0 ? more : 0;
    return alloy_text_status(out);
}

static uint32_t small_letter(uint32_t code)
{
    size_t low = 0, high = alloy_unicode_lower_run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (alloy_unicode_lower_runs[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == alloy_unicode_lower_run_count)
        return code;
    const alloy_unicode_lower_run *run = &alloy_unicode_lower_runs[low];
    if (code < run->first || (code - run->first) % run->step != 0)
        return code;
    return (uint32_t)((int32_t)code + run->delta);
}

/* Character by character, so a capital sigma becomes the usual small one also at the end of a word. */
static alloy_status lowercase(const char *text, size_t size, size_t *origin, alloy_text *out)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t length, first = 0;
    for (size_t at = 0; at < size; at += length) {
        uint32_t code = alloy_code_at(s + at, &length);
        if (!alloy_text_reserve(out, 4))
            break;
        if (code == 0x130) /* a capital i with a dot becomes two characters */
            alloy_text_string(out, "i\xCC\x87");
        else
            out->size += alloy_utf8_put(small_letter(code), out->bytes + out->size);
        if (at < *origin)
            first = out->size;
    }
    *origin = first;
    return alloy_text_status(out);
}

/* How many bytes of whole characters two texts begin with in common. */
static size_t common_characters(const alloy_text *a, const alloy_text *b)
{
    size_t at = 0, length;
    for (; at < a->size && at < b->size; at += length) {
        length = alloy_code_length((uint8_t)a->bytes[at]);
        if (at + length > a->size || at + length > b->size || memcmp(a->bytes + at, b->bytes + at, length) != 0)
            break;
    }
    return at;
}

/* The first characters become what they become alone, but the last of them may be composed with what follows. */
static alloy_status apply_form(const alloy_normalizer_step *step, alloy_normalizer_scratch *scratch, const char *text,
                               size_t size, alloy_budget *budget, size_t *origin, alloy_text *out)
{
    alloy_text alone = {0};
    alloy_status status = alloy_form_apply(&step->form_map, step->form, &scratch->forms, text, size, budget, out);
    if (!status && *origin > 0)
        status = alloy_form_apply(&step->form_map, step->form, &scratch->forms, text, *origin, budget, &alone);
    if (!status && *origin > 0) {
        *origin = common_characters(&alone, out);
        if (*origin < alone.size && *origin < out->size)
            *origin += alloy_code_length((uint8_t)out->bytes[*origin]);
    }
    alloy_text_free(&alone);
    return status;
}

static alloy_status apply(const alloy_normalizer_step *step, alloy_normalizer_scratch *scratch, const char *text,
                          size_t size, alloy_budget *budget, bool at_start, size_t *origin, alloy_text *out)
{
    switch (step->kind) {
    case ALLOY_NORMALIZE_FORM:
        return apply_form(step, scratch, text, size, budget, origin, out);
    case ALLOY_NORMALIZE_REPLACE:
        return replace(step, &scratch->scan, text, size, budget, at_start, origin, out);
    case ALLOY_NORMALIZE_PREPEND:
        return prepend(step, text, size, budget, origin, out);
    default:
        return lowercase(text, size, origin, out);
    }
}

alloy_status alloy_normalize(const alloy_normalizer *normalizer, alloy_normalizer_scratch *scratch, const char *text,
                             size_t size, alloy_budget *budget, size_t *origin, const char **out, size_t *out_size)
{
    size_t unwanted = 0;
    int turn = 0;
    origin = origin ? origin : &unwanted;
    bool at_start = *origin > 0;
    for (int64_t i = 0; i < normalizer->count; i++) {
        const alloy_normalizer_step *step = &normalizer->steps[i];
        if (step->kind == ALLOY_NORMALIZE_STRIP) {
            strip(step, &text, &size, origin);
            continue;
        }
        alloy_text *to = &scratch->text[turn];
        alloy_text_clear(to);
        alloy_status status = apply(step, scratch, text, size, budget, at_start, origin, to);
        if (!status)
            status = alloy_budget_grow(budget, size, to->size, PART);
        if (!status)
            status = alloy_budget_charge(budget, (uint64_t)size + to->size, PART);
        if (status)
            return status;
        text = alloy_text_get(to);
        size = to->size;
        turn = !turn;
    }
    *out = text;
    *out_size = size;
    return ALLOY_OK;
}
