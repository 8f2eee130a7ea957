/* What the tests of the count reading share: sums over its records, and models that are described by a config alone. */
#ifndef ALLOY_TESTS_COUNTS_H
#define ALLOY_TESTS_COUNTS_H

#include "described.h"
#include "engine/models.h"

#include "alloy/extend.h"
#include "engine/count.h"

enum { ELEMENT = 2 }; /* bytes: everything is bf16 but what stays fp32 */

enum { CACHE_KINDS = ALLOY_CACHE_CONV + 1 };

/* Sums over the records of one count. */
struct totals {
    alloy_site_kind only; /* of these sites, where `filtered` */
    bool filtered;
    const char *op; /* of this op only, where it is not NULL */
    int64_t ops;
    alloy_wide tensor, vector; /* FLOPs */
    double weights;            /* elements */
    double weight_bytes;
    alloy_wide state_read, state_written;               /* bytes: caches and states */
    alloy_wide between_read, between_written;           /* bytes: tensors between modules */
    alloy_wide ids;                                     /* bytes */
    alloy_wide read[CACHE_KINDS], written[CACHE_KINDS]; /* elements of caches, by alloy_cache_kind */
};

static inline void add_caches(struct totals *sum, const alloy_cost *cost)
{
    for (int i = 0; i < cost->caches; i++) {
        int bytes = cost->cache[i].kind == ALLOY_CACHE_STATE ? 4 : ELEMENT;
        sum->read[cost->cache[i].kind] += cost->cache[i].read;
        sum->written[cost->cache[i].kind] += cost->cache[i].written;
        sum->state_read += cost->cache[i].read * bytes;
        sum->state_written += cost->cache[i].written * bytes;
    }
}

static inline void add_weights(struct totals *sum, const alloy_cost *cost)
{
    for (int i = 0; i < cost->weights; i++) {
        const alloy_weight *w = cost->weight[i].weight;
        double elements = (double)cost->weight[i].elements * cost->weight[i].copies;
        sum->weights += elements;
        sum->weight_bytes += elements * (w->dtype == ALLOY_I64 ? 8 : w->keeps_f32 ? 4 : ELEMENT);
    }
}

static inline void add_record(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    struct totals *sum = user;
    if ((sum->filtered && site->kind != sum->only) || (sum->op && (!call || strcmp(sum->op, call->op->name) != 0)))
        return;
    if (!call) {
        sum->between_read += cost->tensors_read * ELEMENT;
        sum->between_written += cost->tensors_written * ELEMENT;
        return;
    }
    sum->ops++;
    sum->ids += cost->ids * 8;
    sum->tensor += cost->tensor_flops;
    sum->vector += cost->vector_flops;
    add_weights(sum, cost);
    add_caches(sum, cost);
}

/* Comparisons that print both sides. */
static inline void expect_number(alloy_wide actual, int64_t expected, const char *what)
{
    if (actual != expected)
        fail_msg("%s: %lld, expected %lld", what, (long long)actual, (long long)expected);
}

static inline void expect_count(double actual, int64_t expected, const char *what)
{
    if (actual != (double)expected)
        fail_msg("%s: %.3f, expected %lld", what, actual, (long long)expected);
}

/* ---- Counts of described models ---------------------------------------------------------------------------------- */

/* `sum` says which sites. One sequence of `fresh` tokens behind `past`. */
static inline void count_into(struct totals *sum, const alloy_model *model, int64_t fresh, int64_t past,
                              bool all_logits)
{
    alloy_span span = {.count = fresh, .past = past, .repeat = 1};
    alloy_count_request request = {.spans = &span, .span_count = 1, .all_logits = all_logits};
    expect_ok(alloy_model_count(model, &request, add_record, sum));
}

/* The sites of one kind in a model of one layer. */
static inline struct totals count_site(const char *text, alloy_site_kind site, int64_t fresh, int64_t past)
{
    struct totals sum = {.only = site, .filtered = true};
    struct described d = describe_text(text);
    count_into(&sum, d.model, fresh, past, false);
    forget(&d);
    return sum;
}

#endif
