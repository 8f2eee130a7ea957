/* The forwards that `alloy roofline` is asked about.
 *
 *     --mode prefill --batch B --seq-len Q     --at prefill:Q          Q new tokens
 *     --mode mini-prefill --chunk-len Q        --at mini-prefill:Q+P   Q new ones after P cached
 *            --kv-cache-len P
 *     --mode decode --kv-cache-len P           --at decode:P           1 after P
 *     --sequences 4096+0,32x1+8192                                     one forward of different sequences
 *
 * A forward is named by its lengths, however it was asked for: after nothing a prefill, of one token a decode. */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "roofline.h"

enum { PREFILL_TOKENS = 4096, CHUNK_TOKENS = 512, CHUNK_CACHE = 2048, DECODE_CACHE = 4096 };
enum { MODES = 3 };

static const char *const modes[MODES] = {"prefill", "mini-prefill", "decode"};
enum { PREFILL, MINI, DECODE };

static int64_t or_else(const alloy_cli_integer *given, int64_t otherwise)
{
    return given->given ? given->value : otherwise;
}

/* ---- Building ---------------------------------------------------------------------------------------------------- */

static alloy_status add_point(alloy_report_point **points, int64_t *count, const char *mode,
                              const alloy_roofline_sequences *sequences, int64_t sequences_count)
{
    alloy_report_point *grown = alloy_memory_resize(*points, (size_t)*count + 1, sizeof *grown);
    if (!grown)
        return ALLOY_NOMEM;
    *points = grown;
    alloy_roofline_sequences *copy = alloy_memory_new((size_t)sequences_count, sizeof *copy);
    if (!copy)
        return ALLOY_NOMEM;
    memcpy(copy, sequences, (size_t)sequences_count * sizeof *copy);
    grown[(*count)++] = (alloy_report_point){mode, copy, sequences_count};
    return ALLOY_OK;
}

static alloy_status add_one(alloy_report_point **points, int64_t *count, int64_t batch, int64_t tokens, int64_t cached)
{
    int mode = cached == 0 ? PREFILL : tokens == 1 ? DECODE : MINI;
    return add_point(points, count, modes[mode], &(alloy_roofline_sequences){batch, tokens, cached}, 1);
}

/* ---- Lengths as text --------------------------------------------------------------------------------------------- */

/* "4096" in `size` bytes; false: no whole number from `least` on. */
static bool read_length(const char *text, size_t size, int64_t least, int64_t *out)
{
    return alloy_parse_int64(text, size, out) && *out >= least;
}

/* "512+2048" */
static bool read_pair(const char *text, size_t size, int64_t *tokens, int64_t *cached)
{
    const char *plus = memchr(text, '+', size);
    return plus && read_length(text, (size_t)(plus - text), 1, tokens) &&
           read_length(plus + 1, (size_t)(text + size - plus - 1), 0, cached);
}

static alloy_status bad_at(const char *text)
{
    return alloy_fail(ALLOY_ARG, "--at is \"%s\", expected prefill:4096, mini-prefill:512+2048 or decode:4096",
                      alloy_printable(text, strlen(text)));
}

static alloy_status read_at(const char *text, int64_t batch, alloy_report_point **points, int64_t *count)
{
    const char *colon = strchr(text, ':');
    int mode = 0;
    while (colon && mode < MODES &&
           !(strlen(modes[mode]) == (size_t)(colon - text) && memcmp(modes[mode], text, (size_t)(colon - text)) == 0))
        mode++;
    if (!colon || mode == MODES)
        return bad_at(text);
    int64_t tokens = 1, cached = 0;
    const char *lengths = colon + 1;
    bool read = mode == PREFILL ? read_length(lengths, strlen(lengths), 1, &tokens)
                : mode == MINI  ? read_pair(lengths, strlen(lengths), &tokens, &cached)
                                : read_length(lengths, strlen(lengths), 0, &cached);
    return read ? add_one(points, count, batch, tokens, cached) : bad_at(text);
}

/* "32x1+8192", or without the count. */
static bool read_sequences(const char *text, size_t size, alloy_roofline_sequences *out)
{
    const char *times = memchr(text, 'x', size);
    out->count = 1;
    if (times && !read_length(text, (size_t)(times - text), 1, &out->count))
        return false;
    const char *pair = times ? times + 1 : text;
    return read_pair(pair, (size_t)(text + size - pair), &out->tokens, &out->cached);
}

static alloy_status read_ragged(const char *text, alloy_report_point **points, int64_t *count)
{
    int64_t items = 1;
    for (const char *c = text; *c; c++)
        items += *c == ',';
    alloy_roofline_sequences *sequences = alloy_memory_new((size_t)items, sizeof *sequences);
    if (!sequences)
        return ALLOY_NOMEM;
    alloy_status status = ALLOY_OK;
    const char *at = text;
    for (int64_t i = 0; i < items && !status; i++) {
        size_t size = strcspn(at, ",");
        if (!read_sequences(at, size, &sequences[i]))
            status =
                alloy_fail(ALLOY_ARG, "--sequences is \"%s\": \"%s\" is not like 4096+0 or 32x1+8192 (new + cached)",
                           alloy_printable(text, strlen(text)), alloy_printable(at, size));
        at += size + 1;
    }
    if (!status)
        status = add_point(points, count, "ragged", sequences, items);
    alloy_memory_free(sequences);
    return status;
}

/* ---- Flags ------------------------------------------------------------------------------------------------------- */

static int mode_of(const char *name)
{
    int mode = 0;
    while (mode < MODES - 1 && strcmp(modes[mode], name) != 0)
        mode++;
    return mode;
}

/* A length that the mode does not have would be ignored in silence. */
static alloy_status check_lengths(const alloy_cli_roofline_options *o)
{
    const struct {
        const char *flag;
        const alloy_cli_integer *value;
        bool taken[MODES];
        const char *instead;
    } lengths[] = {
        {"seq-len", &o->seq_len, {true, false, false}, "mini-prefill takes --chunk-len, both others --kv-cache-len"},
        {"chunk-len", &o->chunk_len, {false, true, false}, "prefill takes --seq-len, decode --kv-cache-len"},
        {"kv-cache-len", &o->kv_cache_len, {false, true, true}, "prefill has no cache: --mode mini-prefill has"},
    };
    int mode = mode_of(o->mode);
    for (int i = 0; i < 3; i++)
        if (lengths[i].value->given && !lengths[i].taken[mode])
            return alloy_fail(ALLOY_ARG, "--%s says nothing of --mode %s (%s)", lengths[i].flag, o->mode,
                              lengths[i].instead);
    return ALLOY_OK;
}

/* The points of --mode, or of all three modes. */
static alloy_status add_modes(const alloy_cli_roofline_options *o, alloy_report_point **points, int64_t *count)
{
    int64_t batch = or_else(&o->batch, 1);
    const int64_t tokens[MODES] = {or_else(&o->seq_len, PREFILL_TOKENS), or_else(&o->chunk_len, CHUNK_TOKENS), 1};
    const int64_t cached[MODES] = {0, or_else(&o->kv_cache_len, CHUNK_CACHE), or_else(&o->kv_cache_len, DECODE_CACHE)};
    alloy_status status = o->mode ? check_lengths(o) : ALLOY_OK;
    for (int i = 0; i < MODES && !status; i++)
        if (!o->mode || mode_of(o->mode) == i)
            status = add_one(points, count, batch, tokens[i], cached[i]);
    return status;
}

static alloy_status add_points(const alloy_cli_roofline_options *o, alloy_report_point **points, int64_t *count)
{
    bool lengths = o->seq_len.given || o->chunk_len.given || o->kv_cache_len.given;
    if ((o->at.count > 0) + (o->sequences != NULL) + (o->mode || lengths) > 1)
        return alloy_fail(ALLOY_ARG, "forwards are given in one way: --mode with its lengths, --at, or --sequences");
    if (o->sequences && o->batch.given)
        return alloy_fail(ALLOY_ARG, "--batch says nothing of --sequences: 32x1+8192 are 32 of them");
    if (o->sequences)
        return read_ragged(o->sequences, points, count);
    if (o->at.count == 0)
        return add_modes(o, points, count);
    alloy_status status = ALLOY_OK;
    for (int64_t i = 0; i < o->at.count && !status; i++)
        status = read_at(o->at.items[i], or_else(&o->batch, 1), points, count);
    return status;
}

alloy_status alloy_cli_points_open(const alloy_cli_roofline_options *options, alloy_report_point **points,
                                   int64_t *count)
{
    *points = NULL;
    *count = 0;
    alloy_status status = add_points(options, points, count);
    if (status) {
        alloy_cli_points_close(*points, *count);
        *points = NULL;
        *count = 0;
    }
    return status;
}

void alloy_cli_points_close(alloy_report_point *points, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        alloy_memory_free(points[i].sequences);
    alloy_memory_free(points);
}
