"""What the oracle's applications in Python share.

A request is `GET /MODE/ID?steps=s0,r5,l0,h20`: what to do in which order, each after a sleep of so many milliseconds:
`s` a statement, `r` a Redis command, `h` a request to another service, `l` a line in the log. Each of them carries a
name: SQL in an alias, Redis in its key, HTTP in its path, a line in its text. It is the request's id, with `ga` before
it in what parts of the request do at the same time, `ah` in what they do before they are waited for, `th` in what they
do on threads of an executor, `bg` in what nobody waits for.
"""

import sys

CHILDREN = ["s", "r", "h", "l"]
BACKGROUND = ["r", "l", "s"]


def parse(steps):
    """(kind, seconds of sleep) of each step."""
    return [(step[0], int(step[1:]) / 1000) for step in steps.split(",")]


def sql(name, number):
    return f"SELECT {number} AS {name}_{number}"


def key(name, number):
    return f"{name}:{number}"


def path(name, number):
    return f"/down/{name}/{number}"


def log(name, number):
    """One write a line, whatever the buffering."""
    sys.stdout.write(f"INFO line {name}_{number}\n")
    sys.stdout.flush()
