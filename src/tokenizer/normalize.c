/* Normalizers (normalize.h). */
#include "tokenizer/normalize.h"

#include "base/memory.h"
#include "base/utf8.h"

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

static void strip(const alloy_normalizer_step *step, const char **text, size_t *size)
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
}

static alloy_status replace(const alloy_normalizer_step *step, alloy_pattern_scan *scan, const char *text, size_t size,
                            uint64_t *fuel, alloy_text *out)
{
    alloy_status status = alloy_pattern_scan_begin(scan, &step->pattern, text, size, fuel);
    size_t copied = 0, start, end;
    bool found = true;
    while (!status && !(status = alloy_pattern_scan_next(scan, &found, &start, &end)) && found) {
        alloy_text_append(out, text + copied, start - copied);
        alloy_text_append(out, step->content.bytes, step->content.size);
        copied = end;
    }
    alloy_text_append(out, text + copied, size - copied);
    return status ? status : alloy_text_status(out);
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
static alloy_status lowercase(const char *text, size_t size, alloy_text *out)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t length;
    for (size_t at = 0; at < size; at += length) {
        uint32_t code = alloy_code_at(s + at, &length);
        if (!alloy_text_reserve(out, 4))
            break;
        if (code == 0x130) /* a capital i with a dot becomes two characters */
            alloy_text_string(out, "i\xCC\x87");
        else
            out->size += alloy_utf8_put(small_letter(code), out->bytes + out->size);
    }
    return alloy_text_status(out);
}

static alloy_status apply(const alloy_normalizer_step *step, alloy_normalizer_scratch *scratch, const char *text,
                          size_t size, uint64_t *fuel, alloy_text *out)
{
    switch (step->kind) {
    case ALLOY_NORMALIZE_FORM:
        return alloy_form_apply(&step->form_map, step->form, &scratch->forms, text, size, out);
    case ALLOY_NORMALIZE_REPLACE:
        return replace(step, &scratch->scan, text, size, fuel, out);
    case ALLOY_NORMALIZE_PREPEND:
        if (size > 0)
            alloy_text_append(out, step->content.bytes, step->content.size);
        alloy_text_append(out, text, size);
        return alloy_text_status(out);
    default:
        return lowercase(text, size, out);
    }
}

alloy_status alloy_normalize(const alloy_normalizer *normalizer, alloy_normalizer_scratch *scratch, const char *text,
                             size_t size, uint64_t *fuel, const char **out, size_t *out_size)
{
    int turn = 0;
    for (int64_t i = 0; i < normalizer->count; i++) {
        const alloy_normalizer_step *step = &normalizer->steps[i];
        if (step->kind == ALLOY_NORMALIZE_STRIP) {
            strip(step, &text, &size);
            continue;
        }
        alloy_text *to = &scratch->text[turn];
        alloy_text_clear(to);
        alloy_status status = apply(step, scratch, text, size, fuel, to);
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
