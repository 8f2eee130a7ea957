"""Does Alloy accept only what the `safetensors` library accepts, and refuse for no other reasons than those it states?

    python safetensors_equality.py [--build build/release] [--files 20000] [--seed 1]

Tries every case of tests/attacks/safetensors_cases.h and changed copies of them in both. A file that Alloy accepts and the other
refuses is an error. So is the reverse, unless the reason is one that src/files/safetensors.h names: a key that stands twice, a tensor
as an array. Ends with 1 when there is an error.
"""

import argparse
import collections
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors

ROOT = Path(__file__).resolve().parents[2]
STATED = ("duplicate key", "expected an object, found an array")
PIECES = [b'"', b"\\", b"[", b"]", b",", b"1", b"0", b"-", b" ", b"\n", b"{}", b"null", b'"dtype"', b'"U8"', b"1e2"]
DEEPEST = 140


class Alloy:
    """The checker beside this file, compiled against the library."""

    def __init__(self, build, scratch):
        program = scratch / "accepts_safetensors"
        source = Path(__file__).with_name("accepts_safetensors.c")
        include = [f"-I{ROOT / folder}" for folder in ("include", "src", "tests")]
        archive = ROOT / build / "liballoy.a"
        subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", *include, source, archive, "-lm", "-o", program], check=True)
        self.program = program
        self.path = scratch / "file.safetensors"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def cases(self, folder):
        folder.mkdir()
        subprocess.run([self.program, "--cases", folder], check=True)
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    def refusal(self, data):
        """None, or the text of the error."""
        self.path.write_bytes(data)
        self.process.stdin.write(f"{self.path}\n")
        self.process.stdin.flush()
        status, _, text = self.process.stdout.readline().rstrip("\n").partition(" ")
        return None if status == "0" else text


def other_refusal(data):
    try:
        safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        return str(error)
    return None


def with_header(header, data):
    return struct.pack("<Q", len(header)) + header + data


def deep(levels):
    """A sound file with a field of so many levels that nobody reads."""
    field = b"[" * levels + b"]" * levels
    return with_header(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":' + field + b"}}", b"x")


def changed(rng, data):
    """A changed copy; mostly with the header's size put right again, so that changes reach what is behind it."""
    out = bytearray(data)
    (size,) = struct.unpack("<Q", out[:8].ljust(8, b"\0"))
    tail = len(out) - 8 - size
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(8)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at : at + rng.randint(1, 3)]
        elif kind == 2:
            out[at:at] = rng.choice(PIECES)
        elif kind == 3:
            start = rng.randrange(len(out) + 1)
            out[at:at] = out[start : start + rng.randint(1, 12)]
        else:  # one that a reader must not mind: white space, a field more
            places = [i + 1 for i, byte in enumerate(out) if byte in b"{,"]
            at = rng.choice(places) if places else at
            out[at:at] = rng.choice([b" ", b"\t\r\n", b'"x":[{"y":-0.5e3}],'])
    if tail >= 0 and len(out) >= 8 + tail and rng.random() < 0.9:
        out[:8] = struct.pack("<Q", len(out) - 8 - tail)
    return bytes(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    counts, errors = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as name:
        alloy = Alloy(arguments.build, Path(name))
        cases = alloy.cases(Path(name) / "cases")
        files = [*cases, *map(deep, range(DEEPEST))]
        files += [changed(rng, rng.choice(cases)) for _ in range(arguments.files - len(files))]
        for data in files:
            ours, theirs = alloy.refusal(data), other_refusal(data)
            if ours is None and theirs is None:
                counts["accepted by both"] += 1
            elif ours is not None and theirs is not None:
                counts["refused by both"] += 1
            elif ours is not None and any(reason in ours for reason in STATED):
                counts["refused by Alloy alone, for a stated reason"] += 1
            else:
                errors += 1
                print(f"error: {data!r}\n  Alloy:       {ours or 'accepts'}\n  safetensors: {theirs or 'accepts'}")
    for what, count in counts.items():
        print(f"{count:7} {what}")
    print(f"{errors:7} errors (safetensors {safetensors.__version__})")
    return errors > 0


if __name__ == "__main__":
    sys.exit(main())
