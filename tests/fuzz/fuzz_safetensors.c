/* libFuzzer's entry: targets.h tells what is done with the bytes. */
#include "fuzz/targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_safetensors(bytes, size);
    return 0;
}
