"""A client's own account of what it did: how often, in the words in which it must be told.

An entry is the span's name, then ` rows=N` where the client was given rows, then ` error=CODE` where it was refused.
"""

import collections
import json
import os


class Account:
    """Counts, and prints itself as one JSON object."""

    def __init__(self):
        self.counts = collections.Counter()

    def add(self, name, times=1, rows=None, error=None):
        entry = name
        if rows is not None:
            entry += f" rows={rows}"
        if error is not None:
            entry += f" error={error}"
        self.counts[entry] += times

    def write(self):
        """Into the file that the test reads: standard output is a log to the tracer."""
        with open(os.environ["ACCOUNT"], "w", encoding="utf-8") as file:
            json.dump(self.counts, file)
