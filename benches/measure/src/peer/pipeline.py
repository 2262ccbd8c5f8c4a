"""What a user would write instead of Chancery: drain a queue into PostgreSQL, write each interval as a document.

Well written for its kind: one process, deliveries in lots, one statement and one commit for each lot, one
acknowledgement after it, a compiled stylesheet. It has no quarantine, no conflicts, no evidence and no recovery of
half-written output.
"""

import argparse
import hashlib
import json
import os
import resource
import sys
import time
from itertools import groupby

import pika
import psycopg2
import psycopg2.extras
from lxml import etree

LOT = 1000
PREFETCH = 5000


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["take-in", "end-to-end"])
    for name in ("amqp", "postgres", "queue", "schema"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--interval", type=int, default=100_000)
    parser.add_argument("--out")
    parser.add_argument("--stylesheet")
    return parser.parse_args()


class Staging:
    def __init__(self, url, schema):
        self.connection = psycopg2.connect(url)
        self.schema = schema
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(
                f"create schema {schema}; create table {schema}.events (seq bigserial primary key,"
                " source text not null, id text not null, type text not null, time text not null, room text not null,"
                " sha256 bytea not null, raw bytea not null, unique (source, id))"
            )

    def insert(self, rows):
        with self.connection, self.connection.cursor() as cursor:
            psycopg2.extras.execute_values(
                cursor,
                f"insert into {self.schema}.events (source, id, type, time, room, sha256, raw) values %s"
                " on conflict do nothing",
                rows,
                page_size=len(rows),
            )

    def interval(self):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(f"select seq, room, time, raw from {self.schema}.events order by room, time, seq")
            return cursor.fetchall()

    def purge(self, last):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(f"delete from {self.schema}.events where seq <= %s", (last,))

    def drop(self):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(f"drop schema {self.schema} cascade")


def staged(body):
    event = json.loads(body)
    for name in ("id", "source", "type"):
        if not isinstance(event.get(name), str):
            raise ValueError(f"{name} is missing")
    room = event.get("data", {}).get("room", {}).get("uri") or event.get("subject") or ""
    return (
        event["source"],
        event["id"],
        event["type"],
        event.get("time", ""),
        room,
        hashlib.sha256(body).digest(),
        body,
    )


TYPES = {"chat.message.posted": "CHAT", "chat.room.joined": "JOIN", "chat.room.left": "PART"}


def document(rows):
    root = etree.Element("Conversations")
    for room, events in groupby(rows, key=lambda row: row[1]):
        conversation = etree.SubElement(root, "Conversation")
        etree.SubElement(conversation, "Channel", uri=room, name=room)
        messages = etree.SubElement(conversation, "Messages")
        for _, _, at, raw in events:
            event = json.loads(bytes(raw))
            data = event.get("data", {})
            sender, message = data.get("sender", {}), data.get("message", {})
            element = etree.SubElement(
                messages,
                "Message",
                type=TYPES.get(event["type"], "OTHER"),
                content=clean(message.get("text") or ""),
                id=event["id"],
            )
            etree.SubElement(
                element,
                "Sender",
                UserName=clean(sender.get("name") or ""),
                id="0",
                email=sender.get("email") or "",
                internal="true",
                uri=sender.get("uri") or "",
            )
            etree.SubElement(element, "DateTimeUTC", since1970="0", string=at, long="0")
        for name in ("StartTimeUTC", "EndTimeUTC"):
            etree.SubElement(conversation, name, since1970="0", string="", long="0")
    return root


def clean(text):
    return "".join(c if c in "\t\n\r" or (" " <= c and c not in "\ufffe\uffff") else "\ufffd" for c in text)


def write(out, name, tree):
    draft, final = os.path.join(out, name + ".tmp"), os.path.join(out, name)
    with open(draft, "wb") as file:
        tree.write_output(file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, final)
    directory = os.open(out, os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)
    return final


def main():
    options = arguments()
    staging = Staging(options.postgres, options.schema)
    whole = options.verb == "end-to-end"
    transform = etree.XSLT(etree.parse(options.stylesheet)) if whole else None
    channel = pika.BlockingConnection(pika.URLParameters(options.amqp)).channel()
    channel.basic_qos(prefetch_count=PREFETCH)

    def close_interval(number):
        rows = staging.interval()
        written = write(options.out, f"batch-{number:06}.xml", transform(document(rows)))
        os.unlink(written)  # the archive collects
        staging.purge(max(row[0] for row in rows))

    begun = time.monotonic()
    done, first, lot, tag, waiting, number = 0, None, [], None, 0, 0
    for method, _, body in channel.consume(options.queue):
        lot.append(staged(body))
        tag = method.delivery_tag
        if len(lot) == LOT or done + len(lot) == options.events:
            staging.insert(lot)
            channel.basic_ack(tag, multiple=True)
            done += len(lot)
            waiting += len(lot)
            lot = []
            first = first or (done, time.monotonic())
            if whole and (waiting >= options.interval or done == options.events):
                number += 1
                close_interval(number)
                waiting = 0
        if done == options.events:
            break
    ended = time.monotonic()
    rate = done / (ended - begun) if whole else (done - first[0]) / (ended - first[1])
    channel.connection.close()
    staging.drop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump({"rate": rate, "peak": peak}, sys.stdout)


main()
