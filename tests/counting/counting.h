/* A backend that counts: every op as plain loops in double precision, which say each operation as they do it and each
 * row of memory as they touch it. What has run so is compared with what ops count (test_run.c).
 *
 * Operations are those of the roofline: a multiply-add of the tensor unit is 2, anything of the vector unit 1. What a
 * token, a head or a row needs once (a square root, the division of a mean) is not said.
 *
 * Memory. Parameters count once an op, each byte when it is first read. Of caches, which the test declares by
 * counting_cache, an element that a forward reads counts when it first does, if an earlier forward wrote it and this
 * one has not: zeros of a new state are known, and rows that are read back are still at hand. What is written counts
 * once a forward. One thread only: nothing here is atomic. */
#ifndef ALLOY_TESTS_COUNTING_H
#define ALLOY_TESTS_COUNTING_H

#include "ops/ops.h"

extern const alloy_backend counting_backend;

struct counting {
    int64_t tensor, vector;
    int64_t parameters_read;           /* bytes */
    int64_t cache_read, cache_written; /* elements */
};

extern struct counting counting_op; /* of the op that runs, or has run last */

/* Receives each op that counts anything, when it has run. */
extern void (*counting_listener)(const char *op, const struct counting *done);

/* A new op begins. */
void counting_begin(void);

/* Declares a cache's memory. */
void counting_cache(const void *memory, size_t size);

/* Ends a forward: what it wrote is there for the next. */
void counting_forward_ends(void);

/* Forgets everything. */
void counting_forget(void);

void counting_read_parameter(const void *memory, size_t size);
const double *counting_read_cache(const double *memory, int64_t elements);
double *counting_write_cache(double *memory, int64_t elements);

#endif
