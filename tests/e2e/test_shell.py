"""Completions under bash, zsh and fish themselves, the manual pages under mandoc, and what a misspelled command is told."""
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from harness import BIN, SLOW, run

PROGRAMS = ("quantfleet", "quantfleet-agent", "quantfleetd")


def script(program, shell):
    return run(program, "completion", shell).stdout


def bash(program, *words):
    """What bash offers behind these words, the last of which is being written."""
    ask = (f"source <(cat {script_file(program, 'bash')})\n"
           f"COMP_WORDS=({' '.join(repr(word) for word in (program, *words))}) COMP_CWORD={len(words)}\n"
           f"_{program.replace('-', '_')}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"")
    done = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, timeout=60 * SLOW)
    return done.stdout.split()


def fish(program, line):
    ask = f"source {script_file(program, 'fish')}; complete -C '{program} {line}'"
    done = subprocess.run(["fish", "--no-config", "-c", ask], capture_output=True, text=True, timeout=60 * SLOW)
    return [offered.split("\t")[0] for offered in done.stdout.splitlines()], done.stderr


def zsh(program, line):
    """What zsh makes of the line when Tab is pressed at its end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb", "COLUMNS": "200"})

    def until(mark, send):
        os.write(terminal, send.encode())
        text, end = "", time.monotonic() + 60 * SLOW
        while mark not in text and time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                text += os.read(terminal, 4096).decode(errors="replace")
        return text

    try:
        until("\nready\r", f"autoload -U compinit; compinit -u -D; source {script_file(program, 'zsh')}; echo rea''dy\n")
        # The line as it is once Tab has been answered.
        until("\nbound\r", "show() { print -r -- \"<$BUFFER>\"; BUFFER=; zle accept-line }; zle -N show\n"
              "bindkey '^X' show; echo bou''nd\n")
        shown = until(">\r", f"{program} {line}\t\x18")
        return re.findall(r"<([^>]*)>", shown)[-1]
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


folder = None


def script_file(program, shell):
    path = folder / f"{program}.{shell}"
    if not path.exists():
        path.write_text(script(program, shell))
    return path


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        global folder
        made = tempfile.TemporaryDirectory(prefix="quantfleet-e2e-")
        cls.addClassCleanup(made.cleanup)
        folder = Path(made.name)

    def need(self, shell):
        if not shutil.which(shell):
            self.skipTest(f"{shell} is not installed")

    def test_bash(self):
        self.assertEqual(bash("quantfleet", "job", "s"), ["submit", "show"])
        self.assertIn("--watch", bash("quantfleet", "job", "submit", "demo", "--w"))
        self.assertEqual(bash("quantfleet", "rollout", "create", "demo", "--on-failure", "r"), ["rollback"])
        self.assertIn("--credential", bash("quantfleet", "job", "list", "--c"), "the program's options, too")
        self.assertEqual(bash("quantfleet", "device", "label", "job", "x", "--rem"), ["--remove"], "a value is no command")
        self.assertEqual(bash("quantfleet-agent", "ser"), ["serve"])
        self.assertEqual(bash("quantfleetd", "back"), ["backup"])
        (folder / "a b.toml").write_text("")
        self.assertEqual(" ".join(bash("quantfleet", "class", "apply", f"{folder}/a")), f"{folder}/a b.toml")

    def test_fish(self):
        self.need("fish")
        offered, errors = fish("quantfleet", "job s")
        self.assertEqual((sorted(offered), errors), (["show", "submit"], ""))
        self.assertEqual(fish("quantfleet", "rollout create demo --on-failure r")[0], ["rollback"])
        self.assertIn("--watch", fish("quantfleet", "job submit demo --w")[0])
        self.assertEqual(fish("quantfleetd", "back")[0], ["backup"])

    def test_zsh(self):
        self.need("zsh")
        self.assertEqual(zsh("quantfleet", "job sub"), "quantfleet job submit ")
        self.assertEqual(zsh("quantfleet", "rollout create demo --on-failure rol"),
                         "quantfleet rollout create demo --on-failure rollback ")
        self.assertEqual(zsh("quantfleet-agent", "serv"), "quantfleet-agent serve ")

    def test_scripts_are_accepted(self):
        for program in PROGRAMS:
            for shell in ("bash", "zsh", "fish"):
                if shutil.which(shell):
                    checked = subprocess.run([shell, "-n", script_file(program, shell)], capture_output=True, text=True)
                    self.assertEqual((checked.returncode, checked.stderr), (0, ""), (program, shell))


class Manual(unittest.TestCase):
    def test_pages(self):
        with tempfile.TemporaryDirectory(prefix="quantfleet-e2e-") as pages:
            for program in PROGRAMS:
                run(program, "manual", "--out", pages)
            names = {page.name for page in Path(pages).iterdir()}
            self.assertLessEqual({"quantfleet.1", "quantfleet-job-submit.1", "quantfleet-agent-serve.1", "quantfleetd.1"}, names)
            if not shutil.which("mandoc"):
                self.skipTest("mandoc is not installed")
            checked = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *sorted(Path(pages).iterdir())],
                                     capture_output=True, text=True, timeout=60 * SLOW)
            # Dates would make pages differ from build to build.
            complaints = [line for line in checked.stdout.splitlines() if "missing date" not in line]
            self.assertEqual(complaints, [])

    def test_one_page(self):
        self.assertIn(".SH EXAMPLES", run("quantfleet", "manual", "job", "submit").stdout)
        missing = run("quantfleet", "manual", "job", "submt", check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("quantfleet-job-submt", missing.stderr)


class Misspelled(unittest.TestCase):
    def test_the_likely_word_is_named(self):
        for line, said in ((("jobs", "list"), "did you mean 'job'?"), (("job", "submt"), "did you mean 'submit'?"),
                           (("job", "list", "--jsn"), "did you mean '--json'?")):
            done = run("quantfleet", *line, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(said, done.stderr)
        self.assertIn("did you mean 'serve'?", run("quantfleet-agent", "srve", check=False).stderr)


if __name__ == "__main__":
    unittest.main()
