"""A store and alert plugin for Cloudmarker that sends every record to Balefire.

    plugins:
      balefire:
        plugin: balefire.store.BalefireStore
        params: {url: "http://127.0.0.1:9480", token_file: /etc/cloudmarker/balefire.token}

Nothing is lost in silence: what could not be sent within `patience` goes to the `spool`, if there is one, or is kept for
the next try, and raises.
"""

import http.client
import json
import logging
import os
import socket
import ssl
import time
import urllib.parse
import uuid

from balefire import wire

_log = logging.getLogger(__name__)

# Answers that mean "later": the same request may do better then (docs/api.md).
PASSING = (408, 425, 429, 500, 502, 503, 504)
# The first pause between two tries, doubled each time up to the second.
PAUSES = (0.5, 30.0)
# How much may be kept in memory while Balefire cannot be reached.
KEPT_BYTES_MAX = 256 << 20


class NotSent(Exception):
    """Records that Balefire does not have yet. They are kept, and the next `write` or `done` tries again."""


class Refused(Exception):
    """Records that Balefire does not take, and why."""


class Batch:
    """Records of one request. Its key makes a repeat harmless."""

    def __init__(self, key=None):
        self.key = key or str(uuid.uuid4())
        self.lines = []
        self.size = 0

    def add(self, line):
        self.lines.append(line)
        self.size += len(line) + 1

    def body(self):
        return b"\n".join(self.lines)


class BalefireStore:
    """Sends records in batches, over HTTP(S) or over the Unix socket.

    url, socket     where Balefire listens; `socket` is the path of its Unix socket, and takes the place of `url`
    token           the bearer token, or `token_file`, whose content it is
    ca_file         own certificate authorities, PEM
    timeout         seconds that one request may take
    patience        seconds for which a batch is tried again before it counts as not sent
    batch           records of one request; it is sent when so many are there, and at `done`
    spool           a directory for batches that could not be sent; they go first the next time
    """

    def __init__(self, url="http://127.0.0.1:9480", socket=None, token=None, token_file=None, ca_file=None,
                 timeout=30, patience=120, batch=500, spool=None):
        parts = urllib.parse.urlsplit(url)
        if socket is None and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("url is %r; allowed: an address such as http://127.0.0.1:9480" % url)
        if token is not None and token_file is not None:
            raise ValueError("token and token_file are both set; allowed: one of them")
        if not 1 <= batch <= wire.ITEMS_MAX:
            raise ValueError("batch is %r; allowed: 1 to %d" % (batch, wire.ITEMS_MAX))
        self._parts = parts
        self._socket = socket and os.path.expanduser(socket)
        self._token = token
        self._token_file = token_file and os.path.expanduser(token_file)
        self._ca_file = ca_file and os.path.expanduser(ca_file)
        self._timeout = timeout
        self._patience = patience
        self._batch_max = batch
        self._spool = spool and os.path.expanduser(spool)
        if self._spool:
            os.makedirs(self._spool, mode=0o700, exist_ok=True)
        self._batches = [Batch()]
        # While Balefire cannot be reached, a record does not wait for it each time.
        self._not_before = 0.0

    def write(self, record):
        """Takes a record; sends when a batch is full."""
        line = wire.encode(record)
        if len(line) > wire.ITEM_BYTES_MAX:
            raise Refused("a record of %d bytes is too large for Balefire; allowed: %d" % (len(line), wire.ITEM_BYTES_MAX))
        if sum(batch.size for batch in self._batches) + len(line) > KEPT_BYTES_MAX:
            raise NotSent("%d bytes of records wait for Balefire; this one is not kept" % KEPT_BYTES_MAX)
        if self._batches[-1].size + len(line) > wire.BODY_BYTES_MAX // 2:
            self._batches.append(Batch())
        self._batches[-1].add(line)
        if len(self._batches[-1].lines) >= self._batch_max:
            self._batches.append(Batch())
        if len(self._batches) > 1 and time.monotonic() >= self._not_before:
            self._flush(self._batches[:-1])

    def done(self):
        """Sends what is left."""
        # Closed first: a batch that was sent once must not grow, or its key would name two bodies.
        self._batches.append(Batch())
        self._flush(self._batches[:-1])

    def _flush(self, batches):
        refusals = []
        try:
            self._send_spooled(refusals)
            for batch in batches:
                if batch.lines:
                    self._send(batch.key, batch.body(), refusals)
                self._forget(batch)
        except NotSent as error:
            self._not_before = time.monotonic() + self._patience
            if not self._spool:
                raise
            for batch in [batch for batch in batches if batch in self._batches]:
                self._keep(batch)
                self._forget(batch)
            _log.error("Balefire: %s; the records are in %s", error, self._spool)
        if refusals:
            raise Refused("; ".join(refusals))

    def _forget(self, batch):
        self._batches.remove(batch)

    def _send(self, key, body, refusals):
        """Sends one batch, again and again while that may help."""
        deadline = time.monotonic() + self._patience
        pause = PAUSES[0]
        while True:
            wait = None
            try:
                status, headers, answer = self._post(key, body)
                if status in (200, 202):
                    return
                if status == 400 and is_receipt(answer):
                    refusals.extend(refused(answer))
                    return
                what = "Balefire answered %d: %.500s" % (status, answer)
                if status not in PASSING:
                    # Another token, another size: a person must act, and the records wait for that.
                    raise NotSent(what)
                wait = seconds(headers.get("retry-after"))
            except (OSError, http.client.HTTPException) as error:
                what = "Balefire cannot be reached: %s: %s" % (type(error).__name__, error)
            wait = max(wait or 0, pause)
            pause = min(pause * 2, PAUSES[1])
            if time.monotonic() + wait > deadline:
                raise NotSent(what)
            _log.warning("%s; trying again in %.1f s", what, wait)
            time.sleep(wait)

    def _post(self, key, body):
        connection = self._connection()
        try:
            headers = {"Content-Type": wire.CONTENT_TYPE, "Idempotency-Key": key}
            token = self._read_token()
            if token:
                headers["Authorization"] = "Bearer " + token
            connection.request("POST", self._parts.path.rstrip("/") + wire.ENDPOINT, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read(1 << 22).decode("utf-8", "replace")
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
        finally:
            connection.close()

    def _connection(self):
        if self._socket:
            return UnixConnection(self._socket, self._timeout)
        host, port = self._parts.hostname, self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port or 80, timeout=self._timeout)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(host, port or 443, timeout=self._timeout, context=context)

    def _read_token(self):
        if not self._token_file:
            return self._token
        with open(self._token_file, encoding="utf-8") as file:
            return file.read().strip()

    def _keep(self, batch):
        """Puts a batch on disk, whole or not at all. Its name is its key: sent twice, it is taken once."""
        path = os.path.join(self._spool, "%020d-%s" % (time.time_ns(), batch.key))
        descriptor = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(batch.body())
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".tmp", path + ".ndjson")

    def _send_spooled(self, refusals):
        """Sends what earlier runs have left, the oldest first."""
        names = sorted(os.listdir(self._spool)) if self._spool else []
        for name in names:
            if not name.endswith(".ndjson"):
                continue
            path = os.path.join(self._spool, name)
            try:
                with open(path, "rb") as file:
                    body = file.read()
            except FileNotFoundError:
                # Another process of the same audit was quicker.
                continue
            self._send(name[21:-len(".ndjson")], body, refusals)
            try:
                os.remove(path)
            except FileNotFoundError:
                continue


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def is_receipt(answer):
    """Whether every item of the body has its own result."""
    try:
        return isinstance(json.loads(answer).get("results"), list)
    except (ValueError, AttributeError):
        return False


def refused(answer):
    """A line for each record that was refused; the others are accepted."""
    results = json.loads(answer)["results"]
    told = [result for result in results if result.get("status") == "refused"]
    return ["record %s is refused: %.300s" % (result.get("index"), json.dumps(result.get("errors"))) for result in told[:20]] \
        + (["%d more are refused" % (len(told) - 20)] if len(told) > 20 else [])


def seconds(value):
    """`Retry-After` in seconds."""
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None
