"""Every row of the tables beside this file, or those of the ids that are named.

    python3 tests/attacks/test_attacks.py              all
    python3 tests/attacks/test_attacks.py S T4         those of safetensors files, and T4
    python3 tests/attacks/test_attacks.py --list       ids, rows and runs

ctest runs a table at a time (attacks/s, attacks/x, ...). ALLOY_BUILD is the build to try, ALLOY_TEST_SLOW=1 lifts the
limits of time and memory.
"""

import os
import re
import sys
import time

import tables
from attack import BYTES, Fault, Runner


def chosen(wanted):
    rows = tables.rows()
    if not wanted:
        return rows
    unknown = [name for name in wanted if not any(matches(row.id, name) for row in rows)]
    if unknown:
        raise SystemExit(f"no row has the id {', '.join(unknown)}; see --list")
    return [row for row in rows if any(matches(row.id, name) for name in wanted)]


def matches(identity, name):
    return identity == name or (len(name) == 1 and identity[0] == name)


def print_list():
    rows = tables.rows()
    for identity in tables.IDS:
        own = [row for row in rows if row.id == identity]
        runs = sum(1 if row.test else len(row.commands) for row in own)
        print(f"{identity:4} {len(own):3} rows {runs:4} runs  {tables.not_yet(identity)}".rstrip())


def most_memory():
    """What this process had at most: a command's own figure begins with it."""
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) * 1024


def main(arguments):
    if arguments == ["--list"]:
        print_list()
        return 0
    rows = chosen(arguments)
    runner = Runner()
    began = time.monotonic()
    try:
        faults = runner.try_rows(rows, os.cpu_count())
    finally:
        try:
            runner.close()
        except Fault as fault:
            faults.append(str(fault))
    if most_memory() > BYTES:
        faults.append(f"this script took {most_memory() >> 20} MiB, which hides what commands take")
    for fault in faults:
        print(fault)
    print(f"{len(rows)} rows, {runner.runs} runs, {len(faults)} faults, {time.monotonic() - began:.0f} s")
    for identity, reason in tables.NOT_YET.items():
        if not arguments or any(matches(identity, name) for name in arguments):
            print(f"{identity}: not yet: {reason}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
