/* The decoder: embedding, layers, final norm, head.
 *
 *     x = before(h); y = module(norm(x)); h = after(h, y)     around each mixer and FFN; before, after: the residual's
 *
 * The stream h lives in the pass's `tables` arena; what a module makes is given back as soon as its result has been
 * added to h. */
#include "model/decoder.h"

#include <string.h>

struct stream {
    alloy_pass *p;
    const alloy_model *m;
    alloy_tensor *h; /* [tokens, streams * hidden] */
};

static alloy_tensor *new_stream(alloy_pass *p, const alloy_model *m)
{
    alloy_arena *arena = p->arena;
    p->arena = p->tables;
    alloy_tensor *h =
        alloy_tensor_new(p, 2, (int64_t[]){p->tokens, m->residual->streams(&m->config) * m->config.hidden_size});
    p->arena = arena;
    return h;
}

/* The stream becomes `h`, and everything behind `mark` is given back. */
static void keep(struct stream *s, const alloy_tensor *h, alloy_arena_mark mark)
{
    if (h && h->data)
        memcpy(s->h->data, h->data, (size_t)alloy_tensor_size(h) * sizeof *h->data);
    alloy_arena_cut(s->p->arena, mark);
}

/* What the module sees: `before`, then the layer's norm. */
static alloy_tensor *enter(struct stream *s, int64_t layer, const char *module, const alloy_weight *norm,
                           alloy_tensor **carry)
{
    const alloy_config *c = &s->m->config;
    s->p->site = (alloy_site){ALLOY_SITE_RESIDUAL, layer, module};
    alloy_tensor *x = s->m->residual->before(s->p, c, NULL, s->h, carry);
    s->p->site.kind = ALLOY_SITE_NORM;
    return alloy_rms_norm(s->p, x, norm, c->rms_norm_eps, c->rms_norm_unit_offset);
}

static void leave(struct stream *s, int64_t layer, const char *module, alloy_tensor *carry, alloy_tensor *y,
                  alloy_arena_mark mark)
{
    s->p->site = (alloy_site){ALLOY_SITE_RESIDUAL, layer, module};
    keep(s, s->m->residual->after(s->p, &s->m->config, NULL, s->h, carry, y), mark);
}

static void mix(struct stream *s, int64_t i, const alloy_state *state)
{
    const alloy_model_layer *layer = &s->m->layers[i];
    alloy_arena_mark mark = alloy_arena_here(s->p->arena);
    alloy_tensor *carry = NULL, *x = enter(s, i, layer->mixer->name, layer->input_norm, &carry);
    s->p->site = (alloy_site){ALLOY_SITE_MIXER, i, layer->mixer->name};
    alloy_tensor *y = x ? layer->mixer->forward(s->p, layer->mixer_config, layer->mixer_weights, state, x) : NULL;
    leave(s, i, layer->mixer->name, carry, y, mark);
}

static void feed_forward(struct stream *s, int64_t i)
{
    const alloy_model_layer *layer = &s->m->layers[i];
    alloy_arena_mark mark = alloy_arena_here(s->p->arena);
    alloy_tensor *carry = NULL, *x = enter(s, i, layer->ffn->name, layer->post_attention_norm, &carry);
    s->p->site = (alloy_site){ALLOY_SITE_FFN, i, layer->ffn->name};
    alloy_tensor *y = x ? layer->ffn->forward(s->p, layer->ffn_config, layer->ffn_weights, x) : NULL;
    leave(s, i, layer->ffn->name, carry, y, mark);
}

static void embed(struct stream *s)
{
    alloy_arena_mark mark = alloy_arena_here(s->p->arena);
    s->p->site = (alloy_site){ALLOY_SITE_EMBEDDING, -1, ""};
    keep(s, alloy_embedding(s->p, s->m->embedding), mark);
}

static void head(struct stream *s, const alloy_decode *d)
{
    const alloy_config *c = &s->m->config;
    alloy_pass *p = s->p;
    alloy_arena_mark mark = alloy_arena_here(p->arena);
    p->site = (alloy_site){ALLOY_SITE_FINAL_NORM, -1, ""};
    alloy_tensor *x = alloy_rms_norm(p, alloy_pick_rows(p, s->h, d->rows, d->row_count), s->m->final_norm,
                                     c->rms_norm_eps, c->rms_norm_unit_offset);
    p->site.kind = ALLOY_SITE_HEAD;
    alloy_tensor *logits = alloy_linear_into(p, x, s->m->head, d->logits);
    if (logits && logits->data && !p->kernels->all_finite(logits->data, alloy_tensor_size(logits)))
        alloy_pass_fail(p, ALLOY_RANGE, "a logit is not finite: the weights of the model are damaged or overflow fp32");
    alloy_arena_cut(p->arena, mark);
}

void alloy_decoder_forward(alloy_pass *p, const alloy_model *m, const alloy_decode *d)
{
    struct stream s = {p, m, new_stream(p, m)};
    if (!s.h)
        return;
    embed(&s);
    for (int64_t i = 0; i < m->config.num_hidden_layers && !p->status; i++) {
        mix(&s, i, &d->states[i]);
        feed_forward(&s, i);
        if (d->each_layer && !p->status)
            d->each_layer(d->user, i, s.h);
    }
    if (d->row_count > 0 && !p->status)
        head(&s, d);
}
