/* One output while it grows (output.h). */
#include "engine/output.h"

#include "base/memory.h"
#include "base/status.h"

/* Room for so many ids is taken at once: steps of most outputs then allocate nothing. */
enum { IDS_AT_FIRST = 4096 };

const char *alloy_finish_name(alloy_finish finish)
{
    static const char *const names[] = {"", "stop", "length", "cancelled", "failed"};
    return (unsigned)finish < sizeof names / sizeof *names ? names[finish] : "";
}

alloy_status alloy_output_open(alloy_growing_output *output, const alloy_output_rules *rules, int64_t most)
{
    *output = (alloy_growing_output){.most = most, .capacity = most < IDS_AT_FIRST ? most : IDS_AT_FIRST};
    output->ids = alloy_memory_new((size_t)output->capacity, sizeof *output->ids);
    if (!output->ids)
        return ALLOY_NOMEM;
    return rules->tokenizer ? alloy_decoder_open(&output->decoder, rules->tokenizer, true) : ALLOY_OK;
}

void alloy_output_close(alloy_growing_output *output)
{
    alloy_cache_close(output->cache);
    alloy_memory_free(output->ids);
    alloy_memory_free(output->logprobs);
    alloy_memory_free(output->likeliest);
    alloy_decoder_close(output->decoder);
    alloy_text_free(&output->text);
    *output = (alloy_growing_output){0};
}

static bool is_eos(const alloy_output_rules *rules, int64_t id)
{
    for (int64_t i = 0; i < rules->eos_count; i++)
        if (rules->eos_ids[i] == id)
            return true;
    return false;
}

/* Adds text; a stop text in it ends the output, and the text before it. */
static alloy_status add_text(alloy_growing_output *output, const alloy_output_rules *rules, const char *text,
                             size_t size)
{
    size_t known = output->text.size, at;
    alloy_text_append(&output->text, text, size);
    if (output->text.failed)
        return alloy_text_status(&output->text);
    if (output->text.bytes && alloy_stops_find(rules->stops, output->text.bytes, known, output->text.size, &at)) {
        output->text.size = at;
        output->text.bytes[at] = 0;
        output->finish = ALLOY_FINISH_STOP;
    }
    return ALLOY_OK;
}

alloy_status alloy_output_push(alloy_growing_output *output, const alloy_output_rules *rules, int64_t id)
{
    int64_t *ids = alloy_memory_grow(output->ids, output->count, &output->capacity, sizeof *ids);
    if (!ids)
        return ALLOY_NOMEM;
    output->ids = ids;
    ids[output->count++] = id;
    if (is_eos(rules, id))
        return alloy_output_end(output, rules, ALLOY_FINISH_STOP);
    if (output->decoder) {
        const char *text;
        size_t size;
        alloy_status status = alloy_decoder_push(output->decoder, id, &text, &size);
        status = status ? status : add_text(output, rules, text, size);
        if (status)
            return status;
    }
    if (output->finish == ALLOY_FINISH_NONE && output->count >= output->most)
        return alloy_output_end(output, rules, ALLOY_FINISH_LENGTH);
    return ALLOY_OK;
}

alloy_status alloy_output_end(alloy_growing_output *output, const alloy_output_rules *rules, alloy_finish finish)
{
    if (output->finish != ALLOY_FINISH_NONE)
        return ALLOY_OK;
    output->finish = finish;
    if (!output->decoder)
        return ALLOY_OK;
    const char *text;
    size_t size;
    alloy_status status = alloy_decoder_finish(output->decoder, &text, &size);
    return status ? status : add_text(output, rules, text, size);
}

alloy_status alloy_output_keep_logprobs(alloy_growing_output *output, const alloy_output_rules *rules,
                                        alloy_sampler *sampler, const float *logits)
{
    if (rules->likeliest_count == 0)
        return ALLOY_OK;
    int64_t row = output->count - 1;
    float *logprobs = alloy_memory_grow(output->logprobs, row, &output->logprob_capacity, sizeof *logprobs);
    if (!logprobs)
        return ALLOY_NOMEM;
    output->logprobs = logprobs;
    alloy_logprob *likeliest = alloy_memory_grow(output->likeliest, row, &output->likeliest_capacity,
                                                 (size_t)rules->likeliest_count * sizeof *likeliest);
    if (!likeliest)
        return ALLOY_NOMEM;
    output->likeliest = likeliest;
    return alloy_sampler_logprobs(sampler, logits, output->ids[row], &logprobs[row],
                                  &likeliest[row * rules->likeliest_count], rules->likeliest_count);
}

alloy_piece alloy_output_show(alloy_growing_output *output, const alloy_output_rules *rules)
{
    size_t size = output->text.size;
    if (output->finish == ALLOY_FINISH_NONE && size > 0)
        size -= alloy_stops_held(rules->stops, output->text.bytes, size);
    alloy_piece piece = {
        .id = output->count ? output->ids[output->count - 1] : -1,
        .text = alloy_text_get(&output->text) + output->shown,
        .text_size = size - output->shown,
        .finish = output->finish,
    };
    output->shown = size;
    return piece;
}

const alloy_output *alloy_output_view(alloy_growing_output *output, const alloy_output_rules *rules)
{
    output->view = (alloy_output){
        .ids = output->ids,
        .count = output->count,
        .text = alloy_text_get(&output->text),
        .text_size = output->text.size,
        .finish = output->finish,
        .logprobs = output->logprobs,
        .likeliest = output->likeliest,
        .likeliest_count = rules->likeliest_count,
    };
    return &output->view;
}
