"""One request to Balefire over its Unix socket, with one deadline for all of it. Knows no record and no incident."""

import http.client
import io
import socket
import time

# More than any answer to a request of ours.
ANSWER_BYTES_MAX = 8 << 20


class Broken(Exception):
    """The answer is none."""


def ask(path, method, target, deadline, headers=None, body=b""):
    """The status, the body, and the seconds of `Retry-After` or None. Raises OSError where nobody answers in time."""
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: localhost", "Connection: close"]
    lines += ["%s: %s" % header for header in dict(headers or {}, **{"Content-Length": len(body)}).items()]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(rest(deadline))
        connection.connect(path)
        connection.settimeout(rest(deadline))
        # Since Python 3.5 the time is that of the whole, not of each piece.
        connection.sendall("\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body)
        answer = bytearray()
        while True:
            connection.settimeout(rest(deadline))
            piece = connection.recv(1 << 16)
            if not piece:
                break
            answer += piece
            if len(answer) > ANSWER_BYTES_MAX:
                raise Broken("more than %d bytes" % ANSWER_BYTES_MAX)
    return parsed(bytes(answer), method)


def rest(deadline):
    """The seconds that are left."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise socket.timeout("no answer in time")
    return seconds


def parsed(answer, method):
    """An answer that has come whole."""
    try:
        response = http.client.HTTPResponse(Whole(answer), method=method)
        response.begin()
        body = response.read()
    except (http.client.HTTPException, ValueError) as error:
        raise Broken("%s: %s" % (type(error).__name__, error))
    try:
        after = max(0.0, float(response.getheader("retry-after")))
    except (TypeError, ValueError):
        after = None
    return response.status, body, after


class Whole:
    """What `http.client` reads from in place of a socket."""

    def __init__(self, content):
        self._content = content

    def makefile(self, *_, **__):
        return io.BytesIO(self._content)
