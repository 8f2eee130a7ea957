/* Attention against softmax attention as its definition has it, in fp64: windows, rings, groups, narrow caches; and the
 * same bits however a sequence is cut into forwards. */
#include "passes.h"

#include "kernels/kernels.h"

enum { KEYS, VALUES };

/* One sequence of `tokens` and how it is attended. */
struct shape {
    int64_t tokens, heads, kv_heads, d, dv, window;
    alloy_dtype dtype; /* of the cache */
};

struct sequence {
    struct shape s;
    alloy_tensor *q, *k, *v; /* [tokens, heads, d], [tokens, kv_heads, d], [tokens, kv_heads, dv] */
};

static struct sequence make_sequence(struct bench *b, struct shape s, uint64_t seed)
{
    struct sequence q = {s, random_tensor(b, seed, 3, (int64_t[]){s.tokens, s.heads, s.d}),
                         random_tensor(b, seed + 1, 3, (int64_t[]){s.tokens, s.kv_heads, s.d}),
                         random_tensor(b, seed + 2, 3, (int64_t[]){s.tokens, s.kv_heads, s.dv})};
    for (int64_t i = 0; i < alloy_tensor_size(q.q); i++)
        alloy_f32(q.q)[i] *= 4; /* so that a softmax is far from even */
    return q;
}

static float scale_of(const struct shape *s)
{
    return (float)(1 / sqrt((double)s->d));
}

static void keep_keys_and_values(struct kept *k, const struct shape *s)
{
    begin_kept(k, s->dtype);
    alloy_state_keep_rows(&k->spec, "keys", s->kv_heads * s->d, s->window);
    alloy_state_keep_rows(&k->spec, "values", s->kv_heads * s->dv, s->window);
}

/* The batch's tokens, of which sequence 0 is `q`: appended and attended. */
static alloy_tensor *attend(struct bench *b, struct kept *kept, const struct shape *s, alloy_tensor *q, alloy_tensor *k,
                            alloy_tensor *v)
{
    alloy_state_part keys = alloy_append(&b->pass, &kept->state, KEYS, k);
    alloy_state_part values = alloy_append(&b->pass, &kept->state, VALUES, v);
    return alloy_attention(&b->pass, q, keys, values, s->kv_heads, scale_of(s), s->window);
}

/* The whole sequence in forwards of `chunk` tokens, into out [tokens, heads, dv]. */
static void attend_in_chunks(struct bench *b, const struct sequence *q, int64_t chunk, float *out)
{
    struct kept kept;
    keep_keys_and_values(&kept, &q->s);
    for (int64_t at = 0; at < q->s.tokens; at += chunk) {
        int64_t count = q->s.tokens - at < chunk ? q->s.tokens - at : chunk;
        set_span(b, count, at);
        reserve_kept(&kept, b, chunk);
        alloy_tensor *y = attend(b, &kept, &q->s, rows_of(b, q->q, at, count), rows_of(b, q->k, at, count),
                                 rows_of(b, q->v, at, count));
        expect_ok(b->pass.status);
        memcpy(out + at * q->s.heads * q->s.dv, alloy_f32(y), (size_t)alloy_tensor_size(y) * sizeof *out);
    }
    end_kept(&kept);
}

/* y of one token and head, by the definition. */
static void attend_slowly(const struct bench *b, const struct sequence *q, int64_t t, int64_t head, double *y)
{
    const struct shape *s = &q->s;
    int64_t kv = head / (s->heads / s->kv_heads), first = s->window && t >= s->window ? t - s->window + 1 : 0;
    double *p = malloc((size_t)(t + 1) * sizeof *p), most = -INFINITY, sum = 0;
    for (int64_t j = first; j <= t; j++) {
        p[j] = 0;
        for (int64_t i = 0; i < s->d; i++)
            p[j] += (double)alloy_f32(q->q)[(t * s->heads + head) * s->d + i] *
                    kept_as(b, s->dtype, alloy_f32(q->k)[(j * s->kv_heads + kv) * s->d + i]);
        p[j] *= 1 / sqrt((double)s->d);
        most = fmax(most, p[j]);
    }
    memset(y, 0, (size_t)s->dv * sizeof *y);
    for (int64_t j = first; j <= t; j++) {
        double weight = exp(p[j] - most);
        sum += weight;
        for (int64_t i = 0; i < s->dv; i++)
            y[i] += weight * kept_as(b, s->dtype, alloy_f32(q->v)[(j * s->kv_heads + kv) * s->dv + i]);
    }
    for (int64_t i = 0; i < s->dv; i++)
        y[i] /= sum;
    free(p);
}

/* `out` begins with token `first`. */
static void expect_attention(const struct bench *b, const struct sequence *q, const float *out, int64_t first)
{
    const struct shape *s = &q->s;
    double y[256];
    for (int64_t t = first; t < s->tokens; t++)
        for (int64_t h = 0; h < s->heads; h++) {
            attend_slowly(b, q, t, h, y);
            for (int64_t i = 0; i < s->dv; i++)
                expect_near(out[((t - first) * s->heads + h) * s->dv + i], y[i], 4e-6, "attention",
                            (t * s->heads + h) * s->dv + i);
        }
}

static const struct shape SHAPES[] = {
    {150, 4, 2, 16, 16, 0, ALLOY_F32},   /* grouped heads */
    {150, 4, 4, 16, 16, 0, ALLOY_F32},   /* a key head each */
    {150, 6, 2, 20, 12, 0, ALLOY_F32},   /* a group of 3; widths that are no multiple of 8, values narrower */
    {70, 64, 1, 8, 8, 0, ALLOY_F32},     /* one key head for all */
    {150, 4, 2, 16, 16, 0, ALLOY_BF16},  /* rounded keys and values */
    {150, 4, 2, 16, 16, 0, ALLOY_F16},   /**/
    {200, 4, 2, 16, 16, 1, ALLOY_F32},   /* a token sees itself only */
    {200, 4, 2, 16, 16, 20, ALLOY_F32},  /* rings that turn several times */
    {300, 4, 2, 16, 16, 64, ALLOY_F32},  /**/
    {300, 4, 2, 16, 16, 65, ALLOY_BF16}, /**/
    {100, 4, 2, 16, 16, 500, ALLOY_F32}, /* a window that is never full */
    {70, 130, 2, 8, 8, 0, ALLOY_F32},    /* groups of 65: in two tiles */
    {20, 70, 1, 256, 256, 9, ALLOY_F32}, /* and wide ones, in more */
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

static void attention_is_what_its_definition_says(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        struct bench *b = open_bench(1);
        struct sequence q = make_sequence(b, SHAPES[i], 10 * (uint64_t)i);
        float *out = malloc((size_t)(q.s.tokens * q.s.heads * q.s.dv) * sizeof *out);
        attend_in_chunks(b, &q, 50, out);
        expect_attention(b, &q, out, 0);
        free(out);
        close_bench(b);
    }
}

static void bits_do_not_depend_on_how_a_sequence_is_cut(void **state)
{
    (void)state;
    static const int64_t chunks[] = {1, 7, 64, 129, 1000};
    for (int i = 0; i < SHAPE_COUNT; i++) {
        struct bench *b = open_bench(2);
        struct sequence q = make_sequence(b, SHAPES[i], 10 * (uint64_t)i);
        int64_t size = q.s.tokens * q.s.heads * q.s.dv;
        float *out = malloc((size_t)size * sizeof *out), *expected = malloc((size_t)size * sizeof *out);
        attend_in_chunks(b, &q, 50, expected);
        for (size_t j = 0; j < sizeof chunks / sizeof *chunks; j++) {
            attend_in_chunks(b, &q, chunks[j], out);
            expect_equal_bits(out, expected, size, "chunks of another size");
        }
        free(out);
        free(expected);
        close_bench(b);
    }
}

/* Two sequences of different lengths side by side are each as it is alone. */
static void neighbours_do_not_matter(void **state)
{
    (void)state;
    struct shape s = {90, 4, 2, 16, 16, 30, ALLOY_F32};
    struct bench *b = open_bench(2);
    struct sequence one = make_sequence(b, s, 5),
                    both = make_sequence(b, (struct shape){101, 4, 2, 16, 16, 30, ALLOY_F32}, 6);
    float *alone = malloc((size_t)(90 * 64) * sizeof *alone);
    attend_in_chunks(b, &one, 90, alone);
    memcpy(alloy_f32(both.q) + 11 * 64, alloy_f32(one.q), (size_t)(90 * 64) * sizeof(float));
    memcpy(alloy_f32(both.k) + 11 * 32, alloy_f32(one.k), (size_t)(90 * 32) * sizeof(float));
    memcpy(alloy_f32(both.v) + 11 * 32, alloy_f32(one.v), (size_t)(90 * 32) * sizeof(float));
    struct kept kept;
    keep_keys_and_values(&kept, &s);
    set_spans(b, 2, (int64_t[]){11, 90}, (int64_t[]){0, 0});
    reserve_kept(&kept, b, 101);
    alloy_tensor *y = attend(b, &kept, &s, both.q, both.k, both.v);
    expect_ok(b->pass.status);
    expect_equal_bits(alloy_f32(y) + 11 * 64, alone, 90 * 64, "beside another");
    end_kept(&kept);
    free(alone);
    close_bench(b);
}

/* Keys are taken in spans of 4096, which are merged. */
static void more_keys_than_a_span_has_are_merged(void **state)
{
    (void)state;
    struct shape s = {4200, 2, 1, 8, 8, 0, ALLOY_F32};
    struct bench *b = open_bench(1);
    struct sequence q = make_sequence(b, s, 8);
    struct kept kept;
    keep_keys_and_values(&kept, &s);
    set_span(b, 4190, 0);
    reserve_kept(&kept, b, 4190);
    assert_non_null(alloy_append(&b->pass, &kept.state, KEYS, rows_of(b, q.k, 0, 4190)).state);
    assert_non_null(alloy_append(&b->pass, &kept.state, VALUES, rows_of(b, q.v, 0, 4190)).state);
    set_span(b, 10, 4190);
    reserve_kept(&kept, b, 10);
    alloy_tensor *y =
        attend(b, &kept, &s, rows_of(b, q.q, 4190, 10), rows_of(b, q.k, 4190, 10), rows_of(b, q.v, 4190, 10));
    expect_ok(b->pass.status);
    expect_attention(b, &q, alloy_f32(y), 4190);
    end_kept(&kept);
    close_bench(b);
}

/* Scores of hundreds of thousands, and keys that are all the same: no overflow, and an even mean. */
static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    struct shape s = {80, 1, 1, 8, 8, 0, ALLOY_F32};
    struct bench *b = open_bench(1);
    struct sequence q = make_sequence(b, s, 9);
    for (int64_t i = 0; i < alloy_tensor_size(q.q); i++) {
        alloy_f32(q.q)[i] = i / 8 % 2 ? 1e3f : -1e3f;
        alloy_f32(q.k)[i] = 1e2f;
    }
    float out[80 * 8];
    attend_in_chunks(b, &q, 80, out);
    for (int64_t i = 0; i < 8; i++) {
        double sum = 0;
        for (int64_t t = 0; t < 80; t++) {
            sum += (double)alloy_f32(q.v)[t * 8 + i];
            expect_near(out[t * 8 + i], sum / (double)(t + 1), 4e-6, "mean", t * 8 + i);
        }
    }
    close_bench(b);
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct shape s = {4, 4, 2, 16, 16, 0, ALLOY_F32};
    struct bench *b = open_bench(1);
    struct kept kept;
    keep_keys_and_values(&kept, &s);
    set_span(b, 4, 0);
    reserve_kept(&kept, b, 4);
    alloy_tensor *q = random_tensor(b, 1, 3, (int64_t[]){4, 4, 16}), *k = random_tensor(b, 2, 3, (int64_t[]){4, 2, 16});
    alloy_state_part keys = alloy_append(&b->pass, &kept.state, KEYS, k),
                     values = alloy_append(&b->pass, &kept.state, VALUES, k);
    expect_pass_failure(b, alloy_append(&b->pass, &kept.state, KEYS, q).state, ALLOY_ARG, "append", "64");
    expect_pass_failure(b, alloy_append(&b->pass, &kept.state, 2, k).state, ALLOY_ARG, "append", "part 2");
    expect_pass_failure(b, alloy_attention(&b->pass, q, keys, values, 3, 1, 0), ALLOY_ARG, "attention");
    expect_pass_failure(b, alloy_attention(&b->pass, q, keys, values, 1, 1, 0), ALLOY_ARG, "attention", "16", "32");
    /* what failed before stays what is told, and nothing is done */
    b->pass.status = alloy_fail(ALLOY_RANGE, "first");
    assert_null(alloy_attention(&b->pass, q, keys, values, 2, 1, 0));
    expect_failure(b->pass.status, ALLOY_RANGE, "first");
    end_kept(&kept);
    close_bench(b);
}

/* A block of keys and one row must fit a task's scratch. */
static void heads_that_are_too_wide_are_refused(void **state)
{
    (void)state;
    struct shape s = {4, 1, 1, 1200, 1200, 0, ALLOY_F32};
    struct bench *b = open_bench(1);
    struct kept kept;
    keep_keys_and_values(&kept, &s);
    set_span(b, 4, 0);
    reserve_kept(&kept, b, 4);
    alloy_tensor *x = random_tensor(b, 1, 3, (int64_t[]){4, 1, 1200});
    alloy_state_part keys = alloy_append(&b->pass, &kept.state, KEYS, x),
                     values = alloy_append(&b->pass, &kept.state, VALUES, x);
    expect_pass_failure(b, alloy_attention(&b->pass, x, keys, values, 1, 1, 0), ALLOY_UNSUPPORTED, "heads of 1200");
    end_kept(&kept);
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_what_its_definition_says),
        cmocka_unit_test(bits_do_not_depend_on_how_a_sequence_is_cut),
        cmocka_unit_test(neighbours_do_not_matter),
        cmocka_unit_test(more_keys_than_a_span_has_are_merged),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(heads_that_are_too_wide_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
