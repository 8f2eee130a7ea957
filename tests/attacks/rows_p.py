"""P1 to P10: prompts and token ids, by every way in."""

import os

from attack import GOLDEN, MOBY, Row, copied, fields, file
from rows_t import NAME, SOUND, tokenizer

QWEN3 = GOLDEN / "qwen3"
WORDS = copied(QWEN3, file(NAME, tokenizer()), fields("config.json", max_position_embeddings=16))


def row(id_, what, commands, status, says, make=WORDS, **more):
    return Row(id_, what, make, commands, status, says, good=SOUND, **more)


def ids(id_, what, text, status, says):
    """A list of ids by the flag, and by a file where a command takes one."""

    def make(folder):
        places = WORDS(folder)
        (folder / "ids").write_text(text)
        return {**places, "ids": text, "file": folder / "ids"}

    return [
        row(id_, what, ("generate {model} --ids {ids} -n 2", "logits {model} --ids {ids} --out {out}/x.safetensors",
                        "compare {model} {good} --ids {ids}", "verify {model} --ids {ids} --cpu generic"), status, says,
            make),
        row(id_, f"{what}, from a file", ("logits {model} --ids-file {file} --out {out}/x.safetensors",
                                          "compare {model} {good} -f {file}", "verify {model} -f {file} --cpu generic"),
            status.replace("ARG", "FORMAT|ARG"), says, make),
    ]  # fmt: skip


def with_good(rows):
    for one in rows:
        one.make = (lambda make: lambda folder: {"good": QWEN3, **make(folder)})(one.make)
    return rows


def sparse(name, size):
    """An edit: {text}, a file of so many zero bytes that takes no room."""

    def edit(target):
        path = target.parent / name
        path.touch()
        os.truncate(path, size)
        return {"text": path}

    return edit


ROWS = [
    row("P1", "an empty prompt", ("generate {model} -p '' -n 2", "generate {model} -n 2", "generate {model} -f {model}/empty"),
        "ARG", "empty", copied(QWEN3, file(NAME, tokenizer()), file("empty", ""))),
    row("P1", "no prompt at all where nothing has a tokenizer", ("generate {model} -n 2 -p text",), "IO", "tokenizer.json",
        copied(QWEN3)),
    *with_good([
        *ids("P1", "no ids", "", "ARG", "no token ids|empty"),
        *ids("P6", "id -1", "-1", "RANGE", "-1"),
        *ids("P6", "the vocabulary's size as an id", "256", "RANGE", "256"),
        *ids("P6", "id 2^32", "1,4294967296", "RANGE", "4294967296"),
        *ids("P6", "id of 20 digits", "99999999999999999999", "RANGE", "99999999999999999999"),
        *ids("P6", "half a list", "[1, 2", "FORMAT", ""),
        *ids("P6", "no number", "1,x", "ARG", "x"),
        *ids("P6", "nothing between commas", "1,,2", "ARG", ""),
        *ids("P7", "a prompt beyond the context", ",".join(["1"] * 17), "CONTEXT", ("16", "17")),
    ]),
    row("P6", "ids of no token", ("detokenize {model} 4294967296", "detokenize {model} 1,99999999999999999999"), "RANGE",
        "4294967296|99999999999999999999"),
    row("P6", "id -1, decoded", ("detokenize {model} --ids=-1", "detokenize {model} --ids=-9223372036854775808"), "RANGE",
        "-1|-9223372036854775808"),
    row("P7", "a prompt as long as the context", ("generate {model} -n 2 --ids " + ",".join(["1"] * 16),), "CONTEXT", "16"),
    row("P8", "more tokens than the context", ("verify {model} --tokens 17", "compare {model} {model} --tokens 17",
                                               "verify {model} --tokens 1000000"), "CONTEXT", "16"),
    row("P9", "generation reaches the context", ("generate {model} -n 0 --ignore-eos --json --ids " + ",".join(["1"] * 14),),
        "OK", "", prints='"finish_reason": ?"length"'),
    row("P5", "2 GiB and a byte", ("tokenize {model} -f {text}", "generate {model} -f {text} -n 1"), "LIMIT",
        "2147483648|2147483649", copied(QWEN3, file(NAME, tokenizer()), sparse("text", 2**31 + 1))),
    row("P5", "5 million ids", ("logits {model} --ids-file {text} --out {out}/x.safetensors",
                                "compare {model} {model} -f {text}"), "CONTEXT", ("16", "5000000"),
        copied(QWEN3, file(NAME, tokenizer()), fields("config.json", max_position_embeddings=16),
               lambda target: {"text": many_ids(target.parent / "ids")}), bytes=256 << 20),
    Row("P5", "such a size, by the library", test="tokenizer_bad_input:p5_p6_bad_calls_are_refused"),
    Row("P2", "what is not UTF-8 reads as U+FFFD", test="tokenizer_tokenizer:p2_p3_p4_text_that_is_not_utf8_reads_as_replacement_characters"),
    Row("P2", "in every way in", test="cli_commands:p2_p3_p4_bad_utf8_and_nuls_are_read_alike"),
    *[Row(id_, what, copied(QWEN3, file(NAME, tokenizer()), file("text", text)), (
        "tokenize {model} -f {model}/text", "tokenize {model}", "generate {model} -f {model}/text -n 1",
        "generate {model} -n 1"), "OK", "", input=text, good=SOUND, json=False)
      for id_, what, text in [
          ("P2", "bytes that are not UTF-8", b"te\xff\xc3xt"), ("P3", "overlong", b"\xc0\xaf\xe0\x80\xaf"),
          ("P3", "a lone surrogate", b"\xed\xa0\x80"), ("P4", "a NUL", b"te\0xt")]],
    Row("P4", "a NUL is kept", test="tokenizer_tokenizer:p2_p3_p4_text_that_is_not_utf8_reads_as_replacement_characters"),
    Row("P3", "ids of lone surrogates", test="cli_commands:p2_p3_p4_bad_utf8_and_nuls_are_read_alike"),
    Row("P10", "a stream shows whole characters", test="engine_generate:p10_a_stream_shows_whole_characters_and_all_of_the_text"),
    Row("P10", "a stop text inside a character", test="engine_stop:p10_characters_are_never_cut"),
    Row("P10", "half a character at the end", copied(MOBY), (
        "detokenize {model} 126", "detokenize {model} --ids 126,126"), "OK", "", prints="\ufffd", good=MOBY, json=False),
]  # fmt: skip


def many_ids(path):
    with open(path, "w") as out:
        for _ in range(5000):
            out.write("1 " * 1000)
    return path
