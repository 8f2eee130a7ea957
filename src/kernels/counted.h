/* Counting what a run does, in builds made with -DALLOY_COUNT_WORK=ON: a proof of the roofline (tests/counting), never
 * a build to use. The innermost loops of the generic kernels, which define all others, say each operation as they do
 * it, and each row of memory as they touch it; in other builds these macros are nothing.
 *
 * Operations are those of the roofline: a multiply-add of the tensor unit is 2, anything of the vector unit 1. What a
 * kernel does only because it divides its work (an accumulator that is rescaled for a block of keys) is not said.
 *
 * Memory. Parameters count once an op, each byte when it is first read. Of caches, which the test declares by
 * alloy_counted_cache, a byte that a forward reads counts when it first does, if an earlier forward wrote it and this
 * one has not: zeros of a new state are known, and rows that are read back are still at hand. A byte that is written
 * counts once a forward. What lies elsewhere (activations) is not said or not counted.
 *
 * One thread only: nothing here is atomic. */
#ifndef ALLOY_KERNELS_COUNTED_H
#define ALLOY_KERNELS_COUNTED_H

#ifdef ALLOY_COUNT_WORK

#include <stddef.h>
#include <stdint.h>

/* ALLOY_UNIT_NONE: dots whose work is said in another way. */
typedef enum alloy_counted_unit {
    ALLOY_UNIT_TENSOR,
    ALLOY_UNIT_VECTOR,
    ALLOY_UNIT_NONE,
    ALLOY_UNITS
} alloy_counted_unit;

typedef struct alloy_counted {
    int64_t flops[ALLOY_UNITS];
    int64_t parameters_read;           /* bytes */
    int64_t cache_read, cache_written; /* bytes */
} alloy_counted;

extern alloy_counted alloy_counted_op;    /* of the op that runs */
extern alloy_counted_unit alloy_dot_unit; /* whose multiply-adds a dot makes */

/* Receives each op when it has run. */
typedef void alloy_counted_function(void *user, const char *op, const alloy_counted *counted);
extern alloy_counted_function *alloy_counted_listener;
extern void *alloy_counted_user;

void alloy_counted_begin(void);
void alloy_counted_end(const char *op);

/* Declares a cache's memory. */
void alloy_counted_cache(const void *memory, size_t size);

/* Ends a forward: what it wrote is there for the next. */
void alloy_counted_forward_ends(void);

/* Forgets everything. */
void alloy_counted_forget(void);

void alloy_counted_read_parameter(const void *memory, size_t size);
void alloy_counted_read_cache(const void *memory, size_t size);
void alloy_counted_write_cache(const void *memory, size_t size);

#define ALLOY_COUNT_OP_BEGINS() alloy_counted_begin()
#define ALLOY_COUNT_OP_ENDS(op) alloy_counted_end(op)
#define ALLOY_COUNT_DOT() ((void)(alloy_counted_op.flops[alloy_dot_unit] += 2))
#define ALLOY_COUNT_DOTS_OF(unit) ((void)(alloy_dot_unit = (unit)))
#define ALLOY_COUNT_TENSOR(flops_done) ((void)(alloy_counted_op.flops[ALLOY_UNIT_TENSOR] += (flops_done)))
#define ALLOY_COUNT_VECTOR(flops_done) ((void)(alloy_counted_op.flops[ALLOY_UNIT_VECTOR] += (flops_done)))
#define ALLOY_COUNT_PARAMETER(memory, size) alloy_counted_read_parameter((memory), (size_t)(size))
#define ALLOY_COUNT_CACHE(memory, size) alloy_counted_read_cache((memory), (size_t)(size))
#define ALLOY_COUNT_WRITTEN(memory, size) alloy_counted_write_cache((memory), (size_t)(size))

#else

#define ALLOY_COUNT_OP_BEGINS() ((void)0)
#define ALLOY_COUNT_OP_ENDS(op) ((void)0)
#define ALLOY_COUNT_DOT() ((void)0)
#define ALLOY_COUNT_DOTS_OF(unit) ((void)0)
#define ALLOY_COUNT_TENSOR(flops_done) ((void)0)
#define ALLOY_COUNT_VECTOR(flops_done) ((void)0)
#define ALLOY_COUNT_PARAMETER(memory, size) ((void)0)
#define ALLOY_COUNT_CACHE(memory, size) ((void)0)
#define ALLOY_COUNT_WRITTEN(memory, size) ((void)0)

#endif

#endif
