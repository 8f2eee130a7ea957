/* Sessions (alloy.h, session.h). */
#include "model/session.h"

#include "base/memory.h"
#include "base/status.h"

enum { DEFAULT_CHUNK = 512, MOST_CHUNK = 1 << 20 };

static alloy_status fill(alloy_session *s, const alloy_model *model, const alloy_session_options *options)
{
    s->model = model;
    s->backend = &alloy_cpu;
    s->chunk = options->chunk ? options->chunk : DEFAULT_CHUNK;
    s->kv_dtype = options->kv_dtype ? options->kv_dtype : ALLOY_F32;
    if (!model->weights)
        return alloy_fail(ALLOY_ARG, "this model has no weights: it was described by a config alone");
    if (s->chunk < 1 || s->chunk > MOST_CHUNK)
        return alloy_fail(ALLOY_RANGE, "chunk: %lld tokens, expected 1 to %d", (long long)s->chunk, MOST_CHUNK);
    if (s->kv_dtype != ALLOY_F32 && s->kv_dtype != ALLOY_BF16 && s->kv_dtype != ALLOY_F16)
        return alloy_fail(ALLOY_ARG, "kv_dtype: %s, expected F32, BF16 or F16", alloy_dtype_name(s->kv_dtype));
    s->kernels = alloy_kernels_wanted(options->cpu);
    if (!s->kernels)
        return alloy_last_status();
    s->arena = alloy_arena_new();
    s->tables = alloy_arena_new();
    if (!s->arena || !s->tables)
        return ALLOY_NOMEM;
    return alloy_team_open(&s->team, options->threads);
}

alloy_status alloy_session_open(alloy_session **out, const alloy_model *model, const alloy_session_options *options)
{
    *out = NULL;
    alloy_session *s = alloy_memory_zeroed(1, sizeof *s);
    if (!s)
        return ALLOY_NOMEM;
    alloy_status status = fill(s, model, options ? options : &(alloy_session_options){0});
    if (status) {
        alloy_session_close(s);
        return status;
    }
    *out = s;
    return ALLOY_OK;
}

void alloy_session_close(alloy_session *s)
{
    if (!s)
        return;
    alloy_team_close(&s->team);
    alloy_arena_free(s->arena);
    alloy_arena_free(s->tables);
    alloy_memory_free(s);
}

const alloy_model *alloy_session_model(const alloy_session *session)
{
    return session->model;
}

const char *alloy_session_cpu(const alloy_session *session)
{
    return session->kernels->name;
}

int alloy_session_threads(const alloy_session *session)
{
    return session->team.threads;
}
