/* Declaring parameters (extend.h): the list that the rooms above bind, draw and count. */
#include "base/status.h"
#include "modules/modules.h"

void alloy_params_begin(alloy_params *params)
{
    *params = (alloy_params){.layout = ALLOY_EVERY_LAYOUT};
}

static alloy_param_spec *next(alloy_params *params, const char *name, size_t offset, int flags)
{
    if (params->status)
        return NULL;
    if (params->count == ALLOY_MOST_PARAMS) {
        params->status = alloy_fail(ALLOY_LIMIT, "parameter %s: a module declares at most %d", name, ALLOY_MOST_PARAMS);
        return NULL;
    }
    alloy_param_spec *spec = &params->param[params->count++];
    *spec = (alloy_param_spec){
        .name = name, .offset = offset, .shape = {1, 1, 1, 1}, .flags = flags, .layout = params->layout};
    return spec;
}

void alloy_param(alloy_params *params, const char *name, size_t offset, const int64_t *shape, int flags)
{
    alloy_param_spec *spec = next(params, name, offset, flags);
    if (!spec)
        return;
    for (spec->ndim = 0; shape[spec->ndim] != 0 && spec->ndim < ALLOY_MOST_DIMS; spec->ndim++)
        spec->shape[spec->ndim] = shape[spec->ndim];
}

void alloy_param_linear(alloy_params *params, const char *name, size_t offset, int64_t rows, int64_t columns)
{
    alloy_param(params, name, offset, ALLOY_SHAPE(rows, columns), ALLOY_INIT_NORMAL | ALLOY_LINEAR);
}

void alloy_param_experts(alloy_params *params, const char *name, size_t offset, int64_t experts, int64_t intermediate,
                         int64_t hidden)
{
    alloy_param_spec *spec = next(params, name, offset, ALLOY_INIT_NORMAL | ALLOY_LINEAR);
    if (!spec)
        return;
    spec->ndim = 2;
    spec->shape[0] = intermediate;
    spec->shape[1] = hidden;
    spec->experts = experts;
}

void alloy_param_indices(alloy_params *params, const char *name, size_t offset, int64_t rows, int64_t columns,
                         int64_t limit)
{
    alloy_param_spec *spec = next(params, name, offset, ALLOY_BUFFER | ALLOY_ROUTES);
    if (!spec)
        return;
    spec->ndim = 2;
    spec->shape[0] = rows;
    spec->shape[1] = columns;
    spec->limit = limit;
}

void alloy_params_layout(alloy_params *params, int layout)
{
    params->layout = layout;
}

void alloy_params_new_layout(alloy_params *params, int layout)
{
    params->new_layout = layout;
}

alloy_status alloy_config_require(const char *key, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most)
        return ALLOY_OK;
    const char *missing = value == 0 && least > 0 ? " or missing" : "";
    if (least == most)
        return alloy_fail(ALLOY_RANGE, "%s is %lld%s, expected %lld", key, (long long)value, missing, (long long)least);
    return alloy_fail(ALLOY_RANGE, "%s is %lld%s, expected an integer in %lld..%lld", key, (long long)value, missing,
                      (long long)least, (long long)most);
}
