/* The gated delta rule, token by token (arXiv:2412.06464, eq. 10). State: [value heads, K, V]. */
#include "ops/ops.h"

enum { CHUNK = 64 };

/* Tensor work of one sequence and head in the chunked form: pieces of 64 tokens, the last the rest. */
static alloy_wide chunked(alloy_wide tokens, alloy_wide k, alloy_wide v, bool from_nothing)
{
    alloy_wide whole = tokens / CHUNK, rest = tokens % CHUNK, work = 0;
    work += whole * (CHUNK * CHUNK * (3 * k + 2 * v) - CHUNK * k + 6 * CHUNK * k * v);
    work += rest * rest * (3 * k + 2 * v) - rest * k + 6 * rest * k * v;
    return from_nothing ? work - 4 * (tokens < CHUNK ? tokens : CHUNK) * k * v : work;
}

static bool in_chunks(alloy_delta form, alloy_wide tokens)
{
    return form == ALLOY_DELTA_CHUNK || (form == ALLOY_DELTA_AUTO && tokens > CHUNK);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide heads = a->in[2]->shape[1], k = a->in[0]->shape[2], v = a->in[2]->shape[2];
    alloy_wide read = 0, written = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        alloy_wide sequences = heads * s->repeat, tokens = s->count, past = s->past;
        alloy_wide_let(cost, sequences, tokens, past, k, v, CHUNK);
        if (in_chunks(a->pass->model.delta, tokens))
            alloy_wide_tensor(cost, sequences * chunked(tokens, k, v, past == 0));
        else
            alloy_wide_vector(cost, sequences * tokens * (7 * k * v + 2 * v));
        read += s->past > 0 ? sequences * k * v : 0;
        written += sequences * k * v;
    }
    alloy_wide_cache(cost, ALLOY_CACHE_STATE, read, written);
}

const alloy_op alloy_op_delta_rule = {"delta_rule", NULL, count};

alloy_tensor *alloy_delta_rule(alloy_pass *p, alloy_tensor *q, alloy_tensor *k, alloy_tensor *v, alloy_tensor *decay,
                               alloy_tensor *beta, const alloy_state *s, int part)
{
    if (alloy_pass_stopped(p, q) || !k || !v || !decay || !beta)
        return NULL;
    int64_t heads = v->shape[1];
    if (!alloy_same_shape(q, k) || q->ndim != 3 || v->ndim != 3 || heads % q->shape[1] != 0 ||
        alloy_row_size(decay) != heads || alloy_row_size(beta) != heads)
        return alloy_shape_fail(
            p, "delta_rule", "keys [n, %lld, %lld], values [n, %lld, %lld], decay and beta rows of %lld and %lld",
            (long long)q->shape[1], (long long)q->shape[2], (long long)heads, (long long)v->shape[2],
            (long long)alloy_row_size(decay), (long long)alloy_row_size(beta));
    if (!alloy_state_has(s, part, ALLOY_STATE_FIXED, heads * q->shape[2] * v->shape[2]))
        return alloy_shape_fail(p, "delta_rule", "part %d of the state does not keep %lld matrices of %lld x %lld",
                                part, (long long)heads, (long long)q->shape[2], (long long)v->shape[2]);
    alloy_tensor *y = alloy_tensor_like(p, v);
    return y ? alloy_apply(p, &alloy_op_delta_rule,
                           &(alloy_args){.in = {q, k, v, decay, beta}, .out = {y}, .state = {{s, part}}})
             : NULL;
}
