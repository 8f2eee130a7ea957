/* DeepSeek-V4's attention ops against their definitions in fp64: closed windows at any rate, entries that are all seen
 * or chosen, sinks, rotation of pairs; and the same bits however a sequence is cut into forwards. */
#include "passes.h"

enum { TOKENS = 61, WIDTH = 10 };

/* ---- Closing windows --------------------------------------------------------------------------------------------- */

struct compressor {
    int64_t rate;
    bool overlaps;
    alloy_tensor *kv, *gate; /* [TOKENS, WIDTH or 2 * WIDTH] */
    alloy_weight bias;
};

static struct compressor make_compressor(struct bench *b, int64_t rate, bool overlaps)
{
    int64_t row = overlaps ? 2 * WIDTH : WIDTH;
    struct compressor c = {rate, overlaps, random_tensor(b, 1, 2, (int64_t[]){TOKENS, row}),
                           random_tensor(b, 2, 2, (int64_t[]){TOKENS, row}),
                           random_weight(b, 3, ALLOY_F32, 2, 2, (int64_t[]){rate, row})};
    for (int64_t i = 0; i < alloy_tensor_size(c.gate); i++)
        alloy_f32(c.gate)[i] *= 3;
    return c;
}

/* Entries of the whole sequence in forwards of `chunk` tokens, into out [TOKENS / rate, WIDTH]. */
static void compress_in_chunks(struct bench *b, const struct compressor *c, int64_t chunk, float *out)
{
    struct kept kept;
    int64_t row = alloy_row_size(c->kv), entries = 0;
    begin_kept(&kept, ALLOY_F32);
    alloy_state_keep_fixed(&kept.spec, "open", c->rate * 2 * row);
    alloy_state_keep_fixed(&kept.spec, "overlap", c->rate * 2 * WIDTH);
    for (int64_t at = 0; at < TOKENS; at += chunk) {
        int64_t count = TOKENS - at < chunk ? TOKENS - at : chunk;
        set_span(b, count, at);
        reserve_kept(&kept, b, chunk);
        alloy_tensor *y = alloy_compress(&b->pass, rows_of(b, c->kv, at, count), rows_of(b, c->gate, at, count),
                                         &c->bias, c->rate, &kept.state, 0, c->overlaps ? 1 : -1);
        expect_ok(b->pass.status);
        assert_int_equal(y->shape[0], (at + count) / c->rate - at / c->rate);
        memcpy(out + entries * WIDTH, alloy_f32(y), (size_t)alloy_tensor_size(y) * sizeof *out);
        entries += y->shape[0];
    }
    assert_int_equal(entries, TOKENS / c->rate);
    end_kept(&kept);
}

/* Adds slot `t` of a window that sees its channels from `channel` on. */
static void add_slot(const struct compressor *c, int64_t t, int64_t channel, double *sum, double *total)
{
    int64_t row = alloy_row_size(c->kv), at = t * row + channel;
    double weight = exp((double)alloy_f32(c->gate)[at] + weight_at(&c->bias, t % c->rate * row + channel));
    *sum += weight * (double)alloy_f32(c->kv)[at];
    *total += weight;
}

static void expect_entries(const struct compressor *c, const float *out)
{
    for (int64_t e = 0; e < TOKENS / c->rate; e++)
        for (int64_t i = 0; i < WIDTH; i++) {
            double sum = 0, total = 0;
            for (int64_t t = (e - 1) * c->rate; c->overlaps && e > 0 && t < e * c->rate; t++)
                add_slot(c, t, i, &sum, &total);
            for (int64_t t = e * c->rate; t < (e + 1) * c->rate; t++)
                add_slot(c, t, c->overlaps ? WIDTH + i : i, &sum, &total);
            expect_near(out[e * WIDTH + i], sum / total, 1e-6, "entry", e * WIDTH + i);
        }
}

static void windows_close_as_their_definition_says(void **state)
{
    (void)state;
    static const int64_t rates[] = {1, 2, 3, 4, 7, 16, 61}, chunks[] = {1, 2, 3, 4, 5, 17, 60};
    for (int overlaps = 0; overlaps < 2; overlaps++)
        for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
            struct bench *b = open_bench(2);
            struct compressor c = make_compressor(b, rates[r], overlaps);
            float whole[TOKENS * WIDTH], out[TOKENS * WIDTH];
            compress_in_chunks(b, &c, TOKENS, whole);
            expect_entries(&c, whole);
            for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
                compress_in_chunks(b, &c, chunks[i], out);
                expect_equal_bits(out, whole, TOKENS / rates[r] * WIDTH, "chunks of another size");
            }
            close_bench(b);
        }
}

/* ---- Rotation ---------------------------------------------------------------------------------------------------- */

static const alloy_rope ROPE = {.type = ALLOY_ROPE_DEFAULT, .theta = 100, .partial_rotary_factor = 1};

/* 6 of 10 channels, the last ones, at position 37 and behind. */
static void pairs_of_trailing_channels_turn(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    set_span(b, 5, 37);
    alloy_tensor *x = random_tensor(b, 1, 3, (int64_t[]){5, 3, 10});
    alloy_tensor *y = alloy_rotary_pairs(&b->pass, x, &ROPE, 6, false),
                 *back = alloy_rotary_pairs(&b->pass, y, &ROPE, 6, true);
    assert_non_null(back);
    for (int64_t t = 0; t < 5; t++)
        for (int64_t i = t * 30; i < t * 30 + 30; i++) {
            int64_t channel = i % 10 - 4, pair = channel / 2;
            double angle = (double)(37 + t) * pow(100, -(double)(2 * pair) / 6), other,
                   expected = (double)alloy_f32(x)[i];
            if (channel >= 0) {
                other = (double)alloy_f32(x)[channel % 2 ? i - 1 : i + 1];
                expected = expected * cos(angle) + (channel % 2 ? other : -other) * sin(angle);
            }
            expect_near(alloy_f32(y)[i], expected, 1e-6, "turned", i);
            expect_near(alloy_f32(back)[i], (double)alloy_f32(x)[i], 1e-6, "turned back", i);
        }
    close_bench(b);
}

/* Entry e of a rate of 4 is turned as a token at 4 e. Two sequences close 2 and 1. */
static void entries_turn_by_their_first_position(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    alloy_tensor *x = random_tensor(b, 1, 2, (int64_t[]){3, 8});
    set_spans(b, 2, (int64_t[]){8, 3}, (int64_t[]){6, 13});
    alloy_tensor *y = alloy_rotary_entries(&b->pass, x, &ROPE, 8, 4);
    assert_non_null(y);
    static const int64_t positions[] = {4, 8, 12};
    for (int64_t e = 0; e < 3; e++) {
        set_span(b, 1, positions[e]);
        alloy_tensor *token =
            alloy_rotary_pairs(&b->pass, alloy_heads(&b->pass, rows_of(b, x, e, 1), 1), &ROPE, 8, false);
        expect_equal_bits(alloy_f32(y) + e * 8, alloy_f32(token), 8, "an entry");
    }
    close_bench(b);
}

/* ---- Choice ------------------------------------------------------------------------------------------------------ */

enum { HEADS = 3, RATE = 2 };

/* Room for the keys of TOKENS tokens. */
static void keep_entries(struct kept *kept, struct bench *b)
{
    begin_kept(kept, ALLOY_F32);
    alloy_state_keep_entries(&kept->spec, "entries", WIDTH, RATE);
    set_span(b, TOKENS, 0);
    reserve_kept(kept, b, TOKENS);
}

static double score_of(const alloy_tensor *q, const alloy_tensor *weights, const alloy_tensor *keys, int64_t t,
                       int64_t e)
{
    double score = 0;
    int64_t heads = q->shape[1];
    for (int64_t h = 0; h < heads; h++) {
        double dot = 0;
        for (int64_t i = 0; i < WIDTH; i++)
            dot += (double)alloy_f32(q)[(t * heads + h) * WIDTH + i] * (double)alloy_f32(keys)[e * WIDTH + i];
        score += (double)alloy_f32(weights)[t * heads + h] / sqrt((double)heads) * fmax(dot, 0) / sqrt((double)WIDTH);
    }
    return score;
}

static bool is_chosen(const alloy_chosen *chosen, int64_t t, int64_t e)
{
    for (int64_t i = 0; i < alloy_i32(chosen->count)[t]; i++)
        if (alloy_i32(chosen->entry)[t * chosen->entry->shape[1] + i] == e)
            return true;
    return false;
}

/* Every chosen entry is visible, in rising order, and none that is left out is better. */
static void expect_best(const alloy_chosen *chosen, const alloy_tensor *q, const alloy_tensor *weights,
                        const alloy_tensor *keys, int64_t t, int64_t most)
{
    int64_t seen = (t + 1) / RATE;
    double worst = INFINITY, best = -INFINITY;
    assert_int_equal(alloy_i32(chosen->count)[t], seen < most ? seen : most);
    for (int64_t i = 1; i < alloy_i32(chosen->count)[t]; i++)
        assert_true(alloy_i32(chosen->entry)[t * chosen->entry->shape[1] + i] >
                    alloy_i32(chosen->entry)[t * chosen->entry->shape[1] + i - 1]);
    for (int64_t e = 0; e < TOKENS / RATE; e++) {
        double score = score_of(q, weights, keys, t, e);
        if (is_chosen(chosen, t, e)) {
            assert_true(e < seen);
            worst = fmin(worst, score);
        } else if (e < seen) {
            best = fmax(best, score);
        }
    }
    assert_true(best <= worst + 1e-5);
}

/* From token `first` on. */
static void expect_best_of(int64_t heads, int64_t most, int64_t first)
{
    struct bench *b = open_bench(2);
    struct kept kept;
    keep_entries(&kept, b);
    alloy_tensor *q = random_tensor(b, 1, 3, (int64_t[]){TOKENS, heads, WIDTH}),
                 *weights = random_tensor(b, 2, 2, (int64_t[]){TOKENS, heads}),
                 *keys = random_tensor(b, 3, 2, (int64_t[]){TOKENS / RATE, WIDTH});
    alloy_state_part rows = alloy_append_entries(&b->pass, &kept.state, 0, keys, true);
    alloy_chosen chosen = alloy_choose_entries(&b->pass, q, weights, rows, most);
    assert_non_null(chosen.entry);
    for (int64_t t = first; t < TOKENS; t++)
        expect_best(&chosen, q, weights, keys, t, most);
    end_kept(&kept);
    close_bench(b);
}

static void the_best_entries_are_chosen(void **state)
{
    (void)state;
    for (int64_t most = 1; most < 40; most += 6)
        expect_best_of(HEADS, most, 0);
}

/* So many that a task's scratch takes only some entries at a time. */
static void an_indexer_may_have_any_number_of_heads(void **state)
{
    (void)state;
    expect_best_of(700, 5, TOKENS - 2);
    expect_best_of(9000, 5, TOKENS - 2);
}

/* All scores are zeros, of either sign: the first entries are chosen. A NaN is an error. */
static void ties_go_to_the_earlier_entry(void **state)
{
    (void)state;
    struct bench *b = open_bench(1);
    struct kept kept;
    keep_entries(&kept, b);
    alloy_tensor *q = random_tensor(b, 1, 3, (int64_t[]){TOKENS, HEADS, WIDTH}),
                 *weights = random_tensor(b, 2, 2, (int64_t[]){TOKENS, HEADS}),
                 *keys = alloy_tensor_new(&b->pass, 2, (int64_t[]){TOKENS / RATE, WIDTH});
    for (int64_t i = 0; i < alloy_tensor_size(keys); i++)
        alloy_f32(keys)[i] = i % 3 ? 0.0f : -0.0f;
    alloy_state_part rows = alloy_append_entries(&b->pass, &kept.state, 0, keys, true);
    alloy_chosen chosen = alloy_choose_entries(&b->pass, q, weights, rows, 4);
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(alloy_i32(chosen.entry)[(TOKENS - 1) * 4 + i], i);
    alloy_f32(weights)[7] = NAN;
    expect_pass_failure(b, alloy_choose_entries(&b->pass, q, weights, rows, 4).entry, ALLOY_RANGE, "indexer",
                        "not finite");
    end_kept(&kept);
    close_bench(b);
}

/* ---- Attention --------------------------------------------------------------------------------------------------- */

struct shape {
    int64_t heads, d, window, most; /* most: entries a token chooses; 0: all are seen; -1: there are none */
    alloy_dtype dtype;
};

struct sequence {
    struct shape s;
    alloy_tensor *q, *kv, *entries, *index_q, *index_weights, *index_keys;
    alloy_weight sinks;
};

static struct sequence make_sequence(struct bench *b, struct shape s)
{
    struct sequence q = {s,
                         random_tensor(b, 1, 3, (int64_t[]){TOKENS, s.heads, s.d}),
                         random_tensor(b, 2, 3, (int64_t[]){TOKENS, 1, s.d}),
                         random_tensor(b, 3, 2, (int64_t[]){TOKENS / RATE, s.d}),
                         random_tensor(b, 4, 3, (int64_t[]){TOKENS, HEADS, WIDTH}),
                         random_tensor(b, 5, 2, (int64_t[]){TOKENS, HEADS}),
                         random_tensor(b, 6, 2, (int64_t[]){TOKENS / RATE, WIDTH}),
                         random_weight(b, 7, ALLOY_F32, 2, 1, (int64_t[]){s.heads})};
    for (int64_t i = 0; i < alloy_tensor_size(q.q); i++)
        alloy_f32(q.q)[i] *= 4; /* so that a softmax is far from even */
    return q;
}

static float scale_of(const struct shape *s)
{
    return (float)(1 / sqrt((double)s->d));
}

enum { WINDOW, ENTRIES, KEYS };

/* One forward; the choice of its tokens is copied to `choice` [TOKENS, most + 1], each list behind its length. */
static alloy_tensor *attend(struct bench *b, struct kept *kept, const struct sequence *q, int64_t at, int64_t count,
                            int32_t *choice)
{
    alloy_pass *p = &b->pass;
    int64_t before = at / RATE, closed = (at + count) / RATE - before;
    alloy_state_part rows = alloy_append(p, &kept->state, WINDOW, rows_of(b, q->kv, at, count)), entries = {0};
    alloy_chosen chosen = {0};
    if (q->s.most >= 0)
        entries = alloy_append_entries(p, &kept->state, ENTRIES, rows_of(b, q->entries, before, closed), false);
    if (q->s.most > 0) {
        alloy_state_part keys =
            alloy_append_entries(p, &kept->state, KEYS, rows_of(b, q->index_keys, before, closed), true);
        chosen = alloy_choose_entries(p, rows_of(b, q->index_q, at, count), rows_of(b, q->index_weights, at, count),
                                      keys, q->s.most);
        for (int64_t t = 0; t < count; t++) {
            int32_t *list = choice + (at + t) * (q->s.most + 1);
            list[0] = alloy_i32(chosen.count)[t];
            memcpy(list + 1, alloy_i32(chosen.entry) + t * chosen.entry->shape[1], (size_t)list[0] * sizeof *list);
        }
    }
    return alloy_shared_kv_attention(p, rows_of(b, q->q, at, count), rows, entries.state ? &entries : NULL,
                                     chosen.entry ? &chosen : NULL, &q->sinks, scale_of(&q->s), q->s.window);
}

static void attend_in_chunks(struct bench *b, const struct sequence *q, int64_t chunk, float *out, int32_t *choice)
{
    struct kept kept;
    begin_kept(&kept, q->s.dtype);
    alloy_state_keep_rows(&kept.spec, "window", q->s.d, q->s.window);
    alloy_state_keep_entries(&kept.spec, "entries", q->s.d, RATE);
    alloy_state_keep_entries(&kept.spec, "keys", WIDTH, RATE);
    for (int64_t at = 0; at < TOKENS; at += chunk) {
        int64_t count = TOKENS - at < chunk ? TOKENS - at : chunk;
        set_span(b, count, at);
        reserve_kept(&kept, b, chunk);
        alloy_tensor *y = attend(b, &kept, q, at, count, choice);
        expect_ok(b->pass.status);
        memcpy(out + at * q->s.heads * q->s.d, alloy_f32(y), (size_t)alloy_tensor_size(y) * sizeof *out);
    }
    end_kept(&kept);
}

/* Adds one row with its weight to y and the sum. */
static void see_row(const struct bench *b, const struct sequence *q, const float *query, const float *row, double *y,
                    double *sum)
{
    double score = 0;
    for (int64_t i = 0; i < q->s.d; i++)
        score += (double)query[i] * kept_as(b, q->s.dtype, row[i]);
    double weight = exp(score / sqrt((double)q->s.d));
    *sum += weight;
    for (int64_t i = 0; i < q->s.d; i++)
        y[i] += weight * kept_as(b, q->s.dtype, row[i]);
}

/* y of one token and head, by the definition. */
static void attend_slowly(const struct bench *b, const struct sequence *q, const int32_t *choice, int64_t t,
                          int64_t head, double *y)
{
    const struct shape *s = &q->s;
    const float *query = alloy_f32(q->q) + (t * s->heads + head) * s->d;
    double sum = exp(weight_at(&q->sinks, head));
    memset(y, 0, (size_t)s->d * sizeof *y);
    for (int64_t j = t - s->window + 1 < 0 ? 0 : t - s->window + 1; j <= t; j++)
        see_row(b, q, query, alloy_f32(q->kv) + j * s->d, y, &sum);
    const int32_t *list = choice + t * (s->most + 1);
    for (int64_t i = 0; s->most > 0 && i < list[0]; i++)
        see_row(b, q, query, alloy_f32(q->entries) + list[1 + i] * s->d, y, &sum);
    for (int64_t e = 0; s->most == 0 && e < (t + 1) / RATE; e++)
        see_row(b, q, query, alloy_f32(q->entries) + e * s->d, y, &sum);
    for (int64_t i = 0; i < s->d; i++)
        y[i] /= sum;
}

static const struct shape SHAPES[] = {
    {3, 12, 5, -1, ALLOY_F32},   /* a window alone */
    {3, 12, 5, 0, ALLOY_F32},    /* all entries */
    {3, 12, 5, 4, ALLOY_F32},    /* chosen ones */
    {3, 12, 100, 40, ALLOY_F32}, /* a window and a choice that are never full */
    {3, 12, 1, 1, ALLOY_BF16},   /* the token itself and one entry */
    {70, 8, 9, 6, ALLOY_F16},    /* more heads than a tile has rows */
    {70, 8, 9, 0, ALLOY_F32},    /**/
    {6, 300, 7, 5, ALLOY_F32},   /* wide ones */
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

static void attention_is_what_its_definition_says(void **state)
{
    (void)state;
    static const int64_t chunks[] = {1, 3, 4, 5, 33};
    for (int i = 0; i < SHAPE_COUNT; i++) {
        struct bench *b = open_bench(2);
        struct sequence q = make_sequence(b, SHAPES[i]);
        int64_t row = q.s.heads * q.s.d;
        float *whole = malloc((size_t)(TOKENS * row) * sizeof *whole),
              *out = malloc((size_t)(TOKENS * row) * sizeof *out);
        int32_t *choice = calloc((size_t)(TOKENS * (q.s.most + 2)), sizeof *choice);
        attend_in_chunks(b, &q, TOKENS, whole, choice);
        double y[300];
        for (int64_t at = 0; at < TOKENS * q.s.heads; at++) {
            attend_slowly(b, &q, choice, at / q.s.heads, at % q.s.heads, y);
            for (int64_t c = 0; c < q.s.d; c++)
                expect_near(whole[at * q.s.d + c], y[c], 4e-6, "attention", at * q.s.d + c);
        }
        for (size_t j = 0; j < sizeof chunks / sizeof *chunks; j++) {
            attend_in_chunks(b, &q, chunks[j], out, choice);
            expect_equal_bits(out, whole, TOKENS * row, "chunks of another size");
        }
        free(whole), free(out), free(choice);
        close_bench(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_close_as_their_definition_says),  cmocka_unit_test(pairs_of_trailing_channels_turn),
        cmocka_unit_test(entries_turn_by_their_first_position),    cmocka_unit_test(the_best_entries_are_chosen),
        cmocka_unit_test(an_indexer_may_have_any_number_of_heads), cmocka_unit_test(ties_go_to_the_earlier_entry),
        cmocka_unit_test(attention_is_what_its_definition_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
