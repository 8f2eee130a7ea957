"""Lower rooms never include upper ones, modules never include each other, only a backend includes intrinsics.

What a room may include is what CMakeLists.txt says it needs, `alloy_room(modules NEEDS config ops)`, and what those
need in turn.
"""

import pathlib
import re
import tempfile
import unittest

from house import ROOT

INTRINSICS = re.compile(r"(\w*mmintrin|\w*intrin|arm_\w+)\.h|CL/.*|cuda.*|hip/.*")
MODULE = re.compile(r"modules/(mixers|ffns|residuals)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.MULTILINE)
HARDWARE = "src/kernels/cpu/"
SOURCES = ("*.c", "*.h")


def read_rooms(cmake):
    """room -> the rooms that it may include, itself among them."""
    rooms = {}
    for name, needs in re.findall(r"^alloy_room\((\w+)(?: NEEDS ([\w ]+))?\)", cmake, re.MULTILINE):
        rooms[name] = {name}.union(*(rooms[need] for need in needs.split()))
    return rooms


def sources(folder):
    return sorted(path for pattern in SOURCES for path in folder.rglob(pattern))


def room_faults(root, path, rooms):
    name = path.relative_to(root).as_posix()
    room = name.split("/")[1]
    if room not in rooms:
        yield f"{name}: src/{room} is not a room of CMakeLists.txt"
        return
    for bracket, header in INCLUDE.findall(path.read_text()):
        target = header.split("/")[0]
        if bracket == '"' and "/" in header and target != "alloy" and target not in rooms[room]:
            yield f"{name}: {room} includes {header}; it needs only {', '.join(sorted(rooms[room]))}"
        own = header == name.removeprefix("src/").removesuffix(".c") + ".h"
        if MODULE.match(name.removeprefix("src/")) and MODULE.match(header) and not own:
            yield f"{name}: a module includes another one, {header}"


def faults(root):
    rooms = read_rooms((root / "CMakeLists.txt").read_text())
    for path in sources(root / "src"):
        yield from room_faults(root, path, rooms)
    for path in (path for folder in ("src", "include", "cli") for path in sources(root / folder)):
        name = path.relative_to(root).as_posix()
        for bracket, header in INCLUDE.findall(path.read_text()):
            if INTRINSICS.fullmatch(header) and not name.startswith(HARDWARE):
                yield f"{name}: {header} outside {HARDWARE}"
            if name.startswith("include/") and bracket == '"' and not header.startswith("alloy/"):
                yield f"{name}: a public header includes {header}, which is not installed"
    for path in sources(root / "examples"):
        for bracket, header in INCLUDE.findall(path.read_text()):
            if bracket == '"' and not (path.parent / header).exists():
                yield f"{path.relative_to(root)}: {header} is neither its own nor public"


class Rooms(unittest.TestCase):
    def test_no_include_climbs(self):
        self.assertEqual(list(faults(ROOT)), [])

    def test_every_room_is_known(self):
        rooms = read_rooms((ROOT / "CMakeLists.txt").read_text())
        self.assertEqual(rooms["base"], {"base"})
        self.assertLessEqual({"base", "kernels", "ops", "files", "config"}, rooms["engine"])
        self.assertNotIn("ops", rooms["tokenizer"])


class TheTestCanFail(unittest.TestCase):
    """A tree with one file of a fault each."""

    CMAKE = "alloy_room(base)\nalloy_room(ops NEEDS base)\nalloy_room(modules NEEDS ops)\n"

    def faults_of(self, name, text):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "CMakeLists.txt").write_text(self.CMAKE)
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(text)
            return "\n".join(faults(root))

    def test_on_an_include_that_climbs(self):
        self.assertIn("base includes ops/pass.h", self.faults_of("src/base/text.c", '#include "ops/pass.h"\n'))

    def test_on_a_room_that_nobody_declared(self):
        self.assertIn("src/attic is not a room", self.faults_of("src/attic/old.c", ""))

    def test_on_modules_that_know_each_other(self):
        text = '#include "modules/mixers/a.h"\n'
        self.assertIn("includes another", self.faults_of("src/modules/mixers/b.c", text))
        self.assertEqual("", self.faults_of("src/modules/mixers/a.c", text))

    def test_on_an_intrinsic_outside_its_folder(self):
        text = "#include <immintrin.h>\n"
        self.assertIn("immintrin.h outside", self.faults_of("src/ops/linear.c", text))
        self.assertIn("arm_neon.h outside", self.faults_of("src/ops/linear.c", "#  include <arm_neon.h>\n"))
        self.assertIn("is not a room", self.faults_of("src/kernels/cpu/avx2/dot.c", text))

    def test_on_a_public_header_that_needs_a_hidden_one(self):
        self.assertIn("not installed", self.faults_of("include/alloy/alloy.h", '#include "base/text.h"\n'))

    def test_on_an_example_that_looks_inside(self):
        self.assertIn("neither", self.faults_of("examples/plugins/a/a.c", '#include "ops/pass.h"\n'))


if __name__ == "__main__":
    unittest.main()
