"""Runs a plugin class with `write(record)` and `done()` as an exec channel of Balefire (docs/exec.md).

    python3 -m balefire.host pkg.module.Class --params '{"path": "/var/lib/records"}'

One instance for each run: made at the run's first record, `done()` called once at its end. Without runs: one instance, and
`done()` when Balefire closes the channel, or, with `--acknowledge done`, after each pause and each full batch.
"""

import argparse
import collections
import importlib
import json
import logging
import math
import os
import queue
import sys
import threading
import traceback

from balefire import CAUSES, Rejected, Retry

VERSION = 1
# A reply's line is at most 64 KiB.
DETAIL_CHARS_MAX = 1000
# What Python reads as an integer without complaint.
INTEGER_DIGITS_MAX = 4000
# Ids that are remembered so that a repeat is not written twice.
REMEMBERED_MAX = 100_000
# Lines that wait for the plugin. The sender bounds them, too.
WAITING_MAX = 256
# What a record or a program can be blamed for; everything else may pass.
FAULTS = (TypeError, ValueError, LookupError, AttributeError, NameError, AssertionError, RecursionError)


class Unreadable(Exception):
    """A line of Balefire's that is no message."""


class Remembered:
    """The newest ids, each with what belongs to it."""

    def __init__(self, size):
        self._size = size
        self._ids = collections.OrderedDict()

    def __contains__(self, key):
        return key in self._ids

    def add(self, key):
        self._ids[key] = None
        while len(self._ids) > self._size:
            self._ids.popitem(last=False)

    def remove(self, keys):
        for key in keys:
            self._ids.pop(key, None)


class LoggedError(Exception):
    """The plugin has logged an error in place of raising it, as many do that swallow what fails."""


class LoggedErrors(logging.Handler):
    """The errors that a plugin logs while it is called."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        self.texts.append("%s: %s" % (record.name, record.getMessage()))

    def call(self, function, *words):
        """Calls the function; what it logged as an error is raised."""
        del self.texts[:]
        function(*words)
        if self.texts:
            raise LoggedError(self.texts[-1])


class Instance:
    """A plugin's instance with the ids of what it was given."""

    def __init__(self, plugin):
        self.plugin = plugin
        self.ids = set()
        # Written, and not yet acknowledged.
        self.unacknowledged = []


class Host:
    """Drives a plugin class. `send` takes replies."""

    def __init__(self, make, send, acknowledge="write", batch=500, logged_errors="fail"):
        self._make = make
        self._send = send
        self._at_done = acknowledge == "done"
        self._batch = batch
        self._instances = {}
        self._written = Remembered(REMEMBERED_MAX)
        self._done = Remembered(REMEMBERED_MAX)
        self._errors = LoggedErrors()
        if logged_errors == "fail":
            logging.getLogger().addHandler(self._errors)
        # Made at the start, so that wrong parameters are found before the first record comes.
        self._spare = make()

    def take(self, message):
        """Serves one message."""
        kind = message.get("type")
        if kind == "write":
            self._take_write(message)
        elif kind == "done":
            self._take_done(message)
        else:
            raise Unreadable("a message of the type %r" % (kind,))

    def pause(self):
        """Nothing has come for some time: what is acknowledged by `done` is finished."""
        if self._at_done and None in self._instances:
            self._finish_batch()

    def end(self):
        """Nothing will come any more. A run that has not ended is left as it is: half of one must not pass for a whole."""
        open_runs = [key for key in self._instances if key is not None]
        if open_runs:
            log("%d runs have not ended; done() is not called for them" % len(open_runs))
        if None not in self._instances:
            return True
        if self._at_done:
            return self._finish_batch()
        try:
            self._errors.call(self._instances.pop(None).plugin.done)
        except Exception:  # noqa: B902: whatever a plugin raises is its failure
            traceback.print_exc()
            return False
        return True

    def _take_write(self, message):
        key = run_of(message)
        if message["id"] in self._written:
            self._reply(message["id"], "ok", detail="it was written before")
            return
        if message.get("unreadable"):
            self._reply(message["id"], "rejected", cause="schema", detail=message["unreadable"])
            return
        try:
            if key not in self._instances:
                self._instances[key] = Instance(self._new())
            instance = self._instances[key]
            self._errors.call(instance.plugin.write, message["record"])
        except Exception as error:  # noqa: B902: whatever a plugin raises is its failure
            self._fail(message["id"], error)
            return
        instance.ids.add(message["id"])
        if key is None and self._at_done:
            if message["id"] not in instance.unacknowledged:
                instance.unacknowledged.append(message["id"])
            if len(instance.unacknowledged) >= self._batch:
                self._finish_batch()
            return
        self._written.add(message["id"])
        self._reply(message["id"], "ok")
        if key is None:
            # Nothing will ask how many there were.
            instance.ids.clear()

    def _finish_batch(self):
        instance = self._instances.pop(None)
        try:
            self._errors.call(instance.plugin.done)
        except Exception as error:  # noqa: B902: whatever a plugin raises is its failure
            for delivery in instance.unacknowledged:
                self._fail(delivery, error, with_traceback=delivery == instance.unacknowledged[-1])
            return False
        for delivery in instance.unacknowledged:
            self._written.add(delivery)
            self._reply(delivery, "ok")
        return True

    def _take_done(self, message):
        key = run_of(message)
        if message["id"] in self._done:
            self._reply(message["id"], "ok", detail="it was done before")
            return
        expected = message.get("records", 0)
        instance = self._instances.pop(key, None)
        found = len(instance.ids) if instance else 0
        if found < expected:
            self._forget(instance)
            detail = "%d of the run's %d records are here; the others went with the program that had them" % (found, expected)
            self._reply(message["id"], "retry", cause="network", lost=True, detail=detail)
            return
        try:
            instance = instance or Instance(self._new())
            self._errors.call(instance.plugin.done)
        except Exception as error:  # noqa: B902: whatever a plugin raises is its failure
            # `done` is called once for an instance: what it had is gone.
            self._forget(instance)
            self._fail(message["id"], error, lost=True)
            return
        self._done.add(message["id"])
        self._reply(message["id"], "ok")

    def _forget(self, instance):
        if instance:
            self._written.remove(instance.ids)

    def _new(self):
        plugin, self._spare = self._spare, None
        return plugin if plugin is not None else self._make()

    def _fail(self, delivery, error, lost=False, with_traceback=True):
        if with_traceback:
            traceback.print_exception(type(error), error, error.__traceback__)
        status, more = judged(error)
        if lost:
            more["lost"] = True
        self._reply(delivery, status, detail="%s: %s" % (type(error).__name__, error), **more)

    def _reply(self, delivery, status, detail="", **more):
        self._send(dict(more, type="reply", id=delivery, status=status, detail=detail[:DETAIL_CHARS_MAX]))


def judged(error):
    """The status of a plugin's exception, and what goes with it."""
    if isinstance(error, Retry):
        more = {}
        if error.after is not None:
            more["retry_after"] = max(0, error.after)
        if error.cause in CAUSES:
            more["cause"] = error.cause
        return "retry", more
    if isinstance(error, Rejected):
        return "rejected", {"cause": error.cause if error.cause in CAUSES else "schema"}
    if isinstance(error, LoggedError):
        return "retry", {"cause": "network"}
    if isinstance(error, PermissionError):
        return "retry", {"cause": "auth"}
    # An OSError may be a ValueError, too, as in some clients of HTTP.
    if isinstance(error, FAULTS) and not isinstance(error, OSError):
        return "rejected", {"cause": "schema"}
    return "retry", {"cause": "network"}


def run_of(message):
    """What tells runs apart; none without a run."""
    run = message.get("run")
    return None if run is None else (run["audit_key"], run["audit_version"])


def log(text):
    """One line for Balefire's log."""
    print("balefire.host: " + text, file=sys.stderr, flush=True)


def read(line):
    """The message of a line."""
    too_long = []

    def integer(digits):
        if len(digits) > INTEGER_DIGITS_MAX:
            too_long.append(len(digits))
            return 0
        return int(digits)

    try:
        message = json.loads(line, parse_int=integer)
        if too_long:
            message["unreadable"] = "an integer of %d digits; allowed: %d" % (too_long[0], INTEGER_DIGITS_MAX)
    except (ValueError, RecursionError) as error:
        raise Unreadable("%s: %.80r" % (error, line)) from error
    if not isinstance(message, dict):
        raise Unreadable("%.80r" % line)
    return message


def load(path):
    """The class of a dotted path."""
    module, _, name = path.rpartition(".")
    if not module:
        raise SystemExit("balefire.host: %r is no class; allowed: a dotted path such as pkg.module.Class" % path)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        traceback.print_exc()
        raise SystemExit("balefire.host: cannot load %s: %s" % (path, error)) from error


def take_pipes():
    """The protocol's two pipes. What the plugin prints goes to standard error, and what it reads is empty."""
    sys.stdout.flush()
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(source, "rb"), sink


def sender(sink):
    """Writes messages to the pipe, each whole."""

    def send(message):
        line = json.dumps(message).encode("ascii") + b"\n"
        while line:
            line = line[os.write(sink, line):]

    return send


def read_lines(source, lines):
    """A thread's work: lines of the pipe into the queue; None at the end."""
    try:
        for line in source:
            lines.put(line)
    finally:
        lines.put(None)


def serve(host, lines, idle):
    """Serves until the input ends; whether everything was done then."""
    while True:
        try:
            line = lines.get(timeout=idle)
        except queue.Empty:
            host.pause()
            continue
        if line is None:
            return host.end()
        host.take(read(line))


def arguments(words=None):
    """The command line."""
    parser = argparse.ArgumentParser(prog="python3 -m balefire.host", description=__doc__.split("\n", 1)[0])
    parser.add_argument("plugin", help="the class, as a dotted path")
    parser.add_argument("--params", default="{}", help="keyword arguments of its constructor, as JSON; the channel's `settings` join them")
    parser.add_argument("--acknowledge", choices=("write", "done"), default="write",
                        help="when a record counts as delivered: when write() returns, or when done() does, for a plugin that keeps records in memory until then (default: write)")
    parser.add_argument("--idle", type=float, default=1.0, help="with --acknowledge done: seconds without a record after which done() is called (default: 1)")
    parser.add_argument("--batch", type=int, default=10, help="with --acknowledge done: records after which it is called; not more than the channel's in_flight (default: 10)")
    parser.add_argument("--logged-errors", choices=("fail", "ignore"), default="fail",
                        help="what an error means that the plugin logs and does not raise (default: fail, which is tried again)")
    chosen = parser.parse_args(words)
    if not (math.isfinite(chosen.idle) and chosen.idle > 0) or chosen.batch < 1:
        parser.error("--idle and --batch must be more than nothing")
    try:
        chosen.params = json.loads(chosen.params)
    except ValueError as error:
        parser.error("--params is no JSON: %s" % error)
    if not isinstance(chosen.params, dict):
        parser.error("--params is no JSON object")
    return chosen


def main():
    """The program."""
    chosen = arguments()
    source, sink = take_pipes()
    send = sender(sink)
    # To standard error, which is Balefire's log.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    plugin = load(chosen.plugin)
    greeting = read(source.readline() or b"null")
    if greeting.get("version") != VERSION:
        raise SystemExit("balefire.host: Balefire speaks version %r; this host speaks %d" % (greeting.get("version"), VERSION))
    params = dict(chosen.params, **greeting.get("settings", {}))
    host = Host(lambda: plugin(**params), send, chosen.acknowledge, chosen.batch, chosen.logged_errors)
    send({"type": "hello", "version": VERSION, "name": chosen.plugin})
    lines = queue.Queue(WAITING_MAX)
    threading.Thread(target=read_lines, args=(source, lines), daemon=True).start()
    idle = chosen.idle if chosen.acknowledge == "done" else None
    return 0 if serve(host, lines, idle) else 1


if __name__ == "__main__":
    sys.exit(main())
