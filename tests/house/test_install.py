"""An installed copy is enough: a program finds it by pkg-config and by CMake, and so does a plug-in."""

import os
import pathlib
import shutil
import tempfile
import unittest

from house import BUILD, CC, ROOT, run

CONSUMER = ROOT / "tests/house/consumer"


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="alloy-install-"))
        cls.prefix = cls.folder / "prefix"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)
        cls.libraries = next(cls.prefix.rglob("liballoy.so")).parent
        cls.environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(cls.libraries),
            "PKG_CONFIG_PATH": str(cls.libraries / "pkgconfig"),
        }

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def configure_and_build(self, source, name):
        build = self.folder / name
        run("cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_C_COMPILER={CC}")
        run("cmake", "--build", build)
        return build

    def expect_greeting(self, program, *arguments):
        self.assertIn("alloy 0.", run(program, *arguments, env=self.environment))

    def test_by_pkg_config(self):
        program = self.folder / "by_pkg_config"
        flags = run("pkg-config", "--cflags", "--libs", "alloy", env=self.environment).split()
        run(CC, "-std=c17", CONSUMER / "main.c", "-o", program, *flags)
        self.expect_greeting(program)

    def test_by_pkg_config_statically(self):
        program = self.folder / "static"
        flags = run("pkg-config", "--static", "--cflags", "--libs", "alloy", env=self.environment).split()
        flags[flags.index("-lalloy")] = "-l:liballoy.a"
        run(CC, "-std=c17", CONSUMER / "main.c", "-o", program, *flags)
        self.expect_greeting(program)

    def test_by_cmake(self):
        build = self.configure_and_build(CONSUMER, "by_cmake")
        self.expect_greeting(build / "shared")
        self.expect_greeting(build / "static")

    def test_a_plugin_is_built_and_loaded(self):
        self.configure_and_build(CONSUMER, "with_plugin")
        build = self.configure_and_build(ROOT / "examples/plugins/mamba2", "mamba2")
        self.folder.chmod(0o700)
        (build / "mamba2.so").chmod(0o755)
        build.chmod(0o755)
        output = run(self.folder / "with_plugin/shared", build / "mamba2.so", env=self.environment)
        self.assertIn("Mamba-2", output)

    def test_the_command_runs_where_it_was_put(self):
        environment = {name: value for name, value in self.environment.items() if name != "LD_LIBRARY_PATH"}
        self.assertIn("mamba2", run(self.prefix / "bin/alloy", "modules", "--plugin", self.plugin(), env=environment))

    def plugin(self):
        copy = self.folder / "copy"
        copy.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(BUILD / "plugins/mamba2.so", copy / "mamba2.so")
        (copy / "mamba2.so").chmod(0o755)
        return copy / "mamba2.so"


if __name__ == "__main__":
    unittest.main()
