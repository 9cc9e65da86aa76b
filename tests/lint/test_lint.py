"""The lint itself: what it is to find is planted, and it finds it."""
import tempfile
import unittest
from pathlib import Path

import format as formatting
import include_arrows
import sentences
import service_paths


class Planted(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="quantfleet-lint-")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def plant(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)


class Arrows(Planted):
    """With the rooms and links of the build that was configured last."""

    def setUp(self):
        super().setUp()
        self.folders, self.links = include_arrows.read_rooms(include_arrows.newest_rooms())

    def wrong(self):
        return include_arrows.wrong_arrows(self.root, self.folders, self.links)[0]

    def test_a_room_of_the_daemon_must_not_include_one_above_it(self):
        self.plant("daemon/store/planted.cc", '#include "daemon/store/planted.h"\n\n#include "daemon/rollout/create.h"\n')
        wrong = self.wrong()
        self.assertEqual(len(wrong), 1, wrong)
        self.assertTrue(wrong[0].startswith("daemon/store/planted.cc:3: includes daemon/rollout/create.h"), wrong)

    def test_the_same_include_the_other_way_round_is_right(self):
        self.plant("daemon/rollout/planted.cc", '#include "daemon/rollout/create.h"\n#include "common/base/status.h"\n')
        self.assertEqual(self.wrong(), [])

    def test_what_comes_through_another_library_is_not_its_own(self):
        # Whatever links qf_decode gets qf_kernels with it; the agent's own room does not ask for it.
        self.assertNotIn("qf_kernels", self.links["qf_agent"])
        self.plant("agent/planted.cc", '#include "engine/decode/engine.h"\n#include "engine/kernels/matrix_ops.h"\n')
        self.assertEqual(len(self.wrong()), 1)

    def test_services_and_sockets_stay_with_those_who_speak_them(self):
        self.plant("pipeline/tensor/planted.cc", '#include <grpcpp/server.h>\n')
        self.plant("daemon/grpc/planted.h", '#include <boost/asio/ip/tcp.hpp>\n')
        self.assertEqual(len(self.wrong()), 2)

    def test_a_folder_that_no_library_is_made_of_is_found(self):
        self.plant("daemon/attic/planted.cc", "")
        self.assertEqual(len(self.wrong()), 1)

    def test_a_circle_of_libraries_is_found(self):
        self.assertEqual(include_arrows.cycle_in({"a": ["b"], "b": ["c"], "c": ["b"]}), ["b", "c", "b"])
        self.assertIsNone(include_arrows.cycle_in({"a": ["b", "c"], "b": ["c"], "c": []}))


class Format(Planted):
    def setUp(self):
        super().setUp()
        self.plant(".clang-format", (formatting.ROOT / ".clang-format").read_text())

    def wrong(self):
        cpp, others = formatting.sources(self.root)
        return formatting.badly_formatted(self.root, cpp), formatting.long_lines(self.root, others)

    def test_a_badly_formatted_line_is_found(self):
        self.plant("engine/right.cc", "int main() { return 0; }\n")
        self.plant("engine/wrong.cc", "int a;\nint  b( int c ) ;\n")
        cpp, _ = self.wrong()
        self.assertTrue(cpp and all(line.startswith("engine/wrong.cc:2:") for line in cpp), cpp)

    def test_the_limit_of_columns_is_that_of_the_style(self):
        self.plant("long.h", f"int {'a' * 40} = {'b' * 40} + {'c' * 40};\n")
        cpp, _ = self.wrong()
        self.assertTrue(cpp)

    def test_a_line_that_is_too_long_is_found_whatever_it_is_written_in(self):
        line = "# " + "x" * (formatting.COLUMNS - 2)
        for path in ("a.py", "b/c.sh", "CMakeLists.txt", "d.proto", "e.mjs"):
            self.plant(path, f"{line}\n{line}x\n")
        self.plant(".ci/run", f"#!/usr/bin/env bash\n{line}x\n")
        self.plant("docs/guide.md", f"{line}x\n")
        self.plant("tests/data/given.py", f"{line}x\n")
        self.plant("build/made.cmake", f"{line}x\n")
        _, long = self.wrong()
        self.assertEqual(sorted(one.split(": ")[0] for one in long),
                         [".ci/run:2", "CMakeLists.txt:2", "a.py:2", "b/c.sh:2", "d.proto:2", "e.mjs:2"])

    def test_characters_are_counted_not_bytes(self):
        self.plant("umlauts.py", "# " + "ü" * (formatting.COLUMNS - 2) + "\n")
        self.assertEqual(self.wrong()[1], [])


class ServicePaths(Planted):
    def test_a_page_that_names_another_path_than_the_unit_is_found(self):
        self.plant("deploy/systemd/a.service", "StateDirectory=quantfleetd\nExecStart=x --config /etc/quantfleet/a.toml\n")
        self.plant("docs/right.md", "See /etc/quantfleet/a.toml and `/var/lib/quantfleetd/admin.json`.\n")
        self.assertEqual(service_paths.wrong_paths(self.root), [])
        self.plant("docs/wrong.md", "\nSee /etc/quantfleet/b.toml, /var/lib/quantfleet.\n")
        wrong = service_paths.wrong_paths(self.root)
        self.assertEqual([line.split(" is ")[0] for line in wrong],
                         ["docs/wrong.md:2: /etc/quantfleet/b.toml", "docs/wrong.md:2: /var/lib/quantfleet"])


class Sentences(Planted):
    def wrong(self):
        return sentences.sentences(self.root)[0]

    def test_a_sentence_is_found_however_it_is_broken_into_lines(self):
        self.plant("tests/a_test.cc", 'EXPECT_ERROR(Read({"a, (b", \'x\'}),\n             kDataLoss, "f.bin",\n'
                                      '             "the file is "\n             "too short");\n')
        self.plant("tests/b_test.cc", '\nEXPECT_THAT(Why(), Names("c", "no device class fits"));\n')
        self.assertEqual([one.split(": ")[0] for one in self.wrong()], ["tests/a_test.cc:1", "tests/b_test.cc:2"])

    def test_names_numbers_and_commands_are_none(self):
        self.plant("tests/a_test.cc", 'EXPECT_ERROR(Say("what a test says itself"), kNotFound, "line 2", "blk.0.attn_q");\n'
                                      'EXPECT_ERROR(x, kNotFound, "quantfleet group apply lab", "`chmod go-w " + path + "`");\n'
                                      'EXPECT_ERROR(x, kNotFound, "phi3, llama, qwen2 and qwen3") << "and why it matters";\n')
        self.assertEqual(self.wrong(), [])


if __name__ == "__main__":
    unittest.main()
