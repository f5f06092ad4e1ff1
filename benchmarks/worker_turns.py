"""What a program in another environment takes its turns by; it needs Python alone. turns.py has the other end.

The first line that begins with a brace on the standard output says that all is warm. For every line of the standard
input one more comes, JSON with the seconds of a part of the work. When no line comes any more, the program ends.
"""

import json
import sys
import time


class Turns:
    """Answers when it is asked to."""

    def __init__(self, about):
        """What the first line says, a dict."""
        self.about, self.began = about, None

    def next(self):
        """Answers how long it took since the last line, and waits for the next one, or ends the program."""
        if self.began is not None:
            clock, processor = (now - before for now, before in zip(_now(), self.began, strict=True))
            self.about = {'clock': clock, 'processor': processor}
        print(json.dumps(self.about), flush=True)
        if not sys.stdin.readline():
            sys.exit()
        self.began = _now()


def _now():
    """The clock and the processor time."""
    return time.perf_counter(), time.process_time()
