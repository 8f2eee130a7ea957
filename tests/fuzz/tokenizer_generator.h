/* Tokenizers and texts by a grammar: chains of every component with fields that are mostly sound, patterns, added
 * tokens, merges of tokens that exist. Changing bytes of a file rarely gives another that opens; most of these do, and
 * they are of the kinds that could run away: replacements that grow, patterns that backtrack, tokens that are nearly
 * met. (seed, number) gives the same file and text everywhere. */
#ifndef ALLOY_TESTS_FUZZ_TOKENIZER_GENERATOR_H
#define ALLOY_TESTS_FUZZ_TOKENIZER_GENERATOR_H

#include "base/random.h"
#include "base/text.h"
#include "files/json.h"

struct generator {
    uint64_t seed, number, draws;
    alloy_json_writer json;
    uint32_t loudness;    /* how often something large is drawn: one in so many */
    const char *theme[3]; /* units that parts and text have in common, so that they meet */
};

/* A number below `below`. */
static inline uint32_t draw_below(struct generator *g, uint32_t below)
{
    uint32_t words[4];
    alloy_random_4(g->seed, g->number, g->draws++, words);
    return words[0] % below;
}

static inline bool one_in(struct generator *g, uint32_t n)
{
    return draw_below(g, n) == 0;
}

/* Small mostly; up to `most` now and then. */
static inline uint32_t draw_size(struct generator *g, uint32_t usual, uint32_t most)
{
    return one_in(g, g->loudness) ? draw_below(g, most) + 1 : draw_below(g, usual) + 1;
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static const char *const generator_units[] = {"h",
                                              "e",
                                              "l",
                                              "o",
                                              "w",
                                              "x",
                                              " ",
                                              " ",
                                              "he",
                                              "lo",
                                              "hello",
                                              "H",
                                              "1",
                                              "2",
                                              "!",
                                              "'",
                                              "\n",
                                              "\t",
                                              "<",
                                              ">",
                                              "<x>",
                                              "<0xE2>",
                                              "\xC3\xA9",
                                              "\xCC\x81",
                                              "i",
                                              "\xC4\xB0",
                                              "\xC4\xA0",
                                              "\xE2\x96\x81",
                                              "\xE4\xBD\xA0",
                                              "\xEF\xB7\xBA",
                                              "\xE0\xA4\x95",
                                              "\xF0\x9F\x98\x80",
                                              "\xE2\x80\x8D",
                                              "\xEF\xAC\x83"};

static inline const char *draw_unit(struct generator *g)
{
    if (g->theme[2] && one_in(g, 2))
        return g->theme[draw_below(g, 3)];
    return generator_units[draw_below(g, sizeof generator_units / sizeof *generator_units)];
}

/* Appends about `size` bytes: runs of one unit, or of few, or of all. */
static inline void draw_text(struct generator *g, size_t size, alloy_text *out)
{
    size_t end = out->size + size;
    const char *few[3] = {draw_unit(g), draw_unit(g), draw_unit(g)};
    uint32_t kind = draw_below(g, 4);
    while (out->size < end) {
        if (kind == 0 || (kind == 1 && !one_in(g, 100)))
            alloy_text_string(out, few[0]);
        else
            alloy_text_string(out, kind == 3 ? draw_unit(g) : few[draw_below(g, 3)]);
    }
}

static inline void write_drawn(struct generator *g, uint32_t usual, uint32_t most)
{
    alloy_text text = {0};
    draw_text(g, draw_size(g, usual, most), &text);
    alloy_json_write_string(&g->json, alloy_text_get(&text), text.size);
    alloy_text_free(&text);
}

static inline void write_string(struct generator *g, const char *key, const char *value)
{
    alloy_json_write_key(&g->json, key);
    alloy_json_write_string(&g->json, value, strlen(value));
}

static inline void write_flag(struct generator *g, const char *key)
{
    alloy_json_write_key(&g->json, key);
    alloy_json_write_bool(&g->json, one_in(g, 2));
}

/* ---- Patterns ---------------------------------------------------------------------------------------------------- */

static inline void draw_pattern(struct generator *g, int depth, alloy_text *out);

static inline void draw_atom(struct generator *g, int depth, alloy_text *out)
{
    static const char *const atoms[] = {"h",
                                        "e",
                                        "o",
                                        "x",
                                        "1",
                                        " ",
                                        ".",
                                        "\\s",
                                        "\\S",
                                        "\\w",
                                        "\\p{L}",
                                        "\\P{L}",
                                        "\\p{N}",
                                        "[^x]",
                                        "[^\\s]",
                                        "[he]",
                                        "[\\p{L}&&[^x]]",
                                        "\\n",
                                        "[^h]"};
    static const char *const groups[] = {"(?:", "(?:", "(?:", "(?>", "(?=", "(?!", "("};
    if (depth == 0 || !one_in(g, 3)) {
        alloy_text_string(out, atoms[draw_below(g, sizeof atoms / sizeof *atoms)]);
        return;
    }
    alloy_text_string(out, groups[draw_below(g, sizeof groups / sizeof *groups)]);
    draw_pattern(g, depth - 1, out);
    alloy_text_char(out, ')');
}

static inline void draw_pattern(struct generator *g, int depth, alloy_text *out)
{
    static const char *const anchors[] = {"^", "$", "\\b", "(?<=h)", "(?<!\\s)", "(?!\\S)", "\\z"};
    static const char *const quantifiers[] = {"*",  "+",  "?",    "*?",    "+?",  "*+",
                                              "++", "?+", "{2,}", "{1,3}", "{3}", "{0,9}?"};
    for (uint32_t alternatives = draw_below(g, 3) + 1; alternatives > 0; alternatives--) {
        for (uint32_t items = draw_below(g, 4) + 1; items > 0; items--) {
            size_t before = out->size;
            if (one_in(g, 8)) {
                alloy_text_string(out, anchors[draw_below(g, sizeof anchors / sizeof *anchors)]);
                continue;
            }
            draw_atom(g, depth, out);
            bool looks = out->size - before > 2 &&
                         (memcmp(out->bytes + before, "(?=", 3) == 0 || memcmp(out->bytes + before, "(?!", 3) == 0);
            if (!looks && one_in(g, 2))
                alloy_text_string(out, quantifiers[draw_below(g, sizeof quantifiers / sizeof *quantifiers)]);
            else if (!looks && one_in(g, 40))
                alloy_text_format(out, "{%u}", draw_below(g, 1001));
        }
        if (alternatives > 1)
            alloy_text_char(out, '|');
    }
}

static inline void write_pattern_key(struct generator *g)
{
    static const char *const known[] = {
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*"
        "[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "[^x]*x",
        "(h+)+$",
        "(?:h|h)*x",
        "\\p{N}{1,3}(?=(?:\\p{N}{3})*\\b)"};
    alloy_text pattern = {0};
    alloy_json_write_key(&g->json, "pattern");
    alloy_json_write_object(&g->json);
    if (one_in(g, 2)) {
        alloy_json_write_key(&g->json, "String");
        write_drawn(g, 3, 400);
    } else {
        if (one_in(g, 4))
            alloy_text_string(&pattern, known[draw_below(g, sizeof known / sizeof *known)]);
        else
            draw_pattern(g, 3, &pattern);
        alloy_json_write_key(&g->json, "Regex");
        alloy_json_write_string(&g->json, alloy_text_get(&pattern), pattern.size);
    }
    alloy_json_write_object_end(&g->json);
    alloy_text_free(&pattern);
}

/* ---- Components -------------------------------------------------------------------------------------------------- */

static inline void begin_component(struct generator *g, const char *type)
{
    alloy_json_write_object(&g->json);
    write_string(g, "type", type);
}

static inline void write_replace(struct generator *g)
{
    begin_component(g, "Replace");
    if (one_in(g, 4)) { /* one that grows */
        alloy_text twice = {0};
        const char *unit = draw_unit(g);
        alloy_text_format(&twice, "%s%s", unit, unit);
        alloy_json_write_key(&g->json, "pattern");
        alloy_json_write_object(&g->json);
        write_string(g, "String", unit);
        alloy_json_write_object_end(&g->json);
        write_string(g, "content", alloy_text_get(&twice));
        alloy_json_write_object_end(&g->json);
        alloy_text_free(&twice);
        return;
    }
    write_pattern_key(g);
    alloy_json_write_key(&g->json, "content");
    if (one_in(g, 4))
        alloy_json_write_string(&g->json, "", 0);
    else
        write_drawn(g, 6, 3000);
    alloy_json_write_object_end(&g->json);
}

static inline void write_mark(struct generator *g, const char *key)
{
    static const char *const marks[] = {"\xE2\x96\x81", "h", " ", "_", "\xC3\xA9"};
    write_string(g, key, marks[draw_below(g, 5)]);
}

static inline void write_metaspace(struct generator *g)
{
    static const char *const schemes[] = {"always", "first", "never"};
    begin_component(g, "Metaspace");
    write_mark(g, "replacement");
    write_string(g, "prepend_scheme", schemes[draw_below(g, 3)]);
    write_flag(g, "split");
    alloy_json_write_object_end(&g->json);
}

static inline void write_byte_level(struct generator *g)
{
    begin_component(g, "ByteLevel");
    write_flag(g, "add_prefix_space");
    write_flag(g, "trim_offsets");
    write_flag(g, "use_regex");
    alloy_json_write_object_end(&g->json);
}

static inline void write_normalizer(struct generator *g)
{
    static const char *const types[] = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase"};
    uint32_t kind = draw_below(g, 12);
    if (kind < 5) {
        begin_component(g, types[kind]);
    } else if (kind < 9) {
        write_replace(g);
        return;
    } else if (kind < 11) {
        begin_component(g, "Prepend");
        alloy_json_write_key(&g->json, "prepend");
        write_drawn(g, 4, 5000);
    } else {
        begin_component(g, "Strip");
        write_flag(g, "strip_left");
        write_flag(g, "strip_right");
    }
    alloy_json_write_object_end(&g->json);
}

static inline void write_pretokenizer(struct generator *g)
{
    static const char *const behaviors[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                            "Contiguous"};
    switch (draw_below(g, 9)) {
    case 0:
        write_byte_level(g);
        return;
    case 1:
        write_metaspace(g);
        return;
    case 2:
        begin_component(g, "Digits");
        write_flag(g, "individual_digits");
        break;
    case 3:
        begin_component(g, "Punctuation");
        write_string(g, "behavior", behaviors[draw_below(g, 5)]);
        break;
    case 4:
        begin_component(g, "FixedLength");
        alloy_json_write_key(&g->json, "length");
        alloy_json_write_uint64(&g->json, draw_size(g, 4, 1000));
        break;
    case 5:
        begin_component(g, "WhitespaceSplit");
        break;
    default:
        begin_component(g, "Split");
        write_pattern_key(g);
        write_string(g, "behavior", behaviors[draw_below(g, 5)]);
        write_flag(g, "invert");
    }
    alloy_json_write_object_end(&g->json);
}

static inline void write_decoder(struct generator *g)
{
    switch (draw_below(g, 9)) {
    case 0:
        write_byte_level(g);
        return;
    case 1:
        write_metaspace(g);
        return;
    case 2:
        begin_component(g, "ByteFallback");
        break;
    case 3:
    case 4:
        begin_component(g, "Fuse");
        break;
    case 5:
        begin_component(g, "Strip");
        write_mark(g, "content");
        alloy_json_write_key(&g->json, "start");
        alloy_json_write_uint64(&g->json, draw_below(g, 3));
        alloy_json_write_key(&g->json, "stop");
        alloy_json_write_uint64(&g->json, draw_below(g, 6));
        break;
    default:
        write_replace(g);
        return;
    }
    alloy_json_write_object_end(&g->json);
}

/* One component, or a few in a row, with sequences in sequences now and then. */
static inline void write_chain(struct generator *g, const char *key, void (*write)(struct generator *), int depth)
{
    if (one_in(g, 4)) {
        write(g);
        return;
    }
    begin_component(g, "Sequence");
    alloy_json_write_key(&g->json, key);
    alloy_json_write_array(&g->json);
    bool same = one_in(g, 3); /* the same component over and over: what grows, grows exponentially */
    uint64_t draws = g->draws;
    for (uint32_t count = draw_size(g, 5, 40); count > 0; count--) {
        uint64_t next = g->draws;
        if (same)
            g->draws = draws;
        if (!same && depth < 10 && one_in(g, 8))
            write_chain(g, key, write, depth + 1);
        else
            write(g);
        if (same && g->draws < next)
            g->draws = next;
    }
    alloy_json_write_array_end(&g->json);
    alloy_json_write_object_end(&g->json);
}

/* ---- The parts of the file --------------------------------------------------------------------------------------- */

/* A vocabulary of all units, byte tokens now and then, and tokens that merges make. */
struct drawn_vocabulary {
    alloy_text texts[192];
    int count;
    int merges[128][2], merge_count;
};

static inline void add_token(struct drawn_vocabulary *v, const char *text, size_t size)
{
    for (int i = 0; i < v->count; i++)
        if (v->texts[i].size == size && memcmp(v->texts[i].bytes, text, size) == 0)
            return;
    if (v->count < 192)
        alloy_text_append(&v->texts[v->count++], text, size);
}

static inline void draw_vocabulary(struct generator *g, struct drawn_vocabulary *v)
{
    char byte[8];
    add_token(v, "<unk>", 5);
    for (size_t i = 0; i < sizeof generator_units / sizeof *generator_units; i++)
        if (!one_in(g, 6))
            add_token(v, generator_units[i], strlen(generator_units[i]));
    for (unsigned i = 0; i < 256 && one_in(g, 2); i += 1 + draw_below(g, 8))
        add_token(v, byte, (size_t)snprintf(byte, sizeof byte, "<0x%02X>", i));
    for (uint32_t tries = draw_below(g, 100); tries > 0 && v->count < 190; tries--) {
        int left = (int)draw_below(g, (uint32_t)v->count),
            right = one_in(g, 3) ? left : (int)draw_below(g, (uint32_t)v->count);
        alloy_text joined = {0};
        int before = v->count;
        alloy_text_append(&joined, v->texts[left].bytes, v->texts[left].size);
        alloy_text_append(&joined, v->texts[right].bytes, v->texts[right].size);
        if (joined.size < 4096)
            add_token(v, joined.bytes, joined.size);
        if (v->count > before && v->merge_count < 128) {
            v->merges[v->merge_count][0] = left;
            v->merges[v->merge_count++][1] = right;
        }
        alloy_text_free(&joined);
    }
}

static inline void write_model(struct generator *g, const struct drawn_vocabulary *v)
{
    alloy_json_writer *json = &g->json;
    alloy_json_write_key(json, "model");
    begin_component(g, "BPE");
    if (one_in(g, 2))
        write_string(g, "unk_token", "<unk>");
    write_flag(g, "fuse_unk");
    write_flag(g, "byte_fallback");
    write_flag(g, "ignore_merges");
    if (one_in(g, 8))
        write_string(g, "end_of_word_suffix", "x");
    alloy_json_write_key(json, "vocab");
    alloy_json_write_object(json);
    for (int i = 0; i < v->count; i++) {
        alloy_json_write_key_sized(json, v->texts[i].bytes, v->texts[i].size);
        alloy_json_write_int64(json, i);
    }
    alloy_json_write_object_end(json);
    alloy_json_write_key(json, "merges");
    alloy_json_write_array(json);
    for (int i = 0; i < v->merge_count; i++) {
        alloy_json_write_array(json);
        for (int side = 0; side < 2; side++)
            alloy_json_write_string(json, v->texts[v->merges[i][side]].bytes, v->texts[v->merges[i][side]].size);
        alloy_json_write_array_end(json);
    }
    alloy_json_write_array_end(json);
    alloy_json_write_object_end(json);
}

static inline void write_added(struct generator *g, const struct drawn_vocabulary *v)
{
    uint32_t count = one_in(g, 3) ? draw_size(g, 6, 300) : 0;
    alloy_json_write_key(&g->json, "added_tokens");
    alloy_json_write_array(&g->json);
    for (uint32_t i = 0; i < count; i++) {
        alloy_text text = {0};
        draw_text(g, draw_size(g, 5, 4000), &text);
        alloy_text_format(&text, "%u", i); /* so that no two are alike, and long ones are met but for their end */
        alloy_json_write_object(&g->json);
        alloy_json_write_key(&g->json, "id");
        alloy_json_write_int64(&g->json, v->count + (int64_t)i);
        alloy_json_write_key(&g->json, "content");
        alloy_json_write_string(&g->json, text.bytes, text.size);
        alloy_text_free(&text);
        write_flag(g, "single_word");
        write_flag(g, "lstrip");
        write_flag(g, "rstrip");
        write_flag(g, "normalized");
        write_flag(g, "special");
        alloy_json_write_object_end(&g->json);
    }
    alloy_json_write_array_end(&g->json);
}

static inline void write_piece(struct generator *g, const char *kind, const char *id)
{
    alloy_json_write_object(&g->json);
    alloy_json_write_key(&g->json, kind);
    alloy_json_write_object(&g->json);
    write_string(g, "id", id);
    alloy_json_write_object_end(&g->json);
    alloy_json_write_object_end(&g->json);
}

static inline void write_template(struct generator *g)
{
    begin_component(g, "TemplateProcessing");
    alloy_json_write_key(&g->json, "single");
    alloy_json_write_array(&g->json);
    for (uint32_t n = draw_size(g, 3, 2000); n > 0; n--)
        write_piece(g, "SpecialToken", "s");
    write_piece(g, "Sequence", "A");
    alloy_json_write_array_end(&g->json);
    alloy_json_write_key(&g->json, "special_tokens");
    alloy_json_write_object(&g->json);
    alloy_json_write_key(&g->json, "s");
    alloy_json_write_object(&g->json);
    alloy_json_write_key(&g->json, "ids");
    alloy_json_write_array(&g->json);
    for (uint32_t n = draw_size(g, 2, 2000); n > 0; n--)
        alloy_json_write_int64(&g->json, draw_below(g, 8));
    alloy_json_write_array_end(&g->json);
    alloy_json_write_object_end(&g->json);
    alloy_json_write_object_end(&g->json);
    alloy_json_write_object_end(&g->json);
}

static inline void write_part(struct generator *g, const char *name, const char *key, void (*write)(struct generator *),
                              uint32_t of)
{
    alloy_json_write_key(&g->json, name);
    if (one_in(g, of))
        alloy_json_write_null(&g->json);
    else
        write_chain(g, key, write, 1);
}

/* Writes the file `number` of a seed, and a text for it. */
static inline void generate_tokenizer(uint64_t seed, uint64_t number, alloy_text *json, alloy_text *text)
{
    struct generator g = {.seed = seed, .number = number, .loudness = 20};
    struct drawn_vocabulary vocabulary = {0};
    alloy_text_clear(json);
    alloy_text_clear(text);
    if (one_in(&g, 4))
        g.loudness = 3;
    for (int i = 0; i < 3; i++)
        g.theme[i] = draw_unit(&g);
    draw_vocabulary(&g, &vocabulary);
    alloy_json_writer_open(&g.json, json, 0);
    alloy_json_write_object(&g.json);
    write_string(&g, "version", "1.0");
    write_added(&g, &vocabulary);
    write_part(&g, "normalizer", "normalizers", write_normalizer, 2);
    write_part(&g, "pre_tokenizer", "pretokenizers", write_pretokenizer, 3);
    write_part(&g, "post_processor", "processors", write_template, 2);
    write_part(&g, "decoder", "decoders", write_decoder, 4);
    write_model(&g, &vocabulary);
    alloy_json_write_object_end(&g.json);
    draw_text(&g, one_in(&g, 200) ? 1 << 20 : draw_size(&g, 200, 20000), text);
    for (int i = 0; i < vocabulary.count; i++)
        alloy_text_free(&vocabulary.texts[i]);
}

#endif
