/* What the fuzzer does with a tokenizer.json and a text, and what must hold whatever they are. Shared by
 * fuzz_tokenizer.c and tests/tokenizer/test_mutations.c. */
#ifndef ALLOY_TESTS_FUZZ_TOKENIZER_TARGET_H
#define ALLOY_TESTS_FUZZ_TOKENIZER_TARGET_H

#include "base/text.h"
#include "fuzz/targets.h"

/* Ids decode, and the pieces of a streaming decoder are whole characters which together are the same text. */
static inline void check_decoding(const alloy_tokenizer *tokenizer, const alloy_ids *ids, bool skip_special)
{
    char *whole;
    size_t whole_size, size;
    const char *piece;
    alloy_decoder *decoder;
    alloy_text streamed = {0};
    alloy_status status = alloy_tokenizer_decode(tokenizer, ids->ids, ids->count, skip_special, &whole, &whole_size);
    check_error(status);
    if (status) {
        PROMISE(status == ALLOY_LIMIT); /* a regular expression of the decoder */
        return;
    }
    PROMISE(!alloy_decoder_open(&decoder, tokenizer, skip_special));
    for (int64_t i = 0; i < ids->count; i++) {
        PROMISE(!alloy_decoder_push(decoder, ids->ids[i], &piece, &size));
        PROMISE(alloy_utf8_valid(piece, size) == size);
        alloy_text_append(&streamed, piece, size);
    }
    PROMISE(!alloy_decoder_finish(decoder, &piece, &size));
    alloy_text_append(&streamed, piece, size);
    PROMISE(streamed.size == whole_size && memcmp(alloy_text_get(&streamed), whole, whole_size) == 0);
    alloy_decoder_close(decoder);
    alloy_text_free(&streamed);
    alloy_free(whole);
}

static inline void check_tokenizer(const alloy_tokenizer *tokenizer, const char *text, size_t size)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        alloy_ids ids = {0};
        alloy_status status = alloy_tokenizer_encode(tokenizer, text, size, flags, &ids);
        check_error(status);
        PROMISE(!status || (status == ALLOY_LIMIT && ids.count == 0));
        for (int64_t i = 0; i < ids.count; i++) {
            size_t token_size;
            PROMISE(ids.ids[i] >= 0 && ids.ids[i] < alloy_tokenizer_vocab_size(tokenizer));
            PROMISE(alloy_tokenizer_token(tokenizer, ids.ids[i], &token_size));
        }
        check_decoding(tokenizer, &ids, flags & 1);
        alloy_ids_free(&ids);
    }
}

/* `bytes` are a tokenizer.json, and behind the first byte 0xFF, which none holds, a text. */
static inline void fuzz_tokenizer(const uint8_t *bytes, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(bytes, 0xFF, size) : NULL;
    size_t json_size = end ? (size_t)(end - bytes) : size;
    const char *text = end ? (const char *)end + 1 : "hello world 123 \xC3\xA9\xE2\x96\x81\xF0\x9F\x98\x80";
    size_t text_size = end ? size - json_size - 1 : strlen(text);
    int descriptor = memfd_create("fuzz", 0);
    PROMISE(descriptor >= 0 && write(descriptor, bytes, json_size) == (ssize_t)json_size);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    alloy_tokenizer *tokenizer;
    alloy_status status = alloy_tokenizer_open(&tokenizer, path);
    check_error(status);
    PROMISE(!status || status == ALLOY_FORMAT || status == ALLOY_LIMIT || status == ALLOY_RANGE);
    PROMISE(!status == (tokenizer != NULL));
    if (!status)
        check_tokenizer(tokenizer, text, text_size);
    alloy_tokenizer_close(tokenizer);
    close(descriptor);
}

#endif
