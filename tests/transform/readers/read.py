"""Reads what the shipped transforms write with Python's own libraries, and prints what it saw as JSON.

    read.py mail|rsmf|csv|jsonl|png FILE...

It shares nothing with the writer. What breaks a rule of the format stands in "problems" or "defects".
"""

import csv
import email
import email.header
import email.policy
import email.utils
import hashlib
import io
import json
import re
import struct
import sys
import zipfile
import zlib


# The newer parser of headers takes time that grows with the square of a list of addresses.
LONG = 50_000


def headers_of(part):
    """Each header as the newer parser reads it, and as it stands; of very long ones only how it stands."""
    for name, raw in part.raw_items():
        yield name, (part.policy.header_fetch_parse(name, raw) if len(raw) < LONG else None), str(raw)


def defects_of(part):
    found = [type(defect).__name__ for defect in part.defects]
    for name, value, _ in headers_of(part):
        found += [f"{name}: {type(defect).__name__}" for defect in getattr(value, "defects", [])]
    return found


def addresses_of(raw):
    """The older parser: the newer one keeps the blank between two encoded words of a name, against RFC 2047, 6.2."""
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", raw)
    people = email.utils.getaddresses([unfolded])
    return [[str(email.header.make_header(email.header.decode_header(name))), mail] for name, mail in people if mail]


def mail_of(message):
    seen = {"headers": [], "addresses": {}, "parts": [], "defects": []}
    for name, value, raw in headers_of(message):
        seen["headers"].append([name, str(value or "")])
        if name in ("From", "To", "Cc", "Sender"):
            seen["addresses"][name] = addresses_of(raw)
    pending = [message]
    while pending:
        part = pending.pop(0)
        seen["defects"] += defects_of(part)
        if part.get_content_type() == "message/rfc822":
            seen["parts"].append({"type": "message/rfc822", "mail": mail_of(part.get_content())})
        elif part.is_multipart():
            pending = list(part.iter_parts()) + pending
        else:
            data = part.get_payload(decode=True)
            entry = {
                "type": part.get_content_type(),
                "file": part.get_filename(),
                "disposition": part.get_content_disposition(),
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            if part.get_content_maintype() == "text" and not part.is_attachment():
                # The line breaks of mail are not part of the text.
                entry["text"] = part.get_content().replace("\r\n", "\n")
            seen["parts"].append(entry)
    return seen


def lines_of(raw):
    lines = raw.split(b"\r\n")
    return {
        "longest": max(len(line) for line in lines),
        "stray": sum(line.count(b"\r") + line.count(b"\n") for line in lines),
        "eight_bit": any(byte > 126 for byte in raw),
        "ended": raw.endswith(b"\r\n"),
    }


def mail(path):
    raw = open(path, "rb").read()
    seen = mail_of(email.message_from_bytes(raw, policy=email.policy.default))
    seen["lines"] = lines_of(raw)
    return seen


# Which members an object of the manifest may have; those with * it must have.
RULES = {
    "manifest": "version* participants* conversations* events* eventcollectionid",
    "participant": "id* display email avatar account_id custom",
    "conversation": "id* platform* participants type display custodian icon custom",
    "event": "type* id parent body participant conversation timestamp deleted importance direction reactions"
    " attachments edits read_receipts custom",
    "reaction": "value* count participants",
    "attachment": "id* display size",
    "edit": "participant* timestamp previous new",
    "custom": "name* value*",
}
TYPES = {"message", "disclaimer", "join", "leave", "history", "unknown"}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)$")


def rsmf(path):
    seen = mail(path)
    problems = []

    def check(holds, words):
        if not holds:
            problems.append(words)

    def shape(kind, value):
        rules = RULES[kind].split()
        known = {rule.rstrip("*") for rule in rules}
        check(set(value) <= known, f"{kind}: unknown members {set(value) - known}")
        for rule in rules:
            check(not rule.endswith("*") or rule[:-1] in value, f"{kind}: {rule[:-1]} is missing")
        for custom in value.get("custom", []):
            if kind != "custom":
                shape("custom", custom)

    message = email.message_from_bytes(open(path, "rb").read(), policy=email.policy.default)
    headers = {name.lower(): value for name, value in seen["headers"]}
    check("x-rsmf-version" in headers, "no X-RSMF-Version")
    attached = list(message.iter_attachments())
    check([part.get_filename() for part in attached] == ["rsmf.zip"], "not exactly one attachment rsmf.zip")
    check(attached[0]["Content-Transfer-Encoding"] == "base64", "the zip is not base64")
    check(attached[0].get_content_disposition() == "attachment", "the zip is no attachment")
    check(message.get_body(("plain",)) is not None, "no text")
    archive = zipfile.ZipFile(io.BytesIO(attached[0].get_payload(decode=True)))
    check(archive.testzip() is None, "a damaged entry")
    names = archive.namelist()
    check(len(set(names)) == len(names), "an entry twice")
    check(not any("/" in name or "\\" in name for name in names), "an entry in a folder")
    check(names[0] == "rsmf_manifest.json", "the manifest is not the first entry")
    manifest = json.loads(archive.read("rsmf_manifest.json").decode("utf-8"))
    shape("manifest", manifest)
    people = [person["id"] for person in manifest["participants"]]
    rooms = [room["id"] for room in manifest["conversations"]]
    check(len(set(people)) == len(people), "a participant twice")
    check(len(set(rooms)) == len(rooms), "a conversation twice")
    for person in manifest["participants"]:
        shape("participant", person)
    for room in manifest["conversations"]:
        shape("conversation", room)
        check(room.get("type") in (None, "direct", "channel"), "a type of conversation")
        check(set(room.get("participants", [])) <= set(people), "a conversation names somebody unknown")
    ids = [event["id"] for event in manifest["events"] if "id" in event]
    check(len(set(ids)) == len(ids), "an event id twice")
    named = set()
    for event in manifest["events"]:
        shape("event", event)
        check(event["type"] in TYPES, f"a type of event: {event['type']}")
        check(event.get("participant") in people, "an event names somebody unknown")
        check(event.get("conversation") in rooms, "an event names an unknown conversation")
        check(TIME.match(event.get("timestamp", "")) is not None, "a time")
        check("parent" not in event or event["parent"] in ids, "a parent that is not there")
        for reaction in event.get("reactions", []):
            shape("reaction", reaction)
            check(set(reaction.get("participants", [])) <= set(people), "a reaction names somebody unknown")
        for edit in event.get("edits", []):
            shape("edit", edit)
            check(edit["participant"] in people, "an edit names somebody unknown")
            check(TIME.match(edit.get("timestamp", "")) is not None, "the time of an edit")
        for attachment in event.get("attachments", []):
            shape("attachment", attachment)
            named.add(attachment["id"])
            if attachment["id"] in names:
                check(archive.getinfo(attachment["id"]).file_size == attachment.get("size"), "the size of a file")
    check(named == set(names[1:]), f"files in the zip {names[1:]} and in events {sorted(named)}")
    check(int(headers["x-rsmf-eventcount"]) == len(manifest["events"]), "X-RSMF-EventCount")
    seen.update(problems=problems, manifest=manifest, entries=names)
    seen["dates"] = sorted({str(info.date_time) for info in archive.infolist()})
    return seen


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def objects(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def png(path):
    """The size of a picture, and the share of its bytes that differ from what the filter of their row foretells."""
    raw = open(path, "rb").read()
    at, data, width, height = 8, b"", 0, 0
    while at < len(raw):
        length, kind = struct.unpack(">I4s", raw[at : at + 8])
        chunk = raw[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height = struct.unpack(">II", chunk[:8])
        elif kind == b"IDAT":
            data += chunk
        at += length + 12
    rows = zlib.decompress(data)
    # Without a filter every byte of white counts, so only filtered rows are looked at.
    stride = len(rows) // height
    filtered = [rows[start + 1 : start + stride] for start in range(0, len(rows), stride) if rows[start] != 0]
    changed = sum(len(row) - row.count(0) for row in filtered)
    return {"width": width, "height": height, "changes": changed / len(rows)}


if __name__ == "__main__":
    reader = {"mail": mail, "rsmf": rsmf, "csv": rows, "jsonl": objects, "png": png}[sys.argv[1]]
    json.dump([reader(path) for path in sys.argv[2:]], sys.stdout)
