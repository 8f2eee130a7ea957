/* How many pairs of a token and what it sees there are: for the count readings of attention. A token sees positions and
 * entries (closed windows of a compressor) up to its own; each function sums over the first n tokens, so that what new
 * tokens see is a difference of two. */
#ifndef ALLOY_OPS_PAIRS_H
#define ALLOY_OPS_PAIRS_H

#include "alloy/extend.h"

static inline alloy_wide alloy_count_least(alloy_wide a, alloy_wide b)
{
    return a < b ? a : b;
}

/* Positions, `window` at most: min(i, window) over 1 <= i <= n. window 0: all. */
static inline alloy_wide alloy_window_pairs(alloy_wide n, alloy_wide window)
{
    if (window == 0 || n <= window)
        return n * (n + 1) / 2;
    return window * (window + 1) / 2 + (n - window) * window;
}

/* Entries of a rate: floor(i / rate) over 1 <= i <= n. */
static inline alloy_wide alloy_entry_pairs(alloy_wide n, alloy_wide rate)
{
    alloy_wide entries = n / rate;
    return rate * entries * (entries - 1) / 2 + entries * (n - rate * entries + 1);
}

/* The same, `most` at most of each token. */
static inline alloy_wide alloy_chosen_pairs(alloy_wide n, alloy_wide rate, alloy_wide most)
{
    alloy_wide full = most * rate; /* the first token that sees `most` */
    return alloy_entry_pairs(alloy_count_least(n, full - 1), rate) + (n < full ? 0 : most * (n - full + 1));
}

#endif
