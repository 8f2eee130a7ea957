/* What `alloy generate` prints (generated.h). */
#include "generated.h"

#include "output.h"
#include "table.h"

static double rate(int64_t tokens, double seconds)
{
    return seconds > 0 ? (double)tokens / seconds : 0;
}

/* The text of one token, freed with alloy_free; NULL without a tokenizer. */
static char *token_text(const alloy_tokenizer *tokenizer, int64_t id, size_t *size)
{
    char *text = NULL;
    *size = 0;
    if (tokenizer && alloy_tokenizer_decode(tokenizer, &id, 1, false, &text, size))
        return NULL;
    return text;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void write_token(alloy_json_writer *w, const alloy_tokenizer *tokenizer, int64_t id, float logprob)
{
    size_t size;
    char *text = token_text(tokenizer, id, &size);
    alloy_json_field_int64(w, "id", id);
    if (text) {
        alloy_json_write_key(w, "token");
        alloy_json_write_string(w, text, size);
    }
    alloy_json_field_double(w, "logprob", (double)logprob);
    alloy_free(text);
}

static void write_logprobs(alloy_json_writer *w, const alloy_output *output, const alloy_tokenizer *tokenizer)
{
    alloy_json_write_key(w, "logprobs");
    if (!output->logprobs) {
        alloy_json_write_null(w);
        return;
    }
    alloy_json_write_array(w);
    for (int64_t i = 0; i < output->count; i++) {
        alloy_json_write_object(w);
        write_token(w, tokenizer, output->ids[i], output->logprobs[i]);
        alloy_json_field_array(w, "likeliest");
        for (int64_t k = 0; k < output->likeliest_count; k++) {
            const alloy_logprob *likely = &output->likeliest[i * output->likeliest_count + k];
            alloy_json_write_object(w);
            write_token(w, tokenizer, likely->id, likely->logprob);
            alloy_json_write_object_end(w);
        }
        alloy_json_write_array_end(w);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
}

static void write_output(alloy_json_writer *w, const alloy_output *output, const alloy_tokenizer *tokenizer)
{
    alloy_json_write_object(w);
    alloy_json_write_key(w, "text");
    if (tokenizer)
        alloy_json_write_string(w, output->text, output->text_size);
    else
        alloy_json_write_null(w);
    alloy_json_field_array(w, "ids");
    for (int64_t i = 0; i < output->count; i++)
        alloy_json_write_int64(w, output->ids[i]);
    alloy_json_write_array_end(w);
    alloy_json_field_text(w, "finish_reason", alloy_finish_name(output->finish));
    write_logprobs(w, output, tokenizer);
    alloy_json_write_object_end(w);
}

static void write_usage(alloy_json_writer *w, const alloy_usage *usage)
{
    const struct {
        const char *key;
        int64_t value;
    } rows[] = {
        {"prompt_tokens", usage->prompt_tokens},
        {"cached_tokens", usage->cached_tokens},
        {"computed_tokens", usage->computed_tokens},
        {"completion_tokens", usage->completion_tokens},
    };
    alloy_json_field_object(w, "usage");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        alloy_json_field_int64(w, rows[i].key, rows[i].value);
    }
    alloy_json_write_object_end(w);
}

static void write_speed(alloy_json_writer *w, const alloy_usage *usage, const alloy_model *model)
{
    double bytes = (double)alloy_model_bytes_per_token(model);
    const struct {
        const char *key;
        double value;
    } rows[] = {
        {"prefill_seconds", usage->prefill_seconds},
        {"prefill_tokens_per_second", rate(usage->computed_tokens, usage->prefill_seconds)},
        {"decode_seconds", usage->decode_seconds},
        {"decode_tokens_per_second", rate(usage->decode_tokens, usage->decode_seconds)},
        {"bytes_per_second", bytes * rate(usage->decode_steps, usage->decode_seconds)},
    };
    alloy_json_field_object(w, "speed");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        alloy_json_field_double(w, rows[i].key, rows[i].value);
    }
    alloy_json_field_uint64(w, "bytes_per_token", alloy_model_bytes_per_token(model));
    alloy_json_write_object_end(w);
}

/* With a limit only: what became of it. */
static void write_weight_memory(alloy_json_writer *w, const alloy_model *model)
{
    alloy_weight_memory memory;
    alloy_model_weight_memory(model, &memory);
    if (memory.limit == 0)
        return;
    alloy_json_field_object(w, "weight_memory");
    alloy_json_field_uint64(w, "limit", memory.limit);
    alloy_json_field_uint64(w, "peak", memory.peak);
    alloy_json_field_uint64(w, "read", memory.read);
    alloy_json_field_uint64(w, "ahead", memory.ahead);
    alloy_json_field_uint64(w, "hits", memory.hits);
    alloy_json_field_uint64(w, "released", memory.released);
    alloy_json_field_int64(w, "disk", memory.disk);
    alloy_json_write_object_end(w);
}

alloy_status alloy_cli_generation_json(const alloy_generation *generation, const alloy_model *model,
                                       const alloy_tokenizer *tokenizer)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 0);
    alloy_json_field_array(w, "outputs");
    for (int64_t i = 0; i < alloy_generation_count(generation); i++)
        write_output(w, alloy_generation_output(generation, i), tokenizer);
    alloy_json_write_array_end(w);
    write_usage(w, alloy_generation_usage(generation));
    write_speed(w, alloy_generation_usage(generation), model);
    write_weight_memory(w, model);
    return alloy_cli_document_print(&document);
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

/* A token with what a terminal would not show written out. */
static void add_token(alloy_text *cell, const alloy_tokenizer *tokenizer, int64_t id)
{
    size_t size;
    char *text = token_text(tokenizer, id, &size);
    alloy_json_writer w;
    alloy_json_writer_open(&w, cell, 0);
    if (text)
        alloy_json_write_string(&w, text, size);
    alloy_free(text);
}

static void print_logprobs(const alloy_output *output, const alloy_tokenizer *tokenizer)
{
    alloy_table table;
    alloy_table_open(&table, ">step|>id|token|>logprob|likeliest");
    for (int64_t i = 0; i < output->count; i++) {
        alloy_text token = {0}, likeliest = {0};
        add_token(&token, tokenizer, output->ids[i]);
        for (int64_t k = 0; k < output->likeliest_count; k++) {
            const alloy_logprob *likely = &output->likeliest[i * output->likeliest_count + k];
            alloy_text_format(&likeliest, "%s%lld ", k ? ", " : "", (long long)likely->id);
            add_token(&likeliest, tokenizer, likely->id);
            alloy_text_char(&likeliest, ' ');
            alloy_text_number(&likeliest, (double)likely->logprob, 'f', 4);
        }
        alloy_table_cell(&table, "%lld", (long long)i);
        alloy_table_cell(&table, "%lld", (long long)output->ids[i]);
        alloy_table_cell(&table, "%s", alloy_text_get(&token));
        alloy_table_number(&table, (double)output->logprobs[i], 'f', 4);
        alloy_table_cell(&table, "%s", alloy_text_get(&likeliest));
        alloy_text_free(&token);
        alloy_text_free(&likeliest);
    }
    alloy_cli_table_print(&table);
}

static void print_output(const alloy_output *output, const alloy_tokenizer *tokenizer)
{
    if (tokenizer)
        alloy_cli_write(output->text, output->text_size);
    for (int64_t i = 0; !tokenizer && i < output->count; i++)
        alloy_cli_print(i ? ",%lld" : "%lld", (long long)output->ids[i]);
}

void alloy_cli_generation_text(const alloy_generation *generation, const alloy_tokenizer *tokenizer, bool streamed)
{
    int64_t count = alloy_generation_count(generation);
    for (int64_t i = 0; i < count; i++) {
        const alloy_output *output = alloy_generation_output(generation, i);
        if (count > 1)
            alloy_cli_print("--- output %lld (%s) ---\n", (long long)i + 1, alloy_finish_name(output->finish));
        if (!streamed)
            print_output(output, tokenizer);
        alloy_cli_print("\n");
        if (output->logprobs)
            print_logprobs(output, tokenizer);
    }
}

void alloy_cli_generation_line(const alloy_generation *generation, const alloy_model *model)
{
    const alloy_usage *usage = alloy_generation_usage(generation);
    alloy_finish finish = alloy_generation_output(generation, 0)->finish;
    alloy_cli_say("%lld tokens (%s): prefill %lld at %.1f tokens/s, decode %lld at %.1f tokens/s, %s read per token",
                  (long long)usage->completion_tokens, alloy_finish_name(finish), (long long)usage->computed_tokens,
                  rate(usage->computed_tokens, usage->prefill_seconds), (long long)usage->decode_tokens,
                  rate(usage->decode_tokens, usage->decode_seconds),
                  alloy_cli_bytes((double)alloy_model_bytes_per_token(model)));
}
