/* Options of the roofline, made sure of. */
#include <math.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "roofline/analysis.h"

static alloy_status take_formats(alloy_roofline_terms *t, const alloy_model *model, const alloy_roofline_options *o)
{
    alloy_peak own = alloy_peak_of_dtype(model->config.dtype);
    alloy_status status = ALLOY_OK;
    t->weight = t->activation = own < ALLOY_PEAK_COUNT ? own : ALLOY_PEAK_BF16;
    t->stored = model->weights != NULL;
    t->weight_given = o->weight_dtype != NULL;
    if (o->activation_dtype)
        status = alloy_format_by_name("activation_dtype", o->activation_dtype, &t->activation);
    t->kv = t->activation;
    if (!status && o->weight_dtype)
        status = alloy_format_by_name("weight_dtype", o->weight_dtype, &t->weight);
    if (!status && o->kv_dtype)
        status = alloy_format_by_name("kv_dtype", o->kv_dtype, &t->kv);
    t->indexer = t->kv;
    if (!status && o->indexer_dtype)
        status = alloy_format_by_name("indexer_dtype", o->indexer_dtype, &t->indexer);
    return status;
}

static alloy_status take_routing(alloy_roofline_terms *t, const alloy_roofline_options *o)
{
    t->routing = o->routing;
    t->zipf = o->zipf;
    t->experts_read = o->experts_read;
    if (o->routing == ALLOY_ROUTING_ZIPF && !(o->zipf >= 0 && o->zipf <= ALLOY_MOST_ZIPF))
        return alloy_fail(ALLOY_RANGE, "routing: zipf:%g, expected 0..%d", o->zipf, ALLOY_MOST_ZIPF);
    if (o->routing == ALLOY_ROUTING_GIVEN && !o->experts_read)
        return alloy_fail(ALLOY_ARG, "routing: given, but by no list of experts");
    return ALLOY_OK;
}

static alloy_status take_sequences(alloy_roofline_terms *t, const alloy_roofline_options *o, alloy_arena *arena)
{
    if (o->sequences_count < 1)
        return alloy_fail(ALLOY_ARG, "no sequences: a forward has at least one");
    t->spans = alloy_arena_take(arena, (size_t)o->sequences_count, sizeof *t->spans);
    if (!t->spans)
        return ALLOY_NOMEM;
    t->span_count = o->sequences_count;
    for (int64_t i = 0; i < t->span_count; i++) {
        const alloy_roofline_sequences *s = &o->sequences[i];
        t->spans[i] = (alloy_span){.count = s->tokens, .past = s->cached, .repeat = s->count};
    }
    return alloy_count_batch(t->spans, t->span_count, &t->tokens, &t->sequences);
}

alloy_status alloy_roofline_resolve(alloy_roofline_terms *t, const alloy_model *model,
                                    const alloy_roofline_options *options, alloy_arena *arena)
{
    alloy_roofline_options o;
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_roofline_options");
    *t = (alloy_roofline_terms){.accounting = o.accounting,
                                .op_fusion = o.op_fusion,
                                .all_logits = o.all_logits || o.accounting == ALLOY_CLASSIC,
                                .ops = o.ops,
                                .delta = o.delta,
                                .hidden = model->config.hidden_size};
    status = status ? status : take_formats(t, model, &o);
    status = status ? status : take_routing(t, &o);
    return status ? status : take_sequences(t, &o, arena);
}

/* ---- Counting ---------------------------------------------------------------------------------------------------- */

/* Where there are several streams, only some rows join after the last layer. */
int64_t alloy_roofline_like(const alloy_model *model, const alloy_roofline_terms *terms, const alloy_site *site)
{
    if (site->layer < 0 || terms->routing == ALLOY_ROUTING_GIVEN)
        return site->layer;
    const alloy_model_layer *layer = &model->layers[site->layer];
    if (site->kind == ALLOY_SITE_MIXER || site->kind == ALLOY_SITE_FFN)
        return alloy_module_slot(layer, site->kind == ALLOY_SITE_MIXER ? ALLOY_SLOT_MIXER : ALLOY_SLOT_FFN)->like;
    bool last = site->layer == model->config.num_hidden_layers - 1;
    return last && alloy_residual_streams(model->residual, &model->config) > 1 ? site->layer : layer->slots->like;
}

static bool is_first_of_a_kind(const alloy_model_layer *layer, int64_t i)
{
    for (int k = 0; layer->list[k].kind != ALLOY_SLOT_END; k++)
        if (layer->slots[k].like == i)
            return true;
    return false;
}

/* The layers in which anything happens for the first time, each after the one whose output joins in it, and the last
 * one, whose output joins after the layers. Their number. */
static int64_t take_distinct(const alloy_model *model, const alloy_roofline_terms *terms, int64_t *layers)
{
    int64_t all = model->config.num_hidden_layers, count = 0;
    for (int64_t i = 0; i < all; i++) {
        const alloy_model_layer *layer = &model->layers[i];
        if (layer->slots->like == i && i > 0 && layers[count - 1] != i - 1)
            layers[count++] = i - 1;
        if (i == all - 1 || terms->routing == ALLOY_ROUTING_GIVEN || is_first_of_a_kind(layer, i))
            layers[count++] = i;
    }
    return count;
}

alloy_status alloy_roofline_count(const alloy_model *model, alloy_roofline_terms *t, alloy_explanation *explanation,
                                  alloy_record_function *record, void *user)
{
    int64_t *layers = alloy_memory_new((size_t)model->config.num_hidden_layers, sizeof *layers);
    if (!layers)
        return ALLOY_NOMEM;
    alloy_count_request request = {
        .spans = t->spans,
        .span_count = t->span_count,
        .all_logits = t->all_logits,
        .layers = layers,
        .layer_count = take_distinct(model, t, layers),
        .explanation = explanation,
        .model = {.experts_read = alloy_roofline_experts_read, .delta = t->delta, .user = t}};
    alloy_status status = alloy_model_count(model, &request, record, user);
    alloy_memory_free(layers);
    return status;
}
