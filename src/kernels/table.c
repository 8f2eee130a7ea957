/* Which tables there are, and which of them this build and this processor have (kernels.h). */
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "base/status.h"
#include "kernels/cpu/avx2/avx2.h"
#include "kernels/cpu/avx512/avx512.h"
#include "kernels/cpu/generic/generic.h"

#ifdef ALLOY_HAVE_AVX2
#include <cpuid.h>
#endif

#ifdef ALLOY_HAVE_AVX2
#define AVX2 &alloy_kernels_avx2
#else
#define AVX2 NULL
#endif
#ifdef ALLOY_HAVE_AVX512
#define AVX512 &alloy_kernels_avx512
#else
#define AVX512 NULL
#endif

/* __builtin_cpu_supports asks the processor, and the system too: whether it saves the wide registers. F16C, which not
 * every compiler's builtin knows, needs no more of the system than AVX2. */
static bool has_avx2(void)
{
#ifdef ALLOY_HAVE_AVX2
    unsigned eax, ebx, ecx = 0, edx;
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid(1, &eax, &ebx, &ecx, &edx) &&
           (ecx & bit_F16C);
#else
    return false;
#endif
}

static bool has_avx512(void)
{
#ifdef ALLOY_HAVE_AVX512
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

static bool always(void)
{
    return true;
}

static const struct {
    const char *name;
    const alloy_kernels *kernels; /* NULL: not in this build */
    bool (*present)(void);        /* can this processor run it? */
} tables[] = {
    {"generic", &alloy_kernels_generic, always},
    {"avx2", AVX2, has_avx2},
    {"avx512", AVX512, has_avx512},
};
enum { TABLES = sizeof tables / sizeof *tables };

int alloy_kernels_count(void)
{
    return TABLES;
}

const char *alloy_kernels_name(int index)
{
    return index >= 0 && index < TABLES ? tables[index].name : NULL;
}

static const alloy_kernels *best(void)
{
    int i = TABLES - 1;
    while (!tables[i].kernels || !tables[i].present())
        i--;
    return tables[i].kernels;
}

static const alloy_kernels *unknown(const char *name)
{
    const char *names[TABLES];
    for (int i = 0; i < TABLES; i++)
        names[i] = tables[i].name;
    const char *nearest = alloy_nearest_name(name, names, TABLES);
    alloy_fail(ALLOY_ARG, "instruction set \"%s\" is not known (generic, avx2, avx512)%s%s%s",
               alloy_printable(name, strlen(name)), nearest ? "; did you mean " : "", nearest ? nearest : "",
               nearest ? "?" : "");
    return NULL;
}

alloy_status alloy_kernels_check(const char *name)
{
    for (int i = 0; i < TABLES; i++)
        if (strcmp(tables[i].name, name) == 0)
            return ALLOY_OK;
    unknown(name);
    return ALLOY_ARG;
}

const alloy_kernels *alloy_kernels_get(const char *name)
{
    if (!name)
        return best();
    for (int i = 0; i < TABLES; i++) {
        if (strcmp(tables[i].name, name) != 0)
            continue;
        if (tables[i].kernels && tables[i].present())
            return tables[i].kernels;
        alloy_fail(ALLOY_UNSUPPORTED, "instruction set \"%s\": %s does not have it; use %s", name,
                   tables[i].kernels ? "this processor" : "this build", best()->name);
        return NULL;
    }
    return unknown(name);
}

const alloy_kernels *alloy_kernels_wanted(const char *name)
{
    const char *environment = getenv("ALLOY_CPU");
    return alloy_kernels_get(name ? name : environment && *environment ? environment : NULL);
}
