"""How a judge in Python is asked: each line of its input is a question, a JSON array of words, and each answer is a line
{"said": ...} or {"error": ...}."""
import contextlib
import json
import os
import sys


def serve(answer):
    """Answers until the input ends. What runtimes print goes where errors go: answers stand alone in the output."""
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        for line in sys.stdin:
            with contextlib.redirect_stdout(sys.stderr):
                try:
                    said = {"said": answer(*json.loads(line))}
                except Exception as error:
                    said = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(said), file=output, flush=True)
