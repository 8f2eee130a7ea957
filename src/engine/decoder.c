/* The decoder: embedding, layers, final norm, head.
 *
 *     h = begin(embedding); each layer's slots in order (extend.h, alloy_slot); logits = head(norm(end(h)))
 *
 * The stream h lives in the pass's `tables` arena. What a slot ADD adds waits beside it and joins the stream when a
 * slot READ comes to it, so that the sum and the norms after it are one step, and after the last layer only the rows
 * whose logits are wanted are summed. What was made from READ to ADD is given back as soon as it has joined.
 *
 * In *count* each site also tells what it reads and writes of the tensors that stand between modules. */
#include "engine/decoder.h"

struct stream {
    alloy_pass *p;
    const alloy_model *m;
    const alloy_residual *residual;
    int64_t streams;
    alloy_tensor *h;     /* [tokens, streams * hidden] */
    alloy_tensor *rows;  /* I64 [row_count], whose logits are wanted */
    alloy_tensor *x;     /* [tokens, hidden], in hand */
    alloy_tensor *given; /* x as the last module got it */
    alloy_tensor *aside; /* of slots BESIDE, to be added to x; or NULL */
    struct {
        alloy_tensor *y; /* [tokens, hidden], not yet in h; NULL: nothing waits */
        alloy_tensor *carry;
        alloy_arena_mark mark;    /* what was made since READ begins here */
        alloy_site site;          /* of its last module */
        const void *residual;     /* weights of its READ */
        const alloy_weight *norm; /* of the stream, once it has joined; or NULL */
    } output;
};

/* A slot, as the walk stands at it. */
struct place {
    const alloy_model_layer *layer;
    const alloy_model_slot *slot;
    const alloy_state *state; /* of the layer */
    alloy_site site;          /* of its module */
};

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

/* The stream becomes `h`, and everything after `mark` is given back. */
static void keep(struct stream *s, alloy_tensor *h, alloy_arena_mark mark)
{
    alloy_copy_to(s->p, s->h, h);
    alloy_arena_cut(s->p->arena, mark);
}

static alloy_tensor *norm(struct stream *s, alloy_tensor *x, const alloy_weight *weight)
{
    const alloy_config *c = &s->m->config;
    return alloy_rms_norm(s->p, x, weight, c->rms_norm_eps, c->rms_norm_unit_offset);
}

/* The stream with the output that waits, on all rows or those picked. With one stream this belongs to the norm that
 * follows, and after the last layer (only x of the final norm is written) the sum is not written at all. */
static alloy_tensor *sum(struct stream *s, alloy_tensor *h, alloy_tensor *carry, alloy_tensor *y, bool last)
{
    if (s->streams > 1)
        alloy_pass_at(s->p, alloy_site_at(ALLOY_SITE_RESIDUAL, s->output.site.layer, s->output.site.module));
    alloy_tensor *joined = s->residual->after
                               ? s->residual->after(s->p, s->m->residual_shape, s->output.residual, h, carry, y)
                               : alloy_add(s->p, h, y);
    alloy_pass_between(s->p, h, y, last && s->streams == 1 ? NULL : joined);
    return s->output.norm ? norm(s, joined, s->output.norm) : joined;
}

/* What waits joins the stream. Was there anything? */
static bool join(struct stream *s)
{
    if (!s->output.y)
        return false;
    keep(s, sum(s, s->h, s->output.carry, s->output.y, false), s->output.mark);
    s->output.y = NULL;
    return true;
}

/* ---- Slots ------------------------------------------------------------------------------------------------------- */

/* The walk comes to a site around modules. */
static void come_to(struct stream *s, const struct place *at, alloy_site_kind kind)
{
    alloy_pass_at(s->p, alloy_site_at(kind, at->site.layer, at->site.module));
}

static void read_stream(struct stream *s, const struct place *at)
{
    const alloy_residual *r = s->residual;
    alloy_pass *p = s->p;
    alloy_site_kind around = s->streams > 1 ? ALLOY_SITE_RESIDUAL : ALLOY_SITE_NORM;
    come_to(s, at, around);
    bool joined = join(s);
    if (!s->aside)
        s->output.mark = alloy_arena_here(p->arena);
    s->output.residual = at->slot->weights;
    s->output.carry = NULL;
    come_to(s, at, around);
    s->x = r->before ? r->before(p, s->m->residual_shape, at->slot->weights, s->h, &s->output.carry) : s->h;
    alloy_pass_between(p, joined && s->streams == 1 ? NULL : s->h, NULL, s->x);
}

static void run_module(struct stream *s, const struct place *at, alloy_slot_kind kind)
{
    const alloy_model_layer *layer = at->layer;
    const alloy_ffn *ffn = layer->ffn;
    alloy_pass *p = s->p;
    bool mixes = kind == ALLOY_SLOT_MIXER;
    s->given = s->x;
    s->output.site = alloy_site_at(mixes ? ALLOY_SITE_MIXER : ALLOY_SITE_FFN, at->site.layer, at->site.module);
    alloy_pass_at(p, s->output.site);
    if (!s->x)
        return;
    if (mixes && p->residency && ffn->foresee)
        ffn->foresee(p, layer->ffn_shape, alloy_module_slot(layer, ALLOY_SLOT_FFN)->weights);
    if (mixes)
        s->x = layer->mixer->forward(p, layer->mixer_shape, at->slot->weights, at->state, s->given);
    else
        s->x = ffn->forward(p, layer->ffn_shape, at->slot->weights, s->given);
    alloy_pass_between(p, s->given, NULL, s->x);
}

/* x and what waits beside it, in place of x. */
static void add_aside(struct stream *s, const struct place *at)
{
    if (s->aside) {
        come_to(s, at, s->streams > 1 ? ALLOY_SITE_RESIDUAL : ALLOY_SITE_NORM);
        alloy_pass_between(s->p, s->aside, NULL, NULL);
        s->x = alloy_add(s->p, s->aside, s->x);
    }
    s->aside = NULL;
}

static void step(struct stream *s, const struct place *at, alloy_slot_kind kind)
{
    switch (kind) {
    case ALLOY_SLOT_READ:
        read_stream(s, at);
        break;
    case ALLOY_SLOT_NORM:
        come_to(s, at, ALLOY_SITE_NORM);
        s->x = norm(s, s->x, alloy_norm_weight(at->slot));
        break;
    case ALLOY_SLOT_MIXER:
    case ALLOY_SLOT_FFN:
        run_module(s, at, kind);
        break;
    case ALLOY_SLOT_BESIDE:
        add_aside(s, at);
        s->aside = s->x;
        s->x = s->given;
        break;
    case ALLOY_SLOT_ADD:
        add_aside(s, at);
        s->output.y = s->x;
        s->output.norm = NULL;
        break;
    case ALLOY_SLOT_NORM_STREAM:
        s->output.norm = alloy_norm_weight(at->slot);
        break;
    case ALLOY_SLOT_END:
        break;
    }
}

static void run_layer(struct stream *s, int64_t i, const alloy_state *state)
{
    const alloy_model_layer *layer = &s->m->layers[i];
    struct place at = {.layer = layer, .state = state, .site = {.layer = i}};
    for (int k = 0; layer->list[k].kind != ALLOY_SLOT_END; k++) {
        bool mixes = alloy_slot_module(layer->list, k) == ALLOY_SLOT_MIXER;
        at.slot = &layer->slots[k];
        at.site.module = mixes ? layer->mixer->name : layer->ffn->name;
        step(s, &at, layer->list[k].kind);
    }
}

/* ---- Around the layers ------------------------------------------------------------------------------------------- */

static void embed(struct stream *s)
{
    alloy_arena_mark mark = alloy_arena_here(s->p->arena);
    alloy_pass_at(s->p, alloy_site_at(ALLOY_SITE_EMBEDDING, -1, ""));
    alloy_tensor *x = alloy_embedding(s->p, s->m->embedding), *h = x;
    if (s->residual->begin)
        h = s->residual->begin(s->p, s->m->residual_shape, x);
    alloy_pass_between(s->p, NULL, NULL, h);
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
    if (!s->residual->end)
        return h;
    if (s->streams > 1)
        alloy_pass_at(s->p, alloy_site_at(ALLOY_SITE_RESIDUAL, -1, ""));
    alloy_tensor *x = s->residual->end(s->p, s->m->residual_shape, s->m->ends[ALLOY_END_RESIDUAL].weights, h);
    if (s->streams > 1)
        alloy_pass_between(s->p, h, NULL, x);
    return x;
}

static void head(struct stream *s, const alloy_decode *d)
{
    alloy_pass *p = s->p;
    alloy_pass_at(p, s->streams > 1 ? alloy_site_at(ALLOY_SITE_RESIDUAL, s->output.site.layer, s->output.site.module)
                                    : alloy_site_at(ALLOY_SITE_NORM, -1, ""));
    alloy_tensor *x = collapsed(s, last_rows(s));
    alloy_pass_at(p, alloy_site_at(ALLOY_SITE_FINAL_NORM, -1, ""));
    alloy_tensor *normed = norm(s, x, alloy_norm_weight(&s->m->ends[ALLOY_END_NORM]));
    alloy_pass_between(p, NULL, NULL, s->streams > 1 ? NULL : x);
    alloy_pass_at(p, alloy_site_at(ALLOY_SITE_HEAD, -1, ""));
    alloy_tensor *logits = alloy_linear_into(p, normed, s->m->head, d->logits);
    alloy_pass_between(p, x, NULL, logits);
    if (logits && d->logits)
        alloy_pass_check_finite(p, logits, s->rows, "a logit");
}

void alloy_decoder_forward(alloy_pass *p, const alloy_model *m, const alloy_decode *d)
{
    struct stream s = {
        .p = p, .m = m, .residual = m->residual, .streams = alloy_residual_streams(m->residual, m->residual_shape)};
    alloy_arena_mark beginning = alloy_arena_here(p->arena);
    if (!take_lasting(&s, d))
        return;
    embed(&s);
    for (int64_t k = 0; k < (d->layers ? d->layer_count : m->config.num_hidden_layers) && !p->status; k++) {
        int64_t i = d->layers ? d->layers[k] : k;
        run_layer(&s, i, &d->states[i]);
        if (d->each_layer && !p->status) {
            join(&s);
            d->each_layer(d->user, i, s.h);
        }
    }
    if (d->row_count > 0 && !p->status)
        head(&s, d);
    alloy_arena_cut(p->arena, beginning);
}
