/* Opening tokenizers, encoding, decoding (alloy.h; tokenizer.h shows the way of a text). */
#include "tokenizer/tokenizer.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"
#include "tokenizer/ids.h"

enum { MOST_FILE = 512 << 20 };

#define MOST_TEXT ((size_t)1 << 31)

/* Everything that one call of encode needs. Belongs to one thread while in use. */
struct alloy_encoder {
    const alloy_tokenizer *tokenizer;
    alloy_ids *ids;
    bool special_as_text;
    const char *text;       /* as given, or with what was not UTF-8 replaced */
    const char *normalized; /* the stretch at hand */
    size_t origin;          /* how many of its first bytes come from the text's first character */
    alloy_budget budget;    /* what this call may still take */
    alloy_text repaired;
    alloy_normalizer_scratch normalizer;
    alloy_pretokenizer_scratch pretokenizer;
    alloy_bpe_scratch *bpe;
};

/* ---- Encoders and their pool ------------------------------------------------------------------------------------- */

static void encoder_close(alloy_encoder *e)
{
    if (!e)
        return;
    alloy_text_free(&e->repaired);
    alloy_normalizer_scratch_free(&e->normalizer);
    alloy_pretokenizer_scratch_free(&e->pretokenizer);
    alloy_bpe_scratch_close(e->bpe);
    alloy_memory_free(e);
}

static alloy_status take_piece(void *user, const char *piece, size_t size)
{
    alloy_encoder *e = user;
    return alloy_bpe_encode(&e->tokenizer->bpe, e->bpe, piece, size, e->ids);
}

static alloy_encoder *encoder_open(const alloy_tokenizer *tokenizer)
{
    alloy_encoder *e = alloy_memory_zeroed(1, sizeof *e);
    if (!e)
        return NULL;
    e->tokenizer = tokenizer;
    e->pretokenizer.take = take_piece;
    e->pretokenizer.user = e;
    e->pretokenizer.budget = &e->budget;
    if (alloy_bpe_scratch_open(&e->bpe)) {
        encoder_close(e);
        return NULL;
    }
    return e;
}

/* The pool is the one part of an open tokenizer that changes, under its lock. */
static alloy_encoder *encoder_take(const alloy_tokenizer *tokenizer)
{
    alloy_tokenizer *t = (alloy_tokenizer *)tokenizer;
    alloy_encoder *e = NULL;
    pthread_mutex_lock(&t->lock);
    if (t->pooled > 0)
        e = t->pool[--t->pooled];
    pthread_mutex_unlock(&t->lock);
    return e ? e : encoder_open(tokenizer);
}

static void encoder_give(const alloy_tokenizer *tokenizer, alloy_encoder *e, bool large)
{
    alloy_tokenizer *t = (alloy_tokenizer *)tokenizer;
    pthread_mutex_lock(&t->lock);
    if (!large && t->pooled < ALLOY_POOLED_ENCODERS) {
        t->pool[t->pooled++] = e;
        e = NULL;
    }
    pthread_mutex_unlock(&t->lock);
    encoder_close(e);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Reads an open tokenizer.json, which it closes. It is read into memory, not mapped: parsing goes through it more than
 * once, and others may change it meanwhile. */
static alloy_status load(alloy_tokenizer **out, alloy_file *file)
{
    alloy_tokenizer *t = alloy_memory_zeroed(1, sizeof *t);
    alloy_status status = t ? ALLOY_OK : ALLOY_NOMEM;
    if (t) {
        pthread_mutex_init(&t->lock, NULL);
        alloy_added_set_open(&t->added);
        alloy_added_set_open(&t->added_normalized);
        status = alloy_tokenizer_load(t, file->path, (const char *)file->data, file->size);
    }
    alloy_file_close(file);
    if (status)
        alloy_tokenizer_close(t);
    else
        *out = t;
    return status;
}

alloy_status alloy_tokenizer_open_in(alloy_tokenizer **out, const alloy_model_files *files)
{
    alloy_file file;
    *out = NULL;
    alloy_status status = alloy_model_files_file(files, "tokenizer.json", MOST_FILE, false, &file);
    return status ? status : load(out, &file);
}

alloy_status alloy_tokenizer_open(alloy_tokenizer **out, const char *path)
{
    if (!out || !path)
        return alloy_fail(ALLOY_ARG, "alloy_tokenizer_open: a NULL argument");
    *out = NULL;
    if (!alloy_folder_exists(path)) {
        alloy_file file;
        alloy_status status = alloy_file_open(&file, path, MOST_FILE, false);
        return status ? status : load(out, &file);
    }
    alloy_model_files files;
    alloy_status status = alloy_model_files_open(&files, path, false);
    status = status ? status : alloy_tokenizer_open_in(out, &files);
    alloy_model_files_close(&files);
    return status;
}

void alloy_tokenizer_close(alloy_tokenizer *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->pooled; i++)
        encoder_close(t->pool[i]);
    pthread_mutex_destroy(&t->lock);
    alloy_vocabulary_free(&t->vocabulary);
    alloy_added_set_close(&t->added);
    alloy_added_set_close(&t->added_normalized);
    alloy_normalizer_close(&t->normalizer);
    alloy_pretokenizer_close(&t->pretokenizer);
    alloy_bpe_free(&t->bpe);
    alloy_ids_free(&t->post_processor.before);
    alloy_ids_free(&t->post_processor.after);
    alloy_decoder_chain_close(&t->decoder);
    alloy_memory_free(t);
}

/* ---- Encoding ---------------------------------------------------------------------------------------------------- */

static alloy_status add_ids(alloy_ids *ids, const alloy_ids *more)
{
    if (!alloy_ids_reserve(ids, more->count))
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < more->count; i++)
        ids->ids[ids->count++] = more->ids[i];
    return ALLOY_OK;
}

/* A stretch of normalized text: a token, or text to cut into pieces. */
static alloy_status take_normalized(void *user, const alloy_added_token *token, size_t start, size_t end)
{
    alloy_encoder *e = user;
    if (token)
        return alloy_ids_add(e->ids, token->id) ? ALLOY_OK : ALLOY_NOMEM;
    return alloy_pretokenize(&e->tokenizer->pretokenizer, &e->pretokenizer, e->normalized + start, end - start,
                             e->origin > start ? e->origin - start : 0);
}

/* A stretch of the text as it stands: a token, or text to normalize. */
static alloy_status take_plain(void *user, const alloy_added_token *token, size_t start, size_t end)
{
    alloy_encoder *e = user;
    const alloy_tokenizer *t = e->tokenizer;
    if (token)
        return alloy_ids_add(e->ids, token->id) ? ALLOY_OK : ALLOY_NOMEM;
    size_t size;
    e->origin = start == 0 ? alloy_code_length((uint8_t)e->text[0]) : 0;
    alloy_status status = alloy_normalize(&t->normalizer, &e->normalizer, e->text + start, end - start, &e->budget,
                                          &e->origin, &e->normalized, &size);
    if (status)
        return status;
    if (size >= UINT32_MAX / 2)
        return alloy_fail(ALLOY_LIMIT, "the text has %zu bytes when it is normalized, more than 2^31", size);
    return alloy_added_divide(&t->added_normalized, e->normalized, size, e->special_as_text, &e->budget,
                              take_normalized, e);
}

/* Copies text with a U+FFFD for every maximal part of a bad sequence. */
static alloy_status repair(alloy_text *out, const char *text, size_t size)
{
    alloy_text_clear(out);
    for (size_t at = 0; at < size;) {
        size_t valid = alloy_utf8_valid(text + at, size - at);
        alloy_text_append(out, text + at, valid);
        at += valid;
        if (at == size)
            break;
        uint32_t code;
        at += alloy_utf8_next(text + at, size - at, &code);
        alloy_text_string(out, "\xEF\xBF\xBD");
    }
    return alloy_text_status(out);
}

static alloy_status encode(alloy_encoder *e, const char *text, size_t size, unsigned flags)
{
    const alloy_tokenizer *t = e->tokenizer;
    alloy_status status = ALLOY_OK;
    if (alloy_utf8_valid(text, size) < size) {
        status = repair(&e->repaired, text, size);
        text = alloy_text_get(&e->repaired);
        size = e->repaired.size;
    }
    e->text = text;
    e->special_as_text = flags & ALLOY_ENCODE_SPECIAL_AS_TEXT;
    alloy_budget_open(&e->budget, size);
    if (!status && flags & ALLOY_ENCODE_ADD_SPECIAL)
        status = add_ids(e->ids, &t->post_processor.before);
    if (!status)
        status = alloy_added_divide(&t->added, text, size, e->special_as_text, &e->budget, take_plain, e);
    if (!status && flags & ALLOY_ENCODE_ADD_SPECIAL)
        status = add_ids(e->ids, &t->post_processor.after);
    return status;
}

alloy_status alloy_tokenizer_encode(const alloy_tokenizer *tokenizer, const char *text, size_t size, unsigned flags,
                                    alloy_ids *ids)
{
    enum { LARGE = 1 << 20 };
    if (!tokenizer || (!text && size > 0) || !ids)
        return alloy_fail(ALLOY_ARG, "alloy_tokenizer_encode: a NULL argument");
    if (flags & ~(unsigned)(ALLOY_ENCODE_ADD_SPECIAL | ALLOY_ENCODE_SPECIAL_AS_TEXT))
        return alloy_fail(ALLOY_ARG, "alloy_tokenizer_encode: unknown flags 0x%x", flags);
    if (size > MOST_TEXT)
        return alloy_fail(ALLOY_LIMIT, "a text of %zu bytes; at most 2^31 are allowed", size);
    alloy_encoder *e = encoder_take(tokenizer);
    if (!e)
        return ALLOY_NOMEM;
    int64_t before = ids->count;
    e->ids = ids;
    alloy_status status = encode(e, text ? text : "", size, flags);
    if (status)
        ids->count = before;
    encoder_give(tokenizer, e, status || size > LARGE);
    return status;
}

/* ---- Decoding ---------------------------------------------------------------------------------------------------- */

struct alloy_decoder {
    const alloy_tokenizer *tokenizer;
    bool skip_special;
    alloy_decoder_run run;
};

alloy_status alloy_decoder_open(alloy_decoder **out, const alloy_tokenizer *tokenizer, bool skip_special)
{
    if (!out || !tokenizer)
        return alloy_fail(ALLOY_ARG, "alloy_decoder_open: a NULL argument");
    alloy_decoder *decoder = *out = alloy_memory_zeroed(1, sizeof *decoder);
    if (!decoder)
        return ALLOY_NOMEM;
    decoder->tokenizer = tokenizer;
    decoder->skip_special = skip_special;
    return ALLOY_OK;
}

void alloy_decoder_close(alloy_decoder *decoder)
{
    if (!decoder)
        return;
    alloy_decoder_run_free(&decoder->run);
    alloy_memory_free(decoder);
}

/* Takes an id without giving text. */
static alloy_status push(alloy_decoder *decoder, int64_t id)
{
    const alloy_vocabulary *v = &decoder->tokenizer->vocabulary;
    if (id < 0 || id > UINT32_MAX)
        return alloy_fail(ALLOY_RANGE, "token id %lld is outside 0..4294967295", (long long)id);
    if (!alloy_vocabulary_has(v, id) || (decoder->skip_special && v->tokens[id].flags & ALLOY_TOKEN_SKIPPED))
        return ALLOY_OK;
    size_t size;
    const char *text = alloy_vocabulary_shown(v, id, &size);
    return alloy_decoder_run_push(&decoder->tokenizer->decoder, &decoder->run, text, size);
}

alloy_status alloy_decoder_push(alloy_decoder *decoder, int64_t id, const char **text, size_t *size)
{
    alloy_text_clear(&decoder->run.out);
    alloy_status status = push(decoder, id);
    *text = status ? "" : alloy_text_get(&decoder->run.out);
    *size = status ? 0 : decoder->run.out.size;
    return status;
}

alloy_status alloy_decoder_finish(alloy_decoder *decoder, const char **text, size_t *size)
{
    alloy_text_clear(&decoder->run.out);
    alloy_status status = alloy_decoder_run_finish(&decoder->tokenizer->decoder, &decoder->run);
    *text = status ? "" : alloy_text_get(&decoder->run.out);
    *size = status ? 0 : decoder->run.out.size;
    return status;
}

alloy_status alloy_tokenizer_decode(const alloy_tokenizer *tokenizer, const int64_t *ids, int64_t count,
                                    bool skip_special, char **text, size_t *size)
{
    if (!tokenizer || (!ids && count > 0) || !text)
        return alloy_fail(ALLOY_ARG, "alloy_tokenizer_decode: a NULL argument");
    *text = NULL;
    if (size)
        *size = 0;
    alloy_decoder *decoder;
    alloy_status status = alloy_decoder_open(&decoder, tokenizer, skip_special);
    for (int64_t i = 0; i < count && !status; i++)
        status = push(decoder, ids[i]);
    if (!status)
        status = alloy_decoder_run_finish(&tokenizer->decoder, &decoder->run);
    if (!status && !alloy_text_reserve(&decoder->run.out, 1))
        status = ALLOY_NOMEM;
    if (!status) {
        alloy_text *out = &decoder->run.out;
        *text = out->bytes;
        if (size)
            *size = out->size;
        *out = (alloy_text){0};
    }
    alloy_decoder_close(decoder);
    return status;
}

void alloy_free(void *memory)
{
    alloy_memory_free(memory);
}

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

int64_t alloy_tokenizer_vocab_size(const alloy_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.count;
}

int64_t alloy_tokenizer_id(const alloy_tokenizer *tokenizer, const char *token, size_t size)
{
    uint32_t id = alloy_vocabulary_find_any(&tokenizer->vocabulary, token, size);
    return id == ALLOY_NO_TOKEN ? -1 : (int64_t)id;
}

const char *alloy_tokenizer_token(const alloy_tokenizer *tokenizer, int64_t id, size_t *size)
{
    bool has = alloy_vocabulary_has(&tokenizer->vocabulary, id);
    *size = has ? tokenizer->vocabulary.tokens[id].size : 0;
    return has ? alloy_vocabulary_text(&tokenizer->vocabulary, id) : NULL;
}

bool alloy_tokenizer_is_special(const alloy_tokenizer *tokenizer, int64_t id)
{
    return alloy_vocabulary_has(&tokenizer->vocabulary, id) &&
           tokenizer->vocabulary.tokens[id].flags & ALLOY_TOKEN_SPECIAL;
}
