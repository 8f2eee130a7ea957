/* A plug-in with one fault, chosen by a macro when it is compiled (CMakeLists.txt). Without any it registers the
 * feed-forward "fixture". Its constructor tells the process's environment that code of it ran. */
#include <alloy/extend.h>
#include <stddef.h>
#include <stdlib.h>

__attribute__((constructor)) static void tell(void)
{
    setenv("ALLOY_FIXTURE_RAN", "1", 1);
}

#ifdef FIXTURE_ABI
enum { ABI = FIXTURE_ABI };
#else
enum { ABI = ALLOY_ABI_VERSION };
#endif

#ifdef FIXTURE_LARGER_MIXER
enum { MIXER_SIZE = sizeof(alloy_mixer) + 8 };
#else
enum { MIXER_SIZE = sizeof(alloy_mixer) };
#endif

#ifndef FIXTURE_NO_INFO
__attribute__((visibility("default"))) const alloy_plugin_info alloy_plugin = {
    ABI, MIXER_SIZE, sizeof(alloy_ffn), sizeof(alloy_op), sizeof(alloy_residual), "fixture"};
#endif

struct weights {
    const alloy_weight *scale;
};

struct shape {
    int64_t hidden_size;
};

static const alloy_field fields[] = {ALLOY_FIELD(struct shape, hidden_size, INTEGER), {0}};

static alloy_status check(void *shape)
{
    (void)shape;
    return ALLOY_OK;
}

static void params(alloy_params *params_, const void *shape)
{
    const struct shape *s = shape;
    alloy_param(params_, "scale", offsetof(struct weights, scale), ALLOY_SHAPE(s->hidden_size), ALLOY_INIT_ONES);
}

static alloy_tensor *forward(alloy_pass *pass, const void *shape, const void *weights, alloy_tensor *x)
{
    (void)pass;
    (void)shape;
    (void)weights;
    return x;
}

#ifndef FIXTURE_NAME
#define FIXTURE_NAME "fixture"
#endif
static const alloy_ffn fixture = {.name = FIXTURE_NAME,
                                  .attr_name = "mlp",
                                  .summary = "gives back what it gets",
                                  .weights_size = sizeof(struct weights),
                                  .fields = fields,
                                  .shape_size = sizeof(struct shape),
                                  .check = check,
                                  .params = params,
                                  .forward = forward};

#ifdef FIXTURE_UNRESOLVED
alloy_status no_library_has_this(void);
#endif

#ifndef FIXTURE_NO_INIT
__attribute__((visibility("default"))) alloy_status alloy_plugin_init(void);
alloy_status alloy_plugin_init(void)
{
#ifdef FIXTURE_FAILS
    return ALLOY_UNSUPPORTED;
#elif defined(FIXTURE_UNRESOLVED)
    return no_library_has_this();
#else
    return alloy_register_ffn(&fixture);
#endif
}
#endif
