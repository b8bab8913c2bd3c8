"""The store's laws, against a server that plays Balefire's part."""

import datetime
import http.server
import json
import os
import socketserver
import tempfile
import threading
import unittest

from balefire import wire
from balefire.store import BalefireStore, NotSent, Refused


class Balefire:
    """Answers what it is told to, and remembers what it was sent."""

    def __init__(self, test, socket=None):
        self.requests = []
        self.answers = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.requests.append((self.path, dict(self.headers), body))
                status, headers, answer = owner.answers.pop(0) if owner.answers else (202, {}, {"results": []})
                if status is None:
                    return
                self.send_response(status)
                content = json.dumps(answer).encode()
                for name, value in dict(headers, **{"Content-Length": len(content)}).items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(content)

            def address_string(self):
                return "unix"

            def log_message(self, *_):
                pass

        if socket:
            class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
                daemon_threads = True

            server = Unix(socket, Handler)
        else:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            self.url = "http://127.0.0.1:%d" % server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        test.addCleanup(server.server_close)
        test.addCleanup(server.shutdown)

    def records(self):
        return [json.loads(line) for _, _, body in self.requests for line in body.splitlines()]


EVENT = {
    "ext": {"record_type": "firewall_rule_event"},
    "com": {"record_type": "firewall_rule_event", "origin_type": "event", "origin_key": "fw", "audit_key": "nightly",
            "reference": "rule-1", "description": "Port 22 is open.", "recommendation": "Close it.", "exposed_ports": [22]},
}


class StoreTest(unittest.TestCase):
    def setUp(self):
        self.balefire = Balefire(self)
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def store(self, **params):
        return BalefireStore(url=self.balefire.url, **dict(dict(patience=0), **params))

    def test_every_record_arrives_unchanged(self):
        store = self.store(batch=2, token="t0ken")
        begin = {"com": {"record_type": "begin_audit", "audit_key": "nightly"}}
        raw = {"raw": {"data": 1}, "com": {"record_type": "mock", "origin_type": "cloud"}}
        for record in (begin, EVENT, raw):
            store.write(record)
        self.assertEqual(len(self.balefire.requests), 1)
        store.done()
        sent = self.balefire.records()
        self.assertEqual(sent, [begin, EVENT, raw])
        path, headers, _ = self.balefire.requests[0]
        self.assertEqual((path, headers["Content-Type"], headers["Authorization"]),
                         (wire.ENDPOINT, wire.CONTENT_TYPE, "Bearer t0ken"))

    def test_a_record_that_balefire_does_not_know_comes_with_what_is_shown_of_it(self):
        store = self.store()
        store.write({"raw": {"data": 1}, "com": {"description": "Port 22 is open.", "reference": "rule-1"}})
        store.done()
        found = self.balefire.records()[0]
        self.assertEqual((found["title"], found["severity"]), ("Port 22 is open.", "info"))
        self.assertEqual((found["labels"]["reference"], found["raw"]), ("rule-1", {"data": 1}))

    def test_what_json_cannot_say_is_said_as_text(self):
        store = self.store()
        when = datetime.datetime(2026, 11, 22)
        store.write({"raw": {"when": when, "set": {1}, "nan": float("nan"), "half": "\ud800", 1: b"\xff", "whole": "\U0001f525"}})
        store.done()
        raw = self.balefire.records()[0]["raw"]
        self.assertEqual(raw, {"when": "2026-11-22T00:00:00", "set": [1], "nan": "nan", "half": "\\ud800", "1": "\\xff",
                               "whole": "\U0001f525"})

    def test_a_bucket_with_a_name_of_ours_is_kept_apart(self):
        store = self.store()
        store.write({"title": 5, "events": "x", "com": {"record_type": "mock"}})
        store.done()
        found = self.balefire.records()[0]
        self.assertEqual((found["title"], found["record"]), ("mock", {"title": 5, "events": "x"}))

    def test_a_batch_keeps_its_key_over_every_try_and_the_next_one_has_another(self):
        store = self.store(patience=30)
        self.balefire.answers = [(503, {"Retry-After": "0"}, {}), (None, {}, {})]
        store.write(EVENT)
        store.done()
        store.write(EVENT)
        store.done()
        keys = [headers["Idempotency-Key"] for _, headers, _ in self.balefire.requests]
        self.assertEqual((len(keys), len(set(keys[:3])), len(set(keys))), (4, 1, 2))

    def test_what_was_not_sent_raises_and_is_sent_the_next_time(self):
        store = self.store()
        self.balefire.answers = [(503, {}, {})] * 2
        store.write(EVENT)
        for _ in range(2):
            with self.assertRaises(NotSent):
                store.done()
        store.write(EVENT)
        store.done()
        keys = [headers["Idempotency-Key"] for _, headers, _ in self.balefire.requests]
        self.assertEqual((len(keys), len(set(keys[:3])), len(set(keys))), (4, 1, 2))
        self.assertEqual(len({body for _, _, body in self.balefire.requests[:3]}), 1)

    def test_a_wrong_token_raises_at_once_and_keeps_the_records(self):
        store = self.store(patience=60)
        self.balefire.answers = [(401, {}, {"detail": "who?"})]
        store.write(EVENT)
        with self.assertRaisesRegex(NotSent, "401.*who"):
            store.done()
        store.done()
        self.assertEqual(len(self.balefire.requests), 2)

    def test_refused_records_raise_with_their_reason(self):
        results = [{"status": "accepted"}, {"status": "refused", "index": 1, "errors": [{"field": "title"}]}]
        self.balefire.answers = [(400, {}, {"results": results})]
        store = self.store()
        store.write(EVENT)
        with self.assertRaisesRegex(Refused, "record 1 is refused.*title"):
            store.done()
        store.done()
        self.assertEqual(len(self.balefire.requests), 1)

    def test_a_spool_keeps_records_over_the_end_of_the_process(self):
        spool = os.path.join(self.directory.name, "spool")
        nobody = BalefireStore(url="http://127.0.0.1:9", patience=0, spool=spool)
        nobody.write(EVENT)
        nobody.done()
        names = os.listdir(spool)
        self.assertEqual(len(names), 1)
        self.store(spool=spool).done()
        self.assertEqual((os.listdir(spool), self.balefire.records()[0]["com"]), ([], EVENT["com"]))
        self.assertIn(self.balefire.requests[0][1]["Idempotency-Key"], names[0])

    def test_a_unix_socket_takes_the_place_of_an_address(self):
        path = os.path.join(self.directory.name, "socket")
        balefire = Balefire(self, socket=path)
        store = BalefireStore(socket=path)
        store.write(EVENT)
        store.done()
        self.assertEqual(balefire.records()[0]["com"], EVENT["com"])

    def test_parameters_that_cannot_work_are_told_at_once(self):
        for params in ({"url": "127.0.0.1:9480"}, {"token": "a", "token_file": "b"}, {"batch": 0}):
            with self.assertRaises(ValueError):
                BalefireStore(**params)


if __name__ == "__main__":
    unittest.main()
