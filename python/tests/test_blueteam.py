"""The laws of the engine's face that need no Balefire: where the socket is, and what an incident becomes."""

import json
import os
import tempfile
import types
import unittest
from unittest import mock

from balefire import blueteam, wire
from balefire.blueteam import AlertEngine, SecurityIncident


def encoded(incident):
    return json.loads(blueteam.encoded(incident).decode("ascii"))


class SocketTest(unittest.TestCase):
    def test_the_argument_goes_before_the_configuration_and_that_before_the_environment(self):
        with mock.patch.dict(os.environ, {"BALEFIRE_SOCKET": "/e"}):
            self.assertEqual(AlertEngine({"balefire": {"socket": "/c"}}, socket="/a").socket, "/a")
            self.assertEqual(AlertEngine({"balefire": {"socket": "/c"}}).socket, "/c")
            self.assertEqual(AlertEngine({"database": {}}).socket, "/e")
        with mock.patch.dict(os.environ, {"BALEFIRE_DATA": "/d"}, clear=True):
            self.assertEqual(AlertEngine().socket, "/d/balefire.sock")

    def test_a_configuration_of_any_kind_is_balefires_business(self):
        class Config:
            balefire = {"socket": "/c"}

        class Broken:
            def get(self, name):
                raise KeyError(name)

        with mock.patch.dict(os.environ, {"BALEFIRE_SOCKET": "/e"}):
            self.assertEqual(AlertEngine(types.MappingProxyType({"balefire": {"socket": "/c"}})).socket, "/c")
            self.assertEqual(AlertEngine(Config()).socket, "/c")
            self.assertEqual(AlertEngine([]).socket, "/e")
            with self.assertLogs("balefire.blueteam", "WARNING"):
                self.assertEqual(AlertEngine(Broken()).socket, "/e")
        self.assertEqual(AlertEngine(b"/x/b.sock").socket, "/x/b.sock")

    def test_a_path_is_a_data_directory_or_a_configuration_that_names_it(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(AlertEngine(directory).socket, os.path.join(directory, "balefire.sock"))
            path = os.path.join(directory, "balefire.yaml")
            cases = {
                "data: /var/lib/b # ours\n": "/var/lib/b/balefire.sock",
                "channels: {}\nsocket:\n  mode: '0600'\n  path: \"/run/b.sock\"\n": "/run/b.sock",
                "socket: {path: /run/b.sock, mode: '0600'}\n": "/run/b.sock",
                "# data: /x\nhttp:\n  data: /y\n": "./balefire-data/balefire.sock",
            }
            for text, expected in cases.items():
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                self.assertEqual(AlertEngine(path).socket, expected)


class EncodeTest(unittest.TestCase):
    def test_the_eight_fields_go_out_under_their_names(self):
        incident = SecurityIncident("t", "high", "r", ["3.1.8"], "d", True, [], "7")
        self.assertEqual(encoded(incident), {"title": "t", "severity": "high", "detected_by": "r", "nist_controls": ["3.1.8"],
                                             "description": "d", "cui_involved": True, "events": [], "incident_id": "7"})

    def test_no_line_is_larger_than_balefire_takes(self):
        wide = "\u20ac" * 200_000
        events = [{"n": n, "text": "\x00" * 2000} for n in range(3000)]
        incident = SecurityIncident(wide, wide, wide, [wide] * 600, wide, True, events, wide)
        line = blueteam.encoded(incident)
        self.assertLess(len(line), wire.ITEM_BYTES_MAX)
        kept = json.loads(line.decode("ascii"))
        self.assertEqual(kept["events_left_out"] + len(kept["events"]), 3000)
        self.assertIn("[cut: ", kept["title"])

    def test_parts_are_requests_that_balefire_takes(self):
        lines = [b"x" * 500_000] * 50 + [b"y"] * 2500
        sent = list(blueteam.parts(lines))
        self.assertEqual(sum(len(part) for part in sent), len(lines))
        for part in sent:
            self.assertLessEqual(len(part), blueteam.ITEMS_MAX)
            self.assertLess(sum(map(len, part)) + len(part), wire.BODY_BYTES_MAX)


if __name__ == "__main__":
    unittest.main()
