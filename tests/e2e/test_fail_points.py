"""The table of fail points against the sources and against the tests that kill there."""
import re
import unittest
from collections import Counter

import kill
from harness import ROOT, run


def passed(*folders):
    """The names that stand in the sources."""
    return Counter(name for folder in folders for path in (ROOT / folder).rglob("*.cc")
                   for name in re.findall(r'FailPoint\("([^"]+)"\)', path.read_text()))


class FailPoints(unittest.TestCase):
    def test_each_row_is_passed_in_one_place(self):
        listed = {"daemon": kill.DAEMON_POINTS, "agent": kill.AGENT_POINTS, "cli": kill.fail_points("quantfleet")}
        for folders, points in [(("daemon", "pipeline"), listed["daemon"]), (("agent",), listed["agent"]),
                                (("cli", "pipeline"), listed["cli"])]:
            with self.subTest(folders):
                self.assertEqual(sorted(passed(*folders)), points)
                self.assertEqual(set(passed(*folders).values()), {1}, "one name, one moment")

    def test_each_row_belongs_to_a_test_that_kills_there(self):
        self.assertEqual(sorted(kill.ELSEWHERE + kill.FLEET_POINTS), kill.DAEMON_POINTS)
        self.assertEqual(sorted(kill.ENROLL_POINTS + kill.UPDATE_POINTS + kill.STEP_DOWN_POINTS + kill.SELF_UPDATE_POINTS +
                                kill.ROLLBACK_POINTS + kill.REPAIR_POINTS), kill.AGENT_POINTS)

    def test_rows_say_what_they_stand_for_and_help_does_not_list_them(self):
        for program in ("quantfleetd", "quantfleet-agent", "quantfleet"):
            with self.subTest(program):
                for line in run(program, "--list-fail-points").stdout.splitlines():
                    self.assertRegex(line, r"^[a-z]+(-[a-z]+)+\t\S.*\S$")
                self.assertNotIn("fail-point", run(program, "--help").stdout)


if __name__ == "__main__":
    unittest.main()
