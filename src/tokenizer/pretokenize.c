/* Pre-tokenizers (pretokenize.h). */
#include "tokenizer/pretokenize.h"

#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "tokenizer/byte_map.h"

#define PART "the pre_tokenizer"

enum { STEPS_A_PIECE = 16 };

void alloy_pretokenizer_close(alloy_pretokenizer *pretokenizer)
{
    for (int64_t i = 0; i < pretokenizer->count; i++) {
        alloy_pattern_close(&pretokenizer->steps[i].pattern);
        alloy_text_free(&pretokenizer->steps[i].content);
    }
    alloy_memory_free(pretokenizer->steps);
    *pretokenizer = (alloy_pretokenizer){0};
}

void alloy_pretokenizer_scratch_free(alloy_pretokenizer_scratch *scratch)
{
    for (int i = 0; i < ALLOY_MOST_PRETOKENIZER_STEPS; i++) {
        alloy_pattern_scan_close(&scratch->steps[i].scan);
        alloy_text_free(&scratch->steps[i].text);
    }
}

/* A piece on its way through the steps. */
struct walk {
    const alloy_pretokenizer *pretokenizer;
    alloy_pretokenizer_scratch *scratch;
    int64_t step; /* the next one */
};

static alloy_status pass_on(struct walk walk, const char *text, size_t size, size_t origin);

static size_t origin_after(size_t origin, size_t start)
{
    return origin > start ? origin - start : 0;
}

/* ---- Splits ------------------------------------------------------------------------------------------------------ */

/* Stretches of the text, matches and what lies between them, come in their order and leave joined as the behaviour
 * says. */
struct split {
    struct walk walk;
    const alloy_pretokenizer_step *step;
    const char *text;
    size_t origin;
    size_t start, end; /* what waits to leave */
    bool waiting;
    bool last_matched; /* was the last stretch a match? */
};

static alloy_status leave(struct split *split)
{
    bool waiting = split->waiting;
    split->waiting = false;
    if (!waiting || split->end == split->start)
        return ALLOY_OK;
    return pass_on(split->walk, split->text + split->start, split->end - split->start,
                   origin_after(split->origin, split->start));
}

/* Does this stretch join the one before it? */
static bool joins(const struct split *split, bool matched)
{
    switch (split->step->behavior) {
    case ALLOY_SPLIT_CONTIGUOUS:
        return matched == split->last_matched;
    case ALLOY_SPLIT_MERGED_WITH_PREVIOUS:
        return matched && !split->last_matched;
    case ALLOY_SPLIT_MERGED_WITH_NEXT:
        return !matched && split->last_matched;
    default:
        return false;
    }
}

static alloy_status add_stretch(struct split *split, size_t start, size_t end, bool matched)
{
    alloy_status status = ALLOY_OK;
    matched ^= split->step->invert;
    if (split->waiting && joins(split, matched)) {
        split->end = end;
    } else {
        status = leave(split);
        split->start = start;
        split->end = end;
        split->waiting = !(matched && split->step->behavior == ALLOY_SPLIT_REMOVED);
    }
    split->last_matched = matched;
    return status;
}

static alloy_status split_text(struct walk walk, const char *text, size_t size, size_t origin)
{
    const alloy_pretokenizer_step *step = &walk.pretokenizer->steps[walk.step];
    alloy_pattern_scan *scan = &walk.scratch->steps[walk.step].scan;
    struct split split = {
        .walk = {walk.pretokenizer, walk.scratch, walk.step + 1}, .step = step, .text = text, .origin = origin};
    alloy_status status = alloy_pattern_scan_begin(scan, &step->pattern, text, size, walk.scratch->budget);
    size_t done = 0, start, end;
    bool found;
    while (!status && !(status = alloy_pattern_scan_next(scan, &found, &start, &end)) && found) {
        if (done < start)
            status = add_stretch(&split, done, start, false);
        if (!status)
            status = add_stretch(&split, start, end, true);
        done = end;
    }
    if (!status && done < size)
        status = add_stretch(&split, done, size, false);
    return status ? status : leave(&split);
}

/* ---- The other steps --------------------------------------------------------------------------------------------- */

static alloy_status cut_by_length(struct walk walk, const char *text, size_t size, size_t origin)
{
    int64_t length = walk.pretokenizer->steps[walk.step].length;
    walk.step++;
    for (size_t start = 0, end = 0; start < size; start = end) {
        for (int64_t n = 0; n < length && end < size; n++)
            end += alloy_code_length((uint8_t)text[end]);
        alloy_status status = pass_on(walk, text + start, end - start, origin_after(origin, start));
        if (status)
            return status;
    }
    return ALLOY_OK;
}

static void replace_spaces(const alloy_text *content, const char *text, size_t size, alloy_text *out)
{
    const char *end = text + size, *space;
    while (text < end && (space = memchr(text, ' ', (size_t)(end - text)))) {
        alloy_text_append(out, text, (size_t)(space - text));
        alloy_text_append(out, content->bytes, content->size);
        text = space + 1;
    }
    alloy_text_append(out, text, (size_t)(end - text));
}

static void spell_bytes(const char *text, size_t size, alloy_text *out)
{
    if (!alloy_text_reserve(out, 2 * size))
        return;
    for (size_t i = 0; i < size; i++)
        out->size += alloy_utf8_put(alloy_byte_to_code((uint8_t)text[i]), out->bytes + out->size);
    out->bytes[out->size] = 0;
}

static bool begins_with(const char *text, size_t size, const alloy_text *content)
{
    return size >= content->size && memcmp(text, content->bytes, content->size) == 0;
}

/* A step that changes text; it grows to four times its size at most before that is charged. */
static alloy_status rewrite(struct walk walk, const char *text, size_t size, size_t origin)
{
    const alloy_pretokenizer_step *step = &walk.pretokenizer->steps[walk.step];
    alloy_text *out = &walk.scratch->steps[walk.step].text;
    walk.step++;
    alloy_text_clear(out);
    if (step->kind == ALLOY_PRETOKENIZE_PREFIX) {
        if ((step->first_only && origin == 0) || begins_with(text, size, &step->content))
            return pass_on(walk, text, size, origin);
        alloy_text_append(out, step->content.bytes, step->content.size);
        alloy_text_append(out, text, size);
        origin += origin > 0 ? step->content.size : 0;
    } else if (step->kind == ALLOY_PRETOKENIZE_REPLACE) {
        replace_spaces(&step->content, text, origin, out);
        size_t first = out->size;
        replace_spaces(&step->content, text + origin, size - origin, out);
        origin = first;
    } else {
        spell_bytes(text, origin, out);
        size_t first = out->size;
        spell_bytes(text + origin, size - origin, out);
        origin = first;
    }
    alloy_status status = alloy_text_status(out);
    if (!status)
        status = alloy_budget_grow(walk.scratch->budget, size, out->size, PART);
    return status ? status : pass_on(walk, alloy_text_get(out), out->size, origin);
}

static alloy_status pass_on(struct walk walk, const char *text, size_t size, size_t origin)
{
    if (walk.step == walk.pretokenizer->count)
        return walk.scratch->take(walk.scratch->user, text, size);
    origin = origin < size ? origin : size;
    alloy_status status = alloy_budget_charge(walk.scratch->budget, size + STEPS_A_PIECE, PART);
    if (status)
        return status;
    switch (walk.pretokenizer->steps[walk.step].kind) {
    case ALLOY_PRETOKENIZE_SPLIT:
        return split_text(walk, text, size, origin);
    case ALLOY_PRETOKENIZE_LENGTH:
        return cut_by_length(walk, text, size, origin);
    default:
        return rewrite(walk, text, size, origin);
    }
}

alloy_status alloy_pretokenize(const alloy_pretokenizer *pretokenizer, alloy_pretokenizer_scratch *scratch,
                               const char *text, size_t size, size_t origin)
{
    return size == 0 ? ALLOY_OK : pass_on((struct walk){pretokenizer, scratch, 0}, text, size, origin);
}
