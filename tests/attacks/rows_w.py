"""W1 to W6: what a command writes to. A file is replaced whole and keeps its mode; links are followed; devices, FIFOs and
standard output are written to; nothing that the run reads, and no file of a model, is written over. Refused before
anything is computed: the weights of some rows hold NaN, which a forward would meet first."""

import os
import stat
import struct
import subprocess

from attack import GOLDEN, Row, copied, expect, file, read_safetensors, tensors

QWEN3 = GOLDEN / "qwen3"
# what writes one file, to {target}
FILES = {
    "logits": "logits {model} --ids 1,2 --out {target}",
    "routing": "logits {moe} --ids 1,2 --routing-out {target} --out {folder}/logits",
    "html": "roofline {model} --html {target}",
    "svg": "roofline {model} --svg {target}",
}
FOLDERS = {"init": "init {model} --out {target}", "convert": "convert {model} --out {target}"}
MOE = GOLDEN / "qwen3_moe"


def model(*edits):
    """{model}, {moe}, {folder} to write in, and what the edits add, who get the folder."""

    def make(folder):
        inner = folder / "written"
        inner.mkdir()
        places = {**copied(QWEN3)(folder), "moe": MOE, "folder": inner}
        for edit in edits:
            places.update(edit(inner) or {})
        return places

    return make


def at(name, make=None):
    """{target}: a path of that name, of what `make` makes there."""

    def edit(folder):
        path = folder / name
        if make:
            make(path)
        return {"target": path}

    return edit


def regular(mode=0o600):
    def make(path):
        path.write_bytes(b"what was there" * 1000)
        path.chmod(mode)

    return make


def null_device(path):
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def full_device(path):
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 7))


def drained(path):
    """A FIFO, and a reader that keeps what comes."""
    os.mkfifo(path)
    with open(path.parent / "drained", "wb") as kept:
        subprocess.Popen(["timeout", "20", "cat", path], stdout=kept)


def link_to(name, make=None):
    def make_link(path):
        if make:
            make(path.parent / name)
        path.symlink_to(name)

    return make_link


def is_still(kind):
    def check(places, answer):
        expect(kind(os.lstat(places["target"]).st_mode), f"{places['target']} is not what it was")

    return check


def is_whole(places, name):
    path = places["folder"] / name
    expect(path.is_file() and path.stat().st_size > 0, f"{path} was not written")
    left = [entry for entry in os.listdir(places["folder"]) if ".tmp" in entry or entry.startswith(".")]
    expect(not left, f"left behind: {left}")


def replaced(mode):
    def check(places, answer):
        is_whole(places, "target")
        found = stat.S_IMODE(os.stat(places["target"]).st_mode)
        expect(found == mode, f"mode {found:o}, expected {mode:o}")
        expect(b"what was there" not in places["target"].read_bytes(), "the old file is still there")

    return check


def through_link(places, answer):
    expect(os.path.islink(places["target"]), "the link is gone")
    is_whole(places, "real")


def fifo_was_read(places, answer):
    expect(stat.S_ISFIFO(os.lstat(places["target"]).st_mode), "the FIFO is gone")


def written(id_, what, edit, check, lines=FILES, **more):
    return Row(id_, what, model(edit), tuple(lines.values()), "OK", "", writes=True, check=check, json=False, **more)


def refused(id_, what, edit, status="IO", says="", lines=FILES, **more):
    return Row(id_, what, model(spoiled, edit), tuple(lines.values()), status, says, **more)


def spoiled(folder):
    """The model's last norm becomes NaN: what computes first ends with RANGE."""

    def change(held):
        for name, (dtype, shape, data) in held.items():
            if name == "model.norm.weight":
                held[name] = (dtype, shape, struct.pack("<f", float("nan")) * (len(data) // 4))

    tensors(change)(folder.parent / "model")


def own(name):
    """{target}: a file of the model, which is there."""

    def edit(folder):
        path = folder.parent / "model" / name
        if not path.exists():
            path.write_text("{}")
        return {"target": path}

    return edit


def other_name(make):
    """{target}: another name of the model's weights."""

    def edit(folder):
        make(folder.parent / "model/model.safetensors", folder / "other")
        return {"target": folder / "other"}

    return edit


def trained(folder):
    """{target}: a folder that holds a model, and a file that is nobody's."""
    copied(QWEN3, file("notes.txt", "mine"))(folder)
    return {"target": folder / "model"}


def swapped(places, answer):
    expect((places["target"] / "notes.txt").read_text() == "mine", "a file that no model wrote is gone")
    held, _ = read_safetensors(places["target"] / "model.safetensors")
    expect(len(held) > 10, "no model was written")
    left = [name for name in os.listdir(places["folder"]) if name != "model"]
    expect(not left, f"left behind: {left}")


STANDARD_OUTPUT = {name: line.replace("{target}", "-") for name, line in FILES.items() if name != "logits"}
OF_MODEL = {name: line for name, line in FILES.items() if "{model}" in line}
DEVICES = os.geteuid() == 0
FORCED = {name: f"{line} --force" for name, line in FOLDERS.items()}

ROWS = [
    *([written("W1", "a device", at("target", null_device), is_still(stat.S_ISCHR)),
       Row("W1", "a device that is full", model(at("target", full_device)), tuple(FILES.values()), "IO",
           "No space left", check=is_still(stat.S_ISCHR), writes=True)] if DEVICES else []),
    written("W1", "a FIFO", at("target", drained), fifo_was_read),
    written("W1", "standard output", at("target"), lambda places, answer: expect(len(answer.out) > 30, "nothing came"),
            STANDARD_OUTPUT),
    written("W2", "a link to a file", at("target", link_to("real", regular())), through_link),
    written("W2", "a link to nothing yet", at("target", link_to("real")), through_link),
    refused("W2", "a link that loops", at("target", link_to("target")), "IO", "symbolic links"),
    written("W3", "a file of mode 600", at("target", regular(0o600)), replaced(0o600)),
    written("W3", "a file of mode 640", at("target", regular(0o640)), replaced(0o640)),
    written("W3", "a new file", at("target"), lambda places, answer: is_whole(places, "target")),
    refused("W4", "a folder", at("target", os.mkdir), "IO", "target"),
    refused("W4", "the empty name", lambda folder: {"target": ""}, "ARG|IO"),
    refused("W4", "a missing folder", at("no/such/target"), "IO", "no/such"),
    refused("W4", "below a file", at("target", lambda path: (path.write_text("x"))), "IO", "target",
            {name: line.replace("{target}", "{target}/x") for name, line in FILES.items()}),
    refused("W4", "a folder's place is a file", at("target", regular()), "IO", "target", FOLDERS),
    refused("W4", "a model's folder in a missing folder of a file", at("target", regular()), "IO", "target",
            {name: line.replace("{target}", "{target}/x") for name, line in FOLDERS.items()}),
    refused("W4", "the empty name of a folder", lambda folder: {"target": ""}, "ARG|IO", "", FOLDERS),
    *[refused("W5", f"the model's own {name}", own(name), "IO", name)
      for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer_config.json", "README.md")],
    refused("W5", "a hard link to the weights", other_name(os.link), "IO", "other", OF_MODEL),
    refused("W5", "a link to the weights", other_name(os.symlink), "IO", "other"),
    refused("W5", "a file of another model's folder", lambda folder: {
        "target": copied(QWEN3)(folder)["model"] / "config.json"}, "IO", "config.json"),
    refused("W5", "one file for two results", at("target"), "ARG|IO", "", {
        "logits": "logits {moe} --ids 1 --out {target} --routing-out {target}",
        "roofline": "roofline {model} --html {target} --svg {target}"}),
    refused("W5", "one file by two names", at("target", link_to("real", regular())), "ARG|IO", "", {
        "logits": "logits {moe} --ids 1 --out {target} --routing-out {folder}/real",
        "roofline": "roofline {model} --html {folder}/real --svg {target}"}),
    refused("W5", "the list of ids", at("target", lambda path: path.write_text("1 2 3")), "IO", "target", {
        "logits": "logits {model} --ids-file {target} --out {target}"}),
    refused("W5", "the chip's file", at("chip.json", lambda path: path.write_text(
        '{"name": "x", "memory_bandwidth": 1e12, "peak": {"bf16": 1e14}}')), "IO|FORMAT", "chip", {
            "roofline": "roofline {model} --hardware {target} --html {target}"}),
    refused("W6", "a folder that holds a model", trained, "IO", ("holds a model", "--force"), FOLDERS),
    Row("W6", "the model itself", model(), ("init {model} --out {model}", "convert {model} --out {model}"), "IO",
        "holds a model|is the model|file of the model"),
    written("W6", "a folder that holds a model, with --force", trained, swapped, FORCED),
]  # fmt: skip
