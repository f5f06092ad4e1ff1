"""Contestants that are timed in turns: what else the machine does then slows all of them."""

import json
import subprocess
from pathlib import Path

import numpy as np


class Worker:
    """A program in another environment, which does a part of its job whenever it is asked to; see worker_turns.py."""

    def __init__(self, python, program, *arguments):
        """Lets a file of this folder begin; it answers when it is warm, with something `about` itself."""
        command = [python, Path(__file__).with_name(program), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._answer()

    def run(self):
        """Seconds of a part, by the clock and of processor time, float64[2]."""
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        answer = self._answer()
        return np.array([answer['clock'], answer['processor']])

    def _answer(self):
        for line in self.process.stdout:
            if line.startswith('{'):  # Libraries print what they like.
                return json.loads(line)
        raise SystemExit(f'{self.process.args[1]} ended with exit code {self.process.wait()}; its error stands above')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # No more lines: it ends.
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def in_turns(contestants, turns):
    """Times of contestants, name -> float64[turns, 2], by the clock and of the processor; who goes first changes.

    Args:
        contestants: name -> a function without arguments that returns the two times.
        turns: how many.
    """
    times = {name: [] for name in contestants}
    for turn in range(turns):
        names = list(contestants)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(contestants[name]())
    return {name: np.array(rows) for name, rows in times.items()}


def table(times, unit, what):
    """Markdown: the times from `in_turns`, the median and the quartiles, and how many times those of the first."""
    lines = [f'| | {what}, clock | processor time | times ours: clock | processor |', '|---|---|---|---|---|']
    first = next(iter(times.values()))
    for name, rows in times.items():
        cells = [quartiles(rows[:, kind], unit) for kind in range(2)]
        cells += [quartiles(rows[:, kind] / first[:, kind], '') for kind in range(2)]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def quartiles(values, unit):
    """The median, and in brackets the quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return f'{median:.2f} {unit}'.strip() + f' ({low:.2f} to {high:.2f})'
