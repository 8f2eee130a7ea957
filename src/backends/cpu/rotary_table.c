/* Rotary tables (rotary_table.h). */
#include "backends/cpu/rotary_table.h"

#include "kernels/math.h"

struct fill {
    const alloy_pass *pass;
    const double *frequencies;
    double scale;
    alloy_rotary_table *table;
};

/* Rows from `row` on: `count` of them, the first at position `at` and each `rate` after the one before. */
static void fill_rows(const struct fill *fill, int64_t row, int64_t count, int64_t at)
{
    const alloy_rotary_table *table = fill->table;
    for (int64_t r = 0; r < count; r++)
        for (int64_t i = 0; i < table->half; i++) {
            double sin, cos;
            alloy_sin_cos64((double)(at + r * table->rate) * fill->frequencies[i], &sin, &cos);
            table->sin[(row + r) * table->half + i] = (float)(sin * fill->scale);
            table->cos[(row + r) * table->half + i] = (float)(cos * fill->scale);
        }
}

/* With a rate of 1 these are the tokens' own rows: each token closes an entry. */
static void fill_table(const struct fill *fill)
{
    int64_t row = 0, rate = fill->table->rate;
    for (int64_t i = 0; i < fill->pass->span_count; i++) {
        const alloy_span *span = &fill->pass->spans[i];
        int64_t count = alloy_entries_closed(span, rate);
        fill_rows(fill, row, count, alloy_entries_before(span, rate) * rate);
        row += count;
    }
}

static bool same_rope(const alloy_rope *a, const alloy_rope *b)
{
    return a->type == b->type && a->theta == b->theta && a->factor == b->factor &&
           a->partial_rotary_factor == b->partial_rotary_factor &&
           a->original_max_position_embeddings == b->original_max_position_embeddings &&
           a->attention_factor == b->attention_factor && a->mscale == b->mscale &&
           a->mscale_all_dim == b->mscale_all_dim && a->beta_fast == b->beta_fast && a->beta_slow == b->beta_slow &&
           a->truncate == b->truncate && a->low_freq_factor == b->low_freq_factor &&
           a->high_freq_factor == b->high_freq_factor;
}

const alloy_rotary_table *alloy_rotary_table_of(alloy_pass *p, const alloy_rope *rope, int64_t width, int64_t rate)
{
    int64_t half = (width + 1) / 2, rows = 0;
    for (alloy_rotary_table *t = p->rotary; t; t = t->next)
        if (t->width == width && t->rate == rate && same_rope(&t->rope, rope))
            return t;
    for (int64_t i = 0; i < p->span_count; i++)
        rows += alloy_entries_closed(&p->spans[i], rate);
    alloy_rotary_table *table = alloy_arena_take(p->tables, 1, sizeof *table);
    double *frequencies = alloy_arena_take(p->tables, (size_t)half, sizeof *frequencies);
    size_t numbers = (size_t)(rows * half);
    float *cos = alloy_arena_take(p->tables, numbers, sizeof *cos),
          *sin = alloy_arena_take(p->tables, numbers, sizeof *sin);
    if (!table || !frequencies || !cos || !sin) {
        p->status = ALLOY_NOMEM;
        return NULL;
    }
    *table = (alloy_rotary_table){*rope, width, rate, half, cos, sin, p->rotary};
    struct fill fill = {p, frequencies, alloy_rotary_frequencies(rope, width, frequencies), table};
    fill_table(&fill);
    p->rotary = table;
    return table;
}
