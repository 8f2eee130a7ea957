/* What the tests of the ops share: a pass that computes, tensors and weights of random numbers, states, and comparison
 * with numbers worked out in more precision. */
#ifndef ALLOY_TESTS_BACKENDS_PASSES_H
#define ALLOY_TESTS_BACKENDS_PASSES_H

#include "support.h"

#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "backends/cpu/cpu.h"
#include "ops/state.h"

enum { MOST_SPANS = 4, MOST_WEIGHTS = 64 };

/* A pass and what it needs. Set spans with set_spans before ops are called. */
struct bench {
    alloy_pass pass;
    alloy_runs runs;
    alloy_team team;
    alloy_span spans[MOST_SPANS];
    void *owned[MOST_WEIGHTS]; /* data of weights */
    int owned_count;
};

static inline struct bench *open_bench(int threads)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    expect_ok(alloy_team_open(&b->team, threads));
    b->pass = (alloy_pass){.reading = ALLOY_READ_RUN,
                           .backend = &alloy_cpu,
                           .runs = &b->runs,
                           .arena = alloy_arena_new(),
                           .tables = alloy_arena_new(),
                           .spans = b->spans,
                           .kernels = alloy_kernels_get("generic"),
                           .team = &b->team};
    assert_true(b->pass.arena && b->pass.tables && b->pass.kernels);
    return b;
}

static inline void close_bench(struct bench *b)
{
    for (int i = 0; i < b->owned_count; i++)
        free(b->owned[i]);
    alloy_arena_free(b->pass.arena);
    alloy_arena_free(b->pass.tables);
    alloy_team_close(&b->team);
    free(b);
}

/* The batch: `count` sequences of counts[i] new tokens behind pasts[i]. Tables of other positions are forgotten. */
static inline void set_spans(struct bench *b, int count, const int64_t *counts, const int64_t *pasts)
{
    b->pass.tokens = 0;
    b->pass.span_count = count;
    b->pass.rotary = NULL;
    for (int i = 0; i < count; i++) {
        b->spans[i] = (alloy_span){.first = b->pass.tokens, .count = counts[i], .past = pasts[i], .repeat = 1};
        b->pass.tokens += counts[i];
    }
}

static inline void set_span(struct bench *b, int64_t count, int64_t past)
{
    set_spans(b, 1, &count, &past);
}

/* The pass failed with this status and these words; it is whole again afterwards. */
#define expect_pass_failure(b, result, expected, ...)                                                                  \
    do {                                                                                                               \
        assert_null(result);                                                                                           \
        expect_failure((b)->pass.status, expected, __VA_ARGS__);                                                       \
        (b)->pass.status = ALLOY_OK;                                                                                   \
    } while (0)

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* -1 to 1, a function of seed and place. */
static inline float random_number(uint64_t seed, int64_t at)
{
    return (float)(2 * alloy_random_uniform(seed, 0, (uint64_t)at) - 1);
}

static inline alloy_tensor *random_tensor(struct bench *b, uint64_t seed, int ndim, const int64_t *shape)
{
    alloy_tensor *x = alloy_tensor_new(&b->pass, ndim, shape);
    assert_non_null(x);
    for (int64_t i = 0; i < alloy_tensor_size(x); i++)
        alloy_f32(x)[i] = random_number(seed, i);
    return x;
}

static inline alloy_tensor *indices(struct bench *b, const int64_t *values, int64_t count)
{
    alloy_tensor *tensor = alloy_tensor_over(&b->pass, (int64_t *)values, ALLOY_I64, 1, &count);
    assert_non_null(tensor);
    return tensor;
}

/* Rows first .. first + count - 1 of x, which they share. */
static inline alloy_tensor *rows_of(struct bench *b, const alloy_tensor *x, int64_t first, int64_t count)
{
    int64_t shape[ALLOY_MOST_DIMS] = {count, x->shape[1], x->shape[2], x->shape[3]};
    alloy_tensor *rows =
        alloy_tensor_over(&b->pass, alloy_f32(x) + first * alloy_row_size(x), ALLOY_F32, x->ndim, shape);
    assert_non_null(rows);
    return rows;
}

/* A weight of random numbers, each times `scale`, in its dtype. */
static inline alloy_weight random_weight(struct bench *b, uint64_t seed, alloy_dtype dtype, float scale, int ndim,
                                         const int64_t *shape)
{
    alloy_weight w = {.name = "w", .dtype = dtype, .ndim = ndim, .shape = {1, 1, 1, 1}};
    int64_t size = 1;
    for (int i = 0; i < ndim; i++)
        size *= w.shape[i] = shape[i];
    char *data = calloc((size_t)size, (size_t)alloy_dtype_bits(dtype) / 8);
    assert_true(data && b->owned_count < MOST_WEIGHTS);
    b->owned[b->owned_count++] = data;
    for (int64_t i = 0; i < size; i++) {
        float x = scale * random_number(seed, i);
        b->pass.kernels->narrow(data + i * alloy_dtype_bits(dtype) / 8, &x, dtype, 1);
    }
    w.data = data;
    return w;
}

static inline double weight_at(const alloy_weight *w, int64_t at)
{
    float x;
    alloy_weight_read(w, at, 1, &x);
    return (double)x;
}

/* The number nearest to x that a cache of this dtype holds. */
static inline double kept_as(const struct bench *b, alloy_dtype dtype, float x)
{
    char narrow[4];
    float wide;
    b->pass.kernels->narrow(narrow, &x, dtype, 1);
    b->pass.kernels->widen(&wide, narrow, dtype, 1);
    return (double)wide;
}

static inline double silu64(double x)
{
    return x / (1 + exp(-x));
}

static inline void expect_near(double actual, double expected, double bound, const char *what, int64_t at)
{
    if (!is_near((double)actual, expected, bound))
        fail_msg("%s: number %lld is %.9g, expected %.9g, error %.3g of at most %.3g", what, (long long)at,
                 (double)actual, expected, fabs((double)actual - expected), bound);
}

static inline void expect_equal_bits(const float *actual, const float *expected, int64_t count, const char *what)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&actual[i], &expected[i], sizeof *actual) != 0)
            fail_msg("%s: number %lld is %a, expected %a", what, (long long)i, (double)actual[i], (double)expected[i]);
}

/* ---- States ------------------------------------------------------------------------------------------------------ */

/* One layer's state of every sequence in a batch; declare parts in `spec` between the two calls. */
struct kept {
    alloy_state_spec spec;
    alloy_pages *pages;
    alloy_state_block block[MOST_SPANS];
    alloy_state_block *blocks[MOST_SPANS];
    alloy_state state;
};

static inline void begin_kept(struct kept *k, alloy_dtype rows_dtype)
{
    memset(k, 0, sizeof *k);
    expect_ok(alloy_pages_open(&k->pages, 0));
    for (int i = 0; i < MOST_SPANS; i++)
        k->blocks[i] = &k->block[i];
    k->state = (alloy_state){.spec = &k->spec, .blocks = k->blocks, .rows_dtype = rows_dtype};
}

/* Room for the batch that the pass has, of forwards of at most `chunk` tokens. */
static inline void reserve_kept(struct kept *k, const struct bench *b, int64_t chunk)
{
    for (int64_t i = 0; i < b->pass.span_count; i++)
        expect_ok(alloy_state_reserve(&k->block[i], &k->spec, k->state.rows_dtype, k->pages, b->spans[i].past,
                                      b->spans[i].past + b->spans[i].count, chunk));
}

static inline void end_kept(struct kept *k)
{
    for (int i = 0; i < MOST_SPANS; i++)
        alloy_state_free(&k->block[i], k->pages);
    alloy_pages_close(k->pages);
}

#endif
