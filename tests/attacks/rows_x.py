"""X1 to X13: the index of shards, shards, and links."""

import json
import os
import shutil

from attack import GOLDEN, RAW, Row, copied, dumps, fields, file
from commands import OF_CONFIG_ALONE, OF_TOKENIZER, OF_WEIGHTS

SHARDED, QWEN3 = GOLDEN / "llama_linear_sharded", GOLDEN / "qwen3"
INDEX = "model.safetensors.index.json"
SECOND = "model-00002-of-00010.safetensors"


def index():
    return json.loads((SHARDED / INDEX).read_text())


def mapped(change):
    """The index with its weight_map changed."""

    def content():
        document = index()
        document["weight_map"] = change(dict(document["weight_map"]))
        return dumps(document)

    return file(INDEX, content)


def placed(name):
    """The first tensor in a shard of another name, as JSON writes it."""

    def change(weight_map):
        weight_map[next(iter(weight_map))] = RAW(name)
        return weight_map

    return mapped(change)


def sharded(id_, what, edit, status, says, commands=OF_WEIGHTS, **more):
    return Row(id_, what, copied(SHARDED, edit), commands, status, says, good=SHARDED, **more)


def gone(name):
    return lambda target: (target / name).unlink()


def cut(name, size):
    return lambda target: os.truncate(target / name, size)


def turned(weight_map):
    """The tensors of the second shard and of the third change places."""
    third = SECOND.replace("00002", "00003")
    swap = {SECOND: third, third: SECOND}
    return {name: swap.get(shard, shard) for name, shard in weight_map.items()}


def twice(target):
    """The third shard holds the tensors of the second."""
    shutil.copyfile(target / SECOND, target / SECOND.replace("00002", "00003"))


def linked(name, to):
    """A file of the model, moved out of its folder and replaced by a link; `to` makes the link's text of its new place."""

    def edit(target):
        outside = target.parent / "outside"
        outside.mkdir(exist_ok=True)
        shutil.move(target / name, outside / name)
        (target / name).symlink_to(to(outside / name))

    return edit


def hub_cache(target):
    """The model becomes a snapshot of the Hub's cache: links to blobs."""
    blobs, snapshot = target.parent / "hub/blobs", target.parent / "hub/snapshots/1"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(target.iterdir())):
        shutil.move(path, blobs / f"{number:064x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number:064x}")
    return {"model": snapshot}


def special(name, make):
    def edit(target):
        (target / name).unlink(missing_ok=True)
        make(target / name)

    return edit


def device(path):
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # what /dev/zero is


def looping(path):
    path.symlink_to(path.name)


def dangling(path):
    path.symlink_to("nowhere")


def unreadable(path):
    """Mode 000, and a link to nothing where that does not keep root out."""
    path.write_bytes(b"")
    path.chmod(0)


CONFIGS = (*OF_WEIGHTS, *OF_CONFIG_ALONE)
KINDS = [
    ("X10", "a FIFO", os.mkfifo, "regular file"),
    ("X10", "a folder", os.mkdir, "not a regular file|Is a directory|no tokenizer.json|config.json/config.json"),
    ("X10", "a device", device, "regular file"),
    ("X11", "a looping link", looping, "symbolic links"),
    ("X11", "a dangling link", dangling, "No such file|no such folder"),
]


def kinds():
    """Each of them in the place of each file that a model consists of."""
    for id_, what, make, says in KINDS:
        if make is device and os.geteuid() != 0:
            continue
        yield sharded(id_, f"{what} as a shard", special(SECOND, make), "IO", (SECOND, says))
        yield sharded(id_, f"{what} as an index", special(INDEX, make), "IO", (INDEX, says))
        yield Row(id_, f"{what} as weights", copied(QWEN3, special("model.safetensors", make)), OF_WEIGHTS, "IO",
                  ("model.safetensors", says), good=QWEN3)  # fmt: skip
        yield Row(id_, f"{what} as config.json", copied(QWEN3, special("config.json", make)), CONFIGS, "IO",
                  ("config.json", says), good=QWEN3)  # fmt: skip
        yield Row(id_, f"{what} as tokenizer.json", copied(QWEN3, special("tokenizer.json", make), lines), OF_TOKENIZER,
                  "IO", ("tokenizer.json", says), good=QWEN3)  # fmt: skip


def lines(target):
    (target / "lines.jsonl").write_text('{"text": "text"}\n')
    return {"lines": target / "lines.jsonl"}


def a_million_shards(target):
    with open(target / INDEX, "w") as out:
        out.write('{"weight_map": {')
        for first in range(0, 1000000, 1000):
            names = (f'"t{i}": "s{i}.safetensors"' for i in range(first, first + 1000))
            out.write(("," if first else "") + ",".join(names))
        out.write("}}")


ROWS = [
    *[
        sharded(id_, f"a shard named {name}", placed(name), "TRUST", (INDEX, "name of a file"))
        for id_, name in [
            ("X1", '"../x"'), ("X1", '".."'), ("X1", '"\\u002e\\u002e/x"'), ("X2", '"/etc/passwd"'), ("X2", '"/x"'),
            ("X3", '"a/b"'), ("X3", '"a\\\\b"'), ("X3", '"a\\u0000b"'), ("X4", '""'), ("X4", '"."'),
        ]  # fmt: skip
    ],
    sharded("X5", "a shard is missing", gone(SECOND), "IO", (SECOND, "No such file")),
    sharded("X6", "a shard is truncated", cut(SECOND, 1000), "FORMAT", (SECOND, "truncated")),
    sharded("X6", "a shard is empty", cut(SECOND, 0), "FORMAT", (SECOND, "too small")),
    sharded("X7", "tensors in the wrong shards", mapped(turned), "FORMAT", ("model-0000[23]-of-00010", "holds? tensor")),
    sharded("X8", "the same tensors in two shards", twice, "FORMAT", ("00003-of-00010", "holds? tensor")),
    sharded("X9", "a shard linked to elsewhere", linked(SECOND, lambda path: path), "TRUST",
            (SECOND, "outside", "--follow-symlinks")),
    sharded("X9", "a shard linked to elsewhere by ..", linked(SECOND, lambda path: f"../outside/{path.name}"), "TRUST",
            (SECOND, "--follow-symlinks")),
    sharded("X9", "an index linked to elsewhere", linked(INDEX, lambda path: path), "TRUST",
            (INDEX, "--follow-symlinks")),
    Row("X9", "a config linked to elsewhere", copied(QWEN3, linked("config.json", lambda path: path)), (
        *OF_WEIGHTS, "init {model} --out {out}/new"), "TRUST", ("config.json", "--follow-symlinks"), good=QWEN3),
    sharded("X9", "a link that is allowed", linked(SECOND, lambda path: path), "OK", "",
            tuple(f"{line} --follow-symlinks" for line in OF_WEIGHTS), writes=True),
    sharded("X9", "a snapshot of the Hub's cache", hub_cache, "OK", "", writes=True),
    *kinds(),
    Row("X12", "files that may not be read", test="files_weights:x9_to_x12_a_shard_is_a_regular_file_of_the_folder"),
    Row("X12", "a config that may not be read", test="files_model_files:x12_a_file_that_may_not_be_read_is_io"),
    sharded("X13", "a million shards", a_million_shards, "LIMIT", (INDEX, "more than 16384 shards"),
            ("info {model}", "generate {model} --ids 1 -n 1", "convert {model} --out {out}/new")),
    sharded("X13", "a total_size that is wrong", fields(INDEX, metadata={"total_size": 4}), "OK",
            "warning: .*total_size is 4", ("info {model}", "generate {model} --ids 1 -n 1")),
    sharded("X13", "a total_size that is negative", fields(INDEX, metadata={"total_size": -3}), "OK",
            "warning: .*total_size is -3|warning: .*negative", ("info {model}", "generate {model} --ids 1 -n 1")),
]  # fmt: skip
