"""The alert engine of BT-08, with Balefire behind it: change the import, and the code that calls it stays as it is.

    from balefire.blueteam import AlertEngine, SecurityIncident

    engine = AlertEngine(config)
    engine.alert(incident)                          # as before; engine.last says what became of it
    results = engine.deliver(incident, wait=5.0)    # {"email": "delivered", "syslog": "waiting", ...}

Incidents go to Balefire over its Unix socket; `alert` returns when they are on its disk, and Balefire delivers them. It
never raises unless it was told to (`raises`), never takes longer than `timeout`, and says what was not accepted: by
`results.error`, and in the log as an error of `balefire.blueteam`.
"""

import dataclasses
import datetime
import enum
import errno
import itertools
import json
import logging
import os
import stat
import time
import uuid
from typing import Any, Dict, List, Optional

from balefire import local, wire

_log = logging.getLogger(__name__)

DIALECTS = ("plan", "shipped")
# Bounds of docs/api.md, with room for a mark: what is longer is cut here, since an alert that is refused helps nobody.
TITLE_BYTES_MAX = 60 << 10
DESCRIPTION_BYTES_MAX = 250 << 10
WORD_BYTES_MAX = 200
CONTROLS_MAX = 256
EVENTS_MAX = 1000
# One request; more incidents are several.
ITEMS_MAX = 1000
# How deep values of an event may be, and how many.
DEPTH_MAX = 30
VALUES_MAX = 20_000
# Where the socket is if nobody says so: in the working directory, and where the packages have it.
SOCKETS = ("balefire-data/balefire.sock", "/var/lib/balefire/balefire.sock", "/var/lib/balefire/balefire-data/balefire.sock")


@dataclasses.dataclass
class SecurityEvent:
    """One event behind an incident."""

    timestamp: datetime.datetime
    source: str
    category: str
    severity: str
    action: str
    user_id: Optional[str] = None
    ip_address: Optional[str] = None
    details: Dict[str, Any] = dataclasses.field(default_factory=dict)
    nist_controls: List[str] = dataclasses.field(default_factory=list)
    cui_involved: bool = False
    event_id: Optional[str] = None


@dataclasses.dataclass
class SecurityIncident:
    """What somebody must hear of."""

    title: str
    severity: str
    detected_by: str
    nist_controls: List[str]
    description: str = ""
    cui_involved: bool = False
    events: List[SecurityEvent] = dataclasses.field(default_factory=list)
    incident_id: Optional[str] = None


class NotAccepted(Exception):
    """Balefire does not have an incident. Raised only where `raises` was set."""


class Results(dict):
    """How the deliveries of one incident stand, by channel: `delivered`, `waiting`, `waiting until ...`, `suppressed: why`,
    `given up: why`. Empty where nobody was asked, where nobody is to hear of it, and where it was not accepted.

    accepted    whether Balefire has it on disk
    id          its id there, for `balefire why ID`
    error       why it was not accepted, or what could not be asked; None where all went well
    """

    def __init__(self, accepted=False, id=None, error=None):
        super().__init__()
        self.accepted = accepted
        self.id = id
        self.error = error

    @property
    def taken(self):
        """How many channels have it."""
        return sum(1 for standing in self.values() if standing == "delivered")

    def __repr__(self):
        return "Results(%r, accepted=%r, id=%r, error=%r)" % (dict(self), self.accepted, self.id, self.error)


class AlertEngine:
    """Hands incidents to Balefire.

    config      the monitor's configuration as a dictionary, or a path: Balefire's socket, its data directory, or its
                configuration. In a dictionary `balefire: {socket: PATH, dialect: WORD, timeout: SECONDS, wait: SECONDS,
                raises: BOOL}` says what the arguments say, which go before it; everything else in it is Balefire's business
    socket      the path of Balefire's Unix socket; else what `config` says, BALEFIRE_SOCKET, BALEFIRE_DATA, or SOCKETS
    dialect     `plan`: `alert` returns None. `shipped`: `alert` returns how many channels have it
    timeout     seconds that a call may take until its incidents are accepted
    wait        seconds for which `alert` of the dialect `shipped` waits for channels beyond that
    raises      whether NotAccepted is raised for what was not accepted

    `last` has the Results of the last incident, `results` those of all incidents of the last call.
    """

    def __init__(self, config=None, socket=None, dialect=None, timeout=None, wait=None, raises=None):
        own = section(config)

        def said(argument, name, otherwise):
            return argument if argument is not None else own.get(name, otherwise)

        self.dialect = said(dialect, "dialect", "plan")
        if self.dialect not in DIALECTS:
            raise ValueError("dialect is %r; allowed: %s" % (self.dialect, ", ".join(DIALECTS)))
        self.timeout = float(said(timeout, "timeout", 5.0))
        self.wait = float(said(wait, "wait", 5.0))
        if not self.timeout > 0 or not self.wait >= 0:
            raise ValueError("timeout is %r and wait %r; allowed: seconds, more than 0 and 0 or more" % (self.timeout, self.wait))
        self.raises = bool(said(raises, "raises", False))
        self._socket = socket_path(config, said(socket, "socket", None))
        self._is_away = False
        self.results = []

    @property
    def last(self):
        """What became of the last incident; None before the first."""
        return self.results[-1] if self.results else None

    @property
    def socket(self):
        """Where Balefire is asked."""
        return self._socket or next((path for path in SOCKETS if os.path.exists(path)), SOCKETS[0])

    def alert(self, incident):
        """Hands one incident over. Returns None, or with the dialect `shipped` the number of channels that have it."""
        return self.alert_many([incident])

    def alert_many(self, incidents):
        """Hands incidents over, together. Returns as `alert` does, the number over all."""
        wait = self.wait if self.dialect == "shipped" else None
        results = self._hand_over(incidents, wait)
        return sum(result.taken for result in results) if self.dialect == "shipped" else None

    def deliver(self, incident, wait=5.0):
        """Hands one incident over, waits up to `wait` seconds for its deliveries, and returns its Results."""
        return self._hand_over([incident], wait)[0]

    def deliver_many(self, incidents, wait=5.0):
        """As `deliver`, for several; a list of Results in the same order."""
        return self._hand_over(incidents, wait)

    def _hand_over(self, incidents, wait):
        deadline = time.monotonic() + self.timeout
        self.results = results = []
        for part in parts([encoded(incident) for incident in many(incidents)]):
            results.extend(self._send(part, deadline))
        if wait is not None:
            deadline = time.monotonic() + max(0.0, float(wait))
            for result in results:
                if result.accepted:
                    self._look(result, deadline)
        missing = [result for result in results if not result.accepted]
        for result in missing[:20]:
            _log.error("Balefire has not accepted an incident: %s", result.error)
        if len(missing) > 20:
            _log.error("Balefire has not accepted %d more incidents", len(missing) - 20)
        if missing and self.raises:
            raise NotAccepted("%d of %d incidents are not accepted: %s" % (len(missing), len(results), missing[0].error))
        return results

    def _send(self, lines, deadline):
        """Sends one request, again while that may help and time is left; the key makes a repeat harmless."""
        headers = {"Content-Type": wire.CONTENT_TYPE, "Idempotency-Key": str(uuid.uuid4())}
        # Where the call before has waited for Balefire in vain, this one only looks: a poll loop must not stand still.
        was_away, pause = self._is_away, 0.05
        while True:
            after = None
            try:
                status, answer, after = local.ask(self.socket, "POST", wire.ENDPOINT, deadline, headers, b"\n".join(lines))
                self._is_away = False
                results = of_receipt(answer, len(lines))
                if results is not None:
                    return results
                error = "Balefire answered %d: %.500s" % (status, answer.decode("utf-8", "replace"))
                if status not in (408, 429, 500, 502, 503, 504):
                    return [Results(error=error) for _ in lines]
            except (OSError, local.Broken) as failure:
                error = "%s: %s: %s" % (self.socket, type(failure).__name__, failure)
                if isinstance(failure, OSError) and failure.errno in (errno.ENOENT, errno.ECONNREFUSED):
                    self._is_away = True
                    if was_away:
                        return [Results(error=error) for _ in lines]
            rest = deadline - time.monotonic()
            pause = max(pause, after or 0.0)
            if rest <= pause:
                return [Results(error=error) for _ in lines]
            time.sleep(pause)
            pause = min(2 * pause, 0.5)

    def _look(self, result, deadline):
        """Asks how an incident's deliveries stand, until all have an answer or the time is over."""
        while True:
            rest = max(0.0, deadline - time.monotonic())
            path = "%s/%s?wait=%dms" % (wire.ENDPOINT, result.id, min(rest, 9.0) * 1000)
            try:
                # What stands there now is told, also where no time is left to wait for more.
                status, answer, _ = local.ask(self.socket, "GET", path, deadline + 1.0)
                shown = json.loads(answer.decode("utf-8")) if status == 200 else None
            except (OSError, ValueError, local.Broken) as failure:
                result.error = "accepted; how it stands could not be asked: %s: %s" % (type(failure).__name__, failure)
                return
            if not isinstance(shown, dict):
                result.error = "accepted; how it stands could not be asked: %d: %.200s" % (status, answer.decode("utf-8", "replace"))
                return
            deliveries = shown.get("deliveries") or []
            for delivery in deliveries:
                channel = delivery.get("channel")
                if result.get(channel) != "delivered":
                    result[channel] = standing(delivery)
            open_still = any(delivery.get("status") in ("waiting", "under_way") for delivery in deliveries)
            if not open_still or time.monotonic() >= deadline:
                return


def section(config):
    """What a configuration of any kind says under `balefire`; nothing where it says nothing."""
    try:
        own = config.get("balefire") if hasattr(config, "get") else getattr(config, "balefire", None)
        return dict(own) if own else {}
    except Exception as error:
        _log.warning("`balefire` of the configuration cannot be read: %s", type(error).__name__)
        return {}


def socket_path(config, socket):
    """The socket's path; None where only the usual places are left."""
    if isinstance(socket, dict):
        socket = socket.get("path")
    if socket:
        return os.path.expanduser(str(socket))
    if isinstance(config, (str, bytes, os.PathLike)):
        return of_path(os.path.expanduser(os.fsdecode(config)))
    if os.environ.get("BALEFIRE_SOCKET"):
        return os.environ["BALEFIRE_SOCKET"]
    if os.environ.get("BALEFIRE_DATA"):
        return os.path.join(os.environ["BALEFIRE_DATA"], "balefire.sock")
    return None


def of_path(path):
    """The socket that a path means: itself, the one in a data directory, or the one that Balefire's configuration names."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return path
    if stat.S_ISSOCK(mode):
        return path
    if stat.S_ISDIR(mode):
        return os.path.join(path, "balefire.sock")
    with open(path, encoding="utf-8") as file:
        named = named_in(file.read(1 << 20))
    if "socket" in named:
        return named["socket"]
    return os.path.join(named.get("data", "./balefire-data"), "balefire.sock")


def named_in(text):
    """`data` and `socket.path` of Balefire's YAML, as people write them; enough to find the socket, and no more."""
    named, section = {}, None
    for line in text.splitlines():
        content = line.split(" #")[0].rstrip()
        if not content or content.lstrip().startswith("#"):
            continue
        key, _, value = content.strip().partition(":")
        value = value.strip().strip("{}").strip()
        if not line[0].isspace():
            section = key
            if key == "data" and value:
                named["data"] = value.strip("'\"")
            elif key == "socket" and value.startswith("path:"):
                named["socket"] = value[len("path:"):].split(",")[0].strip().strip("'\"")
        elif section == "socket" and key == "path":
            named["socket"] = value.strip("'\"")
    return named


def encoded(incident):
    """As `encode`, also for an incident of which nothing can be read: that there was one must be heard."""
    try:
        return encode(incident)
    except Exception as error:
        said = "An incident of the type %s cannot be read: %s" % (type(incident).__name__, type(error).__name__)
        return wire.dump({"title": said, "severity": "high", "detected_by": "balefire.blueteam"})


def encode(incident):
    """One line of JSON for an incident, whatever it is made of: an object with attributes, or a dictionary."""
    if isinstance(incident, (str, bytes)):
        incident = {"title": incident}
    events = many(read(incident, "events"))
    draft = {
        "title": cut(text(read(incident, "title")), TITLE_BYTES_MAX).strip() or "Security incident without a title",
        "detected_by": cut(text(read(incident, "detected_by")), WORD_BYTES_MAX),
        "nist_controls": [cut(text(control), WORD_BYTES_MAX) for control in many(read(incident, "nist_controls"))[:CONTROLS_MAX]],
        "description": cut(text(read(incident, "description")), DESCRIPTION_BYTES_MAX),
        "cui_involved": truth(read(incident, "cui_involved")),
        "events": [event_of(event) for event in events[:EVENTS_MAX]],
        "incident_id": cut(text(read(incident, "incident_id")), WORD_BYTES_MAX) or None,
    }
    severity = cut(text(read(incident, "severity")), WORD_BYTES_MAX).strip()
    if severity:
        draft["severity"] = severity
    if not draft["detected_by"].strip():
        del draft["detected_by"]
    line = wire.dump(draft)
    while len(line) > wire.ITEM_BYTES_MAX - 1024 and draft["events"]:
        draft["events"] = draft["events"][:len(draft["events"]) // 2]
        line = wire.dump(draft)
    if len(line) > wire.ITEM_BYTES_MAX - 1024:
        # What is not ASCII takes up to six times its room.
        draft["title"] = cut(draft["title"], 8 << 10)
        draft["description"] = cut(draft["description"], 100 << 10)
        draft["nist_controls"] = [cut(control, 64) for control in draft["nist_controls"]]
        line = wire.dump(draft)
    if len(draft["events"]) < len(events):
        draft["events_left_out"] = len(events) - len(draft["events"])
        line = wire.dump(draft)
    return line


def parts(lines):
    """Requests of at most ITEMS_MAX lines and half of what Balefire takes at once."""
    part, size = [], 0
    for line in lines:
        if part and (len(part) >= ITEMS_MAX or size + len(line) > wire.BODY_BYTES_MAX // 2):
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    if part:
        yield part


def of_receipt(answer, count):
    """Results for the lines of one request; None where the answer is no receipt."""
    try:
        told = json.loads(answer.decode("utf-8"))["results"]
        by_index = {result["index"]: result for result in told}
    except (ValueError, TypeError, KeyError):
        return None
    results = []
    for index in range(count):
        result = by_index.get(index, {})
        if result.get("status") == "accepted":
            results.append(Results(accepted=True, id=result.get("id")))
        else:
            results.append(Results(error="refused: %.500s" % json.dumps(result.get("errors", "no result"))))
    return results


def standing(delivery):
    """How a delivery stands, in a few words."""
    status = delivery.get("status")
    if status == "delivered":
        return "delivered"
    if isinstance(status, dict):
        if "retrying" in status:
            return "waiting until %s%s" % (status["retrying"], detail(delivery))
        if "suppressed" in status:
            return "suppressed: %s" % status["suppressed"].get("because")
        if "given_up" in status:
            return "given up: %s%s" % (status["given_up"].get("reason"), detail(delivery))
    return "waiting"


def detail(delivery):
    """What the far side said last."""
    outcome = delivery.get("last_outcome") or {}
    for kind in ("rejected", "deferred"):
        said = outcome.get(kind)
        if isinstance(said, dict) and said.get("detail"):
            return " (%s)" % said["detail"]
    return ""


def read(thing, name):
    """A member of an object or of a dictionary; None where there is none, or where it cannot be had."""
    try:
        value = thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
        # Many a type has a method of such a name, which says nothing of an incident.
        return None if callable(value) and not isinstance(value, type) else value
    except Exception as error:
        _log.warning("%s of an incident cannot be read: %s", name, type(error).__name__)
        return None


def many(value, at_most=1_000_000):
    """A list of what stands there: one alone counts as a list of one."""
    if value is None:
        return []
    if isinstance(value, (str, bytes, dict)):
        return [value]
    try:
        return list(itertools.islice(iter(value), at_most))
    except Exception:
        return [value]


def truth(value):
    """Whether CUI is involved; what cannot be told counts as yes."""
    try:
        return bool(value)
    except Exception:
        return True


def text(value):
    """A text; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, enum.Enum):
        value = value.value
    known = Plain().of(value)
    return known if isinstance(known, str) else wire.dump(known).decode("ascii")


def event_of(event):
    """An event as a JSON object."""
    try:
        known = Plain().of(event)
    except Exception as error:
        known = "(a %s that cannot be read: %s)" % (type(event).__name__, type(error).__name__)
    return known if isinstance(known, dict) else {"value": known}


class Plain:
    """Values in what JSON knows, and everything else as text: no deeper than DEPTH_MAX, and no more than VALUES_MAX in all,
    since a value may hold itself."""

    def __init__(self):
        self._left = VALUES_MAX

    def of(self, value, depth=0):
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.of(value.value, depth)
        if isinstance(value, int):
            # Thousands of digits are no number that a receiver can read.
            return int(value) if value.bit_length() <= 64 else hex(value)[:WORD_BYTES_MAX]
        if isinstance(value, (str, float, bytes, bytearray)):
            return wire.plain(value)
        if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
            return value.isoformat()
        members = members_of(value)
        if depth < DEPTH_MAX and members is not None:
            return {self.key(key): self.of(member, depth + 1) for key, member in self.some(members)}
        if depth < DEPTH_MAX and isinstance(value, (list, tuple, set, frozenset)):
            return [self.of(member, depth + 1) for member in self.some(value)]
        if self._left <= 0 or depth >= DEPTH_MAX:
            return "(a %s: too much to be told)" % type(value).__name__
        try:
            return wire.plain(str(value))
        except Exception as error:
            return "(a %s that cannot be shown: %s)" % (type(value).__name__, type(error).__name__)

    def some(self, members):
        """As many as there is room for."""
        return itertools.takewhile(lambda _: self._left > 0, members)

    def key(self, key):
        """A member's name."""
        return wire.plain(key) if isinstance(key, str) else str(self.of(key, DEPTH_MAX))


def members_of(value):
    """Names and values of what is a mapping or an object with members; None of anything else."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return [(field.name, read(value, field.name)) for field in dataclasses.fields(value)]
    members = getattr(value, "__dict__", None)
    is_bare = isinstance(members, dict) and members and type(value).__str__ is object.__str__
    return list(members.items()) if is_bare else None


def cut(value, bytes_max):
    """At most so many bytes of UTF-8, with a mark where something is missing."""
    encoded = value.encode("utf-8")
    if len(encoded) <= bytes_max:
        return value
    return encoded[:bytes_max].decode("utf-8", "ignore") + " [cut: %d bytes]" % (len(encoded) - bytes_max)
