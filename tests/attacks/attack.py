"""Runs hostile inputs against the command, and holds each run to what rejecting means.

A Row says what is tried: the id of the list (README.md), how the input is made, the commands that open it, the status
that each must end with and a pattern of its message. `commands` are lines with places in braces: {model}, {out} and
whatever else `make` returns; {good} is the sound model that the input was made from. The same line on the sound model
is the measure of time and memory.

Rejected means: the exit code of the status, no signal; on stderr one line that begins with "alloy: " and matches the
pattern (warnings apart), on stdout nothing but the error's document of --json; nothing written; at most a second of
processor time and 64 MiB beyond what the same command takes on a sound input, the size of the input apart. Under
sanitizers and without optimisation the last does not hold, the rest does.

A row whose subject no command reaches names a test of tests/: its program is run with that test alone.
"""

import json
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ALLOY_BUILD", ROOT / "build/release")).resolve()
COMMAND = BUILD / "alloy"
GOLDEN = ROOT / "tests/golden"
MOBY = ROOT / "examples/models/moby"
SLOW = os.environ.get("ALLOY_TEST_SLOW", "") not in ("", "0")  # limits of time and memory do not hold

SECONDS = 1.0  # of a processor, beyond the same command on a sound input
NEIGHBOURS = 5  # times as much is what a defect takes: beside busy neighbours a second does a fraction of its work
BYTES = 64 << 20  # the same of memory
HANG = 120  # seconds by the clock
MOST_OUTPUT = 1 << 20  # bytes that are looked at

STATUSES = ["OK", "DIFFERENT", "ARG", "FORMAT", "LIMIT", "RANGE", "IO", "NOMEM", "TRUST", "CONTEXT", "UNSUPPORTED"]


@dataclass
class Row:
    id: str  # S1
    what: str  # half a line
    make: Callable | None = None  # of a new empty folder: a dict of the places in `commands`
    commands: Sequence[str] = ()
    status: str = "FORMAT"  # what every command ends with; "A|B": either
    says: object = ""  # regular expressions, one or a tuple, each found in the error's line; of a success, in stderr
    prints: str = ""  # a regular expression that stdout of a success matches
    but: dict[str, tuple] = field(default_factory=dict)  # first word of a command: (status, says) instead
    good: object = None  # a sound model, or what makes one as `make` does; None: cost is held to a constant
    input: bytes | None = None  # on standard input; None: nothing, as from /dev/null
    limit: str = ""  # a shell's line before the command, such as "ulimit -v 65536"
    stdout: str = "file"  # file, full, closed, broken
    stdin: str = "null"  # null, closed
    env: dict[str, str] = field(default_factory=dict)
    seconds: float = SECONDS
    bytes: int = BYTES
    json: bool = True  # --json is added to all but the first command
    writes: bool = False  # something new may stand there afterwards
    check: Callable | None = None  # of (places, answer): what else must hold; raises AssertionError
    test: str = ""  # instead of commands: PROGRAM:TEST, of build/PRESET/tests
    unsanitized: str = ""  # why a sanitizer cannot run it; "": it can


@dataclass
class Answer:
    code: int  # of the exit, -1: a signal
    signal: int
    out: bytes
    err: str
    seconds: float  # of a processor
    bytes: int  # most memory
    hung: bool


# ---- Running a command -----------------------------------------------------------------------------------------------


class Scratch:
    """What every run shares: environment, and a folder that commands run in and must leave empty."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="alloy-attacks-"))
        for name in ("work", "cache", "hub"):
            (self.folder / name).mkdir()
        self.env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder / "cache"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "HF_HUB_CACHE": str(self.folder / "hub"),
            "OMP_WAIT_POLICY": "passive",
            "LC_ALL": "C",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        os.chdir(self.folder / "work")

    def close(self):
        os.chdir("/")
        shutil.rmtree(self.folder, ignore_errors=True)


def open_stdout(kind, kept):
    """The descriptor for standard output: a file that is read afterwards, or one that cannot be written to."""
    if kind == "full":
        return os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    if kind == "broken":
        read, write = os.pipe()
        os.close(read)
        return write
    return os.dup(kept.fileno())


def run(scratch, words, row=None, env=None):
    """Runs one program to its end; no shell reads its words."""
    row = row or Row("", "")
    if row.limit:
        words = ["/bin/sh", "-c", row.limit + ' && exec "$@"', "sh", *words]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
        if row.input is not None:
            given.write(row.input)
            given.flush()
            os.lseek(given.fileno(), 0, os.SEEK_SET)
        source = os.dup(given.fileno()) if row.input is not None else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        target = open_stdout(row.stdout, out)
        actions = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, target, 1)]
        actions += [(os.POSIX_SPAWN_DUP2, err.fileno(), 2)]
        if row.stdin == "closed":
            actions.append((os.POSIX_SPAWN_CLOSE, 0))
        if row.stdout == "closed":
            actions.append((os.POSIX_SPAWN_CLOSE, 1))
        pid = os.posix_spawn(
            words[0],
            [os.fsencode(str(word)) if not isinstance(word, bytes) else word for word in words],
            {**scratch.env, **row.env, **(env or {})},
            file_actions=actions,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
        os.close(source)
        os.close(target)
        hung = wait_or_kill(pid)
        _, status, usage = os.wait4(pid, 0)
        out.seek(0)
        err.seek(0)
        return Answer(
            code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            out=out.read(MOST_OUTPUT),
            err=err.read(MOST_OUTPUT).decode("utf-8", "backslashreplace"),
            seconds=usage.ru_utime + usage.ru_stime,
            bytes=usage.ru_maxrss * 1024,
            hung=hung,
        )


def wait_or_kill(pid):
    """Waits for a process without taking its status; one that does not end is killed: True."""
    watched = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        if poll.poll(HANG * 1000):
            return False
        os.kill(pid, signal.SIGKILL)
        return True
    finally:
        os.close(watched)


# ---- Files -----------------------------------------------------------------------------------------------------------


def listing(folder):
    """All that stands below a folder: kind, mode, owner, size, and when it was last written."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(place, name)
            info = os.lstat(path)
            kind = stat.S_ISDIR(info.st_mode)
            found[path] = (info.st_mode, info.st_uid, info.st_ino, None if kind else (info.st_size, info.st_mtime_ns))
    return found


def input_size(folder):
    """Bytes on the disk of all files: holes do not count."""
    return sum(os.lstat(path).st_blocks * 512 for path, info in listing(folder).items() if stat.S_ISREG(info[0]))


# ---- Judging ---------------------------------------------------------------------------------------------------------


class Fault(AssertionError):
    pass


def expect(condition, text):
    if not condition:
        raise Fault(text)


def check_text(text, says):
    for pattern in (says,) if isinstance(says, str) else says:
        expect(re.search(pattern, text), f"expected /{pattern}/ on stderr")


def check_lines(answer, says):
    """One line of error; before it, warnings at most."""
    lines = answer.err.splitlines()
    errors = [line for line in lines if line.startswith("alloy: ")]
    others = [line for line in lines if not line.startswith(("alloy: ", "warning: "))]
    expect(len(errors) == 1 and not others, "expected one line of error on stderr")
    check_text(errors[0], says)
    expect(len(errors[0]) <= 4096, f"a line of {len(errors[0])} characters")
    expect(all(character >= " " and character != "\x7f" for character in errors[0]), "control characters on stderr")


def check_document(answer, status):
    try:
        document = json.loads(answer.out)
        error = document["error"]
    except (ValueError, KeyError, TypeError) as fault:
        raise Fault(f"--json gave no error document: {answer.out[:200]!r}") from fault
    expect(error["status"] == status and error["code"] == STATUSES.index(status), f"the document says {error}")
    expect(error["message"] in answer.err, "the document and stderr say different things")


def judge(row, words, answer):
    """Raises Fault where a run did not end as the row of its command says."""
    status, says = row.but.get(words[1], (row.status, row.says))
    expect(not answer.hung, f"did not end within {HANG} s")
    expect(not answer.signal, f"ended by signal {answer.signal}")
    name = STATUSES[answer.code] if answer.code < len(STATUSES) else str(answer.code)
    expect(name in status.split("|"), f"ended with {name}, expected {status}")
    if answer.code >= len(STATUSES):
        return
    if name in ("OK", "DIFFERENT"):
        expect(not re.search("^alloy: ", answer.err, re.MULTILINE), "an error's line beside success")
        check_text(answer.err, says)
        expect(re.search(row.prints, answer.out.decode("utf-8", "replace")), f"stdout does not match /{row.prints}/")
    else:
        check_lines(answer, says)
        if "--json" in words and row.stdout == "file":
            check_document(answer, name)
        else:
            expect(answer.out == b"", f"printed {answer.out[:200]!r} on stdout")


def check_cost(row, answer, measure, size):
    if SLOW:
        return
    seconds, memory = (measure.seconds, measure.bytes) if measure else (0.5, 32 << 20)
    beyond = answer.seconds - seconds
    expect(beyond <= NEIGHBOURS * row.seconds, f"took {answer.seconds:.2f} s, {beyond:.2f} beyond a sound input")
    beyond = answer.bytes - memory - size
    expect(beyond <= row.bytes, f"took {answer.bytes >> 20} MiB, {beyond >> 20} beyond a sound input and its own size")


# ---- Rows ------------------------------------------------------------------------------------------------------------


class Runner:
    def __init__(self):
        self.scratch = Scratch()
        self.measures = {}  # command line: Answer on a sound model
        self.runs = 0

    def close(self):
        left = listing(self.scratch.folder / "work")
        self.scratch.close()
        expect(not left, f"files were written where commands ran: {sorted(left)}")

    def words(self, line, places):
        """A command line's words, each with its places filled in; a place may be bytes or a text with spaces."""
        words = []
        for word in shlex.split(line):
            exact = re.fullmatch(r"\{(\w+)\}", word)
            words.append(places[exact.group(1)] if exact else word.format_map(places))
        return [str(COMMAND), *words]

    def measure(self, line, row):
        """The command on the sound model: what it takes, once for each line."""
        key = (line, row.good)
        if key not in self.measures:
            folder = pathlib.Path(tempfile.mkdtemp(dir=self.scratch.folder))
            try:
                places = (row.good if callable(row.good) else copied(row.good))(folder)
                (folder / "out").mkdir(exist_ok=True)
                answer = run(self.scratch, self.words(line, {"good": row.good, "out": folder / "out", **places}))
            except KeyError:  # a place that sound inputs do not have
                answer = None
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            self.measures[key] = answer
        return self.measures[key]

    def try_command(self, row, line, as_json, folder, places):
        words = self.words(line, places)
        if as_json:
            words.append("--json")
        before = listing(folder)
        answer = run(self.scratch, words, row)
        self.runs += 1
        try:
            judge(row, words, answer)
            check_cost(row, answer, self.measure(line, row) if row.good else None, input_size(folder))
            if not row.writes:
                changed = {path for path, info in set(listing(folder).items()) ^ set(before.items())}
                expect(not changed, f"written: {sorted(changed)}")
            if row.check:
                row.check(places, answer)
        except AssertionError as fault:
            shown = " ".join(shlex.quote(str(word)[:200]) for word in words[1:])
            return f"{fault}\n    alloy {shown}\n    {answer.err[:600].rstrip()}"
        return None

    def try_row(self, row):
        """Faults, one text each; commands that fail alike are told once."""
        if row.unsanitized and SLOW:
            print(f"{row.id} {row.what}: not run: {row.unsanitized}")
            return []
        if row.test:
            return self.try_test(row)
        faults = {}
        for number, line in enumerate(row.commands):
            folder = pathlib.Path(tempfile.mkdtemp(dir=self.scratch.folder))
            try:
                (folder / "out").mkdir()
                places = {"good": row.good, "out": folder / "out", **(row.make(folder) if row.make else {})}
                as_json = row.json and number > 0 and "--jsonl" not in line
                fault = self.try_command(row, line, as_json, folder, places)
            finally:
                forget(folder)
            if fault:
                faults.setdefault(fault.split("\n", 1)[0], []).append(fault)
        return [f"{row.id} {row.what}: {len(alike)} x {alike[0]}" for alike in faults.values()]

    def try_test(self, row):
        """One test of a program of tests/, which must be there, run and pass."""
        program, name = row.test.split(":")
        paths = [BUILD / "tests" / program, BUILD / "tests/plugins" / program]
        path = next((path for path in paths if path.exists()), None)
        if not path:
            return [f"{row.id} {row.what}: no program {program} in {BUILD}/tests"]
        self.runs += 1
        result = subprocess.run(
            [str(path)],
            env={**os.environ, "ALLOY_TEST_FILTER": name, "OMP_WAIT_POLICY": "passive"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
        )
        text = result.stdout + result.stderr
        passed = re.search(rf"\[ +OK \] {re.escape(name)}\b", text) and re.search(r"Running 1 test", text)
        if result.returncode == 0 and passed:
            return []
        return [f"{row.id} {row.what}: {program} {name} was not run, or failed\n    {text[-800:].rstrip()}"]

    def measure_machine(self):
        """The first roofline --measure measures this machine for seconds, and keeps that in the cache's folder."""
        run(self.scratch, [str(COMMAND), "roofline", str(GOLDEN / "qwen3"), "--measure", "--at", "decode:4", "-q"])

    def try_rows(self, rows, jobs):
        if any("--measure" in line for row in rows for line in row.commands):
            self.measure_machine()
        with ThreadPoolExecutor(jobs) as pool:
            return [fault for faults in pool.map(self.try_row, rows) for fault in faults]


def forget(folder):
    """Removes a folder, whatever its modes."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(place, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


# ---- Inputs ----------------------------------------------------------------------------------------------------------

MODEL_FILES = ("config.json", "generation_config.json", "tokenizer.json", "model.safetensors")


def copied(model, *edits):
    """Makes {model}, a copy of the files of a sound model, and has each edit change it."""

    def make(folder):
        target = folder / "model"
        target.mkdir()
        for path in sorted(pathlib.Path(model).iterdir()):
            if path.name in MODEL_FILES or path.name.startswith("model"):
                shutil.copyfile(path, target / path.name)
        places = {"model": target, "folder": folder}
        for edit in edits:
            places.update(edit(target) or {})
        return places

    return make


def file(name, content):
    """An edit: a file of the model, of this text or these bytes (or a function's)."""

    def edit(target):
        data = content() if callable(content) else content
        (target / name).write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))

    return edit


def fields(name, **values):
    """An edit: fields of a JSON file of the model; RAW(text) is taken as it is, GONE leaves the field out."""

    def edit(target):
        path = target / name
        document = json.loads(path.read_text()) if path.exists() else {}
        document.update(values)
        path.write_text(dumps({key: value for key, value in document.items() if value is not GONE}))

    return edit


class RAW(str):
    """JSON that is written as it stands."""


GONE = object()


def dumps(value):
    if isinstance(value, RAW):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {dumps(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(value)


def read_safetensors(path):
    """{name: (dtype, shape, bytes)} in the order of the file, and the metadata."""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__", None)
    body = data[8 + size :]
    return {
        name: (info["dtype"], info["shape"], body[slice(*info["data_offsets"])]) for name, info in header.items()
    }, metadata


def safetensors(tensors, pad=0, **header):
    """The bytes of a safetensors file; `pad` bytes of white space end the header."""
    entries, at = dict(header), 0
    for name, (dtype, shape, data) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    return framed(json.dumps(entries) + " " * pad, b"".join(data for _, _, data in tensors.values()))


def framed(header, data=b"", size=None):
    """A header and data as a file, with the header's size, or with another."""
    header = header if isinstance(header, bytes) else header.encode("utf-8", "surrogatepass")
    return (len(header) if size is None else size).to_bytes(8, "little") + header + data


def tensors(change, name="model.safetensors"):
    """An edit: `change` gets {name: (dtype, shape, bytes)} of the model's weights and gives what they become."""

    def edit(target):
        held, _ = read_safetensors(target / name)
        (target / name).write_bytes(safetensors(change(held) or held))

    return edit
