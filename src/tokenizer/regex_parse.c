/* Reads regular expressions (regex_parse.h).
 *
 *   pattern     = [ "(?i)" ] alternation
 *   alternation = sequence { "|" sequence }
 *   sequence    = { item [ quantifier ] }
 *   item        = character | "." | class | escape | anchor | "(" [ "?:" "?i:" "?-i:" "?>" "?=" "?!" "?<=" "?<!" ]
 *               alternation ")"
 *   quantifier  = ("*" | "+" | "?") [ "?" | "+" ] | "{" n "," m "}" [ "?" ] | "{" n "}"
 *   class       = "[" [ "^" ] members { "&&" members } "]";   members may be classes again
 *
 * All else is refused by name. Groups never capture: there are no references back. Every character, class and dot
 * becomes a set; anchors that depend on a character become looks at sets. Under (?i) letters get their other case, and
 * the characters that fold to them from outside of ASCII; folds from one character to several (sharp s, ligatures) are
 * refused. */
#include "tokenizer/regex_parse.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"

enum { MOST_BYTES = 16384, MOST_GROUPS = 64, MOST_NESTED_CLASSES = 16, MOST_REPEATS = 1000, FEW_REPEATS = 4 };

struct parser {
    const char *pattern;
    size_t size, at;
    bool ignore_case;
    char last_letter; /* the letter right before, under (?i); 0: none */
    alloy_status status;
    alloy_regex_parts *parts;
};

static void fail(struct parser *p, const char *what)
{
    if (!p->status)
        p->status = alloy_fail(ALLOY_FORMAT, "regular expression \"%s\": at byte %zu: %s",
                               alloy_printable(p->pattern, p->size), p->at, what);
    p->at = p->size;
}

static bool ahead(const struct parser *p, const char *text)
{
    size_t size = strlen(text);
    return size <= p->size - p->at && memcmp(p->pattern + p->at, text, size) == 0;
}

static bool take(struct parser *p, const char *text)
{
    if (!ahead(p, text))
        return false;
    p->at += strlen(text);
    return true;
}

static void emit(struct parser *p, const char *text)
{
    alloy_text_string(&p->parts->text, text);
}

/* Puts a set into the text, and frees it. */
static void emit_set(struct parser *p, alloy_code_set *set)
{
    alloy_regex_parts *parts = p->parts;
    int64_t i = 0;
    while (i < parts->set_count && !alloy_code_set_equal(&parts->sets[i], set))
        i++;
    if (i == ALLOY_REGEX_MOST_SETS) {
        fail(p, "more sets of characters than are allowed here");
    } else if (i == parts->set_count) {
        alloy_code_set *grown =
            alloy_memory_grow(parts->sets, parts->set_count, &parts->set_capacity, sizeof *parts->sets);
        if (!grown || set->failed) {
            p->status = ALLOY_NOMEM;
        } else {
            parts->sets = grown;
            parts->sets[parts->set_count++] = *set;
            *set = (alloy_code_set){0};
        }
        if (grown)
            parts->sets = grown;
    }
    alloy_code_set_free(set);
    char mark[3] = {ALLOY_REGEX_SET_MARK, (char)(i & 0xFF), (char)(i >> 8)};
    alloy_text_append(&parts->text, mark, sizeof mark);
}

static void emit_range(struct parser *p, uint32_t first, uint32_t last)
{
    alloy_code_set set = {0};
    alloy_code_set_add_range(&set, first, last);
    emit_set(p, &set);
}

static void emit_word(struct parser *p)
{
    alloy_code_set set = {0};
    alloy_code_set_add_escape(&set, 'w');
    emit_set(p, &set);
}

/* ---- Characters and escapes -------------------------------------------------------------------------------------- */

/* Adds what matches an ASCII letter when case does not count. */
static void add_folds(alloy_code_set *set, char letter)
{
    char lower = (char)(letter | 32), upper = (char)(letter & ~32);
    alloy_code_set_add_range(set, (uint32_t)lower, (uint32_t)lower);
    alloy_code_set_add_range(set, (uint32_t)upper, (uint32_t)upper);
    if (lower == 's')
        alloy_code_set_add_range(set, 0x17F, 0x17F); /* long s */
    if (lower == 'k')
        alloy_code_set_add_range(set, 0x212A, 0x212A); /* kelvin sign */
}

static bool is_letter(uint32_t code)
{
    return (code | 32) >= 'a' && (code | 32) <= 'z';
}

static void emit_character(struct parser *p, uint32_t code)
{
    if (!p->ignore_case) {
        emit_range(p, code, code);
        return;
    }
    char before = p->last_letter;
    p->last_letter = 0;
    if (code >= 0x80)
        fail(p, "a character outside of ASCII under (?i) is not supported");
    if (!is_letter(code)) {
        emit_range(p, code, code);
        return;
    }
    char lower = (char)(code | 32);
    if ((before == 's' && (lower == 's' || lower == 't')) ||
        (before == 'f' && (lower == 'f' || lower == 'i' || lower == 'l')))
        fail(p, "letters under (?i) that one character folds to (ss, st, ff, fi, fl) are not supported");
    alloy_code_set set = {0};
    add_folds(&set, lower);
    emit_set(p, &set);
    p->last_letter = lower;
}

/* The character at p->at, which is not an escape. */
static uint32_t take_character(struct parser *p)
{
    uint32_t code;
    size_t length = alloy_utf8_next(p->pattern + p->at, p->size - p->at, &code);
    if (code == ALLOY_UTF8_BAD) {
        fail(p, "not UTF-8");
        return 0;
    }
    p->at += length;
    return code;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* At least `least` and at most `most` hexadecimal digits. */
static uint32_t take_hex(struct parser *p, int least, int most)
{
    uint32_t value = 0;
    int n = 0;
    for (; n < most && p->at < p->size && hex_digit(p->pattern[p->at]) >= 0; n++)
        value = value << 4 | (uint32_t)hex_digit(p->pattern[p->at++]);
    if (n < least)
        fail(p, "hexadecimal digits are expected here");
    return value;
}

/* \xHH, \x{H...}, \uHHHH, after their letter. */
static uint32_t take_code(struct parser *p, char letter)
{
    bool braces = letter == 'x' && take(p, "{");
    uint32_t code = braces ? take_hex(p, 1, 8) : letter == 'u' ? take_hex(p, 4, 4) : take_hex(p, 1, 2);
    if (braces && !take(p, "}"))
        fail(p, "\\x{ without its }");
    if (code >= ALLOY_UNICODE_END || (code >= 0xD800 && code < 0xE000) || (letter == 'x' && !braces && code >= 0x80))
        fail(p, "not the code of a character");
    return p->status ? 0 : code;
}

/* \p{Name}, \P{Name}, \p{^Name}, after their letter. */
static void take_property(struct parser *p, char letter, alloy_code_set *set)
{
    const char *end;
    if (!take(p, "{") || !(end = memchr(p->pattern + p->at, '}', p->size - p->at))) {
        fail(p, "\\p is followed by {Name}");
        return;
    }
    bool negated = letter == 'P';
    if (take(p, "^"))
        negated = !negated;
    const char *name = p->pattern + p->at;
    if (!alloy_code_set_add_property(set, name, (size_t)(end - name)))
        fail(p, "this property of characters is not supported");
    else
        p->at = (size_t)(end - p->pattern) + 1;
    if (negated)
        alloy_code_set_complement(set);
}

/* An escape that stands for one character, in *code (true), or for a set, added to `set` (false). p->at is after the
 * backslash. Inside of a class \w is without the Latin-1 characters that Oniguruma has outside. */
static bool take_escape(struct parser *p, bool in_class, alloy_code_set *set, uint32_t *code)
{
    static const char letters[] = "nrtfvae", values[] = "\n\r\t\f\v\a\x1B";
    *code = 0;
    if (p->at == p->size) {
        fail(p, "a backslash at the end");
        return true;
    }
    char c = p->pattern[p->at];
    const char *simple = memchr(letters, c, sizeof letters - 1);
    if (simple) {
        p->at++;
        *code = (uint8_t)values[simple - letters];
        return true;
    }
    if (c == 'x' || c == 'u') {
        p->at++;
        *code = take_code(p, c);
        return true;
    }
    if (c == 'p' || c == 'P') {
        p->at++;
        take_property(p, c, set);
        return false;
    }
    bool word = in_class && (c | 32) == 'w';
    if (word)
        alloy_code_set_add_word(set);
    if (word || (alloy_code_set_add_escape(set, (char)(c | 32)) && is_letter((uint8_t)c))) {
        p->at++;
        if (c < 'a')
            alloy_code_set_complement(set);
        return false;
    }
    if (is_letter((uint8_t)c) || (c >= '0' && c <= '9')) {
        fail(p, "this escape is not supported");
        return true;
    }
    *code = take_character(p);
    return true;
}

/* ---- Classes ----------------------------------------------------------------------------------------------------- */

static void take_class(struct parser *p, alloy_code_set *set, int depth);

/* "[:name:]" with p->at after "[:". */
static void take_posix(struct parser *p, alloy_code_set *set)
{
    alloy_code_set named = {0};
    bool negated = take(p, "^");
    if (take(p, "space:]"))
        alloy_code_set_add_escape(&named, 's');
    else if (take(p, "digit:]"))
        alloy_code_set_add_escape(&named, 'd');
    else if (take(p, "xdigit:]"))
        alloy_code_set_add_escape(&named, 'h');
    else if (take(p, "punct:]")) {
        alloy_code_set_add_property(&named, "P", 1);
        alloy_code_set_add_property(&named, "S", 1);
    } else
        fail(p, "this [:name:] is not supported");
    if (negated)
        alloy_code_set_complement(&named);
    alloy_code_set_add(set, &named);
    alloy_code_set_free(&named);
}

/* The last of a range "first-last", with p->at after the hyphen. */
static void take_range_end(struct parser *p, alloy_code_set *set, uint32_t first)
{
    uint32_t last;
    if (ahead(p, "[") || ahead(p, "&&")) {
        fail(p, "a range needs a character after its hyphen");
        return;
    }
    if (take(p, "\\")) {
        if (!take_escape(p, true, set, &last))
            fail(p, "a range needs a character after its hyphen");
    } else {
        last = take_character(p);
    }
    if (p->status)
        return;
    if (last < first)
        fail(p, "a range that runs backwards");
    else
        alloy_code_set_add_range(set, first, last);
    if (ahead(p, "-") && !ahead(p, "-]"))
        fail(p, "a hyphen after a range is ambiguous: escape it");
}

/* One member of a class. */
static void take_member(struct parser *p, alloy_code_set *set, int depth)
{
    uint32_t code;
    if (take(p, "[:")) {
        take_posix(p, set);
        return;
    }
    if (take(p, "[")) {
        alloy_code_set inner = {0};
        take_class(p, &inner, depth + 1);
        alloy_code_set_add(set, &inner);
        alloy_code_set_free(&inner);
        return;
    }
    if (take(p, "\\")) {
        alloy_code_set escaped = {0};
        bool single = take_escape(p, true, &escaped, &code);
        alloy_code_set_add(set, &escaped);
        alloy_code_set_free(&escaped);
        if (!single) {
            if (ahead(p, "-") && !ahead(p, "-]"))
                fail(p, "a range needs a character before its hyphen");
            return;
        }
    } else {
        code = take_character(p);
    }
    if (ahead(p, "-") && !ahead(p, "-]") && p->at + 1 < p->size && code != '-' && !p->status) {
        p->at++;
        take_range_end(p, set, code);
    } else {
        alloy_code_set_add_range(set, code, code);
    }
}

/* Lets case not count in a class. */
static void fold_class(struct parser *p, alloy_code_set *set)
{
    if (set->count > 0 && set->edges[set->count - 1] > 0x80) {
        fail(p, "characters outside of ASCII under (?i) are not supported");
        return;
    }
    for (uint32_t c = 'A'; c <= 'Z'; c++)
        if (alloy_code_set_has(set, c) || alloy_code_set_has(set, c + 32))
            add_folds(set, (char)c);
}

/* A class, with p->at after its "["; added to the empty `set`. */
static void take_class(struct parser *p, alloy_code_set *set, int depth)
{
    alloy_code_set all = {0}; /* what stands before the last "&&" */
    bool negated = take(p, "^"), narrowed = false;
    if (depth > MOST_NESTED_CLASSES)
        fail(p, "classes are nested too deep");
    if (ahead(p, "]"))
        fail(p, "a class begins with ]: escape it");
    while (!p->status && !take(p, "]")) {
        if (p->at == p->size) {
            fail(p, "a class without its ]");
        } else if (take(p, "&&")) {
            if (narrowed)
                alloy_code_set_keep(&all, set);
            else
                alloy_code_set_add(&all, set);
            narrowed = true;
            alloy_code_set_free(set);
        } else {
            take_member(p, set, depth);
        }
    }
    if (narrowed)
        alloy_code_set_keep(set, &all);
    if (p->ignore_case && !p->status)
        fold_class(p, set);
    if (negated)
        alloy_code_set_complement(set);
    set->failed |= all.failed;
    alloy_code_set_free(&all);
}

/* ---- Items, quantifiers, groups ---------------------------------------------------------------------------------- */

static bool take_alternation(struct parser *p, int depth);

/* Is what was written since `from` one set of characters? */
static bool is_one_set(const alloy_text *text, size_t from)
{
    return text->size == from + 3 && text->bytes[from] == ALLOY_REGEX_SET_MARK;
}

/* A group, with p->at after its "("; tells whether it may be repeated. To the tokenizers library (?:...) is what stands
 * in it, so it may not where that is an anchor or a look around; other groups may. */
static bool take_group(struct parser *p, int depth)
{
    static const struct {
        const char *opens, *becomes;
        bool looks;
    } kinds[] = {{"?:", "(?:", false},  {"?>", "(?>", false},  {"?=", "(?=", true},   {"?!", "(?!", true},
                 {"?<=", "(?<=", true}, {"?<!", "(?<!", true}, {"?i:", "(?:", false}, {"?-i:", "(?:", false}};
    size_t kind = 0;
    bool ignore_case = p->ignore_case;
    if (depth > MOST_GROUPS) {
        fail(p, "groups are nested too deep");
        return true;
    }
    while (kind < sizeof kinds / sizeof *kinds && !take(p, kinds[kind].opens))
        kind++;
    bool vanishes = kind == 0;
    if (kind == sizeof kinds / sizeof *kinds) {
        if (ahead(p, "?") || ahead(p, "*"))
            fail(p, "this kind of group is not supported");
        kind = 0;
    }
    if (strchr(kinds[kind].opens, 'i'))
        p->ignore_case = kinds[kind].opens[1] == 'i';
    emit(p, kinds[kind].becomes);
    size_t before = p->parts->text.size;
    bool repeatable = take_alternation(p, depth);
    if (kinds[kind].looks && !is_one_set(&p->parts->text, before))
        p->parts->looks_far = true;
    if (!take(p, ")"))
        fail(p, "a group without its )");
    emit(p, ")");
    p->ignore_case = ignore_case;
    return !kinds[kind].looks && (repeatable || !vanishes);
}

/* \A, \z, \Z, \b, \B with p->at at the letter; false: none of them. */
static bool take_anchor_escape(struct parser *p)
{
    if (take(p, "A")) {
        emit(p, "\\A");
    } else if (take(p, "z")) {
        emit(p, "\\z");
    } else if (take(p, "Z")) {
        emit(p, "(?=");
        emit_range(p, '\n', '\n');
        emit(p, "?\\z)");
    } else if (ahead(p, "b") || ahead(p, "B")) {
        bool inverse = take(p, "B");
        if (!inverse)
            p->at++;
        emit(p, "(?:(?<=");
        emit_word(p);
        emit(p, inverse ? ")(?=" : ")(?!");
        emit_word(p);
        emit(p, ")|(?<!");
        emit_word(p);
        emit(p, inverse ? ")(?!" : ")(?=");
        emit_word(p);
        emit(p, "))");
    } else {
        return false;
    }
    return true;
}

/* ^ and $ stand at lines in Ruby's syntax. */
static bool take_line_anchor(struct parser *p)
{
    if (take(p, "^")) {
        emit(p, "(?:\\A|(?<=");
        emit_range(p, '\n', '\n');
        emit(p, ")(?!\\z))");
        return true;
    }
    if (take(p, "$")) {
        emit(p, "(?:\\z|(?=");
        emit_range(p, '\n', '\n');
        emit(p, "))");
        return true;
    }
    return false;
}

/* One item; tells whether it may be repeated. */
static bool take_item(struct parser *p, int depth)
{
    alloy_code_set set = {0};
    uint32_t code;
    char last = p->last_letter;
    p->last_letter = 0;
    if (take(p, "("))
        return take_group(p, depth + 1);
    if (take_line_anchor(p))
        return false;
    if (take(p, "[")) {
        take_class(p, &set, 0);
        emit_set(p, &set);
        return true;
    }
    if (take(p, ".")) {
        alloy_code_set_add_range(&set, '\n', '\n');
        alloy_code_set_complement(&set);
        emit_set(p, &set);
        return true;
    }
    if (ahead(p, "*") || ahead(p, "+") || ahead(p, "?") || ahead(p, "{"))
        fail(p, "nothing to repeat (or a quantifier on a quantifier, which is not supported)");
    p->last_letter = last;
    if (!take(p, "\\")) {
        if (!p->status)
            emit_character(p, take_character(p));
        return true;
    }
    if (take_anchor_escape(p))
        return false;
    if (take_escape(p, false, &set, &code))
        emit_character(p, code);
    else if (p->ignore_case)
        fail(p, "classes by an escape under (?i) are not supported");
    else
        emit_set(p, &set);
    alloy_code_set_free(&set);
    return true;
}

/* A count of repeats; -1 where there is none. */
static int take_count(struct parser *p)
{
    int value = -1;
    while (p->at < p->size && p->pattern[p->at] >= '0' && p->pattern[p->at] <= '9') {
        value = (value < 0 ? 0 : value * 10) + (p->pattern[p->at++] - '0');
        if (value > MOST_REPEATS) {
            fail(p, "more than 1000 repeats");
            return 0;
        }
    }
    return value;
}

/* "{n}", "{n,}", "{,m}", "{n,m}" with p->at after the brace. */
static void take_interval(struct parser *p)
{
    int least = take_count(p), most = least;
    bool comma = take(p, ",");
    if (comma)
        most = take_count(p);
    if (p->status)
        return;
    if (!take(p, "}") || (least < 0 && most < 0) || (most >= 0 && most < least)) {
        fail(p, "a brace that is not a quantifier {n,m}: escape it");
        return;
    }
    if (least > p->parts->longest_repeat)
        p->parts->longest_repeat = least;
    if (least > FEW_REPEATS)
        p->parts->looks_far = true;
    alloy_text_format(&p->parts->text, "{%d", least < 0 ? 0 : least);
    if (comma)
        emit(p, ",");
    if (comma && most >= 0)
        alloy_text_format(&p->parts->text, "%d", most);
    emit(p, "}");
    if (ahead(p, "+") || (!comma && ahead(p, "?")))
        fail(p, "what stands after {n} means something else to the tokenizers library: not supported");
    else if (take(p, "?"))
        emit(p, "?");
}

static void take_quantifier(struct parser *p, bool allowed)
{
    char c = p->at < p->size ? p->pattern[p->at] : 0;
    if (c != '*' && c != '+' && c != '?' && c != '{')
        return;
    if (!allowed) {
        fail(p, "a quantifier on something without width");
        return;
    }
    p->last_letter = 0;
    p->at++;
    if (c == '{') {
        take_interval(p);
        return;
    }
    alloy_text_char(&p->parts->text, c);
    if (take(p, "?"))
        emit(p, "?");
    else if (take(p, "+"))
        emit(p, "+");
}

/* Tells whether it may be repeated, as what a group holds: not where an alternative is one item that may not. */
static bool take_alternation(struct parser *p, int depth)
{
    int items = 0; /* of the alternative */
    bool repeatable = true, last = true;
    p->last_letter = 0;
    while (p->at < p->size && !ahead(p, ")")) {
        if (take(p, "|")) {
            emit(p, "|");
            p->last_letter = 0;
            repeatable = repeatable && (items != 1 || last);
            items = 0;
            continue;
        }
        last = take_item(p, depth);
        take_quantifier(p, last);
        items++;
    }
    p->last_letter = 0;
    return repeatable && (items != 1 || last);
}

alloy_status alloy_regex_parse(alloy_regex_parts *parts, const char *pattern, size_t size)
{
    *parts = (alloy_regex_parts){0};
    struct parser p = {.pattern = pattern, .size = size, .parts = parts};
    if (size > MOST_BYTES)
        return alloy_fail(ALLOY_LIMIT, "regular expression \"%s\": %zu bytes, at most %d are allowed",
                          alloy_printable(pattern, size), size, MOST_BYTES);
    p.ignore_case = take(&p, "(?i)");
    take_alternation(&p, 0);
    if (!p.status && p.at < size)
        fail(&p, "a ) without its (");
    if (!p.status)
        p.status = alloy_text_status(&parts->text);
    if (p.status)
        alloy_regex_parts_free(parts);
    return p.status;
}

void alloy_regex_parts_free(alloy_regex_parts *parts)
{
    for (int64_t i = 0; i < parts->set_count; i++)
        alloy_code_set_free(&parts->sets[i]);
    alloy_memory_free(parts->sets);
    alloy_text_free(&parts->text);
    *parts = (alloy_regex_parts){0};
}
