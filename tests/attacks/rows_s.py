"""S1 to S23: safetensors files and weights. The header's cases, one table for the reader's own tests and for this, are
in safetensors_cases.h; here every command opens some of them as the weights of a model."""

import struct

from attack import GOLDEN, Row, copied, dumps, file, framed, read_safetensors, safetensors, tensors
from commands import OF_FORWARD, OF_WEIGHTS

QWEN3 = GOLDEN / "qwen3"
NORM, UP = "model.norm.weight", "model.layers.1.mlp.up_proj.weight"
WEIGHTS = "model.safetensors"


def weights(id_, what, content, says, **more):
    """The file of weights is these bytes."""
    return Row(id_, what, copied(QWEN3, file(WEIGHTS, content)), OF_WEIGHTS, "FORMAT", says, good=QWEN3, **more)


def headed(change):
    """The sound file with another text as its header."""

    def content():
        data = (QWEN3 / WEIGHTS).read_bytes()
        size = int.from_bytes(data[:8], "little")
        return framed(change(data[8 : 8 + size].decode()), data[8 + size :])

    return content


def changed(id_, what, change, status, says, commands=OF_WEIGHTS, **more):
    """The file of weights with other tensors."""
    return Row(id_, what, copied(QWEN3, tensors(change)), commands, status, says, good=QWEN3, **more)


def one(info, data=b"", **others):
    return framed(dumps({"a": info, **others}), data)


def u8(shape, begin, end, dtype="U8"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HEADERS = [
    weights("S1", "an empty file", b"", r"model\.safetensors.*0 bytes.*too small"),
    weights("S1", "seven bytes", b"{}     ", r"7 bytes.*too small"),
    weights("S2", "a header of 2^64 - 1 bytes", framed("{}", size=2**64 - 1), "18446744073709551615.*100000000"),
    weights("S3", "a header of 100,000,001 bytes", framed("{}", size=100000001), "100000001.*at most 100000000"),
    weights("S4", "a header longer than the file", framed("{}", size=3), "3 bytes.*truncated"),
    weights("S5", "no header", framed(""), r"model\.safetensors:1:1:.*an object"),
    weights("S6", "a header that is not UTF-8", framed(b'{"\xff":1}'), "not UTF-8"),
    weights("S6", "a byte order mark", framed(b"\xef\xbb\xbf{}"), "BOM"),
    weights("S7", "two tensors of the same bytes", one(u8([4], 0, 4), bytes(4), b=u8([4], 0, 4)), '"b".*overlaps'),
    weights("S8", "a hole between tensors", one(u8([4], 0, 4), bytes(9), b=u8([4], 5, 9)), '"b".*hole'),
    weights("S9", "a tensor that ends before it begins", one(u8([4], 4, 0), bytes(4)), '"a".*(hole|reversed)'),
    weights(
        "S10", "a byte behind the last tensor", lambda: (QWEN3 / WEIGHTS).read_bytes() + b"x", "belong to no tensor"
    ),
    weights(
        "S10",
        "the last byte is missing",
        lambda: (QWEN3 / WEIGHTS).read_bytes()[:-1],
        "need 822016 bytes.*holds 822015.*truncated",
    ),
    weights(
        "S11", "dimensions whose product wraps to 4", one(u8([2**63 + 2, 2], 0, 4), bytes(4)), ('"a"', "passes 64 bits")
    ),
    weights("S12", "bits that pass 64 bits", one(u8([2**61], 0, 0, "F64")), ('"a"', "number of bits passes 64 bits")),
    weights("S13", "[2^64 - 1, 2^64 - 1, 0]", one(u8([2**64 - 1, 2**64 - 1, 0], 0, 0)), ('"a"', "passes 64 bits")),
    weights(
        "S14", "a name twice", headed(lambda text: text.replace(f'"{UP}"', f'"{NORM}"')), f'duplicate key "{NORM}"'
    ),
    weights(
        "S18",
        "three elements of F4",
        one(u8([3], 0, 1, "F4"), b"x"),
        ('"a"', "3 elements of F4: no whole number of bytes"),
    ),
    weights("S19", "a lower-case dtype", one(u8([1], 0, 1, "u8"), b"x"), ('unknown dtype "u8"', '"a"')),
    weights("S19", "an unknown dtype", one(u8([1], 0, 1, "Q4_K"), b"x"), ('unknown dtype "Q4_K"', '"a"')),
]


def added(name, dtype, shape, data):
    return lambda held: {**held, name: (dtype, shape, data)}


def many_entries(target):
    """1,200,000 tensors of a byte, written piece by piece: 60 MB of header."""
    count = 1200000
    with open(target / WEIGHTS, "wb") as out:
        out.write(bytes(8))
        for first in range(0, count, 10000):
            entries = (
                f'"t{i}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{i + 1}]}}' for i in range(first, first + 10000)
            )
            out.write(("{" if first == 0 else ",").encode() + ",".join(entries).encode())
        out.write(b"}")
        size = out.tell() - 8
        out.write(bytes(count))
        out.seek(0)
        out.write(size.to_bytes(8, "little"))


def unaligned(target):
    """Every tensor begins at an odd address, one apart from where it was."""
    held, _ = read_safetensors(target / WEIGHTS)
    (target / WEIGHTS).write_bytes(safetensors({"first": ("U8", [1], b"x"), **held}, pad=4))


def filled(name, value):
    def change(held):
        dtype, shape, data = held[name]
        held[name] = (dtype, shape, struct.pack("<f", value) * (len(data) // 4))

    return change


def replaced(name, dtype=None, shape=None, size=None):
    def change(held):
        old = held[name]
        held[name] = (dtype or old[0], shape or old[1], bytes(size) if size is not None else old[2])

    return change


def without(name):
    return lambda held: {key: value for key, value in held.items() if key != name}


# What does not compute does not mind; what copies weights says what it met.
SPOILED = [
    changed("S20", "NaN in a norm", filled(NORM, float("nan")), "RANGE", "not finite.*NaN at \\[0\\] of model.norm.weight",
            OF_FORWARD[:5]),
    changed("S20", "infinity in a matrix", filled(UP, float("inf")), "RANGE",
            "not finite.*infinity at \\[0, 0\\] of model.layers.1", OF_FORWARD[:5]),
    changed("S20", "a model with NaN beside a sound one", filled(NORM, float("nan")), "RANGE|DIFFERENT", "",
            OF_FORWARD[5:8]),
    changed("S20", "commands that do not compute", filled(NORM, float("nan")), "OK", "", OF_WEIGHTS[9:], writes=True),
    changed("S21", "F8 without scales", replaced(UP, "F8_E4M3", size=160 * 64), "FORMAT", (f"{UP}\\b", "missing.*weight_scale_inv")),
    changed("S21", "F8 that is no matrix", replaced(NORM, "F8_E4M3", size=64), "FORMAT", (NORM, "F8_E4M3")),
    changed("S21", "F4 without scales", replaced(UP, "F4", size=160 * 32), "FORMAT", (UP, "F4")),
    changed("S22", "a tensor of another shape", replaced(UP, shape=[159, 64], size=159 * 64 * 4), "FORMAT",
            f"{UP}.*\\[159, 64\\], expected \\[160, 64\\]"),
    changed("S23", "a tensor is missing", without(NORM), "FORMAT", ("missing", NORM)),
    changed("S23", "the head is missing", without("lm_head.weight"), "FORMAT", ("missing", "lm_head.weight")),
    changed("S23", "a tensor that nothing uses", added("model.extra.weight", "F32", [2, 2], bytes(16)), "FORMAT",
            "--allow-unused.*model.extra.weight"),
    Row("S23", "one that nothing uses, allowed", copied(QWEN3, tensors(added("extra", "F32", [2, 2], bytes(16)))),
        tuple(line + " --allow-unused" for line in OF_WEIGHTS), "OK", "(?s)warning: .*extra", good=QWEN3, writes=True),
]  # fmt: skip

ACCEPTED = [
    changed("S13", "an empty tensor of [2^64 - 1, 0] is not used", added("empty", "U8", [2**64 - 1, 0], b""), "FORMAT",
            "--allow-unused.*: empty"),
    Row("S15", "1,200,000 entries", copied(QWEN3, many_entries), ("info {model}", "generate {model} --ids 1 -n 1"),
        "FORMAT", "missing|left over|nothing uses", good=QWEN3, seconds=3, bytes=8 * 72 << 20),
    changed("S16", "a tensor of no size beside the others", added("empty", "F32", [0], b""), "FORMAT",
            "--allow-unused.*: empty"),
    Row("S17", "F32 at odd addresses", copied(QWEN3, unaligned), (
        "compare {model} {good} --tokens 20 --allow-unused", "verify {model} --tokens 4 --allow-unused",
        "compare {model} {good}/expected.safetensors --allow-unused --no-mmap"), "OK", "", good=QWEN3),
]  # fmt: skip

ROWS = [
    *HEADERS,
    *SPOILED,
    *ACCEPTED,
    Row(
        "S17",
        "unaligned weights give the bits of aligned ones",
        test="engine_open:s17_unaligned_weights_give_the_bits_of_aligned_ones",
    ),
    Row("S1", "the header's cases, one by one", test="files_safetensors_attacks:s1_to_s19_small_files"),
    Row(
        "S15",
        "a million entries by themselves",
        test="files_safetensors_attacks:s15_a_million_entries_open_in_linear_time_and_memory",
    ),
    Row(
        "S20",
        "logits that are not finite are never a token",
        test="engine_sample:s20_logits_that_are_not_finite_are_never_a_token",
    ),
]
