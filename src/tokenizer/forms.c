/* Normal forms (forms.h). utf8proc decomposes single characters and composes; what it would do in quadratic time,
 * ordering marks, is done here by counting. */
#include "tokenizer/forms.h"

#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"

#define PART "the normalizer"

enum { LEFT_ALONE, MAY_CHANGE, INERT };
enum { MOST_PARTS = 32, SHORT_RUN = 16, STEPS_A_BYTE = 8 };

alloy_status alloy_form_map_open(alloy_form_map *map, alloy_form form)
{
    *map = (alloy_form_map){0};
    alloy_code_set sets[2] = {{0}, {0}}; /* may change, inert */
    bool of_set[2][256];
    if (form == ALLOY_NFC)
        alloy_code_set_add_list(&sets[0], alloy_unicode_nfc_active);
    else
        alloy_code_set_add_range(&sets[0], 0x80, ALLOY_UNICODE_END - 1);
    alloy_code_set_add_list(&sets[1], alloy_unicode_unassigned_9);
    alloy_status status = alloy_class_map_open(&map->map, sets, 2, of_set);
    for (int c = 0; c < 256 && !status; c++)
        map->kind[c] = of_set[1][c] ? INERT : of_set[0][c] ? MAY_CHANGE : LEFT_ALONE;
    alloy_code_set_free(&sets[0]);
    alloy_code_set_free(&sets[1]);
    return status;
}

void alloy_form_map_close(alloy_form_map *map)
{
    alloy_class_map_close(&map->map);
}

void alloy_form_scratch_free(alloy_form_scratch *scratch)
{
    alloy_memory_free(scratch->codes);
    alloy_memory_free(scratch->sorted);
    *scratch = (alloy_form_scratch){0};
}

static bool reserve(alloy_form_scratch *scratch, size_t count)
{
    if (count <= scratch->capacity)
        return true;
    size_t capacity = count + count / 2 + 64;
    int32_t *codes = alloy_memory_resize(scratch->codes, capacity, sizeof *codes);
    if (codes)
        scratch->codes = codes;
    int32_t *sorted = codes ? alloy_memory_resize(scratch->sorted, capacity, sizeof *sorted) : NULL;
    if (!sorted)
        return false;
    scratch->sorted = sorted;
    scratch->capacity = capacity;
    return true;
}

static unsigned combining_class(int32_t code)
{
    return (unsigned)utf8proc_get_property(code)->combining_class & 0xFF;
}

/* Orders a run of marks by their class, equal ones as they stand. */
static void order_run(int32_t *codes, int32_t *sorted, size_t count)
{
    if (count <= SHORT_RUN) {
        for (size_t i = 1; i < count; i++) {
            int32_t code = codes[i];
            unsigned class = combining_class(code);
            size_t j = i;
            for (; j > 0 && combining_class(codes[j - 1]) > class; j--)
                codes[j] = codes[j - 1];
            codes[j] = code;
        }
        return;
    }
    size_t first[257] = {0};
    for (size_t i = 0; i < count; i++)
        first[combining_class(codes[i]) + 1]++;
    for (int class = 0; class < 256; class ++)
        first[class + 1] += first[class];
    for (size_t i = 0; i < count; i++)
        sorted[first[combining_class(codes[i])]++] = codes[i];
    memcpy(codes, sorted, count * sizeof *codes);
}

static void order_marks(alloy_form_scratch *scratch, size_t count)
{
    size_t i = 0;
    while (i < count) {
        size_t first = i;
        while (i < count && combining_class(scratch->codes[i]) != 0)
            i++;
        if (i - first > 1)
            order_run(scratch->codes + first, scratch->sorted, i - first);
        i += i == first;
    }
}

/* The characters of text that belong together, in their normal form. */
static alloy_status apply_to_stretch(alloy_form form, alloy_form_scratch *scratch, const uint8_t *text, size_t size,
                                     alloy_budget *budget, alloy_text *out)
{
    bool compose = form == ALLOY_NFC || form == ALLOY_NFKC, compatible = form == ALLOY_NFKC || form == ALLOY_NFKD;
    utf8proc_option_t decompose = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    size_t count = 0, length;
    alloy_status status = alloy_budget_charge(budget, (uint64_t)STEPS_A_BYTE * size, PART);
    for (size_t at = 0; at < size && !status; at += length) {
        if (!reserve(scratch, count + MOST_PARTS))
            return ALLOY_NOMEM;
        int32_t code = (int32_t)alloy_code_at(text + at, &length);
        utf8proc_ssize_t parts = utf8proc_decompose_char(code, scratch->codes + count, MOST_PARTS, decompose, NULL);
        if (parts < 0 || parts > MOST_PARTS)
            return alloy_fail(ALLOY_FORMAT, "character U+%04X cannot be decomposed", (unsigned)code);
        count += (size_t)parts;
        status = alloy_budget_allows(budget, at + length, count, PART); /* a part is at least a byte */
    }
    if (status)
        return status;
    order_marks(scratch, count);
    if (compose) {
        utf8proc_ssize_t composed =
            utf8proc_normalize_utf32(scratch->codes, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (composed < 0)
            return alloy_fail(ALLOY_FORMAT, "text cannot be composed: %s", utf8proc_errmsg(composed));
        count = (size_t)composed;
    }
    if (!alloy_text_reserve(out, 4 * count))
        return ALLOY_NOMEM;
    for (size_t i = 0; i < count; i++)
        out->size += alloy_utf8_put((uint32_t)scratch->codes[i], out->bytes + out->size);
    out->bytes[out->size] = 0;
    return ALLOY_OK;
}

alloy_status alloy_form_apply(const alloy_form_map *map, alloy_form form, alloy_form_scratch *scratch, const char *text,
                              size_t size, alloy_budget *budget, alloy_text *out)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t copied = 0;      /* what is in `out` already */
    size_t before = 0;      /* the character before `at`, which a change may reach */
    bool reachable = false; /* is there one? */
    size_t length;
    for (size_t at = 0; at < size;) {
        uint8_t kind = s[at] < 0x80 ? LEFT_ALONE : map->kind[alloy_class_of(&map->map, alloy_code_at(s + at, &length))];
        if (kind != MAY_CHANGE) {
            before = at;
            reachable = kind != INERT;
            at += alloy_code_length(s[at]);
            continue;
        }
        size_t first = reachable ? before : at;
        while (at < size && s[at] >= 0x80 &&
               map->kind[alloy_class_of(&map->map, alloy_code_at(s + at, &length))] == MAY_CHANGE)
            at += length;
        alloy_text_append(out, s + copied, first - copied);
        alloy_status status = apply_to_stretch(form, scratch, s + first, at - first, budget, out);
        if (!status)
            status = alloy_budget_allows(budget, at, out->size, PART);
        if (status)
            return status;
        copied = at;
        reachable = false;
    }
    alloy_text_append(out, s + copied, size - copied);
    return alloy_text_status(out);
}
