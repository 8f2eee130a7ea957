/* The count reading of DeepSeek-V4's modules and of hyper-connections: figures worked out by hand, and loops over
 * tokens, windows and entries for what is counted in closed form. */
#include "engine/counts.h"

#include <math.h>

#include "checkpoint/parameters.h"

#define V4(mixer, ffn, more)                                                                                           \
    "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": 128, \"layer_types\": [\"" mixer                \
    "\"], \"ffn_types\": [\"" ffn "\"], \"num_attention_heads\": 4, \"head_dim\": 32, \"q_lora_rank\": 64, "           \
    "\"qk_rope_head_dim\": 8, \"o_groups\": 2, \"o_lora_rank\": 64, \"sliding_window\": 64, "                          \
    "\"compress_rate_hca\": 16, \"compress_rate_csa\": 4, \"index_n_heads\": 2, \"index_head_dim\": 16, "              \
    "\"index_topk\": 5, \"num_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 64, "               \
    "\"scoring_func\": \"sqrtsoftplus\", \"swiglu_limit\": 10, \"routed_scaling_factor\": 1.5" more "}"

/* ---- By hand ----------------------------------------------------------------------------------------------------- */

/* Linears 128 x 64, 64 x 128, 128 x 32, 2 of 64 x 64, 128 x 128: 45,056 products a token. */
static void a_window_counts_exactly(void **state)
{
    (void)state;
    struct totals sum = count_site(V4("dsv4_sliding_attention", "dsv4_moe", ""), ALLOY_SITE_MIXER, 32, 0);
    expect_number(sum.tensor, 2 * 32 * 45056 + 4 * 4 * 32 * 528, "tensor FLOPs: 528 pairs");
    /* norms 4 * 32 * 64, 4 * 32 * 32, 3 * 32 * 128; softmax 5 * 4 * 528; sinks 32 * 4; rotary 3 * 32 * 9 heads * 8 */
    expect_number(sum.vector, 8192 + 4096 + 12288 + 10560 + 128 + 6912, "vector FLOPs");
    expect_count(sum.weight_bytes, 45056 * 2 + (64 + 32 + 4) * 4, "bytes of weights: two norms and sinks in fp32");
    expect_number(sum.written[ALLOY_CACHE_KV], 32 * 32, "rows written, each key and value at once");
    expect_number(sum.read[ALLOY_CACHE_KV], 0, "rows read");
}

/* 40 tokens behind 30: entries floor(70 / 16) = 4 of 16, of which 1 is there; a window of 64. */
static void heavy_compression_counts_exactly(void **state)
{
    (void)state;
    struct totals sum = count_site(V4("dsv4_hca_attention", "dsv4_moe", ""), ALLOY_SITE_MIXER, 40, 30);
    int64_t linears = 2 * 40 * (45056 + 2 * 128 * 32);
    /* positions: 31 .. 63 and seven times 64; entries: 1 for 31, 2 .. of 32 .. 47, 3 of 48 .. 63, 4 of 64 .. 70 */
    int64_t pairs = (31 + 63) * 33 / 2 + 7 * 64, entries = 1 * 1 + 2 * 16 + 3 * 16 + 4 * 7;
    expect_number(sum.tensor, linears + 4 * 4 * 32 * (pairs + entries), "tensor FLOPs");
    /* three windows close: 8 * 16 * 32 + 4 * 32 + 3 * 8 each */
    int64_t rest = 40 * (4 * 64 + 4 * 32 + 3 * 128) + 40 * 4 + 3 * 40 * 9 * 8;
    expect_number(sum.vector, rest + 5 * 4 * (pairs + entries) + 3 * (4096 + 128 + 24), "vector FLOPs");
    expect_number(sum.read[ALLOY_CACHE_KV], 30 * 32 + 1 * 32, "rows and entries read");
    expect_number(sum.written[ALLOY_CACHE_KV], 40 * 32 + 3 * 32, "rows and entries written");
    expect_number(sum.read[ALLOY_CACHE_STATE], 14 * 64, "of the open window: 30 mod 16 rows");
    expect_number(sum.written[ALLOY_CACHE_STATE], 6 * 64, "of the open window: 70 mod 16 rows");
}

/* 3 tokens behind 30, entries of 4: 7 are there, token 31 closes an eighth; each token chooses 5. */
static void sparse_compression_counts_exactly(void **state)
{
    (void)state;
    struct totals sum = count_site(V4("dsv4_csa_attention", "dsv4_moe", ""), ALLOY_SITE_MIXER, 3, 30);
    int64_t linears = 2 * 3 * (45056 + 2 * 128 * 64 + 2 * 128 * 32 + 64 * 2 * 16 + 128 * 2);
    int64_t pairs = 31 + 32 + 33, chosen = 5 + 5 + 5, scores = 7 + 8 + 8;
    expect_number(sum.tensor, linears + 4 * 4 * 32 * (pairs + chosen) + 2 * 2 * 16 * scores, "tensor FLOPs");
    int64_t rest = 3 * (4 * 64 + 4 * 32 + 3 * 128) + 3 * 4 + 3 * 3 * (9 + 2) * 8;
    int64_t closing = (16 * 4 * 32 + 4 * 32 + 3 * 8) + (16 * 4 * 16 + 4 * 16 + 3 * 8);
    expect_number(sum.vector, rest + 5 * 4 * (pairs + chosen) + closing + 4 * 2 * scores + scores, "vector FLOPs");
    expect_number(sum.read[ALLOY_CACHE_KV], 30 * 32 + 7 * 32, "rows and entries read: 7 are fewer than 3 * 5");
    expect_number(sum.written[ALLOY_CACHE_KV], 3 * 32 + 32, "rows and entries written");
    expect_number(sum.read[ALLOY_CACHE_INDEXER], 7 * 16, "indexer keys read");
    expect_number(sum.written[ALLOY_CACHE_INDEXER], 16, "indexer keys written");
    expect_number(sum.read[ALLOY_CACHE_STATE], (2 * 4 + 4 * 2) * (32 + 16),
                  "2 open rows of 4 w, an overlap of 4 * 2 w");
    expect_number(sum.written[ALLOY_CACHE_STATE], (1 * 4 + 4 * 2) * (32 + 16), "1 open row, an overlap");
}

static void experts_count_exactly(void **state)
{
    (void)state;
    struct totals moe = count_site(V4("dsv4_sliding_attention", "dsv4_moe", ""), ALLOY_SITE_FFN, 16, 0),
                  hash = count_site(V4("dsv4_sliding_attention", "dsv4_hash_moe", ""), ALLOY_SITE_FFN, 16, 0);
    int64_t experts = 16 * 2 * 6 * 128 * 64 + 16 * 6 * 128 * 64;
    expect_number(moe.tensor, 2 * 16 * 128 * 8 + experts, "tensor FLOPs");
    expect_number(hash.tensor, 2 * 16 * 128 * 2 + experts, "tensor FLOPs by id: the chosen experts' scores");
    /* clamped SwiGLU 8, combining 2, the shared expert's sum */
    int64_t rest = 8 * 32 * 64 + 2 * 32 * 128 + 8 * 16 * 64 + 16 * 128;
    expect_number(moe.vector, 5 * 128 + 128 + 2 * 32 + 32 + rest, "vector FLOPs");
    expect_number(hash.vector, 5 * 32 + 2 * 32 + 32 + rest, "vector FLOPs by id");
}

/* A token goes to 2 of 8 experts. 16 tokens have 256 (1 - (1 - 1/256)^16) distinct ids. */
static void experts_by_id_are_read_for_distinct_ids(void **state)
{
    (void)state;
    struct totals one = {.op = "experts"}, many = {.op = "experts"};
    struct described d = describe_text(V4("dsv4_sliding_attention", "dsv4_hash_moe", ""));
    count_into(&one, d.model, 1, 0, false);
    count_into(&many, d.model, 16, 0, false);
    double expert = 3 * 128 * 64, ids = 256 * (1 - pow(255.0 / 256, 16));
    expect_count(one.weights, 2 * 3 * 128 * 64, "weights for one token");
    assert_float_equal(many.weights / expert, 8 * (1 - pow(0.75, ids)), 1e-9);
    forget(&d);
}

/* 5 tokens, 2 streams of 128, 3 iterations; around a mixer, an FFN, and once before the head. */
static void hyper_connections_count_exactly(void **state)
{
    (void)state;
    struct totals sum = {.only = ALLOY_SITE_RESIDUAL, .filtered = true};
    struct described d = describe_text(V4("qwen3_attention", "qwen3_mlp",
                                          ", \"use_mhc\": true, \"hc_mult\": 2, \"hc_sinkhorn_iters\": 3, "
                                          "\"num_key_value_heads\": 2, \"intermediate_size\": 32"));
    count_into(&sum, d.model, 5, 0, true);
    int64_t streams = 5 * 2 * 128; /* elements */
    expect_count(sum.weight_bytes, 2 * (8 * 256 + 8 + 3) * 4 + (2 * 256 + 2 + 1) * 4, "bytes of weights, all fp32");
    int64_t before = 3 * streams + (4 * 3 - 2) * 5 * 4 + 12 * 5 * 2 + 8 * 5 * 4 + 3 * 5 * 128, after = 2 * streams;
    expect_number(sum.vector, 2 * (before + after) + 3 * streams + 6 * 5 * 2 + 3 * 5 * 128, "vector FLOPs");
    expect_number(sum.tensor, 2 * (2 * streams * 8 + 2 * streams * 2) + 2 * streams * 2, "tensor FLOPs");
    forget(&d);
}

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

static alloy_status add_trained(void *user, const alloy_parameter *p)
{
    int64_t elements = p->copies;
    for (int i = 0; i < p->ndim; i++)
        elements *= p->shape[i];
    *(int64_t *)user += p->flags & ALLOY_BUFFER ? 0 : elements;
    return ALLOY_OK;
}

/* The release's own count, without multi-token prediction; routers' tables and biases are buffers. */
static void v4_flash_has_the_parameters_of_the_release(void **state)
{
    (void)state;
    alloy_config *config;
    int64_t parameters = 0;
    expect_ok(alloy_config_open(&config, ALLOY_SOURCE_DIR "/examples/configs/deepseek-v4-flash.json"));
    alloy_model *model;
    expect_ok(alloy_model_describe(&model, config));
    expect_ok(alloy_parameters_together(model, add_trained, &parameters));
    expect_number(parameters, 284332230231, "parameters");
    alloy_model_close(model);
    alloy_config_close(config);
}

/* ---- Loops over tokens, windows and entries ---------------------------------------------------------------------- */

struct point {
    int64_t window, rate, most, past, fresh, repeat;
};

/* What a layer of one width does, walked through token by token. */
struct walked {
    int64_t positions, entries, chosen, scores; /* seen by all new tokens together */
    int64_t closed, kept;                       /* entries: closed by them, and there before */
    int64_t old_open, new_open;                 /* rows of the open window that are read and written */
    bool reads_overlap;                         /* of a window that was closed before */
};

static struct walked walk(const struct point *p)
{
    struct walked w = {.kept = 0};
    int64_t open = 0, open_old = 0; /* rows of the window that is open; those from before the new tokens */
    bool any_closed = false;
    for (int64_t t = 0; t < p->past + p->fresh; t++) {
        bool is_new = t >= p->past;
        open++;
        open_old += !is_new;
        if (open == p->rate) {
            w.kept += !is_new;
            if (is_new) {
                w.old_open += open_old;
                w.reads_overlap |= w.closed == 0 && any_closed;
                w.closed++;
            }
            any_closed = true;
            open = open_old = 0;
        }
        if (!is_new)
            continue;
        for (int64_t j = 0; j <= t; j++)
            w.positions += t - j < p->window;
        int64_t seen = 0;
        while ((seen + 1) * p->rate - 1 <= t)
            seen++;
        w.entries += seen;
        w.scores += seen;
        w.chosen += seen < p->most ? seen : p->most;
    }
    w.new_open = open - open_old;
    return w;
}

static struct totals count_op(const alloy_model *model, const struct point *p, const char *op)
{
    struct totals sum = {.op = op};
    alloy_span span = {.count = p->fresh, .past = p->past, .repeat = p->repeat};
    expect_ok(alloy_model_count(model, &(alloy_count_request){.spans = &span, .span_count = 1}, add_record, &sum));
    return sum;
}

enum { HEADS = 3, HEAD = 10, INDEX_HEADS = 2, INDEX_HEAD = 6 };

static struct described describe_small(const struct point *p, const char *mixer)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\": \"alloy\", \"vocab_size\": 16, \"hidden_size\": 8, \"layer_types\": [\"%s\"], "
             "\"ffn_types\": [\"qwen3_mlp\"], \"intermediate_size\": 8, \"num_attention_heads\": %d, \"head_dim\": %d, "
             "\"q_lora_rank\": 4, \"qk_rope_head_dim\": 4, \"o_groups\": 1, \"o_lora_rank\": 4, \"sliding_window\": "
             "%lld, \"compress_rate_hca\": %lld, \"compress_rate_csa\": %lld, \"index_n_heads\": %d, "
             "\"index_head_dim\": %d, \"index_topk\": %lld}",
             mixer, HEADS, HEAD, (long long)p->window, (long long)p->rate, (long long)p->rate, INDEX_HEADS, INDEX_HEAD,
             (long long)p->most);
    return describe_text(text);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* `widths`: channels of the compressors; `sparse`: windows overlap and entries are chosen. */
static void expect_walked(const struct point *p, bool sparse)
{
    struct walked w = walk(p);
    int64_t r = p->repeat, seen = w.positions + (sparse ? w.chosen : w.entries),
            widths = HEAD + (sparse ? INDEX_HEAD : 0);
    int64_t kv = sparse ? 2 : 1; /* rows of kv are so many times as wide as an entry */
    struct described d = describe_small(p, sparse ? "dsv4_csa_attention" : "dsv4_hca_attention");
    struct totals attention = count_op(d.model, p, "shared_kv_attention"), compress = count_op(d.model, p, "compress"),
                  appended = count_op(d.model, p, "append_entries"), index = count_op(d.model, p, "choose_entries");
    int64_t entries_read = sparse ? least(w.kept, p->fresh * p->most) : w.kept;
    expect_number(attention.tensor, r * 4 * HEADS * HEAD * seen, "products of attention");
    expect_number(attention.vector, r * (5 * HEADS * seen + p->fresh * HEADS), "softmax and sinks");
    expect_number(attention.read[ALLOY_CACHE_KV], r * HEAD * (least(p->past, p->window - 1) + entries_read),
                  "rows read");
    expect_number(compress.vector, r * w.closed * 8 * p->rate * kv * widths, "closing windows");
    expect_number(compress.read[ALLOY_CACHE_STATE],
                  r * widths * (w.old_open * 2 * kv + (sparse && w.reads_overlap ? p->rate * 2 : 0)),
                  "rows of the open window and the overlap read");
    expect_number(compress.written[ALLOY_CACHE_STATE],
                  r * widths * (w.new_open * 2 * kv + (sparse && w.closed > 0 ? p->rate * 2 : 0)),
                  "rows of the open window and the overlap written");
    expect_number(appended.written[ALLOY_CACHE_KV], r * w.closed * HEAD, "entries written");
    expect_number(appended.written[ALLOY_CACHE_INDEXER], sparse ? r * w.closed * INDEX_HEAD : 0, "keys written");
    expect_number(index.tensor, sparse ? r * 2 * INDEX_HEADS * INDEX_HEAD * w.scores : 0, "products of the indexer");
    expect_number(index.vector, sparse ? r * (4 * INDEX_HEADS + 1) * w.scores : 0, "scores and choice");
    expect_number(index.read[ALLOY_CACHE_INDEXER], sparse ? r * w.kept * INDEX_HEAD : 0, "keys read");
    forget(&d);
}

static int64_t draw_below(uint32_t *seed, int64_t limit)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (int64_t)(*seed >> 8) % limit;
}

static void closed_forms_are_what_loops_count(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int i = 0; i < 1000; i++) {
        struct point p = {.window = 1 + draw_below(&seed, 20),
                          .rate = 1 + draw_below(&seed, 9),
                          .most = 1 + draw_below(&seed, 8),
                          .past = draw_below(&seed, 60),
                          .fresh = 1 + draw_below(&seed, 40),
                          .repeat = 1 + draw_below(&seed, 3)};
        expect_walked(&p, i % 2);
    }
}

/* Work does not depend on how a prompt is divided; each entry is closed once. */
static void chunks_count_as_the_whole(void **state)
{
    (void)state;
    struct point whole = {.window = 7, .rate = 5, .most = 3, .fresh = 131, .repeat = 1};
    for (int sparse = 0; sparse < 2; sparse++) {
        struct described d = describe_small(&whole, sparse ? "dsv4_csa_attention" : "dsv4_hca_attention");
        struct totals at_once = {.only = ALLOY_SITE_MIXER, .filtered = true}, divided = at_once;
        count_into(&at_once, d.model, 131, 0, false);
        for (int64_t past = 0, n; past < 131; past += n) {
            n = least(1 + past % 13, 131 - past);
            count_into(&divided, d.model, n, past, false);
        }
        expect_number(divided.tensor, (int64_t)at_once.tensor, "tensor FLOPs");
        expect_number(divided.vector, (int64_t)at_once.vector, "vector FLOPs");
        expect_number(divided.written[ALLOY_CACHE_INDEXER], (int64_t)at_once.written[ALLOY_CACHE_INDEXER], "keys");
        forget(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_counts_exactly),
        cmocka_unit_test(heavy_compression_counts_exactly),
        cmocka_unit_test(sparse_compression_counts_exactly),
        cmocka_unit_test(experts_count_exactly),
        cmocka_unit_test(experts_by_id_are_read_for_distinct_ids),
        cmocka_unit_test(hyper_connections_count_exactly),
        cmocka_unit_test(v4_flash_has_the_parameters_of_the_release),
        cmocka_unit_test(closed_forms_are_what_loops_count),
        cmocka_unit_test(chunks_count_as_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
