/* Where the two accountings differ, item by item: the items sum to the difference of the totals. */
#ifndef ALLOY_ROOFLINE_DIFFERENCES_H
#define ALLOY_ROOFLINE_DIFFERENCES_H

#include "base/count.h"

/* What of the modules of one name differs for one cause. */
typedef struct alloy_difference {
    const char *kind, *name; /* as in alloy_roofline_row */
    const char *cause;
    struct {
        alloy_wide flops, read, written; /* FLOPs of both units; bytes */
    } by[2];                             /* [alloy_accounting] */
} alloy_difference;

typedef struct alloy_differences {
    alloy_difference *items; /* [count] in the order of the classic forward, then what only exact has */
    int64_t count, capacity;
} alloy_differences; /* {0} is empty */

/* Compares two analyses of the same forward that kept their ops. */
alloy_status alloy_differences_open(alloy_differences *out, const alloy_roofline *classic, const alloy_roofline *exact);
void alloy_differences_close(alloy_differences *differences);

#endif
