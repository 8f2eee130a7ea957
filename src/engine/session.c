/* Sessions (alloy.h, session.h). */
#include "engine/session.h"

#include <string.h>

#include "backends/fp64/fp64.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"

enum { DEFAULT_CHUNK = 512, MOST_CHUNK = 1 << 20 };

static const alloy_backend *backend_named(const char *name)
{
    static const alloy_backend *const backends[] = {&alloy_cpu, &alloy_fp64};
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i];
    alloy_fail(ALLOY_ARG, "unknown backend \"%s\"; known: cpu, fp64", alloy_printable(name, strlen(name)));
    return NULL;
}

static alloy_status fill(alloy_session *s, const alloy_model *model, const alloy_session_options *options)
{
    s->model = model;
    s->backend = options->backend ? backend_named(options->backend) : &alloy_cpu;
    if (!s->backend)
        return alloy_last_status();
    s->chunk = options->chunk ? options->chunk : DEFAULT_CHUNK;
    s->kv_dtype = options->kv_dtype ? options->kv_dtype : ALLOY_F32;
    if (!model->weights)
        return alloy_fail(ALLOY_ARG, "this model has no weights: it was described by a config alone");
    if (s->chunk < 1 || s->chunk > MOST_CHUNK)
        return alloy_fail(ALLOY_RANGE, "chunk: %lld tokens, expected 1 to %d", (long long)s->chunk, MOST_CHUNK);
    if (s->backend->dtype == ALLOY_F64 && options->kv_dtype)
        return alloy_fail(ALLOY_ARG, "kv_dtype: %s, but the backend %s keeps F64", alloy_dtype_name(s->kv_dtype),
                          s->backend->name);
    if (s->kv_dtype != ALLOY_F32 && s->kv_dtype != ALLOY_BF16 && s->kv_dtype != ALLOY_F16)
        return alloy_fail(ALLOY_ARG, "kv_dtype: %s, expected F32, BF16 or F16", alloy_dtype_name(s->kv_dtype));
    if (s->backend->dtype == ALLOY_F64)
        s->kv_dtype = ALLOY_F64;
    s->kernels = alloy_kernels_wanted(options->cpu);
    if (!s->kernels)
        return alloy_last_status();
    s->arena = alloy_arena_new();
    s->tables = alloy_arena_new();
    if (!s->arena || !s->tables)
        return ALLOY_NOMEM;
    alloy_status status = alloy_pages_open(&s->pages, options->kv_bytes);
    return status ? status : alloy_team_open(&s->team, options->threads);
}

alloy_status alloy_session_open(alloy_session **out, const alloy_model *model, const alloy_session_options *options)
{
    *out = NULL;
    alloy_session *s = alloy_memory_zeroed(1, sizeof *s);
    if (!s)
        return ALLOY_NOMEM;
    alloy_session_options o;
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_session_options");
    status = status ? status : fill(s, model, &o);
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
    alloy_forward_room_free(&s->room);
    alloy_arena_free(s->arena);
    alloy_arena_free(s->tables);
    alloy_pages_close(s->pages);
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

uint64_t alloy_session_cache_bytes(const alloy_session *session)
{
    return alloy_pages_used(session->pages);
}
