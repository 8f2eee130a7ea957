/* Names and sizes of dtypes (alloy.h). One row a dtype, in the order of the enum. */
#include <string.h>

#include "alloy/alloy.h"

static const struct {
    const char *name;
    int bits;
} dtypes[] = {
    {"", 0},        {"BOOL", 8},    {"U8", 8},      {"I8", 8},      {"I16", 16},        {"U16", 16},        {"I32", 32},
    {"U32", 32},    {"I64", 64},    {"U64", 64},    {"F16", 16},    {"BF16", 16},       {"F32", 32},        {"F64", 64},
    {"C64", 64},    {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F4", 4},
    {"F6_E2M3", 6}, {"F6_E3M2", 6},
};
_Static_assert(sizeof dtypes / sizeof *dtypes == ALLOY_DTYPE_COUNT, "one row a dtype");

const char *alloy_dtype_name(alloy_dtype dtype)
{
    return (unsigned)dtype < ALLOY_DTYPE_COUNT ? dtypes[dtype].name : "";
}

alloy_dtype alloy_dtype_by_name(const char *name, size_t size)
{
    for (int i = 1; i < ALLOY_DTYPE_COUNT; i++)
        if (strlen(dtypes[i].name) == size && memcmp(dtypes[i].name, name, size) == 0)
            return (alloy_dtype)i;
    return ALLOY_DTYPE_NONE;
}

int alloy_dtype_bits(alloy_dtype dtype)
{
    return (unsigned)dtype < ALLOY_DTYPE_COUNT ? dtypes[dtype].bits : 0;
}
