/* A trial of the tables' kernels: the same inputs to plain C and to another set, outputs with margins around them, and
 * their comparison by bits. */
#ifndef ALLOY_TESTS_TRIAL_H
#define ALLOY_TESTS_TRIAL_H

#include "inputs.h"

#include "kernels/kernels.h"

enum { MARGIN = 24 }; /* floats around an output */

/* A comparison under way. */
typedef struct trial {
    const alloy_kernels *plain, *tried;
    const char *row; /* of the table */
    source source;
    kind kind;
    void *scratch;
    int64_t differences; /* found so far */
    bool silent;         /* differences are expected: do not print them */
} trial;

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

/* The two runs' whole output memory; `what` describes the sizes. */
static inline void compare(trial *t, const float *plain, const float *tried, int64_t count, const char *what)
{
    int64_t at = first_difference(plain, tried, count);
    if (at < 0)
        return;
    if (!t->silent && t->differences < 5)
        print_error("%s %s, %s numbers, %s: place %lld is %a (%08x), in plain C %a (%08x)\n", t->tried->name, t->row,
                    kind_names[t->kind], what, (long long)at, tried[at], bits_of(tried[at]), plain[at],
                    bits_of(plain[at]));
    t->differences++;
}

/* Two equal memories for an output of `count` floats with a margin on both sides; each holds `from`, or a pattern. */
typedef struct outputs {
    float *memory[2];
    int64_t count;
} outputs;

static inline outputs make_outputs(const float *from, int64_t count)
{
    outputs o = {.count = count + 2 * MARGIN};
    for (int i = 0; i < 2; i++) {
        o.memory[i] = malloc((size_t)o.count * sizeof(float));
        memset(o.memory[i], 0x88, (size_t)o.count * sizeof(float));
        if (from)
            memcpy(o.memory[i] + MARGIN, from, (size_t)count * sizeof(float));
    }
    return o;
}

static inline float *output(const outputs *o, int run)
{
    return o->memory[run] + MARGIN;
}

static inline const alloy_kernels *table(const trial *t, int run)
{
    return run ? t->tried : t->plain;
}

static inline void compare_outputs(trial *t, outputs *o, const char *what)
{
    compare(t, o->memory[0], o->memory[1], o->count, what);
    free(o->memory[0]);
    free(o->memory[1]);
}

#endif
