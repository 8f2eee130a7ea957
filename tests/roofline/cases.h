/* What the suites of hand-computed figures share: a table of cases, each of them one test.
 *
 *     {"8 tokens from nothing", ONE_LAYER(...), "qwen3_attention", CLASSIC(AT(8, 0)),
 *      .expected = {.tensor_flops = 2 * 8 * 3072 + ..., .read = {[WEIGHTS] = ...}, .written = {...}},
 *      .flops = 57344, .bytes = 7712}
 *
 * A case names a row (all modules of that name in the model; "total": everything) and all of its work: FLOPs of each
 * unit, bytes read and written of each kind, 0 where nothing is said. Right sides are written out by hand from the
 * formulas with the model's numbers in them. */
#ifndef ALLOY_TESTS_ROOFLINE_CASES_H
#define ALLOY_TESTS_ROOFLINE_CASES_H

#include "base/count.h"
#include "described.h"

enum {
    WEIGHTS = ALLOY_TRAFFIC_WEIGHTS,
    ACTIVATIONS = ALLOY_TRAFFIC_ACTIVATIONS,
    KV = ALLOY_TRAFFIC_KV,
    STATE = ALLOY_TRAFFIC_STATE,
    INDEXER = ALLOY_TRAFFIC_INDEXER,
    LOGITS = ALLOY_TRAFFIC_LOGITS,
    ROUTER = ALLOY_TRAFFIC_ROUTER
};

/* Options. AT: one sequence of so many new tokens after so many; BATCH: several equal ones; RAGGED: a list of {count,
 * tokens, cached}. */
#define CLASSIC(...)                                                                                                   \
    {                                                                                                                  \
        .size = sizeof(alloy_roofline_options), .accounting = ALLOY_CLASSIC, __VA_ARGS__                               \
    }
#define EXACT(...)                                                                                                     \
    {                                                                                                                  \
        .size = sizeof(alloy_roofline_options), .accounting = ALLOY_EXACT, __VA_ARGS__                                 \
    }
#define RAGGED(...)                                                                                                    \
    .sequences = (const alloy_roofline_sequences[]){__VA_ARGS__},                                                      \
    .sequences_count = sizeof((const alloy_roofline_sequences[]){__VA_ARGS__}) / sizeof(alloy_roofline_sequences)
#define BATCH(count, tokens, cached) RAGGED({count, tokens, cached})
#define AT(tokens, cached) BATCH(1, tokens, cached)

/* A model of one layer and 256 tokens; `more`: further fields, each with a comma before it. */
#define ONE_LAYER(hidden, mixer, ffn, more)                                                                            \
    "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": " #hidden ", \"layer_types\": [\"" mixer        \
    "\"], \"ffn_types\": [\"" ffn "\"]" more "}"

/* All of a work. */
struct figures {
    int64_t tensor_flops, vector_flops, read[ALLOY_TRAFFIC_COUNT], written[ALLOY_TRAFFIC_COUNT];
};

struct figures_case {
    const char *name, *config, *row;
    alloy_roofline_options options;
    struct figures expected;
    int64_t flops, bytes; /* the sums as published: tensor FLOPs, bytes read and written; 0: not published */
};

/* ---- Rows of an analysis ----------------------------------------------------------------------------------------- */

/* The sum of all modules of this name; "total": of everything. */
static inline alloy_work work_of_row(const alloy_roofline *r, const char *name)
{
    int64_t kinds = alloy_roofline_row_count(r, ALLOY_LEVEL_KINDS), found = 0;
    alloy_work sum = {0};
    if (strcmp(name, "total") == 0)
        return *alloy_roofline_total(r);
    for (int64_t i = 0; i < kinds; i++) {
        alloy_roofline_row row = alloy_roofline_row_at(r, ALLOY_LEVEL_KINDS, i);
        if (strcmp(row.name, name) == 0) {
            alloy_work_add(&sum, row.work, 1);
            found++;
        }
    }
    if (!found)
        fail_msg("no row %s", name);
    return sum;
}

static inline alloy_work work_of(const char *config, const char *row, const alloy_roofline_options *options)
{
    struct described d = describe_text(config);
    alloy_roofline *r;
    expect_ok(alloy_roofline_open(&r, d.model, options));
    alloy_work work = work_of_row(r, row);
    alloy_roofline_close(r);
    forget(&d);
    return work;
}

/* ---- Comparisons that print both sides --------------------------------------------------------------------------- */

static inline bool same_count(alloy_count actual, int64_t expected, const char *what, const char *kind)
{
    bool same = alloy_wide_of(actual) == expected;
    char digits[ALLOY_COUNT_TEXT];
    if (!same)
        print_error("%s%s: %s, expected %lld\n", what, kind, alloy_count_text(actual, 0, digits), (long long)expected);
    return same;
}

static inline void expect_count(alloy_count actual, int64_t expected, const char *what)
{
    if (!same_count(actual, expected, what, ""))
        fail();
}

static inline void expect_work(const alloy_work *actual, const struct figures *expected)
{
    bool same = same_count(actual->tensor_flops, expected->tensor_flops, "tensor FLOPs", "");
    same &= same_count(actual->vector_flops, expected->vector_flops, "vector FLOPs", "");
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++) {
        const char *kind = alloy_traffic_name((alloy_traffic)i);
        same &= same_count(actual->read[i], expected->read[i], "bytes read of ", kind);
        same &= same_count(actual->written[i], expected->written[i], "bytes written of ", kind);
    }
    if (!same)
        fail();
}

/* ---- Running a table --------------------------------------------------------------------------------------------- */

static inline void check_case(void **state)
{
    const struct figures_case *c = *state;
    alloy_work work = work_of(c->config, c->row, &c->options);
    expect_work(&work, &c->expected);
    if (c->flops)
        expect_count(work.tensor_flops, c->flops, "FLOPs as published");
    if (c->bytes)
        expect_count(alloy_count_add(alloy_work_read(&work), alloy_work_written(&work)), c->bytes,
                     "bytes as published");
}

enum { MOST_CASES = 64 };

/* Every case of the table, then the other tests. */
static inline int run_figures(const struct figures_case *cases, size_t case_count, const struct CMUnitTest *others,
                              size_t other_count)
{
    struct CMUnitTest tests[MOST_CASES] = {0};
    if (case_count + other_count > MOST_CASES)
        return 1;
    for (size_t i = 0; i < case_count; i++)
        tests[i] = (struct CMUnitTest){
            .name = cases[i].name, .test_func = check_case, .initial_state = (void *)(uintptr_t)&cases[i]};
    if (other_count)
        memcpy(tests + case_count, others, other_count * sizeof *tests);
    return _cmocka_run_group_tests("figures", tests, case_count + other_count, NULL, NULL);
}

#endif
