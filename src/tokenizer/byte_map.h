/* The characters that stand for bytes in byte-level vocabularies (GPT-2's idea): a printable Latin-1 byte is itself,
 * the others are numbered from U+0100 in their order: 0x00-0x20, 0x7F-0xA0, 0xAD. */
#ifndef ALLOY_TOKENIZER_BYTE_MAP_H
#define ALLOY_TOKENIZER_BYTE_MAP_H

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t alloy_byte_to_code(uint8_t byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0)
        return 0x121u + (byte - 0x7Fu);
    return byte == 0xAD ? 0x143u : byte;
}

/* -1: this character stands for no byte. */
static inline int alloy_code_to_byte(uint32_t code)
{
    if (code >= 0x100)
        return code <= 0x120   ? (int)(code - 0x100)
               : code <= 0x142 ? (int)(code - 0x121 + 0x7F)
               : code == 0x143 ? 0xAD
                               : -1;
    return code <= 0x20 || (code >= 0x7F && code <= 0xA0) || code == 0xAD ? -1 : (int)code;
}

#endif
