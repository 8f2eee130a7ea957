#!/usr/bin/env python3
"""Numbers of 8 and 4 bits as ml_dtypes and torch have them, bit for bit, in every table of kernels of this machine.

    small_floats.py [--build build/release] [--samples 4000000]

Every code of F8_E4M3, F8_E8M0 and F4 is widened; every code of F8_E4M3 and F4 is scaled by every E8M0 and by 256 floats of all
kinds; floats are narrowed: the middles between neighbours and what lies next to them, and a dense sample of all bits. Two NaNs are
equal. Ends with 1 when there is a difference.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
NUMPY = {"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E8M0": ml_dtypes.float8_e8m0fnu, "F4": ml_dtypes.float4_e2m1fn}
TORCH = {"F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.float8_e8m0fnu}
BYTES = np.arange(256, dtype=np.uint8)


def compiled(build, scratch):
    """The program beside this file, against the library."""
    program = scratch / "small_floats"
    include = [f"-I{ROOT / folder}" for folder in ("include", "src")]
    source = Path(__file__).with_name("small_floats.c")
    archive = ROOT / build / "liballoy.a"
    flags = ["-std=c17", "-D_GNU_SOURCE", "-pthread"]
    subprocess.run(["cc", *flags, *include, source, archive, "-lm", "-o", program], check=True)
    return program


def codes_of(dtype):
    """The codes in BYTES: of F4 two a byte, the low half first."""
    return np.stack([BYTES & 15, BYTES >> 4], axis=1).reshape(-1) if dtype == "F4" else BYTES


def numbers_of(dtype):
    """What they mean; the libraries must agree among themselves."""
    numbers = codes_of(dtype).view(NUMPY[dtype]).astype(np.float32)
    if dtype in TORCH:
        other = torch.from_numpy(BYTES.copy()).view(TORCH[dtype]).float().numpy()
        assert same(numbers, other).all(), dtype
    return numbers


def same(a, b):
    return (a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))


def samples_of(dtype, count):
    """The middles between neighbours, what lies next to them, either sign; and floats of any bits, spread evenly."""
    finite = np.unique(numbers_of(dtype)[np.isfinite(numbers_of(dtype))].astype(np.float64))
    beyond = {"F8_E4M3": [464.0, 480.0], "F4": [7.0, 8.0]}[dtype]
    points = np.concatenate([finite, (finite[1:] + finite[:-1]) / 2, beyond, [-x for x in beyond]]).astype(np.float32)
    near = [points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(-np.inf))]
    bits = np.linspace(0, 2**32 - 1, count).astype(np.uint32).view(np.float32)
    samples = np.concatenate([*near, bits, np.array([0, -0.0, np.inf, -np.inf], np.float32)])
    if dtype == "F4":  # has no NaN: there the libraries differ, and kernels.h says what Alloy does
        samples = samples[~np.isnan(samples)]
    return samples[: len(samples) // 2 * 2]


def narrowed(dtype, samples):
    with np.errstate(invalid="ignore"):
        codes = samples.astype(NUMPY[dtype]).view(np.uint8)
    if dtype == "F4":
        return codes[0::2] | codes[1::2] << 4
    return codes


class Check:
    """Compares what the program writes, and counts."""

    def __init__(self, program):
        self.program, self.differences, self.compared = program, 0, 0

    def run(self, *words, given=b""):
        return subprocess.run([self.program, *words], input=given, stdout=subprocess.PIPE, check=True).stdout

    def equal(self, what, found, expected, agree):
        assert len(found) == len(expected), f"{what}: {len(found)} of {len(expected)}"
        self.compared += len(expected)
        wrong = np.flatnonzero(~agree)
        self.differences += len(wrong)
        for place in wrong[:5]:
            print(f"{what}: number {place} is {found[place]}, expected {expected[place]}")

    def widening(self, table, dtype):
        found = np.frombuffer(self.run(table, "widen", dtype, given=BYTES.tobytes()), np.float32)
        expected = numbers_of(dtype)
        self.equal(f"{table} widens {dtype}", found, expected, same(found, expected))

    def scaling(self, table, dtype, scale_dtype, scales):
        given = BYTES.tobytes() + scales.tobytes()
        found = np.frombuffer(self.run(table, "scale", dtype, scale_dtype, given=given), np.float32)
        factors = numbers_of("F8_E8M0") if scale_dtype == "F8_E8M0" else scales
        with np.errstate(all="ignore"):
            expected = np.outer(factors, numbers_of(dtype)).astype(np.float32).reshape(-1)
        self.equal(f"{table} scales {dtype} by {scale_dtype}", found, expected, same(found, expected))

    def narrowing(self, table, dtype, samples):
        found = np.frombuffer(self.run(table, "narrow", dtype, given=samples.tobytes()), np.uint8)
        expected = narrowed(dtype, samples)
        nan = np.isnan(samples) & ((found & 0x7F) == 0x7F) if dtype == "F8_E4M3" else np.zeros(len(found), bool)
        self.equal(f"{table} narrows to {dtype}", found, expected, (found == expected) | nan)
        if dtype in TORCH:  # which saturates beyond 464, where there is no number to round to
            samples = samples[(inside := ~(np.abs(samples) > 464))]
            found, nan = found[inside], nan[inside]
            other = torch.from_numpy(samples).to(TORCH[dtype]).view(torch.uint8).numpy()
            self.equal(f"{table} narrows to {dtype}, torch", found, other, (found == other) | nan)

    def rounding_up(self, table):
        """Powers of two, what lies next to them, and floats of any bits: the smallest power that is at least as large."""
        powers = numbers_of("F8_E8M0")[:255]
        near = [powers, np.nextafter(powers, np.float32(np.inf)), np.nextafter(powers, np.float32(0))]
        samples = np.concatenate([*near, np.arange(1, 0x7F800000, 65537, dtype=np.uint32).view(np.float32)])
        expected = np.minimum(np.searchsorted(powers, samples), 254).astype(np.uint8)
        found = np.frombuffer(self.run(table, "narrow", "F8_E8M0", given=samples.tobytes()), np.uint8)
        self.equal(f"{table} narrows to F8_E8M0", found, expected, found == expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--samples", type=int, default=4_000_000)
    options = parser.parse_args()
    floats = np.random.default_rng(5).integers(0, 2**32, 256, np.uint32).view(np.float32)
    floats[:8] = [0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 2**-127, 3.4e38]
    with tempfile.TemporaryDirectory() as scratch:
        check = Check(compiled(options.build, Path(scratch)))
        for table in check.run("tables").decode().split():
            for dtype in NUMPY:
                check.widening(table, dtype)
            for dtype in ("F8_E4M3", "F4"):
                check.scaling(table, dtype, "F8_E8M0", BYTES)
                check.scaling(table, dtype, "F32", floats)
                check.narrowing(table, dtype, samples_of(dtype, options.samples))
            check.rounding_up(table)
            print(f"{table}: {check.compared} numbers compared, {check.differences} differences")
    return 1 if check.differences or not check.compared else 0


if __name__ == "__main__":
    sys.exit(main())
