/* Memory that a forward needs, and what fits.
 *
 * Weights are the model's parameters. What a cache holds after T tokens is what a forward of T tokens after nothing
 * writes to it, so it is counted by that forward and no second formula exists. */
#include <math.h>

#include "base/options.h"
#include "base/status.h"
#include "base/text.h"
#include "checkpoint/parameters.h"
#include "roofline/analysis.h"

enum { BYTE = 8 };
static const int64_t MOST_CONTEXT = INT64_C(1) << 36, MOST_HELD = INT64_C(1) << 40;

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

struct weights {
    const alloy_model *model;
    const alloy_roofline_terms *terms;
    alloy_wide bits;
};

static alloy_status add_parameter(void *user, const alloy_parameter *p)
{
    struct weights *sum = user;
    alloy_weight w = {.dtype = sum->model->config.dtype, .ndim = p->ndim, .keeps_f32 = p->flags & ALLOY_KEEPS_F32};
    alloy_wide elements = 1;
    for (int i = 0; i < p->ndim; i++)
        elements *= w.shape[i] = p->shape[i];
    if (w.keeps_f32)
        w.dtype = ALLOY_F32;
    sum->bits +=
        p->copies * (elements * alloy_roofline_weight_bits(sum->terms, &w) + alloy_roofline_scale_bits(sum->terms, &w));
    return ALLOY_OK;
}

/* Of an opened model the files know, unless another dtype is asked about. */
static alloy_status count_weights(const alloy_model *model, const alloy_roofline_terms *terms, alloy_wide *bytes)
{
    if (model->weights && !terms->weight_given) {
        *bytes = (alloy_wide)model->bound_bytes;
        return ALLOY_OK;
    }
    struct weights sum = {model, terms, 0};
    alloy_status status = alloy_parameters_together(model, add_parameter, &sum);
    *bytes = (sum.bits + BYTE - 1) / BYTE;
    return status;
}

/* ---- Caches ------------------------------------------------------------------------------------------------------ */

/* What is held at the end, all sequences together. */
static alloy_status fail_held(const alloy_roofline_terms *terms)
{
    alloy_wide cached = 0, held = 0;
    for (int64_t i = 0; i < terms->span_count; i++) {
        cached += (alloy_wide)terms->spans[i].repeat * terms->spans[i].past;
        held += (alloy_wide)terms->spans[i].repeat * ((alloy_wide)terms->spans[i].past + terms->spans[i].count);
    }
    char there[ALLOY_COUNT_TEXT], fresh[ALLOY_COUNT_TEXT];
    return alloy_fail(
        ALLOY_LIMIT,
        "sequences: %s cached tokens and %s new ones: the memory of a cache is counted up to 2^40 tokens, "
        "and 2^75 pairs of tokens of a sequence",
        alloy_count_text(alloy_count_from(cached), ',', there),
        alloy_count_text(alloy_count_from(held - cached), ',', fresh));
}

static int64_t whole_pages(int64_t rows, int64_t page)
{
    return (rows + page - 1) / page * page;
}

/* The batch as one that has computed everything: all of a sequence's tokens are new ones. */
static alloy_status take_whole(alloy_roofline_terms *whole, const alloy_roofline_terms *terms, int64_t page,
                               alloy_arena *arena)
{
    *whole = *terms;
    whole->spans = alloy_arena_take(arena, (size_t)terms->span_count, sizeof *whole->spans);
    if (!whole->spans)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < terms->span_count; i++) {
        if (terms->spans[i].past > MOST_HELD - terms->spans[i].count) /* far from where whole pages might overflow */
            return fail_held(terms);
        whole->spans[i] = terms->spans[i];
        whole->spans[i].count = whole_pages(terms->spans[i].past + terms->spans[i].count, page);
        whole->spans[i].past = 0;
    }
    alloy_status status = alloy_count_batch(whole->spans, whole->span_count, &whole->tokens, &whole->sequences);
    return status == ALLOY_LIMIT ? fail_held(terms) : status;
}

/* Rows of windows fill whole pages too. */
static alloy_wide window_rests(const alloy_model *model, const alloy_roofline_terms *terms, int64_t page)
{
    alloy_wide rows = 0;
    for (int64_t l = 0; l < model->config.num_hidden_layers; l++)
        for (int p = 0; p < model->layers[l].state->count; p++) {
            const alloy_part_spec *part = &model->layers[l].state->part[p];
            for (int64_t i = 0; part->window > 0 && i < terms->span_count; i++) {
                int64_t held = whole_pages(terms->spans[i].past + terms->spans[i].count, page);
                if (held > part->window - 1)
                    rows += (alloy_wide)terms->spans[i].repeat * part->width *
                            (whole_pages(part->window - 1, page) - (part->window - 1));
            }
        }
    return rows * alloy_format_bits(terms->kv) / BYTE;
}

static alloy_status count_caches(const alloy_model *model, const alloy_roofline_terms *terms, int64_t page,
                                 alloy_arena *arena, alloy_roofline_memory *out)
{
    alloy_status status = ALLOY_OK;
    for (int paged = 0; paged < (page > 1 ? 2 : 1) && !status; paged++) {
        alloy_roofline_terms whole;
        alloy_roofline *written = NULL;
        status = take_whole(&whole, terms, paged ? page : 1, arena);
        if (!status)
            status = alloy_roofline_gather(&written, model, &whole);
        if (status)
            break;
        const alloy_count *bytes = alloy_roofline_total(written)->written;
        out->allocated_cache = alloy_count_add(bytes[ALLOY_TRAFFIC_KV], bytes[ALLOY_TRAFFIC_INDEXER]);
        if (!paged) {
            out->cache = out->allocated_cache;
            out->state = bytes[ALLOY_TRAFFIC_STATE];
        }
        alloy_roofline_close(written);
    }
    alloy_count_grow(&out->allocated_cache, window_rests(model, terms, page));
    return status;
}

/* ---- Activations ------------------------------------------------------------------------------------------------- */

struct tensors {
    alloy_site site;
    alloy_wide here, most, logits; /* elements */
};

static void add_tensors(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    struct tensors *t = user;
    if (site->kind != t->site.kind || site->layer != t->site.layer)
        t->here = 0;
    t->site = *site;
    if (site->kind == ALLOY_SITE_HEAD) {
        t->logits += call ? 0 : cost->tensors_written;
        return;
    }
    t->here += call ? cost->tensors_written : cost->tensors_read;
    if (t->here > t->most)
        t->most = t->here;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static alloy_status needs(const alloy_model *model, const alloy_roofline_options *options, int64_t page,
                          alloy_wide weights, alloy_arena *arena, alloy_roofline_memory *out)
{
    alloy_roofline_terms terms;
    alloy_roofline_options exact;
    struct tensors tensors = {.site = {.layer = -2}};
    alloy_status status = alloy_options_take(&exact, sizeof exact, options, "alloy_roofline_options");
    if (status)
        return status;
    exact.accounting = ALLOY_EXACT;
    status = alloy_roofline_resolve(&terms, model, &exact, arena);
    if (!status && weights < 0)
        status = count_weights(model, &terms, &weights);
    out->weights = alloy_count_from(weights);
    if (!status)
        status = alloy_roofline_count(model, &terms, NULL, add_tensors, &tensors);
    if (!status)
        status = count_caches(model, &terms, page, arena, out);
    int bits = alloy_format_bits(terms.activation);
    out->activations = alloy_count_from(tensors.most * bits / BYTE);
    out->logits = alloy_count_from(tensors.logits * bits / BYTE);
    out->total = alloy_count_add(out->weights, alloy_count_add(out->allocated_cache, out->state));
    out->total = alloy_count_add(out->total, alloy_count_add(out->activations, out->logits));
    return status;
}

alloy_status alloy_roofline_needs_with(const alloy_model *model, const alloy_roofline_options *options, int64_t page,
                                       alloy_wide weights, alloy_roofline_memory *out)
{
    *out = (alloy_roofline_memory){0};
    if (page < 0 || page > MOST_CONTEXT)
        return alloy_fail(ALLOY_RANGE, "page: %lld tokens, expected 0..2^36", (long long)page);
    alloy_arena *arena = alloy_arena_new();
    if (!arena)
        return ALLOY_NOMEM;
    alloy_status status = needs(model, options, page ? page : 1, weights, arena, out);
    alloy_arena_free(arena);
    return status;
}

alloy_status alloy_roofline_needs(const alloy_model *model, const alloy_roofline_options *options, int64_t page,
                                  alloy_roofline_memory *out)
{
    return alloy_roofline_needs_with(model, options, page, ALLOY_NOT_COUNTED, out);
}

/* ---- What fits --------------------------------------------------------------------------------------------------- */

struct fit {
    const alloy_model *model;
    alloy_roofline_options options;
    alloy_roofline_sequences sequences;
    int64_t page, *varied;
    alloy_wide weights; /* bytes, or ALLOY_NOT_COUNTED */
    double bytes;       /* there are */
};

/* Bytes needed with this value; infinite where they are too many to be counted. */
static alloy_status bytes_with(struct fit *f, int64_t value, double *bytes)
{
    alloy_roofline_memory memory;
    *f->varied = value;
    alloy_status status = alloy_roofline_needs_with(f->model, &f->options, f->page, f->weights, &memory);
    *bytes = status ? INFINITY : alloy_count_double(memory.total);
    if (!status)
        f->weights = alloy_wide_of(memory.weights);
    return status == ALLOY_LIMIT ? ALLOY_OK : status;
}

/* The largest value from `least` up that fits; least - 1: none does. Memory rises with the value, and nearly as a line:
 * each guess is where the line through two values known last meets what there is; every third is in the middle. */
static alloy_status largest(struct fit *f, int64_t least, int64_t *out)
{
    enum { FIRST_STEP = 64, BISECT_EVERY = 3 };
    int64_t low = least, high = MOST_CONTEXT + 1, guess = least + FIRST_STEP; /* low fits, high does not */
    double at_low, slope = 0, at_guess;
    alloy_status status = bytes_with(f, least, &at_low);
    *out = least - 1;
    if (status || !(at_low <= f->bytes))
        return status;
    for (int step = 1; high - low > 1; step++) {
        guess = guess <= low ? low + 1 : guess >= high ? high - 1 : guess;
        status = bytes_with(f, guess, &at_guess);
        if (status)
            return status;
        slope = (at_guess - at_low) / (double)(guess - low);
        bool fits = at_guess <= f->bytes;
        *(fits ? &low : &high) = guess;
        at_low = fits ? at_guess : at_low;
        double line = (double)low + (f->bytes - at_low) / slope;
        guess = step % BISECT_EVERY == 0 || !(line < (double)high) ? low + (high - low) / 2 : (int64_t)line;
    }
    *out = low;
    return ALLOY_OK;
}

alloy_status alloy_roofline_fits_with(const alloy_model *model, const alloy_roofline_options *options, int64_t page,
                                      alloy_wide weights, double bytes, int64_t *batch, int64_t *context)
{
    struct fit f = {.model = model, .page = page, .weights = weights, .bytes = bytes};
    *batch = *context = 0;
    alloy_status status = alloy_options_take(&f.options, sizeof f.options, options, "alloy_roofline_options");
    if (!status && f.options.sequences_count < 1)
        status = alloy_fail(ALLOY_ARG, "no sequences: a forward has at least one");
    if (status)
        return status;
    alloy_roofline_sequences first = f.options.sequences[0];
    f.options.sequences = &f.sequences;
    f.options.sequences_count = 1;
    f.sequences = first;
    f.varied = &f.sequences.count;
    status = largest(&f, 1, batch);
    if (status)
        return status;
    f.sequences = first;
    f.sequences.count = 1;
    f.varied = &f.sequences.cached;
    status = largest(&f, 0, context);
    *context = *context < 0 ? 0 : *context;
    return status;
}

alloy_status alloy_roofline_fits(const alloy_model *model, const alloy_roofline_options *options, int64_t page,
                                 double bytes, int64_t *batch, int64_t *context)
{
    return alloy_roofline_fits_with(model, options, page, ALLOY_NOT_COUNTED, bytes, batch, context);
}
