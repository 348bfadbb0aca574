"""Runs the processes of one machine with honcho's processes and log printer.

honcho alone ends everything when one process ends, and signals whole groups, on which a django-q2 cluster hangs
(its workers die holding the queue's lock). Here an ended process is started again, and stopping signals the main
process of each, then kills what is left.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, TextIO

from honcho import colour, printer
from honcho.process import Process

from polyhub import processes
from polyhub.lib.clock import SystemClock

DRAIN_S = 5.0
KILL_S = 2.0
ASK_AGAIN_S = 0.5
RESTART_AFTER_S = 1.0
# A process that ends this often within the window will not get better by itself.
GIVE_UP_AFTER = 4
GIVE_UP_WINDOW_S = 30.0


class Child:
    """One supervised process: its number while it runs, and when it ended lately."""

    def __init__(self, program: processes.Program) -> None:
        self.program = program
        self.pid: int | None = None
        self.running = False
        self.restart_at: float | None = None
        self.ended: deque[float] = deque(maxlen=GIVE_UP_AFTER)


class Supervisor:
    """Starts the programs, prints their lines, restarts the fallen, and stops all on SIGINT or SIGTERM."""

    def __init__(
        self,
        programs: Sequence[processes.Program],
        *,
        env: Mapping[str, str],
        cwd: str,
        output: TextIO,
        on_start: Callable[[str, int], None],
    ) -> None:
        self._children = {program.name: Child(program) for program in programs}
        self._env, self._cwd = dict(env), cwd
        self._on_start = on_start
        self._events: multiprocessing.Queue[Any] = multiprocessing.Queue()
        self._printer = printer.Printer(output, width=max(map(len, self._children)) + 1)
        self._colours = colour.get_colours()
        self._stops = 0
        self._restarted: dict[str, Callable[[], None]] = {}
        self._wanted: queue.SimpleQueue[tuple[str, Callable[[], None]]] = queue.SimpleQueue()
        self.failed: str | None = None

    def on_restart(self, name: str, told: Callable[[], None]) -> None:
        """Call `told` whenever a program was started again; it must not take long."""
        self._restarted[name] = told

    def without(self, name: str, work: Callable[[], None]) -> None:
        """From any thread: have `work` done while a program is stopped, which is then started again."""
        self._wanted.put((name, work))

    def run(self) -> None:
        """Run until told to stop or until a program keeps failing (then `failed` names it)."""
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for child in self._children.values():
                self._start(child)
            while not self._stops and self.failed is None:
                self._take_events()
                self._end_orphans()
                self._do_wanted()
                self._restart_due()
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def say(self, text: str) -> None:
        """A line of the supervisor itself among the others."""
        self._events.put(printer.Message("line", text, SystemClock().now().astimezone(), "hub", None))

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1

    def _start(self, child: Child) -> None:
        child.restart_at, child.running, child.pid = None, True, None
        process = Process(
            processes.shell_line(child.program),
            name=child.program.name,
            colour=next(self._colours),
            env=self._env,
            cwd=self._cwd,
        )
        # honcho's reader of the program's lines; the program itself leads a session of its own.
        reader = multiprocessing.get_context("fork").Process(target=_read, args=(process, self._events), daemon=True)
        reader.start()

    def _take_events(self) -> None:
        try:
            event = self._events.get(timeout=0.1)
        except queue.Empty:
            return
        if event.type == "line":
            self._printer.write(event)
            return
        child = self._children[event.name]
        if event.type == "start":
            child.pid = event.data["pid"]
            self._on_start(event.name, child.pid)
            if child.ended and event.name in self._restarted:
                self._restarted[event.name]()
        elif event.type == "stop":
            self._ended(child, event.data["returncode"])

    def _ended(self, child: Child, code: int) -> None:
        child.running = False
        if child.pid is not None:
            processes.end_session(child.pid)
        if self._stops:
            return
        now = time.monotonic()
        child.ended.append(now)
        if len(child.ended) == GIVE_UP_AFTER and now - child.ended[0] < GIVE_UP_WINDOW_S:
            self.failed = child.program.name
            return
        self.say(f"{child.program.name} ended (code {code}); starting it again")
        child.restart_at = now + RESTART_AFTER_S

    def _end_orphans(self) -> None:
        # honcho reports an end only when the last holder of the output is gone; a killed cluster leaves workers.
        for child in self._children.values():
            if child.running and child.pid is not None and not processes.is_alive(child.pid):
                processes.end_session(child.pid)

    def _do_wanted(self) -> None:
        try:
            name, work = self._wanted.get_nowait()
        except queue.Empty:
            return
        self._stop([self._children[name]], DRAIN_S)
        if not self._stops:
            work()

    def _restart_due(self) -> None:
        for child in self._children.values():
            if child.restart_at is not None and time.monotonic() >= child.restart_at:
                self._start(child)

    def _stop_all(self) -> None:
        self._stops = max(self._stops, 1)
        first = [child for name, child in self._children.items() if name not in processes.LAST_TO_STOP]
        last = [child for name, child in self._children.items() if name in processes.LAST_TO_STOP]
        self._stop(first, DRAIN_S)
        self._stop(last, KILL_S)

    def _stop(self, children: Sequence[Child], patience_s: float) -> None:
        asked: dict[str, float] = {}
        deadline = time.monotonic() + patience_s
        while any(child.running for child in children):
            for child in children:
                if child.running and child.pid is not None:
                    _ask_to_end(child.pid, asked, child.program.name)
            # A second Ctrl-C means now.
            if time.monotonic() > deadline or self._stops > 1:
                for child in children:
                    if child.running and child.pid is not None:
                        processes.end_session(child.pid)
                if time.monotonic() > deadline + KILL_S:
                    break
            self._take_events()


def _read(process: Process, events: "multiprocessing.Queue[Any]") -> None:
    # A forked reader that outlived us would keep our lock on the checkout.
    processes.die_with_parent()
    process.run(events, True)


def _ask_to_end(pid: int, asked: dict[str, float], name: str) -> None:
    """SIGTERM to the main process once, and to those below it that wait for it: a cluster does not tell its tasks.

    The others must not get one: an idle worker would die holding the lock of the task queue. Those that wait are told
    again from time to time, as a cluster may begin one more task before it stops.
    """
    now = time.monotonic()
    if now - asked.get(name, -ASK_AGAIN_S) < ASK_AGAIN_S:
        return
    main = [] if name in asked else [pid]
    asked[name] = now
    for each in (*main, *processes.descendants_catching(pid, signal.SIGTERM)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGTERM)
