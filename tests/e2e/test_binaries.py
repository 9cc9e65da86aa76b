"""What the built programs carry (a device's agent has nothing that only planning and writing artifacts needs), and what is
installed."""
import re
import subprocess
import unittest

from harness import BIN, ROOT, SANITIZED, EndToEnd


def needed(program):
    """The shared libraries that the program itself asks for."""
    dynamic = subprocess.run(["readelf", "-dW", BIN / program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\)\s+Shared library: \[([^\]]+)\]", dynamic)


def symbols(program):
    return subprocess.run(["nm", "-C", BIN / program], capture_output=True, text=True, check=True).stdout


def links_of(name, rooms):
    """Every library of ours that `name` links, itself or through another."""
    seen, ahead = set(), [name]
    while ahead:
        library = ahead.pop()
        if library in rooms and library not in seen:
            seen.add(library)
            ahead += rooms[library][1]
    return seen


class Binaries(unittest.TestCase):
    # Of what plans, reads recipes and writes formats some names, each of which the daemon has.
    PLANNING = ("GgufWriter", "ParseRecipe", "onnx::", "pugi::", "toml::", "re2::")

    def test_the_agent_asks_for_no_library_that_only_planning_needs(self):
        libraries = needed("quantfleet-agent")
        self.assertIn("libcrypto.so.3", libraries)
        self.assertEqual([name for name in libraries if re.match(r"lib(re2|tomlplusplus|pugixml|soci|sqlite)", name)], [])
        # The same names are found where they are needed: the test looks at the right thing.
        self.assertTrue(any(name.startswith("libre2") for name in needed("quantfleetd")))

    def test_the_agent_has_no_writers_of_formats(self):
        agent, daemon = symbols("quantfleet-agent"), symbols("quantfleetd")
        self.assertIn("quantfleet::engine::Transformer", agent)
        for name in self.PLANNING:
            # assertIn would print megabytes.
            self.assertEqual((name in agent, name in daemon), (False, True), name)

    def test_the_agent_links_the_rooms_that_the_design_gives_it(self):
        rooms = {}
        for line in (BIN.parent / "rooms.txt").read_text().splitlines():
            name, folder, linked = line.split("|")
            rooms[name] = folder, linked.split(";")
        folders = {rooms[name][0] for name in links_of("qf_agent", rooms)}
        allowed = re.compile(r"agent|engine|text|common|pipeline/(artifact|model|family|tensor|format/gguf/read)")
        self.assertEqual(sorted(folder for folder in folders if not allowed.match(folder)), [])
        self.assertFalse(folders & {"common/toml"})
        # And nothing but the agent links what is the agent's.
        for name, (folder, _) in rooms.items():
            if not folder.startswith(("agent", "tests")):
                theirs = {rooms[linked][0] for linked in links_of(name, rooms)}
                self.assertEqual([one for one in theirs if one.startswith("agent")], [], name)

    def test_every_program_carries_the_notices_of_what_it_contains(self):
        notice = (ROOT / "LICENSES/ggml.txt").read_bytes().split(b"\n\n", 1)[1]
        self.assertIn(b"MIT License", notice)
        for program in ("quantfleet", "quantfleet-agent", "quantfleetd"):
            self.assertTrue(notice in (BIN / program).read_bytes(), program)


@unittest.skipIf(SANITIZED, "a build with sanitizers is not shipped")
class Hardening(unittest.TestCase):
    PROGRAMS = ("quantfleet", "quantfleet-agent", "quantfleetd")

    def read(self, *options):
        *options, program = options
        return subprocess.run(["readelf", *options, BIN / program], capture_output=True, text=True, check=True).stdout

    def test_what_is_linked_is_placed_at_random_and_cannot_be_written(self):
        for program in self.PROGRAMS:
            with self.subTest(program):
                self.assertIn("DYN (Position-Independent Executable file)", self.read("-hW", program))
                self.assertRegex(self.read("-dW", program), r"\(FLAGS_1\)\s+Flags:.*\bNOW\b.*\bPIE\b")
                segments = self.read("-lW", program)
                self.assertIn("GNU_RELRO", segments)
                self.assertRegex(segments, r"GNU_STACK.*\bRW\b")
                self.assertNotRegex(segments, r"\bRWE\b")

    def test_stacks_buffers_and_jumps_are_guarded(self):
        for program in self.PROGRAMS:
            with self.subTest(program):
                wanted = set(re.findall(r"\bUND (\w+)", self.read("--dyn-syms", "-W", program)))
                self.assertIn("__stack_chk_fail", wanted)
                # What _FORTIFY_SOURCE makes of copies and prints whose size it knows.
                self.assertTrue([name for name in wanted if re.fullmatch(r"__\w+_chk", name)])
                code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", BIN / program],
                                      capture_output=True, text=True, check=True).stdout
                self.assertRegex(code, r"<main>:\n.*(endbr64|paciasp|bti\s+c)")

    def test_no_folder_of_the_builder_is_in_a_program(self):
        for program in self.PROGRAMS:
            self.assertFalse(str(ROOT).encode() in (BIN / program).read_bytes(), program)


class Install(EndToEnd):
    def test_an_installed_tree_has_programs_services_classes_and_what_is_read(self):
        subprocess.run(["cmake", "--install", BIN.parent, "--prefix", self.dir], capture_output=True, text=True, check=True)
        programs = {path.name: path for path in (self.dir / "bin").iterdir()}
        self.assertEqual(sorted(programs), ["quantfleet", "quantfleet-agent", "quantfleetd"])
        for name, path in programs.items():
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
            self.assertRegex(said, r"\d+\.\d+\.\d+", name)
        for installed, source in (("lib/systemd/system", "deploy/systemd"), ("share/quantfleet/classes", "deploy/classes")):
            self.assertEqual(sorted(p.name for p in (self.dir / installed).iterdir()),
                             sorted(p.name for p in (ROOT / source).iterdir()))
        runtimes = self.dir / "share/quantfleet/runtimes"
        self.assertEqual(sorted(str(p.relative_to(runtimes)) for p in runtimes.rglob("*") if p.is_file()),
                         sorted(["install.sh", "openai_api.py", "serving.py"] + [
                             f"{runtime}/{file}" for runtime in ("mlx", "onnxruntime", "openvino")
                             for file in ("requirements.txt", "serve.py")]))
        subprocess.run([runtimes / "install.sh", "--help"], capture_output=True, check=True)
        for unit in (self.dir / "lib/systemd/system").iterdir():
            # With the prefix /usr, which the units expect.
            self.assertIn(re.search(r"^ExecStart=/usr/bin/(\S+)", unit.read_text(), re.M)[1], programs)
        for name in ("LICENSE", "LICENSES/ggml.txt", "README.md", "CHANGELOG.md", "docs/architecture.md", "docs/formats/gguf.md"):
            self.assertTrue((self.dir / "share/doc/quantfleet" / name).is_file(), name)


if __name__ == "__main__":
    unittest.main()
