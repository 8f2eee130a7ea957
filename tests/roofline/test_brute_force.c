/* The exact accounting against loops: random modules at random sizes over random ragged batches, where every pair of a
 * token and what it sees, every row that a cache keeps, every piece of a chunked delta rule and every window of a
 * compressor is counted one by one, as if by walking through the forward. No closed form of the ops is used here.
 *
 * A trial is a function of its seed, printed with the config on failure; ALLOY_TEST_SEED=N runs trials from N on. */
#include "roofline/cases.h"

#include <math.h>

#include "base/random.h"

enum { TRIALS = ALLOY_TEST_SLOW ? 200 : 1000, MOST_GROUPS = 3, TILE = 128, PIECE = 64 };

/* ---- What a trial is --------------------------------------------------------------------------------------------- */

enum format { BF16, F32, FP8, FORMATS };

static const char *const format_names[FORMATS] = {"bf16", "fp32", "fp8"};
static const int format_bytes[FORMATS] = {2, 4, 1};

enum mixer { FULL, WINDOW, LLAMA, LLAMA_WINDOW, NET, V4_WINDOW, V4_HCA, V4_CSA, MIXERS };
enum ffn { MLP, MOE, SHARED_MOE, V4_MOE, V4_HASH, FFNS };

static const char *const mixer_names[MIXERS] = {
    "qwen3_attention", "qwen3_attention_sliding", "llama_attention",    "llama_attention_sliding",
    "qwen3_5_gdn",     "dsv4_sliding_attention",  "dsv4_hca_attention", "dsv4_csa_attention"};
static const char *const ffn_names[FFNS] = {"qwen3_mlp", "qwen3_moe", "qwen3_5_moe", "dsv4_moe", "dsv4_hash_moe"};

struct trial {
    enum mixer mixer;
    enum ffn ffn;
    int64_t vocab, hidden;
    int64_t heads, kv_heads, head_dim, rotated, window; /* attention */
    bool bias, output_bias, gate, mlp_bias, normalize, tied;
    int64_t key_heads, value_heads, key_dim, value_dim, taps;
    int64_t inner, experts, chosen, expert_inner, shared_inner;
    int64_t query_rank, groups, output_rank, index_heads, index_dim, most, rate;
    int64_t streams, iterations; /* of hyper-connections; 0: a plain residual */
    alloy_roofline_sequences batch[MOST_GROUPS];
    int group_count;
    enum format activation, kv, weight; /* weight BF16: the config's, nothing is cast */
    alloy_delta delta;
    bool all_logits;
};

static uint64_t trial_seed, draw_count;

/* low .. high */
static int64_t draw(int64_t low, int64_t high)
{
    return low + (int64_t)(alloy_random_uniform(trial_seed, 0, draw_count++) * (double)(high - low + 1));
}

static void draw_batch(struct trial *t)
{
    t->group_count = (int)draw(1, MOST_GROUPS);
    for (int i = 0; i < t->group_count; i++)
        t->batch[i] = (alloy_roofline_sequences){
            .count = draw(1, 3), .tokens = draw(0, 2) ? draw(1, 140) : 1, .cached = draw(0, 2) ? draw(0, 140) : 0};
}

static struct trial draw_trial(uint64_t seed)
{
    trial_seed = seed;
    draw_count = 0;
    struct trial t = {.mixer = (enum mixer)draw(0, MIXERS - 1), .ffn = (enum ffn)draw(0, FFNS - 1)};
    t.vocab = draw(100, 400);
    t.hidden = draw(1, 200);
    t.kv_heads = draw(1, 3);
    t.heads = t.kv_heads * draw(1, 4);
    t.head_dim = 2 * draw(2, 20);
    t.rotated = 2 * draw(1, t.head_dim / 2);
    t.window = draw(1, 80);
    t.bias = draw(0, 1);
    t.output_bias = draw(0, 1);
    t.gate = draw(0, 1);
    t.mlp_bias = draw(0, 1);
    t.normalize = draw(0, 1);
    t.tied = draw(0, 1);
    t.key_heads = draw(1, 3);
    t.value_heads = t.key_heads * draw(1, 3);
    t.key_dim = draw(2, 40);
    t.value_dim = draw(1, 40);
    t.taps = draw(2, 6);
    t.inner = draw(1, 300);
    t.experts = draw(1, 20);
    t.chosen = draw(1, t.experts);
    t.expert_inner = draw(1, 150);
    t.shared_inner = draw(1, 150);
    t.query_rank = draw(1, 60);
    t.groups = draw(1, 2) == 1 ? 1 : t.heads;
    t.output_rank = draw(1, 40);
    t.index_heads = draw(1, 4);
    t.index_dim = 2 * draw(t.rotated / 2, 30);
    t.most = draw(1, 20);
    t.rate = draw(1, 20);
    t.streams = draw(0, 3) == 0 ? draw(2, 4) : 0;
    t.iterations = draw(1, 5);
    t.activation = (enum format)draw(0, FORMATS - 1);
    t.kv = (enum format)draw(0, FORMATS - 1);
    t.weight = (enum format)draw(0, FORMATS - 1);
    t.delta = (alloy_delta)draw(0, 2);
    t.all_logits = draw(0, 3) == 0;
    draw_batch(&t);
    return t;
}

static const char *yes(bool b)
{
    return b ? "true" : "false";
}

static void write_config(const struct trial *t, char *text, size_t size)
{
    bool v4 = t->mixer >= V4_WINDOW;
    double factor = (double)t->rotated / (double)t->head_dim;
    int used = snprintf(
        text, size,
        "{\"model_type\": \"alloy\", \"dtype\": \"bfloat16\", \"vocab_size\": %lld, \"hidden_size\": %lld, "
        "\"layer_types\": [\"%s\"], \"ffn_types\": [\"%s\"], \"num_attention_heads\": %lld, "
        "\"num_key_value_heads\": %lld, \"head_dim\": %lld, \"sliding_window\": %lld, \"attention_bias\": %s, "
        "\"attention_output_bias\": %s, \"attn_output_gate\": %s, \"mlp_bias\": %s, \"norm_topk_prob\": %s, "
        "\"tie_word_embeddings\": %s, \"linear_num_key_heads\": %lld, \"linear_num_value_heads\": %lld, "
        "\"linear_key_head_dim\": %lld, \"linear_value_head_dim\": %lld, \"linear_conv_kernel_dim\": %lld, ",
        (long long)t->vocab, (long long)t->hidden, mixer_names[t->mixer], ffn_names[t->ffn], (long long)t->heads,
        (long long)t->kv_heads, (long long)t->head_dim, (long long)t->window, yes(t->bias), yes(t->output_bias),
        yes(t->gate), yes(t->mlp_bias), yes(t->normalize), yes(t->tied), (long long)t->key_heads,
        (long long)t->value_heads, (long long)t->key_dim, (long long)t->value_dim, (long long)t->taps);
    used += snprintf(text + used, size - (size_t)used,
                     "\"intermediate_size\": %lld, \"num_experts\": %lld, \"num_experts_per_tok\": %lld, "
                     "\"moe_intermediate_size\": %lld, \"shared_expert_intermediate_size\": %lld, \"q_lora_rank\": "
                     "%lld, \"qk_rope_head_dim\": %lld, \"o_groups\": %lld, \"o_lora_rank\": %lld, \"index_n_heads\": "
                     "%lld, \"index_head_dim\": %lld, \"index_topk\": %lld, \"compress_rate_csa\": %lld, "
                     "\"compress_rate_hca\": %lld",
                     (long long)t->inner, (long long)t->experts, (long long)t->chosen, (long long)t->expert_inner,
                     (long long)t->shared_inner, (long long)t->query_rank, (long long)t->rotated, (long long)t->groups,
                     (long long)t->output_rank, (long long)t->index_heads, (long long)t->index_dim, (long long)t->most,
                     (long long)t->rate, (long long)t->rate);
    if (!v4)
        used += snprintf(text + used, size - (size_t)used,
                         ", \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000.0, "
                         "\"partial_rotary_factor\": %.17g}",
                         factor);
    if (t->ffn >= V4_MOE)
        used +=
            snprintf(text + used, size - (size_t)used, ", \"scoring_func\": \"sqrtsoftplus\", \"swiglu_limit\": 10.0");
    if (t->streams)
        used += snprintf(text + used, size - (size_t)used,
                         ", \"use_mhc\": true, \"hc_mult\": %lld, \"hc_sinkhorn_iters\": %lld", (long long)t->streams,
                         (long long)t->iterations);
    snprintf(text + used, size - (size_t)used, "}");
}

/* ---- Counting ---------------------------------------------------------------------------------------------------- */

/* What has been counted of a row. Weights are summed in bytes, with the fractions of expected numbers. */
struct tally {
    const struct trial *t;
    int64_t tensor, vector;
    double weights, router;
    int64_t activations_read, activations_written, kv_read, kv_written, indexer_read, indexer_written; /* elements */
    int64_t tails_read, tails_written;       /* elements at the activations' size */
    int64_t matrices_read, matrices_written; /* elements in fp32 */
    int64_t ids;
};

/* Bytes of a matrix: elements, and a scale of 4 bytes for every tile of 128 x 128 begun. */
static double matrix_bytes(const struct tally *y, int64_t rows, int64_t columns)
{
    double bytes = (double)(rows * columns * format_bytes[y->t->weight]);
    for (int64_t r = 0; y->t->weight == FP8 && r < rows; r += TILE)
        for (int64_t c = 0; c < columns; c += TILE)
            bytes += 4;
    return bytes;
}

static void parameters(struct tally *y, int64_t count)
{
    y->weights += (double)(count * format_bytes[y->t->weight]);
}

static void parameters_f32(struct tally *y, int64_t count)
{
    y->weights += (double)(count * 4);
}

/* One sequence of the batch. */
struct walk {
    int64_t past, fresh;
};

typedef void each_sequence(struct tally *y, const struct walk *w);

static void for_each_sequence(struct tally *y, each_sequence *visit)
{
    for (int g = 0; g < y->t->group_count; g++)
        for (int64_t i = 0; i < y->t->batch[g].count; i++)
            visit(y, &(struct walk){y->t->batch[g].cached, y->t->batch[g].tokens});
}

static int64_t tokens_of(const struct trial *t)
{
    int64_t n = 0;
    for (int g = 0; g < t->group_count; g++)
        n += t->batch[g].count * t->batch[g].tokens;
    return n;
}

static int64_t sequences_of(const struct trial *t)
{
    int64_t n = 0;
    for (int g = 0; g < t->group_count; g++)
        n += t->batch[g].count;
    return n;
}

/* A linear on n rows: a multiply and an add for each weight and row, an add for each bias and row. */
static void linear_on(struct tally *y, int64_t n, int64_t outputs, int64_t inputs, bool bias)
{
    for (int64_t row = 0; row < n; row++)
        for (int64_t o = 0; o < outputs; o++) {
            y->tensor += 2 * inputs;
            y->vector += bias;
        }
    y->weights += matrix_bytes(y, outputs, inputs);
    if (bias)
        parameters(y, outputs);
}

static void linear(struct tally *y, int64_t outputs, int64_t inputs, bool bias)
{
    linear_on(y, tokens_of(y->t), outputs, inputs, bias);
}

static void through(struct tally *y, int64_t rows, int64_t read, int64_t written)
{
    y->activations_read += rows * read;
    y->activations_written += rows * written;
}

/* ---- Softmax attention ------------------------------------------------------------------------------------------- */

static bool is_seen(const struct trial *t, int64_t token, int64_t key)
{
    bool windowed = t->mixer != FULL && t->mixer != LLAMA;
    return key <= token && (!windowed || token - key < t->window);
}

static void attend(struct tally *y, const struct walk *w)
{
    const struct trial *t = y->t;
    int64_t end = w->past + w->fresh, width = 2 * t->kv_heads * t->head_dim;
    for (int64_t token = w->past; token < end; token++)
        for (int64_t key = 0; key <= token; key++)
            if (is_seen(t, token, key)) {
                y->tensor += t->heads * (2 * t->head_dim + 2 * t->head_dim);
                y->vector += t->heads * 5;
            }
    for (int64_t key = 0; key < w->past; key++) /* the first new token sees most of what is kept */
        y->kv_read += is_seen(t, w->past, key) ? width : 0;
    for (int64_t key = w->past; key < end; key++) /* what the token after these will see */
        y->kv_written += is_seen(t, end, key) ? width : 0;
}

static void softmax_attention(struct tally *y)
{
    const struct trial *t = y->t;
    int64_t q = t->heads * t->head_dim, kv = t->kv_heads * t->head_dim, n = tokens_of(t);
    bool norms = t->mixer == FULL || t->mixer == WINDOW, gate = norms && t->gate;
    linear(y, gate ? 2 * q : q, t->hidden, t->bias);
    linear(y, kv, t->hidden, t->bias);
    linear(y, kv, t->hidden, t->bias);
    linear(y, t->hidden, q, t->output_bias);
    for (int64_t token = 0; token < n; token++) {
        if (norms)
            y->vector += 4 * q + 4 * kv;
        y->vector += 3 * (t->heads + t->kv_heads) * t->rotated;
        if (gate)
            y->vector += 4 * q;
    }
    if (norms)
        parameters(y, 2 * t->head_dim);
    for_each_sequence(y, attend);
    through(y, n, t->hidden, t->hidden);
}

/* ---- Delta net --------------------------------------------------------------------------------------------------- */

/* Products of one head's piece of `length` tokens, element by element of its triangles. */
static int64_t piece(const struct trial *t, int64_t length, bool from_nothing)
{
    int64_t products = 0, k = t->key_dim, v = t->value_dim;
    for (int64_t i = 0; i < length; i++) {
        for (int64_t j = 0; j < i; j++)
            products += k + (v + k); /* keys with keys, and forward substitution of values and keys */
        for (int64_t j = 0; j <= i; j++)
            products += k + v; /* queries with keys, and their products with values */
        products += k * v;     /* into the state */
        if (!from_nothing)
            products += 2 * k * v; /* what the state says of keys and of queries */
    }
    return 2 * products;
}

static void run_delta_rule(struct tally *y, const struct walk *w)
{
    const struct trial *t = y->t;
    bool chunks = t->delta == ALLOY_DELTA_CHUNK || (t->delta == ALLOY_DELTA_AUTO && w->fresh > PIECE);
    int64_t matrix = t->key_dim * t->value_dim;
    for (int64_t head = 0; head < t->value_heads; head++) {
        for (int64_t at = 0; chunks && at < w->fresh; at += PIECE)
            y->tensor += piece(t, w->fresh - at < PIECE ? w->fresh - at : PIECE, at == 0 && w->past == 0);
        for (int64_t token = 0; !chunks && token < w->fresh; token++)
            y->vector += matrix + 2 * matrix + 2 * t->value_dim + 2 * matrix + 2 * matrix;
        y->matrices_read += w->past > 0 ? matrix : 0;
        y->matrices_written += matrix;
    }
}

static void keep_tail(struct tally *y, const struct walk *w)
{
    const struct trial *t = y->t;
    int64_t channels = 2 * t->key_heads * t->key_dim + t->value_heads * t->value_dim, end = w->past + w->fresh;
    for (int64_t back = 1; back < t->taps; back++) {
        y->tails_read += w->past - back >= 0 ? channels : 0;
        y->tails_written += end - back >= 0 ? channels : 0;
    }
}

static void delta_net(struct tally *y)
{
    const struct trial *t = y->t;
    int64_t keys = t->key_heads * t->key_dim, values = t->value_heads * t->value_dim, channels = 2 * keys + values;
    linear(y, channels, t->hidden, false);
    linear(y, values, t->hidden, false);
    linear(y, t->value_heads, t->hidden, false);
    linear(y, t->value_heads, t->hidden, false);
    linear(y, t->hidden, values, false);
    for (int64_t token = 0; token < tokens_of(t); token++) {
        for (int64_t tap = 0; tap < t->taps; tap++)
            y->tensor += 2 * channels;
        y->vector += 4 * channels + 3 * keys + 3 * keys + keys; /* SiLU, two norms, the scale of queries */
        y->vector += 3 * t->value_heads + 6 * t->value_heads + 9 * values;
    }
    parameters(y, channels * t->taps + t->value_dim);
    parameters_f32(y, 2 * t->value_heads);
    for_each_sequence(y, run_delta_rule);
    for_each_sequence(y, keep_tail);
    through(y, tokens_of(t), t->hidden, t->hidden);
}

/* ---- DeepSeek-V4's attention ------------------------------------------------------------------------------------- */

/* Walks a compressor: which tokens close a window, what is open before and after. `widths`: channels of a row of kv and
 * gate together; `overlap`: of the part that the next window takes. */
static int64_t compress(struct tally *y, const struct walk *w, int64_t channels, int64_t overlap)
{
    const struct trial *t = y->t;
    int64_t open = 0, open_kept = 0, closed = 0, closed_before = 0;
    for (int64_t token = 0; token < w->past + w->fresh; token++) {
        bool fresh = token >= w->past;
        open++;
        open_kept += !fresh;
        if (open < t->rate)
            continue;
        if (fresh) {
            y->matrices_read += open_kept * 2 * channels;
            if (closed == 0 && closed_before > 0)
                y->matrices_read += t->rate * 2 * overlap;
            y->vector += 8 * t->rate * channels; /* bias, softmax, product and sum, a slot and channel */
        }
        closed += fresh;
        closed_before += !fresh;
        open = open_kept = 0;
    }
    y->matrices_written += (open - open_kept) * 2 * channels;
    if (closed > 0)
        y->matrices_written += t->rate * 2 * overlap;
    return closed;
}

static void see_entries(struct tally *y, const struct walk *w)
{
    const struct trial *t = y->t;
    int64_t kept = 0, chosen_by_all = 0;
    for (int64_t token = 0; token < w->past; token++)
        kept += (token + 1) % t->rate == 0;
    for (int64_t token = w->past; token < w->past + w->fresh; token++) {
        int64_t seen = 0;
        for (int64_t last = t->rate - 1; last <= token; last += t->rate) {
            seen++;
            if (t->mixer != V4_CSA)
                continue;
            y->tensor += 2 * t->index_heads * t->index_dim;
            y->vector += 4 * t->index_heads + 1; /* a score, and a compare of the choice */
        }
        if (t->mixer == V4_CSA && seen > t->most)
            seen = t->most;
        chosen_by_all += t->most;
        y->tensor += seen * t->heads * 4 * t->head_dim;
        y->vector += seen * t->heads * 5;
    }
    if (t->mixer == V4_CSA) {
        y->indexer_read += kept * t->index_dim;
        kept = kept < chosen_by_all ? kept : chosen_by_all;
    }
    y->kv_read += kept * t->head_dim;
}

static int64_t entries_closed; /* by the batch */

static void keep_entries(struct tally *y, const struct walk *w)
{
    const struct trial *t = y->t;
    bool sparse = t->mixer == V4_CSA;
    int64_t closed = compress(y, w, sparse ? 2 * t->head_dim : t->head_dim, sparse ? t->head_dim : 0);
    y->vector += closed * (4 * t->head_dim + 3 * t->rotated); /* norm and rotation of an entry */
    y->kv_written += closed * t->head_dim;
    entries_closed += closed;
    if (!sparse)
        return;
    compress(y, w, 2 * t->index_dim, t->index_dim);
    y->vector += closed * (4 * t->index_dim + 3 * t->rotated);
    y->indexer_written += closed * t->index_dim;
}

static void see_window(struct tally *y, const struct walk *w)
{
    const struct trial *t = y->t;
    int64_t end = w->past + w->fresh;
    for (int64_t token = w->past; token < end; token++)
        for (int64_t key = 0; key <= token; key++)
            if (is_seen(t, token, key)) {
                y->tensor += t->heads * 4 * t->head_dim;
                y->vector += t->heads * 5;
            }
    for (int64_t key = 0; key < end; key++) {
        y->kv_read += key < w->past && is_seen(t, w->past, key) ? t->head_dim : 0;
        y->kv_written += key >= w->past && is_seen(t, end, key) ? t->head_dim : 0;
    }
}

/* What compresses: linears for kv and gate; position bias and norm are read where a window closes. */
static void compressor(struct tally *y, int64_t row, int64_t width)
{
    linear(y, row, y->t->hidden, false);
    linear(y, row, y->t->hidden, false);
    if (entries_closed > 0)
        parameters_f32(y, y->t->rate * row + width);
}

static void v4_attention(struct tally *y)
{
    const struct trial *t = y->t;
    int64_t q = t->heads * t->head_dim, n = tokens_of(t);
    linear(y, t->query_rank, t->hidden, false);
    linear(y, q, t->query_rank, false);
    linear(y, t->head_dim, t->hidden, false);
    for (int64_t token = 0; token < n; token++) {
        y->tensor += 2 * q * t->output_rank; /* each head meets the matrix of its group */
        y->vector += 4 * t->query_rank + 3 * q + 4 * t->head_dim;
        y->vector += 3 * (t->heads + 1 + t->heads) * t->rotated + t->heads;
    }
    y->weights += matrix_bytes(y, t->groups * t->output_rank, q / t->groups);
    linear(y, t->hidden, t->groups * t->output_rank, false);
    parameters_f32(y, t->query_rank + t->head_dim + t->heads);
    for_each_sequence(y, see_window);
    through(y, n, t->hidden, t->hidden);
    if (t->mixer == V4_WINDOW)
        return;
    entries_closed = 0;
    for_each_sequence(y, keep_entries);
    for_each_sequence(y, see_entries);
    compressor(y, t->mixer == V4_CSA ? 2 * t->head_dim : t->head_dim, t->head_dim);
    if (t->mixer != V4_CSA)
        return;
    compressor(y, 2 * t->index_dim, t->index_dim);
    linear(y, t->index_heads * t->index_dim, t->query_rank, false);
    linear(y, t->index_heads, t->hidden, false);
    y->vector += n * 3 * t->index_heads * t->rotated;
}

/* ---- Feed-forwards ----------------------------------------------------------------------------------------------- */

static void swiglu(struct tally *y, int64_t inner, bool bias, int64_t an_element)
{
    linear(y, inner, y->t->hidden, bias);
    linear(y, inner, y->t->hidden, bias);
    linear(y, y->t->hidden, inner, bias);
    for (int64_t token = 0; token < tokens_of(y->t); token++)
        y->vector += an_element * inner;
}

/* Experts that are read when each of `tokens` goes to any of them as likely, one token after the other. */
static double experts_met(const struct trial *t, double tokens)
{
    double missed = 1, base = 1 - (double)t->chosen / (double)t->experts;
    for (int64_t i = 0; i < (int64_t)tokens; i++)
        missed *= base;
    double rest = tokens - floor(tokens);
    return (double)t->experts * (1 - (rest > 0 ? missed * pow(base, rest) : missed));
}

static double distinct_ids(const struct trial *t)
{
    double missed = 1;
    for (int64_t i = 0; i < tokens_of(t); i++)
        missed *= 1 - 1 / (double)t->vocab;
    return (double)t->vocab * (1 - missed);
}

static void sparse(struct tally *y)
{
    const struct trial *t = y->t;
    bool v4 = t->ffn >= V4_MOE, hash = t->ffn == V4_HASH;
    int64_t scored = hash ? t->chosen : t->experts;
    for (int64_t token = 0; token < tokens_of(t); token++) {
        y->tensor += 2 * t->hidden * scored;
        y->vector += 5 * scored + (hash ? 0 : t->experts);
        y->vector += v4 ? 2 * t->chosen + t->chosen : t->normalize ? 2 * t->chosen : 0;
        for (int64_t e = 0; e < t->chosen; e++) {
            y->tensor += 3 * 2 * t->hidden * t->expert_inner;
            y->vector += (v4 ? 8 : 5) * t->expert_inner + 2 * t->hidden;
        }
    }
    y->router += matrix_bytes(y, t->experts, t->hidden);
    if (v4 && !hash)
        y->router += (double)(t->experts * 4);
    if (hash)
        y->router += (double)(tokens_of(t) * t->chosen * 8);
    double met = experts_met(t, hash ? distinct_ids(t) : (double)tokens_of(t));
    y->weights += met * (2 * matrix_bytes(y, t->expert_inner, t->hidden) + matrix_bytes(y, t->hidden, t->expert_inner));
    if (v4)
        swiglu(y, t->expert_inner, t->mlp_bias, 8);
    if (t->ffn == SHARED_MOE) {
        swiglu(y, t->shared_inner, false, 5);
        linear(y, 1, t->hidden, false);
        y->vector += tokens_of(t) * (3 + t->hidden);
    }
    if (v4 || t->ffn == SHARED_MOE)
        y->vector += tokens_of(t) * t->hidden;
    through(y, tokens_of(t), t->hidden, t->hidden);
}

static void mlp(struct tally *y)
{
    swiglu(y, y->t->inner, y->t->mlp_bias, 5);
    through(y, tokens_of(y->t), y->t->hidden, y->t->hidden);
}

/* ---- Comparison -------------------------------------------------------------------------------------------------- */

static bool is_close(alloy_count count, double expected, const char *row, const char *what)
{
    double actual = alloy_count_double(count);
    if (is_near(actual, expected,
                4 + 1e-9 * expected)) /* each of three matrices of an expected number of experts is rounded */
        return true;
    print_error("%s, %s: %.0f, loops give %.3f\n", row, what, actual, expected);
    return false;
}

static bool is_same(alloy_count count, int64_t expected, const char *row, const char *what)
{
    alloy_wide actual = alloy_wide_of(count);
    if (actual == expected)
        return true;
    print_error("%s, %s: %lld, loops give %lld\n", row, what, (long long)actual, (long long)expected);
    return false;
}

static bool agrees(const alloy_roofline *r, const char *row, const struct tally *y)
{
    const struct trial *t = y->t;
    alloy_work work = work_of_row(r, row);
    int activation = format_bytes[t->activation], kv = format_bytes[t->kv];
    bool same = is_same(work.tensor_flops, y->tensor, row, "tensor FLOPs");
    same &= is_same(work.vector_flops, y->vector, row, "vector FLOPs");
    same &= is_close(work.read[WEIGHTS], y->weights, row, "bytes of weights");
    same &= is_close(work.read[ROUTER], y->router, row, "bytes of the router");
    same &= is_same(work.read[ACTIVATIONS], y->activations_read * activation + y->ids * 8, row, "activations read");
    same &= is_same(alloy_count_add(work.written[ACTIVATIONS], work.written[LOGITS]),
                    y->activations_written * activation, row, "activations and logits written");
    same &= is_same(work.read[KV], y->kv_read * kv, row, "keys and values read");
    same &= is_same(work.written[KV], y->kv_written * kv, row, "keys and values written");
    same &= is_same(work.read[INDEXER], y->indexer_read * kv, row, "indexer keys read");
    same &= is_same(work.written[INDEXER], y->indexer_written * kv, row, "indexer keys written");
    same &= is_same(work.read[STATE], y->matrices_read * 4 + y->tails_read * activation, row, "state read");
    same &= is_same(work.written[STATE], y->matrices_written * 4 + y->tails_written * activation, row, "state written");
    return same;
}

/* ---- Around the modules ------------------------------------------------------------------------------------------ */

/* Hyper-connections before a module, on n tokens. */
static void before(struct tally *y, int64_t n, bool head)
{
    const struct trial *t = y->t;
    int64_t h = t->streams, mixes = head ? h : (2 + h) * h;
    for (int64_t token = 0; token < n; token++) {
        y->tensor += 2 * h * t->hidden * mixes;
        y->vector += 3 * h * t->hidden + (2 * h - 1) * t->hidden + 6 * h;
        if (head)
            continue;
        y->vector += 6 * h + 8 * h * h;
        for (int64_t half = 0; half < 2 * t->iterations - 1; half++) /* sums and divisions of rows, of columns, ... */
            y->vector += 2 * h * h;
    }
    parameters_f32(y, mixes * h * t->hidden + mixes + (head ? 1 : 3));
    through(y, n, h * t->hidden, t->hidden);
}

static void after(struct tally *y, int64_t n)
{
    const struct trial *t = y->t;
    for (int64_t token = 0; token < n; token++) {
        y->vector += 2 * t->streams * t->hidden;
        y->tensor += 2 * t->streams * t->streams * t->hidden;
    }
    through(y, n, (t->streams + 1) * t->hidden, t->streams * t->hidden);
}

static bool agrees_around(const alloy_roofline *r, const struct trial *t)
{
    int64_t n = tokens_of(t), last = t->all_logits ? n : sequences_of(t), h = t->hidden;
    struct tally norm = {.t = t}, final = norm, head = norm, mixer = norm, ffn = norm, end = norm;
    parameters(&norm, 2 * h);
    parameters(&final, h);
    linear_on(&head, last, t->vocab, h, false);
    through(&head, last, h, t->vocab);
    bool same = agrees(r, "lm_head", &head);
    if (!t->streams) {
        norm.vector = n * (4 + 5) * h;
        through(&norm, n, (1 + 2) * h, (1 + 2) * h);
        final.vector = last * 5 * h;
        through(&final, last, 2 * h, h);
        return same & agrees(r, "norm", &norm) & agrees(r, "final_norm", &final);
    }
    norm.vector = n * 2 * 4 * h;
    before(&mixer, n, false);
    after(&mixer, n);
    before(&ffn, n, false);
    after(&ffn, last);
    before(&end, last, true);
    return same & agrees(r, "hc_attn", &mixer) & agrees(r, "hc_ffn", &ffn) & agrees(r, "hc_head", &end) &
           is_same(work_of_row(r, "norm").vector_flops, norm.vector, "norm", "vector FLOPs");
}

/* ---- Trials ------------------------------------------------------------------------------------------------------ */

static bool try(uint64_t seed)
{
    struct trial t = draw_trial(seed);
    char config[4096];
    write_config(&t, config, sizeof config);
    struct described d = describe_text(config);
    alloy_roofline_options options = {.size = sizeof options,
                                      .accounting = ALLOY_EXACT,
                                      .sequences = t.batch,
                                      .sequences_count = t.group_count,
                                      .activation_dtype = format_names[t.activation],
                                      .kv_dtype = format_names[t.kv],
                                      .weight_dtype = t.weight == BF16 ? NULL : format_names[t.weight],
                                      .delta = t.delta,
                                      .all_logits = t.all_logits};
    alloy_roofline *r;
    expect_ok(alloy_roofline_open(&r, d.model, &options));
    struct tally mixer = {.t = &t}, ffn = mixer;
    (t.mixer == NET ? delta_net : t.mixer < V4_WINDOW ? softmax_attention : v4_attention)(&mixer);
    (t.ffn == MLP ? mlp : sparse)(&ffn);
    bool same = agrees(r, mixer_names[t.mixer], &mixer);
    same &= agrees(r, ffn_names[t.ffn], &ffn);
    same &= agrees_around(r, &t);
    if (!same) {
        print_error("seed %llu: %s\n", (unsigned long long)seed, config);
        for (int g = 0; g < t.group_count; g++)
            print_error("  %lld x %lld tokens after %lld\n", (long long)t.batch[g].count, (long long)t.batch[g].tokens,
                        (long long)t.batch[g].cached);
    }
    alloy_roofline_close(r);
    forget(&d);
    return same;
}

static void loops_count_the_same(void **state)
{
    (void)state;
    const char *given = getenv("ALLOY_TEST_SEED");
    uint64_t first = given ? strtoull(given, NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + TRIALS; seed++)
        if (!try(seed))
            fail_msg("ALLOY_TEST_SEED=%llu begins with the trial that failed", (unsigned long long)seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loops_count_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
