"""What the tests of the house share: where things are, how a tool is run."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ALLOY_BUILD", ROOT / "build/release"))
CC = os.environ.get("CC", "cc")
HEADERS = sorted((ROOT / "include/alloy").glob("*.h"))


def run(*command, **options):
    """The output of a command that has to succeed."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}\ngave {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout
