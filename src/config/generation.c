/* generation_config.json (generation.h). */
#include "config/generation.h"

#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "config/fields.h"

enum { MOST_BYTES = 4 * 1024 * 1024, MOST_TOP_K = 1 << 24, NULLABLE = ALLOY_FIELD_NULLABLE, ABOVE = ALLOY_FIELD_ABOVE };
#define MOST_TOKENS 1099511627776.0 /* 2^40 */
#define MOST_ID 2147483647.0

#define AT(member) offsetof(alloy_generation_config, member)
#define WHOLE(name, least, most) ALLOY_ROW(#name, INTEGER, NULLABLE, AT(name), least, most, NULL)

_Static_assert(AT(eos_token_count) == AT(eos_token_ids) + offsetof(alloy_integers, count),
               "read as one alloy_integers");

static const alloy_field fields[] = {
    ALLOY_ROW("do_sample", BOOL, NULLABLE, AT(do_sample), 0, 0, NULL),
    ALLOY_ROW("temperature", NUMBER, NULLABLE, AT(temperature), 0, 1e6, NULL),
    WHOLE(top_k, 0, MOST_TOP_K),
    ALLOY_ROW("top_p", NUMBER, NULLABLE | ABOVE, AT(top_p), 0, 1, NULL),
    ALLOY_ROW("min_p", NUMBER, NULLABLE, AT(min_p), 0, 1, NULL),
    ALLOY_ROW("repetition_penalty", NUMBER, NULLABLE | ABOVE, AT(repetition_penalty), 0, 1000, NULL),
    WHOLE(max_length, 1, MOST_TOKENS),
    WHOLE(max_new_tokens, 1, MOST_TOKENS),
    WHOLE(bos_token_id, -1, MOST_ID),
    WHOLE(pad_token_id, -1, MOST_ID),
    ALLOY_ROW("eos_token_id", TOKENS, NULLABLE, AT(eos_token_ids), 0, MOST_ID, NULL),
};

enum { FIELDS = sizeof fields / sizeof *fields };

/* Settings that change what is generated and that Alloy does not have, with the value that changes nothing. */
static const struct {
    const char *key;
    double neutral;
} unknown[] = {
    {"num_beams", 1},  {"num_beam_groups", 1}, {"typical_p", 1},  {"no_repeat_ngram_size", 0}, {"epsilon_cutoff", 0},
    {"eta_cutoff", 0}, {"penalty_alpha", 0},   {"min_length", 0}, {"min_new_tokens", 0},       {"top_h", 1},
};

/* What is kept with the settings. */
struct kept {
    alloy_generation_config config; /* first: what users see */
    alloy_arena *arena;             /* holds all of it */
};

/* Takes the value of a key that is no field; adds it to `ignored` if it asks for something that is not done. */
static void skip_unknown(alloy_json *json, const alloy_json_string_view *key, alloy_text *ignored)
{
    bool is_number = alloy_json_peek(json) == ALLOY_JSON_NUMBER;
    alloy_json_string_view value = alloy_json_raw(json);
    double number;
    if (!is_number || json->status || !alloy_parse_double(value.bytes, value.size, &number))
        return;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (alloy_json_key_is(key, unknown[i].key) && number != unknown[i].neutral)
            alloy_text_format(ignored, "%s%s %g", ignored->size ? ", " : "", unknown[i].key, number);
}

static void read_fields(alloy_json *json, struct kept *kept, alloy_text *ignored)
{
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int row = alloy_field_find(fields, FIELDS, &key);
        if (row >= 0)
            alloy_field_read(json, kept->arena, &fields[row], &kept->config);
        else
            skip_unknown(json, &key, ignored);
    }
}

static alloy_status check_ids(const alloy_generation_config *config, const char *name, int64_t vocab_size)
{
    for (int64_t i = 0; vocab_size > 0 && i < config->eos_token_count; i++)
        if (config->eos_token_ids[i] >= vocab_size)
            return alloy_fail(ALLOY_RANGE, "%s: eos_token_id has %lld, expected an id of the vocabulary, 0..%lld",
                              alloy_printable(name, strlen(name)), (long long)config->eos_token_ids[i],
                              (long long)vocab_size - 1);
    return ALLOY_OK;
}

static struct kept *new_config(void)
{
    alloy_arena *arena = alloy_arena_new();
    struct kept *kept = arena ? alloy_arena_take_zeroed(arena, 1, sizeof *kept) : NULL;
    if (!kept) {
        alloy_arena_free(arena);
        return NULL;
    }
    kept->config = (alloy_generation_config){
        .temperature = 1, .top_k = 50, .top_p = 1, .repetition_penalty = 1, .bos_token_id = -1, .pad_token_id = -1};
    kept->arena = arena;
    return kept;
}

alloy_status alloy_generation_config_parse(alloy_generation_config **out, const char *name, const void *bytes,
                                           size_t size, int64_t vocab_size)
{
    *out = NULL;
    if (size > MOST_BYTES)
        return alloy_fail(ALLOY_LIMIT, "%s: %zu bytes, at most %d are read", alloy_printable(name, strlen(name)), size,
                          (int)MOST_BYTES);
    struct kept *kept = new_config();
    if (!kept)
        return ALLOY_NOMEM;
    alloy_text ignored = {0};
    alloy_json json;
    alloy_json_open(&json, name, bytes, size);
    json.not_finite = true;
    read_fields(&json, kept, &ignored);
    alloy_status status = alloy_json_close(&json);
    if (!status)
        status = alloy_text_status(&ignored);
    if (!status)
        status = check_ids(&kept->config, name, vocab_size);
    if (!status && ignored.size)
        alloy_warn("%s: ignored: %s (Alloy does not have it)", alloy_printable(name, strlen(name)),
                   alloy_text_get(&ignored));
    alloy_text_free(&ignored);
    if (status)
        alloy_generation_config_close(&kept->config);
    else
        *out = &kept->config;
    return status;
}

alloy_status alloy_generation_config_open(alloy_generation_config **out, const alloy_model_files *files,
                                          int64_t vocab_size)
{
    static const char NAME[] = "generation_config.json";
    alloy_text path = {0}, bytes = {0};
    bool exists = false;
    *out = NULL;
    alloy_status status = alloy_model_files_path(files, NAME, &path);
    if (!status)
        status = alloy_model_files_has(files, NAME, &exists);
    if (!status && exists)
        status = alloy_model_files_read(files, NAME, MOST_BYTES, &bytes);
    if (!status && exists)
        status = alloy_generation_config_parse(out, path.bytes, alloy_text_get(&bytes), bytes.size, vocab_size);
    else if (!status)
        status = alloy_generation_config_parse(out, NAME, "{}", 2, vocab_size);
    alloy_text_free(&path);
    alloy_text_free(&bytes);
    return status;
}

void alloy_generation_config_close(alloy_generation_config *config)
{
    if (config)
        alloy_arena_free(((struct kept *)config)->arena);
}
