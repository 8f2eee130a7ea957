/* Sets of code points (code_set.h). Every operation on two sets is one merge of their edges. */
#include "tokenizer/code_set.h"

#include <string.h>

#include "base/memory.h"

#define BIT(category) (1u << (category))

enum {
    LETTERS = BIT(ALLOY_LU) | BIT(ALLOY_LL) | BIT(ALLOY_LT) | BIT(ALLOY_LM) | BIT(ALLOY_LO),
    MARKS = BIT(ALLOY_MN) | BIT(ALLOY_MC) | BIT(ALLOY_ME),
    NUMBERS = BIT(ALLOY_ND) | BIT(ALLOY_NL) | BIT(ALLOY_NO),
    PUNCTUATION =
        BIT(ALLOY_PC) | BIT(ALLOY_PD) | BIT(ALLOY_PS) | BIT(ALLOY_PE) | BIT(ALLOY_PI) | BIT(ALLOY_PF) | BIT(ALLOY_PO),
    SYMBOLS = BIT(ALLOY_SM) | BIT(ALLOY_SC) | BIT(ALLOY_SK) | BIT(ALLOY_SO),
    SEPARATORS = BIT(ALLOY_ZS) | BIT(ALLOY_ZL) | BIT(ALLOY_ZP),
    OTHERS = BIT(ALLOY_CC) | BIT(ALLOY_CF) | BIT(ALLOY_CS) | BIT(ALLOY_CO) | BIT(ALLOY_CN),
};

void alloy_code_set_free(alloy_code_set *set)
{
    alloy_memory_free(set->edges);
    *set = (alloy_code_set){0};
}

/* set = the points where `both` ? (set and other) : (set or other). */
static void combine(alloy_code_set *set, const uint32_t *other, size_t other_count, bool both)
{
    if (set->failed)
        return;
    uint32_t *edges = alloy_memory_new(set->count + other_count + 1, sizeof *edges);
    if (!edges) {
        set->failed = true;
        return;
    }
    size_t i = 0, j = 0, count = 0;
    while (i < set->count || j < other_count) {
        uint32_t at = j == other_count || (i < set->count && set->edges[i] < other[j]) ? set->edges[i] : other[j];
        i += i < set->count && set->edges[i] == at;
        j += j < other_count && other[j] == at;
        bool in = both ? (i & 1) && (j & 1) : (i & 1) || (j & 1);
        if (in != (bool)(count & 1))
            edges[count++] = at;
    }
    alloy_memory_free(set->edges);
    set->edges = edges;
    set->count = count;
}

void alloy_code_set_add_range(alloy_code_set *set, uint32_t first, uint32_t last)
{
    uint32_t edges[2] = {first, last + 1};
    combine(set, edges, 2, false);
}

void alloy_code_set_add_list(alloy_code_set *set, alloy_unicode_list list)
{
    combine(set, list.edges, list.count, false);
}

void alloy_code_set_add(alloy_code_set *set, const alloy_code_set *other)
{
    combine(set, other->edges, other->count, false);
    set->failed |= other->failed;
}

void alloy_code_set_keep(alloy_code_set *set, const alloy_code_set *other)
{
    combine(set, other->edges, other->count, true);
    set->failed |= other->failed;
}

void alloy_code_set_complement(alloy_code_set *set)
{
    if (set->failed)
        return;
    uint32_t *edges = alloy_memory_new(set->count + 2, sizeof *edges);
    if (!edges) {
        set->failed = true;
        return;
    }
    size_t count = 0, i = 0;
    if (set->count > 0 && set->edges[0] == 0)
        i = 1;
    else
        edges[count++] = 0;
    for (; i < set->count; i++)
        edges[count++] = set->edges[i];
    if (edges[count - 1] == ALLOY_UNICODE_END)
        count--;
    else
        edges[count++] = ALLOY_UNICODE_END;
    alloy_memory_free(set->edges);
    set->edges = edges;
    set->count = count;
}

void alloy_code_set_add_categories(alloy_code_set *set, uint32_t categories)
{
    const alloy_unicode_list runs = alloy_unicode_categories;
    uint32_t *edges = alloy_memory_new(runs.count + 1, sizeof *edges);
    if (!edges) {
        set->failed = true;
        return;
    }
    size_t count = 0;
    for (size_t i = 0; i < runs.count; i++) {
        bool in = categories >> (runs.edges[i] & 31) & 1;
        if (in != (bool)(count & 1))
            edges[count++] = runs.edges[i] >> 5;
    }
    if (count & 1)
        edges[count++] = ALLOY_UNICODE_END;
    combine(set, edges, count, false);
    alloy_memory_free(edges);
}

static const struct {
    const char *name;
    uint32_t categories;
} category_names[] = {
    {"l", LETTERS},
    {"letter", LETTERS},
    {"lu", BIT(ALLOY_LU)},
    {"uppercaseletter", BIT(ALLOY_LU)},
    {"ll", BIT(ALLOY_LL)},
    {"lowercaseletter", BIT(ALLOY_LL)},
    {"lt", BIT(ALLOY_LT)},
    {"titlecaseletter", BIT(ALLOY_LT)},
    {"lm", BIT(ALLOY_LM)},
    {"modifierletter", BIT(ALLOY_LM)},
    {"lo", BIT(ALLOY_LO)},
    {"otherletter", BIT(ALLOY_LO)},
    {"lc", BIT(ALLOY_LU) | BIT(ALLOY_LL) | BIT(ALLOY_LT)},
    {"m", MARKS},
    {"mark", MARKS},
    {"mn", BIT(ALLOY_MN)},
    {"nonspacingmark", BIT(ALLOY_MN)},
    {"mc", BIT(ALLOY_MC)},
    {"spacingmark", BIT(ALLOY_MC)},
    {"me", BIT(ALLOY_ME)},
    {"enclosingmark", BIT(ALLOY_ME)},
    {"n", NUMBERS},
    {"number", NUMBERS},
    {"nd", BIT(ALLOY_ND)},
    {"decimalnumber", BIT(ALLOY_ND)},
    {"nl", BIT(ALLOY_NL)},
    {"letternumber", BIT(ALLOY_NL)},
    {"no", BIT(ALLOY_NO)},
    {"othernumber", BIT(ALLOY_NO)},
    {"p", PUNCTUATION},
    {"punctuation", PUNCTUATION},
    {"pc", BIT(ALLOY_PC)},
    {"pd", BIT(ALLOY_PD)},
    {"ps", BIT(ALLOY_PS)},
    {"pe", BIT(ALLOY_PE)},
    {"pi", BIT(ALLOY_PI)},
    {"pf", BIT(ALLOY_PF)},
    {"po", BIT(ALLOY_PO)},
    {"s", SYMBOLS},
    {"symbol", SYMBOLS},
    {"sm", BIT(ALLOY_SM)},
    {"sc", BIT(ALLOY_SC)},
    {"sk", BIT(ALLOY_SK)},
    {"so", BIT(ALLOY_SO)},
    {"z", SEPARATORS},
    {"separator", SEPARATORS},
    {"zs", BIT(ALLOY_ZS)},
    {"zl", BIT(ALLOY_ZL)},
    {"zp", BIT(ALLOY_ZP)},
    {"c", OTHERS},
    {"other", OTHERS},
    {"cc", BIT(ALLOY_CC)},
    {"control", BIT(ALLOY_CC)},
    {"cf", BIT(ALLOY_CF)},
    {"format", BIT(ALLOY_CF)},
    {"co", BIT(ALLOY_CO)},
    {"cs", BIT(ALLOY_CS)},
    {"cn", BIT(ALLOY_CN)},
    {"unassigned", BIT(ALLOY_CN)},
};

static const struct {
    const char *name;
    const alloy_unicode_list *list;
} list_names[] = {
    {"arabic", &alloy_unicode_arabic},
    {"cyrillic", &alloy_unicode_cyrillic},
    {"devanagari", &alloy_unicode_devanagari},
    {"greek", &alloy_unicode_greek},
    {"han", &alloy_unicode_han},
    {"hangul", &alloy_unicode_hangul},
    {"hebrew", &alloy_unicode_hebrew},
    {"hiragana", &alloy_unicode_hiragana},
    {"katakana", &alloy_unicode_katakana},
    {"latin", &alloy_unicode_latin},
    {"thai", &alloy_unicode_thai},
    {"whitespace", &alloy_unicode_white_space},
};

bool alloy_code_set_add_property(alloy_code_set *set, const char *name, size_t size)
{
    char plain[32];
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (c == ' ' || c == '_' || c == '-')
            continue;
        if (n == sizeof plain - 1)
            return false;
        plain[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    plain[n] = 0;
    for (size_t i = 0; i < sizeof category_names / sizeof *category_names; i++)
        if (strcmp(plain, category_names[i].name) == 0)
            return alloy_code_set_add_categories(set, category_names[i].categories), true;
    for (size_t i = 0; i < sizeof list_names / sizeof *list_names; i++)
        if (strcmp(plain, list_names[i].name) == 0)
            return alloy_code_set_add_list(set, *list_names[i].list), true;
    return false;
}

void alloy_code_set_add_word(alloy_code_set *set)
{
    alloy_code_set_add_categories(set, LETTERS | MARKS | BIT(ALLOY_NL) | BIT(ALLOY_ND) | BIT(ALLOY_PC));
    alloy_code_set_add_list(set, alloy_unicode_word_symbols);
}

bool alloy_code_set_add_escape(alloy_code_set *set, char letter)
{
    switch (letter) {
    case 's':
        alloy_code_set_add_list(set, alloy_unicode_white_space);
        return true;
    case 'd':
        alloy_code_set_add_categories(set, BIT(ALLOY_ND));
        return true;
    case 'w':
        alloy_code_set_add_word(set);
        /* an old habit of Oniguruma's Latin-1: superscript digits and fractions */
        alloy_code_set_add_range(set, 0xB2, 0xB3);
        alloy_code_set_add_range(set, 0xB9, 0xB9);
        alloy_code_set_add_range(set, 0xBC, 0xBE);
        return true;
    case 'h':
        alloy_code_set_add_range(set, '0', '9');
        alloy_code_set_add_range(set, 'A', 'F');
        alloy_code_set_add_range(set, 'a', 'f');
        return true;
    default:
        return false;
    }
}

bool alloy_unicode_has(alloy_unicode_list list, uint32_t code)
{
    size_t low = 0, high = list.count; /* edges at or below `code` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list.edges[middle] <= code)
            low = middle + 1;
        else
            high = middle;
    }
    return low & 1;
}

bool alloy_code_set_has(const alloy_code_set *set, uint32_t code)
{
    return alloy_unicode_has((alloy_unicode_list){set->edges, set->count}, code);
}

bool alloy_code_set_equal(const alloy_code_set *a, const alloy_code_set *b)
{
    return a->count == b->count && (a->count == 0 || memcmp(a->edges, b->edges, a->count * sizeof *a->edges) == 0);
}
