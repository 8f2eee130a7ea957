/* Searching the weights for NaN and infinity (finite.h). */
#include "checkpoint/finite.h"

#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "backends/cpu/cpu.h"

enum { ELEMENTS_A_PIECE = 4096 };

/* A weight, and its first element that is not finite. */
struct place {
    const alloy_weight *weight; /* NULL: every element of every weight is finite */
    int64_t element;
    float value;
};

/* The first element of the weight that is not finite; its number of elements where all are. */
static int64_t search_weight(const alloy_kernels *kernels, alloy_residency *residency, const alloy_weight *w,
                             float *value)
{
    float wide[ELEMENTS_A_PIECE];
    int64_t count = w->shape[0] * w->shape[1] * w->shape[2] * w->shape[3];
    for (int64_t first = 0; first < count; first += ELEMENTS_A_PIECE) {
        int64_t n = count - first < ELEMENTS_A_PIECE ? count - first : ELEMENTS_A_PIECE;
        alloy_weight_hold(residency, w, first, n, ALLOY_READ_BY_CHOICE);
        alloy_weight_widen(kernels, w, first, n, wide);
        alloy_weight_let_go(residency, w, first, n, ALLOY_READ_BY_CHOICE);
        if (kernels->all_finite(wide, n))
            continue;
        int64_t i = 0;
        while (isfinite(wide[i]))
            i++;
        *value = wide[i];
        return first + i;
    }
    return count;
}

static struct place search(const alloy_model *model)
{
    const alloy_kernels *kernels = alloy_kernels_get(NULL);
    for (int64_t i = 0; i < model->bound_count; i++) {
        const alloy_weight *w = model->bound[i];
        float value = 0;
        int64_t element = search_weight(kernels, model->residency, w, &value);
        if (value != 0)
            return (struct place){w, element, value};
    }
    return (struct place){0};
}

/* "[3, 17]" of element 3 * 64 + 17 of a weight [256, 64]. */
static void describe_element(char *out, size_t size, const alloy_weight *w, int64_t element)
{
    int64_t index[ALLOY_MOST_DIMS] = {0};
    for (int d = w->ndim - 1; d >= 0; d--) {
        index[d] = element % w->shape[d];
        element /= w->shape[d];
    }
    size_t used = (size_t)snprintf(out, size, "[");
    for (int d = 0; d < w->ndim; d++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", d ? ", " : "", (long long)index[d]);
    snprintf(out + used, size - used, "]");
}

/* "NaN at [3, 17] of lm_head.weight" */
static void describe(char *out, size_t size, const struct place *place)
{
    char element[96];
    describe_element(element, sizeof element, place->weight, place->element);
    snprintf(out, size, "%s at %s of %s",
             isnan(place->value) ? "NaN"
             : place->value > 0  ? "infinity"
                                 : "-infinity",
             element, place->weight->name);
}

alloy_status alloy_model_blame_weights(const alloy_model *model)
{
    char where[512];
    struct place place = search(model);
    if (!place.weight)
        return alloy_fail(ALLOY_RANGE, "%s: %s, though every weight is: numbers on the way to it overflow fp32",
                          alloy_printable_path(model->files.path), alloy_error());
    describe(where, sizeof where, &place);
    return alloy_fail(ALLOY_RANGE,
                      "%s: %s: the weights hold %s; the file is damaged, or was saved by a run that failed",
                      alloy_printable_path(model->files.path), alloy_error(), where);
}

void alloy_model_warn_of_weights(const alloy_model *model)
{
    char where[512];
    struct place place = search(model);
    if (!place.weight)
        return;
    describe(where, sizeof where, &place);
    alloy_warn("%s: the weights hold %s: forwards that use it fail", alloy_printable_path(model->files.path), where);
}
