/* libFuzzer's entry for the parser that ALLOY_FUZZ_PARSER names: parsers.h tells what is done with the bytes. */
#include "fuzz/parsers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct fuzz_parser *parser;
    for (int i = 0; !parser && i < FUZZ_PARSERS; i++)
        if (strcmp(fuzz_parsers[i].name, ALLOY_FUZZ_PARSER) == 0)
            parser = &fuzz_parsers[i];
    parser->run(bytes, size);
    return 0;
}
