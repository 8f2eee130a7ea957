"""Each public header is whole: it compiles alone, as C17 and as C++, without a warning."""

import shutil
import unittest

from house import CC, HEADERS, ROOT, run

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only")


class Headers(unittest.TestCase):
    def test_there_are_some(self):
        self.assertIn("alloy.h", [header.name for header in HEADERS])

    def test_types_are_those_of_the_standard(self):
        """So that other languages can bind them: no 128-bit integers, no extensions."""
        for header in HEADERS:
            with self.subTest(header=header.name):
                for word in ("__int128", "__extension__"):
                    self.assertNotIn(word, header.read_text())

    def compile(self, compiler, language, standard):
        for header in HEADERS:
            with self.subTest(header=header.name):
                source = f"#include <alloy/{header.name}>\n"
                run(compiler, f"-std={standard}", *WARNINGS, f"-I{ROOT / 'include'}", "-x", language, "-", input=source)

    def test_as_c(self):
        self.compile(CC, "c", "c17")

    def test_as_cpp(self):
        compiler = shutil.which("c++")
        if not compiler:
            self.skipTest("no C++ compiler")
        self.compile(compiler, "c++", "c++17")


if __name__ == "__main__":
    unittest.main()
