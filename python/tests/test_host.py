"""The host's laws: `python3 -m unittest discover -s python/tests -t python`."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

from balefire import Rejected, Retry, host


class Plugin:
    """Remembers what was done with it."""

    made = []

    def __init__(self, fail=None):
        self.records = []
        self.done_calls = 0
        self.fail = fail
        Plugin.made.append(self)

    def write(self, record):
        if isinstance(record, Exception):
            raise record
        self.records.append(record)

    def done(self):
        self.done_calls += 1
        if self.fail:
            raise self.fail


def run(version="1"):
    return {"audit_key": "nightly", "audit_version": version}


class HostTest(unittest.TestCase):
    def setUp(self):
        Plugin.made = []
        self.replies = []

    def host(self, fail=None, **options):
        return host.Host(lambda: Plugin(fail), self.replies.append, **options)

    def write(self, host, delivery, record="r", **more):
        with contextlib.redirect_stderr(io.StringIO()):
            host.take(dict(more, type="write", id=delivery, record=record))

    def done(self, host, delivery, records, **more):
        with contextlib.redirect_stderr(io.StringIO()):
            host.take(dict(more, type="done", id=delivery, records=records))

    def statuses(self):
        return [(reply["id"], reply["status"]) for reply in self.replies]

    def test_each_run_has_an_instance_of_its_own_whose_done_is_called_once(self):
        served = self.host()
        for number in "12":
            self.write(served, "a" + number, number, run=run(number))
        for number in "12":
            self.write(served, "b" + number, number, run=run(number))
            self.done(served, "d" + number, 2, run=run(number))
            self.done(served, "d" + number, 2, run=run(number))
        self.assertEqual([(made.records, made.done_calls) for made in Plugin.made], [(["1", "1"], 1), (["2", "2"], 1)])
        self.assertTrue(all(status == "ok" for _, status in self.statuses()))
        self.assertTrue(served.end())
        self.assertEqual([made.done_calls for made in Plugin.made], [1, 1])

    def test_a_run_that_lost_records_is_not_done(self):
        served = self.host()
        self.write(served, "b", run=run())
        self.done(served, "d", 2, run=run())
        self.assertEqual((self.replies[-1]["status"], self.replies[-1]["lost"]), ("retry", True))
        self.assertEqual(Plugin.made[0].done_calls, 0)
        # Everything is written again under the same ids.
        self.write(served, "a", run=run())
        self.write(served, "b", run=run())
        self.done(served, "d", 2, run=run())
        self.assertEqual(self.statuses()[-1], ("d", "ok"))
        self.assertEqual((Plugin.made[1].records, Plugin.made[1].done_calls), (["r", "r"], 1))

    def test_a_done_that_raises_is_told_and_its_run_is_lost(self):
        served = self.host(fail=OSError("mail server away"))
        self.write(served, "a", run=run())
        self.done(served, "d", 1, run=run())
        self.assertEqual({name: self.replies[-1][name] for name in ("status", "lost", "cause")},
                         {"status": "retry", "lost": True, "cause": "network"})
        self.done(served, "d", 1, run=run())
        self.assertEqual((self.replies[-1]["status"], self.replies[-1]["lost"]), ("retry", True))
        self.assertEqual([made.done_calls for made in Plugin.made], [1])

    def test_a_run_that_has_not_ended_is_not_done_at_the_end(self):
        served = self.host()
        self.write(served, "a", run=run())
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertTrue(served.end())
        self.assertEqual(Plugin.made[0].done_calls, 0)

    def test_without_runs_done_is_called_at_the_end_if_anything_was_written(self):
        served = self.host()
        self.assertTrue(served.end())
        self.assertEqual(Plugin.made[0].done_calls, 0)
        served = self.host()
        self.write(served, "a")
        self.write(served, "b")
        self.assertTrue(served.end())
        self.assertEqual((Plugin.made[1].records, Plugin.made[1].done_calls), (["r", "r"], 1))

    def test_a_record_that_was_written_is_not_written_twice(self):
        served = self.host()
        for _ in range(3):
            self.write(served, "a")
        self.assertEqual(Plugin.made[0].records, ["r"])
        self.assertEqual(self.statuses(), [("a", "ok")] * 3)

    def test_acknowledged_by_done_means_after_done(self):
        served = self.host(acknowledge="done", batch=3)
        self.write(served, "a")
        self.write(served, "b")
        self.assertEqual(self.replies, [])
        served.pause()
        self.assertEqual(self.statuses(), [("a", "ok"), ("b", "ok")])
        for delivery in "cdef":
            self.write(served, delivery)
        self.assertEqual(self.statuses()[2:], [("c", "ok"), ("d", "ok"), ("e", "ok")])
        self.assertTrue(served.end())
        self.assertEqual([(len(made.records), made.done_calls) for made in Plugin.made], [(2, 1), (3, 1), (1, 1)])

    def test_a_batch_whose_done_raises_is_tried_again_with_a_new_instance(self):
        served = self.host(acknowledge="done", fail=OSError("away"))
        self.write(served, "a")
        self.write(served, "b")
        with contextlib.redirect_stderr(io.StringIO()):
            served.pause()
        self.assertEqual(self.statuses(), [("a", "retry"), ("b", "retry")])
        self.write(served, "a")
        self.assertEqual(Plugin.made[1].records, ["r"])

    def test_exceptions_say_what_shall_happen(self):
        served = self.host()
        for error, expected in [
            (Retry("full", after=7), ("retry", {"retry_after": 7})),
            (Retry("token", cause="auth"), ("retry", {"cause": "auth"})),
            (Rejected("no", cause="size"), ("rejected", {"cause": "size"})),
            (TypeError("not serializable"), ("rejected", {"cause": "schema"})),
            (KeyError("com"), ("rejected", {"cause": "schema"})),
            (ConnectionRefusedError("no"), ("retry", {"cause": "network"})),
            (RuntimeError("who knows"), ("retry", {"cause": "network"})),
            (PermissionError("no"), ("retry", {"cause": "auth"})),
        ]:
            self.write(served, "a", error)
            reply = self.replies[-1]
            self.assertEqual((reply["status"], {name: reply[name] for name in ("retry_after", "cause") if name in reply}), expected)

    def test_an_error_that_is_only_logged_is_a_failure(self):
        class Quiet(Plugin):
            def write(self, record):
                logging.getLogger("quiet").error("Bulk Index Error: %s", record)

        self.addCleanup(logging.getLogger().handlers.clear)
        served = host.Host(Quiet, self.replies.append)
        self.write(served, "a", "away")
        self.assertEqual((self.replies[0]["status"], self.replies[0]["detail"]), ("retry", "LoggedError: quiet: Bulk Index Error: away"))
        logging.getLogger().handlers.clear()
        served = host.Host(Quiet, self.replies.append, logged_errors="ignore")
        self.write(served, "a", "away")
        self.assertEqual(self.replies[1]["status"], "ok")

    def test_a_detail_is_never_longer_than_a_line_may_be(self):
        self.write(self.host(), "a", ValueError("\U0001f525" * 100_000))
        self.assertLess(len(json.dumps(self.replies[-1])), 64 * 1024)


class ProcessTest(unittest.TestCase):
    """The program, from outside."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def talk(self, plugin, lines, *options):
        with open(os.path.join(self.directory.name, "plugin.py"), "w") as file:
            file.write(textwrap.dedent(plugin))
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([here, self.directory.name]))
        text = "".join(json.dumps(line) + "\n" if isinstance(line, dict) else line for line in lines)
        ended = subprocess.run([sys.executable, "-m", "balefire.host", "plugin.Plugin", *options], input=text, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=60)
        return [json.loads(line) for line in ended.stdout.splitlines()], ended

    HELLO = {"type": "hello", "version": 1, "channel": "soc", "settings": {}}

    def test_whatever_a_plugin_prints_stays_off_the_protocol(self):
        replies, ended = self.talk("""
            import os, subprocess, sys
            print("importing")
            class Plugin:
                def __init__(self): print("made"); sys.stdout.write("x"); os.write(1, b"raw\\n")
                def write(self, record): subprocess.run(["echo", "child"]); print(object(), sys.stdin.read())
                def done(self): print("done")
        """, [self.HELLO, {"type": "write", "id": "a", "record": {}}])
        self.assertEqual([reply["type"] for reply in replies], ["hello", "reply"])
        for word in ("importing", "made", "raw", "child", "done"):
            self.assertIn(word, ended.stderr)
        self.assertEqual(ended.returncode, 0)

    def test_params_come_from_the_command_line_and_from_the_channel(self):
        plugin = """
            class Plugin:
                def __init__(self, a, b): self.text = repr((a, b))
                def write(self, record): raise RuntimeError(self.text)
                def done(self): pass
        """
        hello = dict(self.HELLO, settings={"b": [1, True]})
        replies, _ = self.talk(plugin, [hello, {"type": "write", "id": "a", "record": {}}], "--params", '{"a": "x", "b": 1}')
        self.assertEqual(replies[1]["detail"], "RuntimeError: ('x', [1, True])")

    def test_what_cannot_be_loaded_or_made_ends_the_program_before_its_hello(self):
        for plugin, expected in [
            ("class Other: pass", "cannot load plugin.Plugin"),
            ("import nothing_of_this_name", "No module named"),
            ("class Plugin:\n    def __init__(self, needed): pass", "needed"),
        ]:
            replies, ended = self.talk(plugin, [self.HELLO])
            self.assertEqual((replies, ended.returncode), ([], 1))
            self.assertIn(expected, ended.stderr)

    def test_a_done_that_fails_at_the_end_is_seen(self):
        replies, ended = self.talk("""
            class Plugin:
                def write(self, record): pass
                def done(self): raise OSError("lost")
        """, [self.HELLO, {"type": "write", "id": "a", "record": {}}])
        self.assertEqual((len(replies), ended.returncode), (2, 1))
        self.assertIn("OSError: lost", ended.stderr)

    def test_an_integer_that_python_does_not_read_is_rejected_alone(self):
        big = '{"type": "write", "id": "a", "record": %s}\n' % ("9" * 5000)
        plugin = "class Plugin:\n    def write(self, record): pass\n    def done(self): pass\n"
        replies, _ = self.talk(plugin, [self.HELLO, big, {"type": "write", "id": "b", "record": {}}])
        self.assertEqual([(reply["id"], reply["status"]) for reply in replies[1:]], [("a", "rejected"), ("b", "ok")])

    def test_a_line_that_is_no_message_ends_the_program(self):
        plugin = "class Plugin:\n    def write(self, record): pass\n    def done(self): pass\n"
        replies, ended = self.talk(plugin, [self.HELLO, "nonsense\n"])
        self.assertEqual((len(replies), ended.returncode), (1, 1))
        self.assertIn("Unreadable", ended.stderr)


if __name__ == "__main__":
    unittest.main()
