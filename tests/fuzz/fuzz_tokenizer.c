/* libFuzzer's entry: tokenizer_target.h tells what is done with the bytes. */
#include "fuzz/tokenizer_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_tokenizer(bytes, size);
    return 0;
}
