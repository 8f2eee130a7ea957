/* The decoder: embedding, layers, final norm, head.
 *
 *     h = begin(embedding)
 *     x = norm(before(h)); y = module(x); h = after(h, y)     around each mixer and FFN
 *     logits = head(norm(end(h)))                             begin, before, after, end: the residual's (modules.h)
 *
 * The stream h lives in the pass's `tables` arena. A module's output waits beside it and joins the stream when the next
 * module is entered, so that the sum and the norm behind it are one step, and after the last layer only the rows whose
 * logits are wanted are summed. What a module makes is given back as soon as its output has joined.
 *
 * In *count* each site also tells what it reads and writes of the tensors that stand between modules, and of modules
 * that are alike (those of described models share their weights) only the first is read; the record of the others says
 * whom they are like. */
#include "model/decoder.h"

enum { LIKE_LAYER = 1 };

struct stream {
    alloy_pass *p;
    const alloy_model *m;
    int64_t streams;
    alloy_tensor *h;    /* [tokens, streams * hidden] */
    alloy_tensor *rows; /* I64 [row_count], whose logits are wanted */
    struct {
        alloy_tensor *y; /* [tokens, hidden], not yet in h; NULL: nothing waits */
        alloy_tensor *carry;
        alloy_arena_mark mark; /* what its module made begins here */
        alloy_site site;
        const void *residual; /* weights around its module */
    } output;
};

/* What crosses a module's border in both accountings. */
static alloy_between through(alloy_count read, alloy_count written)
{
    return (alloy_between){read, written, read, written};
}

/* The tensors that live as long as the pass: ids, wanted rows and the stream. */
static bool take_lasting(struct stream *s, const alloy_decode *d)
{
    alloy_pass *p = s->p;
    alloy_arena *arena = p->arena;
    p->arena = p->tables;
    p->ids = alloy_tensor_over(p, (void *)d->ids, ALLOY_I64, 1, &p->tokens);
    s->rows = alloy_tensor_over(p, (void *)d->rows, ALLOY_I64, 1, &d->row_count);
    s->h = alloy_tensor_new(p, 2, (int64_t[]){p->tokens, s->streams * s->m->config.hidden_size});
    p->arena = arena;
    return s->h != NULL;
}

/* The stream becomes `h`, and everything behind `mark` is given back. */
static void keep(struct stream *s, alloy_tensor *h, alloy_arena_mark mark)
{
    alloy_copy_to(s->p, s->h, h);
    alloy_arena_cut(s->p->arena, mark);
}

/* The stream with the output that waits, on all rows or those picked. With one stream this belongs to the norm that
 * follows, and after the last layer (only x of the final norm is written) the sum is not written at all. */
static alloy_tensor *sum(struct stream *s, alloy_tensor *h, alloy_tensor *carry, alloy_tensor *y, bool last)
{
    if (s->streams > 1)
        alloy_pass_at(s->p, alloy_site_at(ALLOY_SITE_RESIDUAL, s->output.site.layer, s->output.site.module));
    alloy_tensor *joined = s->m->residual->after(s->p, &s->m->config, s->output.residual, h, carry, y);
    if (joined)
        alloy_pass_between(s->p, (alloy_between){.read = alloy_tensor_size(h) + alloy_tensor_size(y),
                                                 .written = last && s->streams == 1 ? 0 : alloy_tensor_size(joined)});
    return joined;
}

/* In count: is what surrounds the modules of this layer like what was read around those of layer LIKE_LAYER? Of a
 * described model all layers are, but for the first (nothing joins before it) and, where an output joins at its own
 * site, the last (only some rows join). */
static bool like_before(const struct stream *s, int64_t layer)
{
    return s->p->reading == ALLOY_READ_COUNT && !s->m->weights && !s->p->model.every_layer && layer > LIKE_LAYER &&
           (s->streams == 1 || layer < s->m->config.num_hidden_layers - 1);
}

/* What waits joins the stream, in count unless `told` already. Was there anything? */
static bool join(struct stream *s, bool told)
{
    if (!s->output.y)
        return false;
    if (told)
        alloy_arena_cut(s->p->arena, s->output.mark);
    else
        keep(s, sum(s, s->h, s->output.carry, s->output.y, false), s->output.mark);
    s->output.y = NULL;
    return true;
}

/* The record of a site that is like one before, and x as it would be. */
static alloy_tensor *enter_like_before(struct stream *s, alloy_site site)
{
    alloy_pass *p = s->p;
    alloy_pass_like(p, LIKE_LAYER);
    if (s->streams > 1) {
        p->site.kind = ALLOY_SITE_NORM;
        alloy_pass_like(p, LIKE_LAYER);
    }
    p->site = site;
    return alloy_tensor_new(p, 2, (int64_t[]){p->tokens, s->m->config.hidden_size});
}

/* What the module at `site` sees: `before`, then the layer's norm. */
static alloy_tensor *enter(struct stream *s, alloy_site site, const void *residual, const alloy_weight *norm)
{
    const alloy_config *c = &s->m->config;
    alloy_pass *p = s->p;
    alloy_site_kind around = s->streams > 1 ? ALLOY_SITE_RESIDUAL : ALLOY_SITE_NORM;
    alloy_pass_at(p, alloy_site_at(around, site.layer, site.module));
    bool joined = join(s, like_before(s, s->streams == 1 ? site.layer : s->output.site.layer));
    s->output.mark = alloy_arena_here(p->arena);
    s->output.site = site;
    s->output.residual = residual;
    s->output.carry = NULL;
    alloy_pass_at(p, alloy_site_at(around, site.layer, site.module));
    if (like_before(s, site.layer))
        return enter_like_before(s, site);
    alloy_tensor *x = s->m->residual->before(p, c, residual, s->h, &s->output.carry);
    if (x)
        alloy_pass_between(p, (alloy_between){.read = joined && s->streams == 1 ? 0 : alloy_tensor_size(s->h),
                                              .written = alloy_tensor_size(x),
                                              .classic_read = alloy_tensor_size(s->h),
                                              .classic_written = alloy_tensor_size(x)});
    alloy_pass_at(p, alloy_site_at(ALLOY_SITE_NORM, site.layer, site.module));
    x = alloy_rms_norm(p, x, norm, c->rms_norm_eps, c->rms_norm_unit_offset);
    alloy_pass_at(p, site);
    return x;
}

static void leave(struct stream *s, const alloy_tensor *x, alloy_tensor *y)
{
    s->output.y = y;
    if (y && s->p->site.like == s->p->site.layer)
        alloy_pass_between(s->p, through(alloy_tensor_size(x), alloy_tensor_size(y)));
}

/* In count: has this module been read, in layer `like`? Tells so. What it would make has the shape of x. */
static bool read_before(struct stream *s, int64_t like)
{
    alloy_pass *p = s->p;
    if (p->reading != ALLOY_READ_COUNT || p->model.every_layer || like == p->site.layer)
        return false;
    alloy_pass_like(p, like);
    return true;
}

static void mix(struct stream *s, int64_t i, const alloy_state *state)
{
    const alloy_model_layer *layer = &s->m->layers[i];
    alloy_site site = alloy_site_at(ALLOY_SITE_MIXER, i, layer->mixer->name);
    alloy_tensor *y = NULL, *x = enter(s, site, layer->mixer_residual, layer->input_norm);
    if (x && s->p->residency && layer->ffn->foresee)
        layer->ffn->foresee(s->p, layer->ffn_config, layer->ffn_weights);
    if (x)
        y = read_before(s, layer->mixer_like)
                ? alloy_tensor_like(s->p, x)
                : layer->mixer->forward(s->p, layer->mixer_config, layer->mixer_weights, state, x);
    leave(s, x, y);
}

static void feed_forward(struct stream *s, int64_t i)
{
    const alloy_model_layer *layer = &s->m->layers[i];
    alloy_site site = alloy_site_at(ALLOY_SITE_FFN, i, layer->ffn->name);
    alloy_tensor *y = NULL, *x = enter(s, site, layer->ffn_residual, layer->post_attention_norm);
    if (x)
        y = read_before(s, layer->ffn_like) ? alloy_tensor_like(s->p, x)
                                            : layer->ffn->forward(s->p, layer->ffn_config, layer->ffn_weights, x);
    leave(s, x, y);
}

static void embed(struct stream *s)
{
    alloy_arena_mark mark = alloy_arena_here(s->p->arena);
    alloy_pass_at(s->p, alloy_site_at(ALLOY_SITE_EMBEDDING, -1, ""));
    alloy_tensor *x = alloy_embedding(s->p, s->m->embedding), *h = s->m->residual->begin(s->p, &s->m->config, x);
    if (h)
        alloy_pass_between(s->p,
                           (alloy_between){.written = alloy_tensor_size(h), .classic_written = alloy_tensor_size(x)});
    keep(s, h, mark);
}

/* Rows of the stream whose logits are wanted, with the last layer's output. */
static alloy_tensor *last_rows(struct stream *s)
{
    alloy_pass *p = s->p;
    alloy_tensor *h = alloy_pick_rows(p, s->h, s->rows);
    if (!s->output.y)
        return h;
    alloy_tensor *y = alloy_pick_rows(p, s->output.y, s->rows), *carry = s->output.carry;
    return sum(s, h, carry ? alloy_pick_rows(p, carry, s->rows) : NULL, y, true);
}

/* One stream of those rows. Where there were several, this is a step of its own, the final norm with it. */
static alloy_tensor *collapsed(struct stream *s, alloy_tensor *h)
{
    if (s->streams == 1)
        return h;
    alloy_pass_at(s->p, alloy_site_at(ALLOY_SITE_RESIDUAL, -1, ""));
    alloy_tensor *x = s->m->residual->end(s->p, &s->m->config, s->m->head_residual, h);
    if (x)
        alloy_pass_between(s->p, through(alloy_tensor_size(h), alloy_tensor_size(x)));
    return x;
}

static void head(struct stream *s, const alloy_decode *d)
{
    const alloy_config *c = &s->m->config;
    alloy_pass *p = s->p;
    alloy_pass_at(p, s->streams > 1 ? alloy_site_at(ALLOY_SITE_RESIDUAL, s->output.site.layer, s->output.site.module)
                                    : alloy_site_at(ALLOY_SITE_NORM, -1, ""));
    alloy_tensor *x = collapsed(s, last_rows(s));
    alloy_pass_at(p, alloy_site_at(ALLOY_SITE_FINAL_NORM, -1, ""));
    alloy_tensor *normed = alloy_rms_norm(p, x, s->m->final_norm, c->rms_norm_eps, c->rms_norm_unit_offset);
    if (normed)
        alloy_pass_between(p, (alloy_between){.written = s->streams > 1 ? 0 : alloy_tensor_size(x),
                                              .classic_read = alloy_tensor_size(x),
                                              .classic_written = alloy_tensor_size(x)});
    alloy_pass_at(p, alloy_site_at(ALLOY_SITE_HEAD, -1, ""));
    alloy_tensor *logits = alloy_linear_into(p, normed, s->m->head, d->logits);
    if (logits)
        alloy_pass_between(p, through(alloy_tensor_size(x), alloy_tensor_size(logits)));
    if (logits && d->logits && !p->kernels->all_finite(d->logits, alloy_tensor_size(logits)))
        alloy_pass_not_finite(p, "a logit");
}

void alloy_decoder_forward(alloy_pass *p, const alloy_model *m, const alloy_decode *d)
{
    struct stream s = {.p = p, .m = m, .streams = m->residual->streams(&m->config)};
    alloy_arena_mark beginning = alloy_arena_here(p->arena);
    if (!take_lasting(&s, d))
        return;
    embed(&s);
    for (int64_t i = 0; i < m->config.num_hidden_layers && !p->status; i++) {
        mix(&s, i, &d->states[i]);
        feed_forward(&s, i);
        if (d->each_layer && !p->status) {
            join(&s, false);
            d->each_layer(d->user, i, s.h);
        }
    }
    if (d->row_count > 0 && !p->status)
        head(&s, d);
    alloy_arena_cut(p->arena, beginning);
}
