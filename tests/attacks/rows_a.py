"""A1 to A6: command lines, standard streams, locales."""

from attack import GOLDEN, MOBY, Row

QWEN3 = GOLDEN / "qwen3"
COMMANDS = ("generate {qwen3}", "tokenize {moby} x", "detokenize {moby} 1", "info {qwen3}", "modules",
            "logits {qwen3} --ids 1 --out {out}/x", "compare {qwen3} {qwen3}", "verify {qwen3}",
            "init {qwen3} --out {out}/x", "convert {qwen3} --out {out}/x", "roofline {qwen3}")  # fmt: skip
PLACES = lambda folder: {"moby": MOBY, "qwen3": QWEN3, "huge": "y" * (120 << 10), "binary": b"/no/such/\xff\xfe\x1b[2J",
                         "flag": b"--\xff\xfe", "nothing": ""}  # fmt: skip


def lines(id_, what, commands, status="ARG", says="", **more):
    return Row(id_, what, PLACES, commands, status, says, **{"json": False, **more})


def every(flags):
    return tuple(f"{command} {flags}" for command in COMMANDS)


def generate(*flags):
    return tuple(f"generate {{moby}} -p x {flag}" for flag in flags)


PRINTING = (
    "--help", "generate --help", "modules", "modules --json", "info {moby} --json", "tokenize {moby} text",
    "detokenize {moby} 1,2", "generate {moby} -p Call -n 4 -q", "generate {moby} -p Call -n 4 -q --json",
    "verify {qwen3} --tokens 10 --cpu generic -q", "roofline {qwen3}", "roofline {qwen3} --html -", "roofline {qwen3} --svg -",
    "roofline {qwen3} --csv", "roofline --list", "compare {qwen3} {qwen3} --tokens 3", "init {qwen3} --out {out}/new --json",
    "convert {qwen3} --out {out}/new", "logits {qwen3} --ids 1 --out {out}/x.safetensors --json",
)  # fmt: skip

ROWS = [
    lines("A1", "numbers that are none", every("--threads ''") + every("--threads 4x")
          + every("--threads 0") + every("--threads=-1") + every("--threads 1e9"), "ARG",
          "--threads"),
    lines("A1", "numbers outside their range", generate(
        "--top-p 0", "--top-p 1.5", "--top-p nan", "--top-k=-1", "--temperature=-1", "--temperature nan", "--temperature inf",
        "--temperature 1e400", "--seed=-1", "--seed 99999999999999999999", "-n=-1", "-n 99999999999999999999", "--chunk 0",
        "--min-p 2", "--repetition-penalty 0", "--num-return-sequences 0", "--logprobs=-1", "--num-layers=-1")),
    lines("A1", "sizes", tuple(f"info {{qwen3}} --weight-memory {size}" for size in ("0x", "4X", "-1", "1e99", "''"))
          + tuple(f"convert {{qwen3}} --out {{out}}/new --max-shard-size {size}" for size in ("0", "-1", "1e99", "x"))),
    lines("A1", "numbers of the roofline", tuple(f"roofline {{qwen3}} {flag}" for flag in (
        "--batch 0", "--batch 1e30", "--seq-len 0", "--seq-len=-5", "--at decode", "--at decode:x", "--at prefill:0",
        "--at mini-prefill:5", "--level 9", "--page 0", "--efficiency compute=2", "--efficiency x=1", "--efficiency ''",
        "--sequences 1x", "--sequences ''", "--hardware ''", "--routing zipf:x", "--runs 0")), "ARG|RANGE"),
    lines("A2", "a missing value", every("--threads") + every("--plugin") + every("--cpu"), "ARG",
          "--threads|--plugin|--cpu"),
    lines("A2", "unknown flags", every("--thraeds 2"), "ARG", ("--thraeds", "--threads")),
    lines("A2", "repeated flags", every("-t 1 --threads 1") + every("--json --json"), "ARG",
          "--threads|--json"),
    lines("A2", "no such choice", every("--cpu pentium") + every("--kv-dtype f65") + generate("--cpu ''"),
          "ARG", "instruction set|kv-dtype"),
    lines("A2", "flags that contradict each other", (*generate("-f y", "--ids 1", "--stop ''"),
                                                     "roofline {qwen3} --csv --json", "tokenize {moby} a -f b",
                                                     "logits {qwen3} --ids 1 --ids-file x --out {out}/x")),
    lines("A2", "what a command needs is missing", (
        "generate", "tokenize", "detokenize", "info", "logits", "compare", "verify", "init", "convert", "roofline", "init {qwen3}",
        "convert {qwen3}", "compare {qwen3}", "logits {qwen3} --ids 1", "logits {qwen3} --out {out}/x", "generate {nothing}",
        "tokenize {moby} a b", "info {qwen3} {qwen3}")),
    lines("A2", "unknown commands", ("genrate {moby}", "{nothing}", "-x", "--", "{flag}", "{huge}"), "ARG", "(?i)command|--help"),
    lines("A3", "an argument of 120 kB", ("info {huge}", "tokenize {huge} x", "init {huge} --out {out}/new",
                                          "roofline {huge}", "generate {huge} -p x", "verify {qwen3} --ids {huge}",
                                          "generate {moby} -p x --cpu {huge}", "roofline {qwen3} --hardware {huge}",
                                          "roofline {qwen3} --at {huge}", "info {qwen3} --plugin {huge}",
                                          "logits {qwen3} --ids 1 --out {out}/{huge}"),
          "IO|ARG|FORMAT|TRUST", ""),
    lines("A3", "paths that are not UTF-8 nor printable", (
        "info {binary}", "tokenize {binary} x", "init {binary} --out {out}/new", "roofline {binary}", "compare {qwen3} {binary}",
        "roofline {qwen3} --hardware {binary}", "roofline {qwen3} --routing {binary}", "generate {moby} -f {binary}",
        "logits {qwen3} --ids 1 --out {binary}", "info {qwen3} --plugin {binary}", "verify {qwen3} -f {binary}",
        "roofline {qwen3} --html {binary}"), "IO|ARG|FORMAT|TRUST|LIMIT", "no/such"),
    lines("A4", "standard input is closed", ("generate {moby} -n 2", "tokenize {moby}", "detokenize {moby}",
                                             "tokenize {moby} --jsonl -", "verify {qwen3} -f -"), "IO", "standard input",
          stdin="closed"),
    lines("A4", "what needs no standard input", ("generate {moby} -n 2 -p Call", "info {qwen3}"), "OK", "", stdin="closed"),
    *[lines("A5", f"standard output: {kind}", PRINTING, "IO", "standard output", stdout=kind, writes=True)
      for kind in ("full", "broken", "closed")],
    lines("A6", "a decimal comma", generate("--temperature 0,5", "--top-p 0,9"), "ARG", "--temperature|--top-p",
          env={"LC_ALL": "de_DE.UTF-8"}),
    lines("A6", "numbers with a point in any locale", generate("--temperature 0.5 -n 2", "--top-p 0.9 -n 2"), "OK", "",
          env={"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}),
    Row("A6", "the locale changes nothing", test="cli_command:a6_the_locale_changes_nothing"),
]  # fmt: skip
