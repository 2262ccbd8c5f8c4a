"""The people of `deploy/quickstart --matrix`, and a look at what the archive got of them.

    matrix-people.py HOMESERVER TOKENS talk          a day on a homeserver
    matrix-people.py HOMESERVER TOKENS regret        a message, deleted at once
    matrix-people.py HOMESERVER TOKENS wait PICKUP   until the file that was uploaded is on the share
    matrix-people.py HOMESERVER TOKENS show PICKUP   the rows of the table, a few columns of each

TOKENS is a directory with each person's access token in a file of the person's name.
"""

import csv
import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request
import uuid

homeserver, tokens, verb, *more = sys.argv[1:]
FILE = b"Grain, tonnes: 1200\n"
REMEMBERED = pathlib.Path(tokens) / "room"


class Person:
    def __init__(self, name):
        self.id = f"@{name}:lab.test"
        self.token = (pathlib.Path(tokens) / name).read_text().strip()

    def ask(self, method, path, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        request = urllib.request.Request(homeserver + path, data, headers, method=method)
        return json.load(urllib.request.urlopen(request, timeout=60))

    def act(self, room, what, body=None):
        return self.ask("POST", f"/_matrix/client/v3/rooms/{quote(room)}/{what}", body or {})

    def send(self, room, kind, content):
        path = f"/_matrix/client/v3/rooms/{quote(room)}/send/{kind}/{uuid.uuid4()}"
        return self.ask("PUT", path, content)["event_id"]

    def says(self, room, words, relation=None, **others):
        content = {"msgtype": "m.text", "body": words, **others}
        if relation:
            content["m.relates_to"] = relation
        return self.send(room, "m.room.message", content)

    def deletes(self, room, event, reason):
        path = f"/_matrix/client/v3/rooms/{quote(room)}/redact/{quote(event)}/{uuid.uuid4()}"
        self.ask("PUT", path, {"reason": reason})


def quote(text):
    return urllib.parse.quote(text, safe="")


def talk():
    alice, bob, carol = map(Person, ("alice", "bob", "carol"))
    room = alice.ask("POST", "/_matrix/client/v3/createRoom", {
        "preset": "private_chat", "name": "Trading desk", "topic": "Grain", "invite": [bob.id, carol.id],
    })["room_id"]
    REMEMBERED.write_text(room)
    bob.act(room, "join")
    carol.act(room, "join")
    offer = alice.says(room, "I can sell 1000 tonnes at 210.")
    words = "I can sell 1200 tonnes at 210."
    alice.says(room, f"* {words}", {"rel_type": "m.replace", "event_id": offer},
               **{"m.new_content": {"msgtype": "m.text", "body": words}})
    like = bob.send(room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": offer, "key": "👍"}})
    bob.says(room, "Bought.", {"m.in_reply_to": {"event_id": offer}})
    bob.deletes(room, like, "the wrong button")
    upload = alice.ask("POST", "/_matrix/media/v3/upload?filename=confirmation.txt", FILE, "text/plain")
    alice.says(room, "confirmation.txt", msgtype="m.file", url=upload["content_uri"],
               info={"mimetype": "text/plain", "size": len(FILE)})
    slip = carol.says(room, "Does compliance read this?")
    carol.deletes(room, slip, "a slip")
    carol.act(room, "leave")
    direct = alice.ask("POST", "/_matrix/client/v3/createRoom", {
        "preset": "trusted_private_chat", "is_direct": True, "invite": [bob.id],
    })["room_id"]
    bob.act(direct, "join")
    bob.says(direct, "Lunch?")


def regret():
    bob, room = Person("bob"), REMEMBERED.read_text()
    bob.deletes(room, bob.says(room, "Let us not tell the others."), "regret")


def rows(pickup):
    for path in sorted(pathlib.Path(pickup).glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)


def wait(pickup):
    for _ in range(120):
        # The whole file, and the message that was deleted while the bridge was away.
        found = list(rows(pickup))
        if any(row["sha256"] and not row["missing"] for row in found) and sum(row["type"] == "DELETE" for row in found) == 2:
            return
        time.sleep(0.5)
    sys.exit("the archive did not get everything within a minute")


def show(pickup):
    seen = set()
    for row in sorted(rows(pickup), key=lambda row: row["time"]):
        # A file that came late stands in a supplement once more.
        if row["type"] == "STAY" or row["event"] in seen:
            continue
        seen.add(row["event"])
        who = row["sender_name"] or row["sender"]
        # A change of a room that has no name yet is told by its address, which says nothing here.
        text = row["text"] if not row["text"].startswith("!") else ""
        what = text or row["reaction"] or row["file_name"] or row["member_name"] or row["member"]
        before = f"   (before: {row['previous_text']})" if row["previous_text"] and row["previous_text"] != what else ""
        change = f" {row['change']}" if row["change"] and len(row["change"]) < 40 else ""
        print(f"{row['time'][11:19]}  {row['room_kind']:<6} {row['type'] + change:<22} {who:<8} {what}{before}")


{"talk": talk, "regret": regret, "wait": wait, "show": show}[verb](*more)
