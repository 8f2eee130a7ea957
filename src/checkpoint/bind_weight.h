/* One weight: from the name that a module gives it to a place in the files. bind_weight.c has weights in dtypes of
 * their own, bind_scales.c those with scales beside them. What binding a whole model (bind.c) shares while it lasts is
 * here too. */
#ifndef ALLOY_CHECKPOINT_BIND_WEIGHT_H
#define ALLOY_CHECKPOINT_BIND_WEIGHT_H

#include "base/name_table.h"
#include "base/text.h"
#include "checkpoint/model.h"
#include "checkpoint/names.h"

enum { ALLOY_MOST_PROBLEMS_LISTED = 6 };

/* Problems of one kind. */
typedef struct alloy_bind_problems {
    alloy_text list; /* the first few, ", " between */
    int64_t count;
} alloy_bind_problems;

typedef struct alloy_binding {
    alloy_model *model;
    alloy_naming naming;   /* of the files */
    alloy_name_table used; /* names of tensors that are bound */
    alloy_bind_problems missing, misshapen, unused;
    /* what ended the binding at once: NOMEM, a file that cannot be opened, a dtype that is unsupported */
    alloy_status status;
} alloy_binding;

void alloy_bind_problem(alloy_bind_problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Zeroed memory of the model's; NULL when it is short or the binding has failed. */
void *alloy_bind_take(alloy_binding *b, size_t count, size_t size);

/* Do the files hold the weight `own_name` (the library's name for it), in whatever format? */
bool alloy_bind_has(const alloy_binding *b, const char *own_name);

/* Sets *w. Of `spec` count the name, a full one here, shape, flags and limit; `experts`: the weight is so many
 * matrices in one tensor of three dimensions. Without files the weight gets a shape only. */
void alloy_bind_weight(alloy_binding *b, alloy_weight *w, const alloy_param_spec *spec);

/* ---- Tensors of the files, for both ------------------------------------------------------------------------------ */

/* The tensor of that name; NULL where there is none, or the binding has failed. */
const alloy_stored_tensor *alloy_bind_look_up(alloy_binding *b, const char *name);

/* Marks the tensor as used. False, which is noted, where it is of another shape. */
bool alloy_bind_use(alloy_binding *b, const alloy_stored_tensor *t, int ndim, const int64_t *shape);

/* Of a weight whose name and shape are set: finds what holds it in fewer bits, if anything does, and sets the rest.
 * `t`: the tensor of the weight's name, or NULL. False: it is not held so. */
bool alloy_bind_packed(alloy_binding *b, alloy_weight *w, const alloy_stored_tensor *t);

/* Does the tensor X_blocks stand in place of X, the name of a weight in the files? */
bool alloy_bind_has_blocks(const alloy_binding *b, const char *name);

#endif
