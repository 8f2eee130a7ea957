/* Decoders (decode.h). */
#include "tokenizer/decode.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"
#include "tokenizer/byte_map.h"

#define REPLACEMENT "\xEF\xBF\xBD"

#define PART "the decoder"

void alloy_decoder_chain_close(alloy_decoder_chain *chain)
{
    for (int64_t i = 0; i < chain->count; i++) {
        alloy_pattern_close(&chain->stages[i].pattern);
        alloy_text_free(&chain->stages[i].content);
        alloy_memory_free(chain->stages[i].borders);
    }
    alloy_memory_free(chain->stages);
    *chain = (alloy_decoder_chain){0};
}

/* borders[i]: of the first i + 1 bytes of the pattern, how many (but not all) both begin and end them. */
static alloy_status find_borders(alloy_decoder_stage *stage)
{
    const char *p = stage->pattern.string;
    uint32_t *borders = stage->borders = alloy_memory_zeroed(stage->pattern.size, sizeof *borders);
    if (!borders)
        return ALLOY_NOMEM;
    for (uint32_t i = 1, n = 0; i < stage->pattern.size; i++) {
        while (n > 0 && p[i] != p[n])
            n = borders[n - 1];
        n += p[i] == p[n];
        borders[i] = n;
    }
    return ALLOY_OK;
}

alloy_status alloy_decoder_chain_finish(alloy_decoder_chain *chain)
{
    bool fused = false;
    for (int64_t i = 0; i < chain->count; i++) {
        alloy_decoder_stage *stage = &chain->stages[i];
        stage->fused = fused;
        bool per_token = stage->kind == ALLOY_DECODE_BYTE_LEVEL || stage->kind == ALLOY_DECODE_BYTE_FALLBACK ||
                         (stage->kind == ALLOY_DECODE_REPLACE && stage->pattern.kind == ALLOY_PATTERN_REGEX);
        if (fused && per_token)
            return alloy_fail(ALLOY_FORMAT,
                              "decoder: ByteLevel, ByteFallback or a Replace by Regex after Fuse or ByteLevel is not "
                              "supported: it would need the whole text at once");
        if (fused && stage->kind == ALLOY_DECODE_REPLACE && find_borders(stage))
            return ALLOY_NOMEM;
        fused |= stage->kind == ALLOY_DECODE_BYTE_LEVEL || stage->kind == ALLOY_DECODE_FUSE;
    }
    return ALLOY_OK;
}

void alloy_decoder_run_free(alloy_decoder_run *run)
{
    for (int i = 0; i < ALLOY_MOST_DECODER_STAGES; i++) {
        alloy_text_free(&run->stages[i].kept);
        alloy_text_free(&run->stages[i].made);
        alloy_pattern_scan_close(&run->stages[i].scan);
    }
    alloy_text_free(&run->out);
}

/* Where a chunk goes next. */
struct flow {
    const alloy_decoder_chain *chain;
    alloy_decoder_run *run;
    int64_t stage;
};

static alloy_status take(struct flow flow, const char *text, size_t size, bool begins);

static alloy_status pass_on(struct flow flow, const char *text, size_t size, bool begins)
{
    flow.stage++;
    return take(flow, text, size, begins);
}

static alloy_text *kept_of(struct flow flow)
{
    return &flow.run->stages[flow.stage].kept;
}

/* An empty text in scratch memory of the stage. */
static alloy_text *made_of(struct flow flow)
{
    alloy_text *made = &flow.run->stages[flow.stage].made;
    alloy_text_clear(made);
    return made;
}

static alloy_status pass_made(struct flow flow, bool begins)
{
    const alloy_text *made = &flow.run->stages[flow.stage].made;
    alloy_status status = alloy_text_status(made);
    return status ? status : pass_on(flow, alloy_text_get(made), made->size, begins);
}

/* Cuts the first `size` bytes off. */
static void drop_front(alloy_text *text, size_t size)
{
    if (size == 0)
        return;
    memmove(text->bytes, text->bytes + size, text->size - size);
    text->size -= size;
    text->bytes[text->size] = 0;
}

/* ---- ByteLevel --------------------------------------------------------------------------------------------------- */

/* Appends the bytes that a token spells; a token with a character outside of the alphabet stands for its own bytes. */
static void read_spelling(const char *token, size_t size, alloy_text *out)
{
    if (!alloy_text_reserve(out, size))
        return;
    size_t before = out->size, length;
    for (size_t at = 0; at < size; at += length) {
        int byte = alloy_code_to_byte(alloy_code_at((const uint8_t *)token + at, &length));
        if (byte < 0) {
            out->size = before;
            alloy_text_append(out, token, size);
            return;
        }
        out->bytes[out->size++] = (char)byte;
    }
}

/* Is `size` bytes the beginning of a character whose end is missing? */
static bool unfinished(const char *bytes, size_t size)
{
    uint8_t lead = (uint8_t)bytes[0];
    size_t wanted = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
    uint32_t code;
    return size < wanted && alloy_utf8_next(bytes, size, &code) == size && code == ALLOY_UTF8_BAD;
}

/* Passes on the whole characters of what is kept; at the end also what is none. */
static alloy_status pass_characters(struct flow flow, bool at_end)
{
    alloy_text *kept = kept_of(flow), *made = made_of(flow);
    size_t at = 0;
    while (at < kept->size) {
        size_t valid = alloy_utf8_valid(kept->bytes + at, kept->size - at);
        alloy_text_append(made, kept->bytes + at, valid);
        at += valid;
        if (at == kept->size || (!at_end && unfinished(kept->bytes + at, kept->size - at)))
            break;
        uint32_t code;
        at += alloy_utf8_next(kept->bytes + at, kept->size - at, &code);
        alloy_text_string(made, REPLACEMENT);
    }
    drop_front(kept, at);
    return made->size > 0 || made->failed ? pass_made(flow, false) : ALLOY_OK;
}

static alloy_status take_byte_level(struct flow flow, const char *token, size_t size)
{
    alloy_text *kept = kept_of(flow);
    read_spelling(token, size, kept);
    alloy_status status = alloy_text_status(kept);
    return status ? status : pass_characters(flow, false);
}

/* ---- ByteFallback ------------------------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte of "<0xNN>"; -1: another token. */
static int byte_of(const char *token, size_t size)
{
    if (size != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>' || hex_digit(token[3]) < 0 ||
        hex_digit(token[4]) < 0)
        return -1;
    return hex_digit(token[3]) << 4 | hex_digit(token[4]);
}

/* The run of byte tokens has ended: its text is one token, or each byte is one of U+FFFD. */
static alloy_status pass_byte_run(struct flow flow)
{
    alloy_text *kept = kept_of(flow), *made = made_of(flow);
    if (kept->size == 0)
        return ALLOY_OK;
    size_t bytes = kept->size;
    if (alloy_utf8_valid(kept->bytes, bytes) == bytes) {
        alloy_text_append(made, kept->bytes, bytes);
        alloy_text_clear(kept);
        return pass_made(flow, true);
    }
    alloy_text_clear(kept);
    alloy_status status = ALLOY_OK;
    for (size_t i = 0; i < bytes && !status; i++)
        status = pass_on(flow, REPLACEMENT, sizeof REPLACEMENT - 1, true);
    return status;
}

static alloy_status take_byte_fallback(struct flow flow, const char *token, size_t size)
{
    alloy_text *kept = kept_of(flow);
    int byte = byte_of(token, size);
    if (byte >= 0) {
        alloy_text_char(kept, (char)byte);
        return alloy_text_status(kept);
    }
    alloy_status status = pass_byte_run(flow);
    return status ? status : pass_on(flow, token, size, true);
}

/* ---- Strip ------------------------------------------------------------------------------------------------------- */

static bool has_content(const alloy_text *content, const char *text, size_t size)
{
    return size >= content->size && memcmp(text, content->bytes, content->size) == 0;
}

/* Bytes of `text` to take off its front, when *left more may be; *left becomes 0 at the first other character. */
static size_t strip_front(const alloy_text *content, const char *text, size_t size, int64_t *left)
{
    size_t at = 0;
    while (*left > 0 && at < size) {
        if (!has_content(content, text + at, size - at)) {
            *left = 0;
            break;
        }
        at += content->size;
        --*left;
    }
    return at;
}

/* Bytes of `text` to take off its end, at most `most` times the content. */
static size_t strip_back(const alloy_text *content, const char *text, size_t size, int64_t most)
{
    size_t off = 0;
    for (; most > 0 && size - off >= content->size &&
           has_content(content, text + size - off - content->size, content->size);
         most--)
        off += content->size;
    return off;
}

static void append_repeats(alloy_text *out, const alloy_text *content, int64_t count)
{
    for (; count > 0; count--)
        alloy_text_append(out, content->bytes, content->size);
}

/* One long token: the front is stripped as it comes; what the end may strip is held, as a number. */
static alloy_status strip_fused(struct flow flow, const alloy_decoder_stage *stage, const char *text, size_t size)
{
    int64_t *seen = &flow.run->stages[flow.stage].seen, *held = &flow.run->stages[flow.stage].held;
    int64_t left = stage->start - *seen;
    size_t front = strip_front(&stage->content, text, size, &left);
    *seen = stage->start - left;
    text += front;
    size -= front;
    size_t back = strip_back(&stage->content, text, size, stage->stop);
    int64_t repeats = (int64_t)(back / stage->content.size), out = *held;
    if (back == size) /* it goes on with what is held */
        out = *held + repeats > stage->stop ? *held + repeats - stage->stop : 0;
    *held += repeats - out;
    alloy_text *made = made_of(flow);
    append_repeats(made, &stage->content, out);
    alloy_text_append(made, text, size - back);
    return made->size > 0 || made->failed ? pass_made(flow, false) : ALLOY_OK;
}

static alloy_status take_strip(struct flow flow, const alloy_decoder_stage *stage, const char *text, size_t size)
{
    if (stage->fused)
        return strip_fused(flow, stage, text, size);
    int64_t left = stage->start;
    size_t front = strip_front(&stage->content, text, size, &left);
    size_t back = strip_back(&stage->content, text + front, size - front, stage->stop);
    return pass_on(flow, text + front, size - front - back, true);
}

/* ---- Replace and Metaspace --------------------------------------------------------------------------------------- */

static alloy_status append_content(struct flow flow, const alloy_decoder_stage *stage, size_t from, alloy_text *made)
{
    alloy_status status = alloy_budget_allows(&flow.run->budget, from, made->size + stage->content.size, PART);
    if (!status)
        alloy_text_append(made, stage->content.bytes, stage->content.size);
    return status;
}

/* One long token: a match may go on in the next chunk. What is held of it, the longest end of the text so far that
 * begins the pattern, is a number of the pattern's bytes (Knuth, Morris and Pratt: Fast pattern matching in strings.
 * 1977), and each byte is looked at once. Held bytes end where a character does, since chunks do. */
static alloy_status replace_fused(struct flow flow, const alloy_decoder_stage *stage, const char *text, size_t size)
{
    const alloy_pattern *pattern = &stage->pattern;
    alloy_text *made = made_of(flow);
    size_t before = (size_t)flow.run->stages[flow.stage].held, held = before;
    alloy_status status = ALLOY_OK;
    for (size_t at = 0; at < size && !status; at++) {
        if (held == 0) {
            const char *hit = memchr(text + at, pattern->string[0], size - at);
            size_t skipped = hit ? (size_t)(hit - text) - at : size - at;
            alloy_text_append(made, text + at, skipped);
            at += skipped;
            if (at == size)
                break;
        }
        while (held > 0 && pattern->string[held] != text[at]) {
            alloy_text_append(made, pattern->string, held - stage->borders[held - 1]);
            held = stage->borders[held - 1];
        }
        if (pattern->string[held] == text[at])
            held++;
        else
            alloy_text_char(made, text[at]);
        if (held == pattern->size) {
            status = append_content(flow, stage, before + at + 1, made);
            held = 0;
        }
    }
    flow.run->stages[flow.stage].held = (int64_t)held;
    if (!status)
        status = alloy_budget_grow(&flow.run->budget, before + size, made->size + held, PART);
    if (status)
        return status;
    return made->size > 0 || made->failed ? pass_made(flow, false) : ALLOY_OK;
}

/* No more text: what is held is no match. */
static alloy_status finish_replace(struct flow flow, const alloy_decoder_stage *stage)
{
    alloy_text *made = made_of(flow);
    alloy_text_append(made, stage->pattern.string, (size_t)flow.run->stages[flow.stage].held);
    return made->size > 0 || made->failed ? pass_made(flow, false) : ALLOY_OK;
}

static alloy_status take_replace(struct flow flow, const alloy_decoder_stage *stage, const char *text, size_t size)
{
    if (stage->fused)
        return replace_fused(flow, stage, text, size);
    alloy_budget *budget = &flow.run->budget;
    alloy_pattern_scan *scan = &flow.run->stages[flow.stage].scan;
    alloy_text *made = made_of(flow);
    alloy_status status = alloy_pattern_scan_begin(scan, &stage->pattern, text, size, budget);
    size_t copied = 0, start, end;
    bool found;
    while (!status && !(status = alloy_pattern_scan_next(scan, &found, &start, &end)) && found) {
        alloy_text_append(made, text + copied, start - copied);
        status = append_content(flow, stage, end, made);
        copied = end;
    }
    alloy_text_append(made, text + copied, size - copied);
    if (!status)
        status = alloy_budget_grow(budget, size, made->size, PART);
    return status ? status : pass_made(flow, true);
}

static alloy_status take_metaspace(struct flow flow, const alloy_decoder_stage *stage, const char *text, size_t size,
                                   bool begins)
{
    int64_t *tokens = &flow.run->stages[flow.stage].seen;
    bool first = stage->fused || *tokens == 0;
    alloy_text *made = made_of(flow);
    *tokens = 1;
    for (size_t at = 0, length; at < size; at += length) {
        length = alloy_code_length((uint8_t)text[at]);
        if (!has_content(&stage->content, text + at, size - at))
            alloy_text_append(made, text + at, length);
        else if (!first || !stage->drop_first)
            alloy_text_char(made, ' ');
    }
    return pass_made(flow, begins);
}

static alloy_status take_join(struct flow flow, const char *text, size_t size)
{
    int64_t *tokens = &flow.run->stages[flow.stage].seen;
    alloy_text *made = made_of(flow);
    if (*tokens > 0)
        alloy_text_char(made, ' ');
    *tokens = 1;
    alloy_text_append(made, text, size);
    alloy_status status = alloy_budget_grow(&flow.run->budget, size, made->size, PART);
    return status ? status : pass_made(flow, true);
}

/* ---- The chain --------------------------------------------------------------------------------------------------- */

static alloy_status take(struct flow flow, const char *text, size_t size, bool begins)
{
    if (flow.stage == flow.chain->count) {
        alloy_text_append(&flow.run->out, text, size);
        return alloy_text_status(&flow.run->out);
    }
    const alloy_decoder_stage *stage = &flow.chain->stages[flow.stage];
    alloy_status status = alloy_budget_charge(&flow.run->budget, size, PART);
    if (status)
        return status;
    switch (stage->kind) {
    case ALLOY_DECODE_BYTE_LEVEL:
        return take_byte_level(flow, text, size);
    case ALLOY_DECODE_BYTE_FALLBACK:
        return take_byte_fallback(flow, text, size);
    case ALLOY_DECODE_FUSE:
        return pass_on(flow, text, size, false);
    case ALLOY_DECODE_STRIP:
        return take_strip(flow, stage, text, size);
    case ALLOY_DECODE_REPLACE:
        return take_replace(flow, stage, text, size);
    case ALLOY_DECODE_METASPACE:
        return take_metaspace(flow, stage, text, size, begins);
    default:
        return take_join(flow, text, size);
    }
}

static alloy_status finish_stage(struct flow flow)
{
    const alloy_decoder_stage *stage = &flow.chain->stages[flow.stage];
    switch (stage->kind) {
    case ALLOY_DECODE_BYTE_LEVEL:
        return pass_characters(flow, true);
    case ALLOY_DECODE_BYTE_FALLBACK:
        return pass_byte_run(flow);
    case ALLOY_DECODE_REPLACE:
        return stage->fused ? finish_replace(flow, stage) : ALLOY_OK;
    default:
        return ALLOY_OK;
    }
}

static void begin(alloy_decoder_run *run)
{
    if (!run->begun)
        alloy_budget_open(&run->budget, 0);
    run->begun = true;
}

alloy_status alloy_decoder_run_push(const alloy_decoder_chain *chain, alloy_decoder_run *run, const char *token,
                                    size_t size)
{
    begin(run);
    alloy_budget_extend(&run->budget, size + 1); /* a token is worth a byte even without text */
    return take((struct flow){chain, run, 0}, token, size, true);
}

alloy_status alloy_decoder_run_finish(const alloy_decoder_chain *chain, alloy_decoder_run *run)
{
    alloy_status status = ALLOY_OK;
    begin(run);
    for (int64_t i = 0; i < chain->count && !status; i++)
        status = finish_stage((struct flow){chain, run, i});
    for (int64_t i = 0; i < chain->count; i++) {
        alloy_text_clear(&run->stages[i].kept);
        run->stages[i].seen = run->stages[i].held = 0;
    }
    run->begun = false;
    return status;
}
