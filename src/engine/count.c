/* The count reading of a model (count.h). */
#include "engine/count.h"

#include "base/checked.h"
#include "base/status.h"
#include "engine/decoder.h"

/* Sums of any config's work stay below 2^127: a token costs at most 2^86 (its layers, widths and experts at the ends of
 * their ranges), a pair of tokens 2^51. */
static const int64_t MOST_TOKENS = INT64_C(1) << 40;
static const alloy_wide MOST_PAIRS = (alloy_wide)1 << 75;

alloy_status alloy_count_batch(const alloy_span *spans, int64_t span_count, int64_t *tokens, int64_t *sequences)
{
    *tokens = *sequences = 0;
    alloy_wide pairs = 0;
    for (int64_t i = 0; i < span_count; i++) {
        const alloy_span *s = &spans[i];
        int64_t rows, length;
        if (s->count < 1 || s->past < 0 || s->repeat < 1)
            return alloy_fail(ALLOY_RANGE, "sequences: %lld x %lld new tokens on %lld", (long long)s->repeat,
                              (long long)s->count, (long long)s->past);
        bool sane = alloy_int64_multiply(s->count, s->repeat, &rows) && alloy_int64_add(*tokens, rows, tokens) &&
                    alloy_int64_add(*sequences, s->repeat, sequences) && *tokens <= MOST_TOKENS;
        if (!sane)
            return alloy_fail(ALLOY_LIMIT, "a batch of more than 2^40 new tokens");
        if (!alloy_int64_add(s->count, s->past, &length) || (pairs += (alloy_wide)rows * length) > MOST_PAIRS)
            return alloy_fail(ALLOY_LIMIT, "a batch of more than 2^75 pairs of tokens: %lld x %lld new tokens on %lld",
                              (long long)s->repeat, (long long)s->count, (long long)s->past);
    }
    return ALLOY_OK;
}

alloy_status alloy_model_count(const alloy_model *model, const alloy_count_request *r, alloy_record_function *record,
                               void *user)
{
    int64_t tokens, sequences;
    alloy_status status = alloy_count_batch(r->spans, r->span_count, &tokens, &sequences);
    if (status)
        return status;
    alloy_arena *arena = alloy_arena_new(), *tables = alloy_arena_new();
    size_t layers = (size_t)model->config.num_hidden_layers;
    alloy_state *states = arena && tables ? alloy_arena_take_zeroed(tables, layers, sizeof *states) : NULL;
    if (states) {
        for (size_t l = 0; l < layers; l++)
            states[l].spec = model->layers[l].state;
        alloy_pass pass = {.reading = ALLOY_READ_COUNT,
                           .arena = arena,
                           .tables = tables,
                           .tokens = tokens,
                           .spans = r->spans,
                           .span_count = r->span_count,
                           .model = r->model,
                           .record = record,
                           .record_user = user,
                           .explanation = r->explanation};
        alloy_decoder_forward(&pass, model,
                              &(alloy_decode){.states = states,
                                              .layers = r->layers,
                                              .layer_count = r->layer_count,
                                              .row_count = r->all_logits ? tokens : sequences});
        status = pass.status;
    }
    alloy_arena_free(arena);
    alloy_arena_free(tables);
    return states ? status : ALLOY_NOMEM;
}

static void add_weight_bytes(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    (void)site, (void)call; /* between modules there are no weights */
    double *bytes = user;
    for (int i = 0; i < cost->weights; i++) {
        const alloy_weight *w = cost->weight[i].weight;
        double whole = (double)w->shape[0] * (double)w->shape[1] * (double)w->shape[2] * (double)w->shape[3];
        double an_element = alloy_dtype_bits(w->dtype) / 8.0 + (double)alloy_weight_scale_bytes(w) / whole;
        *bytes += (double)cost->weight[i].elements * cost->weight[i].copies * an_element;
    }
}

uint64_t alloy_model_bytes_per_token(const alloy_model *model)
{
    double bytes = 0;
    alloy_span decode = {.count = 1, .past = 1, .repeat = 1};
    alloy_status status =
        alloy_model_count(model, &(alloy_count_request){.spans = &decode, .span_count = 1}, add_weight_bytes, &bytes);
    return status ? 0 : (uint64_t)(bytes + 0.5);
}
