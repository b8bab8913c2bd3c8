"""Where Balefire takes records, and in which form. The only place that knows: what changes there changes here."""

import json

ENDPOINT = "/api/v1/incidents"
CONTENT_TYPE = "application/x-ndjson"
# Balefire's own bounds (docs/api.md): items of one body, bytes of one item, bytes of one body.
ITEMS_MAX = 10_000
ITEM_BYTES_MAX = 1 << 20
BODY_BYTES_MAX = 16 << 20

# What Balefire shows of a record; the record itself is uncut.
TITLE_CHARS_MAX = 500
LABEL_CHARS_MAX = 500
DESCRIPTION_CHARS_MAX = 50_000

_LABELS = ("audit_key", "cloud_type", "origin_key", "origin_type", "record_type", "reference")


def encode(record):
    """One line for a record: itself, unchanged, where Balefire knows it by its `com`; else what Balefire shows of it, and
    the record beside that.

    What JSON cannot say (times, sets, not-a-number) is said as text.
    """
    if is_known(record):
        return dump(record)
    com = record.get("com") if isinstance(record.get("com"), dict) else {}
    kind = text(com.get("record_type") or "record")
    labels = {name: text(com[name])[:LABEL_CHARS_MAX] for name in _LABELS if com.get(name) not in (None, "")}
    draft = {
        "title": title(com, kind)[:TITLE_CHARS_MAX],
        "severity": severity(com, kind),
        "detected_by": text(com.get("origin_key") or com.get("target_key") or "cloudmarker")[:LABEL_CHARS_MAX],
        "description": "\n".join(text(com[name]) for name in ("description", "recommendation") if com.get(name))[:DESCRIPTION_CHARS_MAX],
        "labels": labels,
    }
    # A bucket that is named like a field of ours would be read as that field.
    kept = {name: value for name, value in record.items() if name not in draft and name not in RESERVED}
    clash = {name: value for name, value in record.items() if name not in kept}
    if clash:
        kept["record"] = clash
    return dump(dict(draft, **kept))


def is_known(record):
    """Whether Balefire takes it for a record of an audit: severity, title and run are its part then."""
    com = record.get("com")
    kind = com.get("record_type") if isinstance(com, dict) else None
    return isinstance(kind, str) and bool(kind.strip()) and "title" not in record


# Fields that Balefire reads as its own: a bucket of such a name is kept under `record`.
RESERVED = ("nist_controls", "cui_involved", "incident_id", "events", "fingerprint", "event_time", "record")


def title(com, kind):
    """One line for people."""
    if kind in ("begin_audit", "end_audit"):
        verb = "begins" if kind == "begin_audit" else "ends"
        return "Audit %s %s" % (text(com.get("audit_key") or "?"), verb)
    return text(com.get("description") or "%s %s" % (kind, text(com.get("reference") or ""))).strip() or kind


def severity(com, kind):
    """Cloudmarker knows none: what was found is `medium`, what was only read is `info`."""
    is_finding = com.get("origin_type") == "event" or (kind.endswith("_event") and "origin_type" not in com)
    return "medium" if is_finding else "info"


def text(value):
    """A text for a label or a title."""
    return value if isinstance(value, str) else dump(value).decode("ascii")


def dump(value):
    """JSON in ASCII on one line."""
    try:
        line = json.dumps(value, allow_nan=False)
        if "\\ud" in line:
            # Halves of characters, which many parsers refuse: JSON in UTF-8 cannot say them.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError):
        line = json.dumps(plain(value), allow_nan=False)
    return line.encode("ascii")


def plain(value):
    """The value in what JSON knows; everything else as text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, dict):
        return {plain(key if isinstance(key, str) else str(key)): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(member) for member in value]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
