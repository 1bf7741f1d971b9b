"""Writes lines to standard output, in every way in which programs do.

    python lines.py same STEPS GO       the same bytes in every run, written by four threads in turn, with pauses
    python lines.py burst LINES GO      LINES lines by four threads at once, as fast as they can

Both begin when the file GO appears. `same` writes its last third when the file GO.on is there. `burst` ends when
GO.end is there: a writer that is gone cannot be asked.
"""

import os
import sys
import threading
import time

THREADS = 4


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def step(number):
    """One of several ways to write; all of them together make whole lines."""
    head = f"step {number} "
    match number % 8:
        case 0:
            print(head + "printed", flush=True)
        case 1:
            os.write(1, head.encode())
            os.write(1, b"in parts\n")
        case 2:
            os.writev(1, [head.encode(), b"gathered", b"\n"])
        case 3:
            os.write(1, "".join(f"{head}of many {line}\n" for line in range(20)).encode())
        case 4:
            text = head + "x" * 20_000 + "\n"
            os.write(1, text.encode())
        case 5:
            os.write(1, (head + "failed\nTraceback (most recent call last):\n  File x\nKeyError: 'ä'\n").encode())
        case 6:
            os.write(1, head.encode() + bytes(range(128, 256)) + b"\x00\n")
        case 7:
            os.write(1, f'{{"level": "info", "message": "{head}"}}\n'.encode())


def same(steps, go_on):
    turn = threading.Condition()
    state = {"next": 0}

    def work(index):
        for number in range(index, steps, THREADS):
            if number >= steps * 2 // 3:
                wait_for(go_on)
            with turn:
                turn.wait_for(lambda: state["next"] == number)
                step(number)
                state["next"] += 1
                turn.notify_all()
            time.sleep(0.002)

    run_on_threads(work)


def burst(lines):
    def work(index):
        for number in range(lines // THREADS):
            os.write(1, f"thread {index} line {number} of a program that writes as fast as it can\n".encode())

    run_on_threads(work)


def run_on_threads(work):
    threads = [threading.Thread(target=work, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    what, count, go = sys.argv[1:]
    wait_for(go)
    if what == "same":
        same(int(count), go + ".on")
    else:
        burst(int(count))
        wait_for(go + ".end")


main()
