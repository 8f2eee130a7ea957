/* Regular expressions over classes of characters (regex.h).
 *
 * Matching is anchored and the walk from one start to the next is ours: a table of the classes that a match can begin
 * with skips most places, and every call's limit bounds exactly one place. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex.h"

#include <pcre2.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "tokenizer/class_map.h"
#include "tokenizer/regex_parse.h"

#define PART "a regular expression"

enum {
    FEW_STEPS = 16,      /* of the first try */
    FEW_CHARACTERS = 64, /* that the first try may look at */
    STEPS_A_TRY = 32,    /* charged for it, with one for each item of the pattern */
    CALLOUT_BYTES = 6,   /* of a compiled pattern, at each of its items */
    STEPS_A_CALLOUT = 8, /* charged at each item of the pattern, beside the characters */
    HEAP = 16 * 1024,    /* KiB of backtracking memory of the interpreter, twice that while it grows */
    CLASSES = 256,
};

struct alloy_regex {
    pcre2_general_context *memory;
    pcre2_code *code;    /* for the first try */
    pcre2_code *counted; /* the same with callouts */
    alloy_class_map map;
    size_t longest_repeat; /* characters that an item looks at without a callout */
    bool compiled;         /* to machine code, which is tried first */
    uint64_t try_steps;    /* charged for that */
    bool has_width;        /* no match is empty */
    bool starts[CLASSES];  /* a match may begin with this class */
};

struct alloy_regex_scan {
    const alloy_regex *regex;
    const uint8_t *text; /* [size] */
    size_t size;
    uint8_t *classes; /* [length] of the text's characters */
    size_t length, capacity;
    size_t at;       /* character where the next match may begin */
    size_t at_byte;  /* the same as a byte of the text */
    size_t last_end; /* character where the last match ended; SIZE_MAX before one */
    alloy_budget *budget;
    size_t callout_at; /* where the last callout was */
    pcre2_general_context *memory;
    pcre2_match_context *match, *counting; /* of the first try and of the second */
    pcre2_match_data *data;
};

static void *take_memory(PCRE2_SIZE size, void *unused)
{
    (void)unused;
    return alloy_memory_new(size, 1);
}

static void give_memory(void *memory, void *unused)
{
    (void)unused;
    alloy_memory_free(memory);
}

/* ---- Compiling --------------------------------------------------------------------------------------------------- */

static void write_byte(alloy_text *out, int byte)
{
    alloy_text_format(out, "\\x%02x", (unsigned)byte);
}

/* A set as a class of bytes: `in[c]` for the classes 0 to count - 1. */
static void write_set(alloy_text *out, const bool *in, int count)
{
    int members = 0, last = 0;
    for (int c = 0; c < count; c++)
        if (in[c]) {
            members++;
            last = c;
        }
    if (members == 0) {
        alloy_text_string(out, "[^\\x00-\\xff]");
        return;
    }
    if (members == 1) {
        write_byte(out, last);
        return;
    }
    alloy_text_char(out, '[');
    for (int c = 0; c < count; c++) {
        if (!in[c])
            continue;
        int first = c;
        while (c + 1 < count && in[c + 1])
            c++;
        write_byte(out, first);
        if (c > first) {
            alloy_text_char(out, '-');
            write_byte(out, c);
        }
    }
    alloy_text_char(out, ']');
}

/* The pattern over classes. */
static alloy_status write_pattern(alloy_text *out, const alloy_regex_parts *parts, bool (*of_set)[256], int class_count)
{
    const char *from = parts->text.bytes, *end = from + parts->text.size;
    while (from < end) {
        if (*from != ALLOY_REGEX_SET_MARK) {
            alloy_text_char(out, *from++);
            continue;
        }
        int set = (uint8_t)from[1] | (uint8_t)from[2] << 8;
        write_set(out, of_set[set], class_count);
        from += 3;
    }
    return alloy_text_status(out);
}

/* NULL with *error set; 0 stands for memory that ran out. */
static pcre2_code *compile(const alloy_regex *regex, const alloy_text *pattern, uint32_t options, int *error)
{
    enum { HEAP_FAILED = 121 };
    pcre2_compile_context *context = pcre2_compile_context_create(regex->memory);
    PCRE2_SIZE at;
    pcre2_code *code = NULL;
    *error = 0;
    if (context)
        code = pcre2_compile((PCRE2_SPTR)alloy_text_get(pattern), pattern->size,
                             options | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_DOTALL,
                             error, &at, context);
    if (*error == HEAP_FAILED)
        *error = 0;
    pcre2_compile_context_free(context);
    return code;
}

/* What a match can begin with. PCRE2 tells it of patterns that are not anchored. */
static void find_starts(alloy_regex *regex, const pcre2_code *free_code)
{
    uint32_t least = 0, empty = 1, kind = 0, unit = 0;
    const uint8_t *bits = NULL;
    pcre2_pattern_info(free_code, PCRE2_INFO_MINLENGTH, &least);
    pcre2_pattern_info(free_code, PCRE2_INFO_MATCHEMPTY, &empty);
    pcre2_pattern_info(free_code, PCRE2_INFO_FIRSTBITMAP, &bits);
    pcre2_pattern_info(free_code, PCRE2_INFO_FIRSTCODETYPE, &kind);
    pcre2_pattern_info(free_code, PCRE2_INFO_FIRSTCODEUNIT, &unit);
    regex->has_width = least > 0 && !empty; /* the least length counts what a look ahead needs */
    for (unsigned c = 0; c < CLASSES; c++)
        regex->starts[c] = kind == 1 ? c == unit : bits ? bits[c / 8] >> (c % 8) & 1 : true;
}

/* Charges the file's budget for a pattern that is compiled: a short one can be made to take megabytes. */
static alloy_status charge_compiled(alloy_regex *regex, const char *source, size_t source_size, alloy_budget *budget)
{
    size_t code = 0, counted = 0, machine = 0;
    pcre2_pattern_info(regex->code, PCRE2_INFO_SIZE, &code);
    pcre2_pattern_info(regex->counted, PCRE2_INFO_SIZE, &counted);
    pcre2_pattern_info(regex->code, PCRE2_INFO_JITSIZE, &machine);
    size_t bytes = code + counted + machine;
    if (bytes > budget->growth)
        return alloy_fail(ALLOY_LIMIT, "regular expression \"%s\": too large when it is compiled",
                          alloy_printable(source, source_size));
    budget->growth -= bytes;
    regex->try_steps = STEPS_A_TRY + (counted - code) / CALLOUT_BYTES;
    return ALLOY_OK;
}

static alloy_status compile_pattern(alloy_regex *regex, const alloy_text *pattern, const char *source,
                                    size_t source_size, alloy_budget *budget)
{
    int error;
    pcre2_code *free_code = compile(regex, pattern, 0, &error);
    if (free_code) {
        find_starts(regex, free_code);
        regex->code = compile(regex, pattern, PCRE2_ANCHORED, &error);
        if (regex->code)
            regex->counted = compile(regex, pattern, PCRE2_ANCHORED | PCRE2_AUTO_CALLOUT, &error);
        pcre2_code_free(free_code);
    }
    if (!regex->counted && error == 0)
        return alloy_fail(ALLOY_NOMEM, "out of memory: a regular expression");
    if (!regex->counted) {
        char message[160] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof message);
        return alloy_fail(ALLOY_FORMAT, "regular expression \"%s\": %s", alloy_printable(source, source_size), message);
    }
    if (regex->compiled)
        regex->compiled = pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD) == 0;
    return charge_compiled(regex, source, source_size, budget);
}

static alloy_status build(alloy_regex *regex, const alloy_regex_parts *parts, const char *source, size_t source_size,
                          alloy_budget *budget)
{
    alloy_text pattern = {0};
    size_t count = (size_t)parts->set_count;
    bool(*of_set)[256] = alloy_memory_new(count + 1, sizeof *of_set);
    if (!of_set)
        return ALLOY_NOMEM;
    alloy_status status = alloy_class_map_open(&regex->map, parts->sets, count, of_set);
    if (status == ALLOY_LIMIT)
        alloy_fail_in(status, "regular expression");
    if (!status)
        status = write_pattern(&pattern, parts, of_set, regex->map.class_count);
    regex->longest_repeat = (size_t)parts->longest_repeat;
    regex->compiled = !parts->looks_far;
    if (!status)
        status = compile_pattern(regex, &pattern, source, source_size, budget);
    alloy_memory_free(of_set);
    alloy_text_free(&pattern);
    return status;
}

alloy_status alloy_regex_open(alloy_regex **out, const char *pattern, size_t size, alloy_budget *budget)
{
    *out = NULL;
    alloy_regex_parts parts;
    alloy_status status = alloy_regex_parse(&parts, pattern, size);
    if (status)
        return status;
    alloy_regex *regex = alloy_memory_zeroed(1, sizeof *regex);
    if (!regex) {
        status = ALLOY_NOMEM;
    } else {
        regex->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
        status = regex->memory ? build(regex, &parts, pattern, size, budget) : ALLOY_NOMEM;
    }
    alloy_regex_parts_free(&parts);
    if (status)
        alloy_regex_close(regex);
    else
        *out = regex;
    return status;
}

bool alloy_regex_may_be_empty(const alloy_regex *regex)
{
    return !regex->has_width;
}

void alloy_regex_close(alloy_regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    pcre2_code_free(regex->counted);
    pcre2_general_context_free(regex->memory);
    alloy_class_map_close(&regex->map);
    alloy_memory_free(regex);
}

/* ---- Matching ---------------------------------------------------------------------------------------------------- */

/* A callout: the match has come to another item of the pattern. What it passed on its way, forward or back, it has
 * looked at; an item that needs so many characters can fail at the last of them. */
static int count(pcre2_callout_block *block, void *user)
{
    alloy_regex_scan *scan = user;
    size_t at = block->current_position, from = scan->callout_at;
    uint64_t steps = STEPS_A_CALLOUT + scan->regex->longest_repeat + (at > from ? at - from : from - at);
    scan->callout_at = at;
    if (steps > scan->budget->steps)
        return PCRE2_ERROR_CALLOUT;
    scan->budget->steps -= steps;
    return 0;
}

alloy_status alloy_regex_scan_open(alloy_regex_scan **out)
{
    alloy_regex_scan *scan = *out = alloy_memory_zeroed(1, sizeof *scan);
    if (!scan)
        return ALLOY_NOMEM;
    scan->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    if (scan->memory) {
        scan->match = pcre2_match_context_create(scan->memory);
        scan->counting = pcre2_match_context_create(scan->memory);
        scan->data = pcre2_match_data_create(1, scan->memory);
    }
    if (!scan->match || !scan->counting || !scan->data) {
        alloy_regex_scan_close(scan);
        *out = NULL;
        return ALLOY_NOMEM;
    }
    pcre2_set_match_limit(scan->match, FEW_STEPS);
    pcre2_set_match_limit(scan->counting, UINT32_MAX);
    pcre2_set_heap_limit(scan->counting, HEAP);
    pcre2_set_callout(scan->counting, count, scan);
    return ALLOY_OK;
}

void alloy_regex_scan_close(alloy_regex_scan *scan)
{
    if (!scan)
        return;
    pcre2_match_data_free(scan->data);
    pcre2_match_context_free(scan->match);
    pcre2_match_context_free(scan->counting);
    pcre2_general_context_free(scan->memory);
    alloy_memory_free(scan->classes);
    alloy_memory_free(scan);
}

alloy_status alloy_regex_scan_begin(alloy_regex_scan *scan, const alloy_regex *regex, const char *text, size_t size,
                                    alloy_budget *budget)
{
    if (size > scan->capacity) {
        size_t capacity = size + size / 2 + 64;
        uint8_t *grown = alloy_memory_resize(scan->classes, capacity, 1);
        if (!grown)
            return ALLOY_NOMEM;
        scan->classes = grown;
        scan->capacity = capacity;
    }
    scan->regex = regex;
    scan->text = (const uint8_t *)text;
    scan->size = size;
    scan->length = alloy_class_map_text(&regex->map, text, size, scan->classes);
    scan->at = scan->at_byte = 0;
    scan->last_end = SIZE_MAX;
    scan->budget = budget;
    return ALLOY_OK;
}

/* Where classes are matched; never NULL, which PCRE2 does not take. */
static PCRE2_SPTR subject_of(const alloy_regex_scan *scan)
{
    static const uint8_t nothing[1];
    return scan->length ? scan->classes : nothing;
}

/* A match at scan->at within a few characters. PARTIAL: it came to their end before the text's. */
static int try_match(alloy_regex_scan *scan)
{
    const alloy_regex *regex = scan->regex;
    bool cut = scan->length - scan->at > FEW_CHARACTERS;
    size_t length = cut ? scan->at + FEW_CHARACTERS : scan->length;
    uint32_t options = cut ? PCRE2_PARTIAL_HARD : 0;
    return pcre2_jit_match(regex->code, subject_of(scan), length, scan->at, options, scan->data, scan->match);
}

static int match_counted(alloy_regex_scan *scan)
{
    scan->callout_at = scan->at;
    return pcre2_match(scan->regex->counted, subject_of(scan), scan->length, scan->at, PCRE2_NO_JIT, scan->data,
                       scan->counting);
}

/* Is there a match that begins at scan->at? Its end in *end. */
static alloy_status match_here(alloy_regex_scan *scan, bool *found, size_t *end)
{
    alloy_status status = alloy_budget_charge(scan->budget, scan->regex->try_steps, PART);
    if (status)
        return status;
    int result = scan->regex->compiled ? try_match(scan) : PCRE2_ERROR_PARTIAL;
    if (result != PCRE2_ERROR_NOMATCH && result <= 0)
        result = match_counted(scan);
    *found = result > 0;
    if (result > 0)
        *end = pcre2_get_ovector_pointer(scan->data)[1];
    if (result > 0 || result == PCRE2_ERROR_NOMATCH)
        return ALLOY_OK;
    if (result == PCRE2_ERROR_CALLOUT || result == PCRE2_ERROR_HEAPLIMIT)
        return alloy_budget_fail_steps(PART);
    return result == PCRE2_ERROR_NOMEMORY
               ? ALLOY_NOMEM
               : alloy_fail(ALLOY_FORMAT, "a regular expression failed: PCRE2 error %d", result);
}

/* Moves to a later character and keeps at_byte with it. */
static void move_to(alloy_regex_scan *scan, size_t at)
{
    if (scan->size == scan->length) {
        scan->at_byte = at;
    } else {
        const uint8_t *s = scan->text + scan->at_byte;
        for (size_t n = at - scan->at; n > 0; n--)
            s += alloy_code_length(*s);
        scan->at_byte = (size_t)(s - scan->text);
    }
    scan->at = at;
}

alloy_status alloy_regex_scan_next(alloy_regex_scan *scan, bool *found, size_t *start, size_t *end)
{
    const alloy_regex *regex = scan->regex;
    *found = false;
    size_t at = scan->at;
    for (; at <= scan->length; at++) {
        while (at < scan->length && !regex->starts[scan->classes[at]])
            at++;
        if (at == scan->length && regex->has_width)
            break;
        move_to(scan, at);
        size_t match_end = at;
        alloy_status status = match_here(scan, found, &match_end);
        if (status)
            return status;
        if (*found && match_end == at && scan->last_end == at)
            *found = false; /* an empty match right after the last match is none */
        if (!*found)
            continue;
        *start = scan->at_byte;
        move_to(scan, match_end);
        scan->last_end = match_end;
        *end = scan->at_byte;
        return ALLOY_OK;
    }
    scan->at = scan->length + 1;
    return ALLOY_OK;
}
