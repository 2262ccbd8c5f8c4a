//! What emitters might send by mistake or malice, and what is to become of each.
//!
//! The list is also the seed of the fuzzers' corpora, with smaller sizes.

use serde_json::{Map, Value, json};

/// The source of every poisonous event that names a known one.
pub const SOURCE: &str = "/channel-service/1";
/// The limit that `a body over the limit` exceeds.
pub const EVENT_BYTES_MAX: usize = 20 << 20;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// What is to become of a message.
pub enum Fate {
    /// The body lies in quarantine, whole, under this reason.
    Quarantined(&'static str),
    /// It is archived as the event whose id is the kind's name; with its exact bytes in `c:raw`.
    Raw,
    /// The same, with this exact text (WTF-8) as its content.
    Text(Vec<u8>),
    /// A batch: so many events are archived, and these elements lie in quarantine.
    Parts { archived: usize, quarantined: Vec<(&'static str, Vec<u8>)> },
}

/// One kind of poison.
pub struct Kind {
    pub name: String,
    pub routing_key: Vec<u8>,
    pub content_type: Option<String>,
    pub headers: Map<String, Value>,
    /// Flags and list of the properties, where they say something that the two above cannot.
    pub properties: Option<Vec<u8>>,
    pub body: Vec<u8>,
    pub fate: Fate,
}

/// How large the large ones are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As large as they may come.
    Full,
    /// Small enough to be committed.
    Small,
}

impl Scale {
    fn of(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Small => full.min(200),
        }
    }
}

/// An ordinary message event.
pub fn ordinary(source: &str, id: &str, text: &str) -> Vec<u8> {
    let mut event = Value::Object(message(id));
    event["source"] = json!(source);
    event["data"]["message"]["text"] = json!(text);
    event.to_string().into_bytes()
}

fn message(id: &str) -> Map<String, Value> {
    let event = json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": "chat.message.posted", "subject": "room:poison",
        "time": "2026-11-22T10:00:00Z",
        "data": { "sender": { "id": 7, "uri": "sip:ada@example.com", "name": "Ada" }, "message": { "id": 1, "text": "hello" } },
    });
    event.as_object().unwrap().clone()
}

struct Kinds {
    found: Vec<Kind>,
}

impl Kinds {
    fn add(&mut self, name: &str, content_type: Option<&str>, body: impl Into<Vec<u8>>, fate: Fate) -> &mut Kind {
        self.found.push(Kind {
            name: name.to_owned(),
            routing_key: b"poison".to_vec(),
            content_type: content_type.map(str::to_owned),
            headers: Map::new(),
            properties: None,
            body: body.into(),
            fate,
        });
        self.found.last_mut().unwrap()
    }

    fn bad(&mut self, name: &str, reason: &'static str, body: impl Into<Vec<u8>>) {
        self.add(name, Some(STRUCTURED), body, Fate::Quarantined(reason));
    }

    /// An event with one thing changed; `pointer` names its place.
    fn changed(&mut self, name: &str, pointer: &str, value: Value, fate: Fate) -> &mut Kind {
        let mut event = Value::Object(message(name));
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(member)
        } else {
            parent.insert(member.into(), value)
        };
        self.add(name, Some(STRUCTURED), event.to_string(), fate)
    }

    /// An event with JSON in its text that no JSON writer would write.
    fn spliced(&mut self, name: &str, from: &str, to: impl AsRef<[u8]>, fate: Fate) {
        let event = Value::Object(message(name)).to_string();
        let at = event.find(from).unwrap();
        let body = [&event.as_bytes()[..at], to.as_ref(), &event.as_bytes()[at + from.len()..]].concat();
        self.add(name, Some(STRUCTURED), body, fate);
    }

    /// A sound event whose properties are not.
    fn property(&mut self, name: &str, properties: Vec<u8>, fate: Fate) {
        let kind = self.add(name, Some(STRUCTURED), Value::Object(message(name)).to_string(), fate);
        kind.properties = Some(properties);
    }
}

/// Flags and list with a content type, header entries and a delivery mode.
pub fn properties(content_type: &[u8], entries: &[u8], delivery_mode: u8) -> Vec<u8> {
    let table = u32::try_from(entries.len()).unwrap().to_be_bytes();
    [&[0xB0, 0, u8::try_from(content_type.len()).unwrap()], content_type, &table, entries, &[delivery_mode]].concat()
}

/// A header entry: its name, the letter of its type, and its value.
fn entry(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name, value].concat()
}

fn sized(letter: u8, value: &[u8]) -> Vec<u8> {
    [&[letter][..], &u32::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

impl Kind {
    /// Flags and list, as a content header holds them.
    pub fn wire_properties(&self) -> Vec<u8> {
        if let Some(properties) = &self.properties {
            return properties.clone();
        }
        let entries: Vec<u8> = self
            .headers
            .iter()
            .flat_map(|(name, value)| {
                entry(name.as_bytes(), &sized(b'S', value.as_str().unwrap_or_default().as_bytes()))
            })
            .collect();
        match &self.content_type {
            Some(content_type) => properties(content_type.as_bytes(), &entries, 2),
            None => [&[0x10, 0][..], &[2]].concat(),
        }
    }
}

/// Every kind.
pub fn kinds(scale: Scale) -> Vec<Kind> {
    let mut kinds = Kinds { found: Vec::new() };
    no_json(&mut kinds, scale);
    no_event(&mut kinds, scale);
    odd_but_sound(&mut kinds, scale);
    heads(&mut kinds);
    batches(&mut kinds, scale);
    kinds.found
}

fn no_json(kinds: &mut Kinds, scale: Scale) {
    kinds.bad("empty", "malformed-json", "");
    kinds.bad("blank", "malformed-json", " \r\n\t ");
    kinds.bad("words", "malformed-json", "hello");
    kinds.bad("cut off", "malformed-json", &Value::Object(message("cut")).to_string().as_bytes()[..120]);
    kinds.bad("two events", "malformed-json", [ordinary(SOURCE, "a", "x"), ordinary(SOURCE, "b", "y")].concat());
    kinds.bad("single quotes", "malformed-json", "{'specversion':'1.0'}");
    kinds.spliced("a comment", "{", "{/* why not */", Fate::Quarantined("malformed-json"));
    kinds.spliced("a trailing comma", "\"hello\"}", "\"hello\",}", Fate::Quarantined("malformed-json"));
    kinds.spliced("not a number", "\"hello\"", "NaN", Fate::Quarantined("malformed-json"));
    kinds.spliced("a line break in a text", "hello", "hel\nlo", Fate::Quarantined("malformed-json"));
    kinds.spliced("a NUL in a text", "hello", "hel\0lo", Fate::Quarantined("malformed-json"));
    kinds.spliced("half an escape", "hello", "\\ud83", Fate::Quarantined("malformed-json"));
    kinds.spliced("invalid UTF-8", "hello", b"hel\xC3\x28lo", Fate::Quarantined("not-utf8"));
    kinds.spliced("a surrogate in UTF-8", "hello", b"\xED\xA0\x80", Fate::Quarantined("not-utf8"));
    kinds.spliced("overlong UTF-8", "hello", b"\xC0\xAF", Fate::Quarantined("not-utf8"));
    kinds.bad("a byte order mark", "malformed-json", [b"\xEF\xBB\xBF".to_vec(), ordinary(SOURCE, "bom", "x")].concat());
    let utf16: Vec<u8> = "\u{feff}{\"id\":\"x\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    kinds.bad("UTF-16", "not-utf8", utf16);
    kinds.bad("zeros", "malformed-json", vec![0; scale.of(1 << 20)]);
    kinds.bad(
        "random bytes",
        "not-utf8",
        (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>(),
    );
    kinds.bad(
        "compressed",
        "not-utf8",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00".to_vec(),
    );
    kinds.bad("brackets", "malformed-json", vec![b'['; scale.of(1 << 20)]);
    kinds.bad("objects without end", "malformed-json", br#"{"a":"#.repeat(scale.of(200_000)));
    kinds.bad(
        "over the limit",
        if scale == Scale::Full { "too-large" } else { "malformed-json" },
        vec![b'x'; scale.of(60_000_000)],
    );
}

fn no_event(kinds: &mut Kinds, scale: Scale) {
    let quarantined = |reason| Fate::Quarantined(reason);
    for (name, value) in [("null", "null"), ("a number", "1e999"), ("a text", "\"event\""), ("an array", "[1,2]")] {
        kinds.bad(name, "malformed-json", value);
    }
    kinds.bad("an empty object", "missing-member", "{}");
    for pointer in [
        "/id",
        "/source",
        "/type",
        "/specversion",
        "/subject",
        "/data",
        "/data/sender",
        "/data/message",
        "/data/message/text",
    ] {
        kinds.changed(&format!("without {pointer}"), pointer, Value::Null, quarantined("missing-member"));
    }
    for pointer in ["/id", "/source", "/type", "/subject"] {
        kinds.changed(&format!("empty {pointer}"), pointer, json!(""), quarantined("missing-member"));
    }
    kinds.spliced("a member twice", "{", "{\"id\":\"other\",", quarantined("malformed-json"));
    kinds.spliced("a text twice", "\"text\"", "\"text\":\"other\",\"text\"", quarantined("malformed-json"));
    for (pointer, value) in [
        ("/id", json!(5)),
        ("/time", json!(1_700_000_000)),
        ("/data", json!("text")),
        ("/data/sender", json!(["ada"])),
        ("/data/sender/internal", json!("yes")),
        ("/data/message/text", json!({ "words": "hello" })),
        ("/data/lease_seconds", json!(-1)),
    ] {
        kinds.changed(&format!("wrong type of {pointer}"), pointer, value, quarantined("malformed-json"));
    }
    kinds.changed("unknown source", "/source", json!("/somebody/else"), quarantined("unknown-source"));
    kinds.changed("endless source", "/source", json!("x".repeat(scale.of(1 << 20))), quarantined("unknown-source"));
    kinds.changed("another version", "/specversion", json!("0.3"), quarantined("unknown-specversion"));
    kinds.changed("endless id", "/id", json!("x".repeat(scale.of(1 << 20) + 1025)), quarantined("bad-member"));
    kinds.changed("endless room", "/subject", json!("r".repeat(scale.of(1 << 20) + 1025)), quarantined("bad-member"));
    kinds.changed("NUL in the id", "/id", json!("a\0b"), quarantined("bad-member"));
    kinds.changed("NUL in the room", "/subject", json!("a\0b"), quarantined("bad-member"));
    kinds.spliced(
        "half a pair in the id",
        "\"id\":\"half a pair in the id\"",
        r#""id":"\ud800""#,
        quarantined("bad-member"),
    );
    for time in [
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T10:00:00",
        "2026-11-22",
        "2026-02-30T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "yesterday",
        "",
        "9999-12-31T23:59:59-01:00",
        "-001-01-01T00:00:00Z",
        "2026-11-22T10:00:00+24:00",
        "2026-11-22T10:00:61Z",
    ] {
        kinds.changed(&format!("time {time:?}"), "/time", json!(time), quarantined("bad-member"));
    }
    for sequence in
        [json!("-1"), json!("1e9"), json!("9223372036854775808"), json!("9".repeat(1000)), json!(-5), json!(1.5)]
    {
        let name: String = format!("sequence {sequence}").chars().take(40).collect();
        kinds.changed(&name, "/sequence", sequence, quarantined("bad-member"));
    }
    let deep = format!("{}{}", "[".repeat(scale.of(10_000)), "]".repeat(scale.of(10_000)));
    kinds.spliced("a deep text", "\"hello\"", &deep, quarantined("malformed-json"));
    kinds.spliced("a deep sender", "{\"id\":7", format!("{{\"id\":{deep}"), quarantined("malformed-json"));
    kinds.spliced(
        "an endless number for a size",
        "\"sender\"",
        "\"file\":{\"size\":1e999},\"sender\"",
        quarantined("malformed-json"),
    );
}

fn odd_but_sound(kinds: &mut Kinds, scale: Scale) {
    let text = |text: &str| Fate::Text(text.as_bytes().to_vec());
    for time in [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9999999Z",
        "1969-12-31T23:59:59Z",
        "2016-12-31T23:59:60Z",
        "2026-11-22T10:00:00.123456789012345678901234567890Z",
        "2026-11-22T10:00:00-23:59",
        "2026-11-22t10:00:00z",
        "2999-01-01T00:00:00Z",
    ] {
        kinds.changed(&format!("time {time}"), "/time", json!(time), text("hello"));
    }
    kinds.changed("no time", "/time", Value::Null, text("hello"));
    let long = "many words ✓ ".repeat(scale.of(600_000));
    kinds.changed("megabytes of text", "/data/message/text", json!(long), text(&long));
    let zeros = scale.of(200_000);
    kinds.changed("NULs as text", "/data/message/text", json!("\0".repeat(zeros)), Fate::Text(vec![0; zeros]));
    let marks = "<&>\"'\n\r\t]]>".repeat(scale.of(50_000));
    kinds.changed("markup as text", "/data/message/text", json!(marks), text(&marks));
    kinds.spliced(
        "half a pair",
        "hello",
        r"a\ud800b\udc00\ud83d\ude00",
        Fate::Text(b"a\xED\xA0\x80b\xED\xB0\x80\xF0\x9F\x98\x80".to_vec()),
    );
    kinds.spliced("noncharacters", "hello", r"\ufffe\uffff\u0001", text("\u{fffe}\u{ffff}\u{1}"));
    kinds.changed("an empty text", "/data/message/text", json!(""), text(""));
    kinds.changed("an endless person", "/data/sender/uri", json!("p".repeat(scale.of(1 << 20))), text("hello"));
    kinds.changed("NUL in a person", "/data/sender/uri", json!("sip:\0"), text("hello"));

    let mut event = message("an endless key");
    event.insert("k".repeat(scale.of(1 << 20)), json!(1));
    kinds.add("an endless key", Some(STRUCTURED), Value::Object(event).to_string(), Fate::Raw);
    let mut event = message("a hundred thousand members");
    event.extend((0..scale.of(100_000)).map(|number| (format!("member{number}"), json!(number))));
    kinds.add("a hundred thousand members", Some(STRUCTURED), Value::Object(event).to_string(), Fate::Raw);
    let deep = format!("{}{}", "[".repeat(scale.of(10_000)), "]".repeat(scale.of(10_000)));
    kinds.spliced("deep in an unknown member", "\"sender\"", format!("\"extra\":{deep},\"sender\""), Fate::Raw);
    let deep = format!("{}1{}", "{\"a\":".repeat(scale.of(10_000)), "}".repeat(scale.of(10_000)));
    kinds.spliced("deep in an attribute", "{", format!("{{\"extra\":{deep},"), Fate::Raw);
    let digits = "9".repeat(scale.of(100_000));
    kinds.spliced(
        "endless numbers",
        "\"sender\"",
        format!("\"a\":1e999,\"b\":-1e-999,\"c\":{digits},\"sender\""),
        Fate::Raw,
    );
    kinds.changed("an unknown type", "/type", json!("vendor.thing"), Fate::Raw);
    kinds.spliced("an unknown type, deep", "chat.message.posted\"", format!("vendor.deep\",\"x\":{deep}"), Fate::Raw);
}

fn heads(kinds: &mut Kinds) {
    let sound = |name: &str| Value::Object(message(name)).to_string();
    let reason = "unknown-content-type";
    for content_type in ["text/plain", "application/xml", "application/json", "a\u{0}b", "é"] {
        let name = format!("content type {content_type:?}");
        kinds.add(&name, Some(content_type), sound(&name), Fate::Quarantined(reason));
    }
    kinds.add("no content type and no JSON", None, "hello", Fate::Quarantined(reason));
    kinds.add("no content type and no event", None, "{\"a\":1}", Fate::Quarantined(reason));
    let name = "a content type that says nothing";
    kinds.add(name, Some(";;;"), sound(name), Fate::Text(b"hello".to_vec()));
    kinds.add("no content type", None, sound("no content type"), Fate::Text(b"hello".to_vec()));

    let data = &br#"{"sender":{"uri":"sip:a"},"message":{"text":"hello"}}"#[..];
    let binary = |kinds: &mut Kinds, name: &str, without: &str, with: &[(&str, Value)], body: &[u8], fate| {
        let kind = kinds.add(name, Some("application/json"), body, fate);
        for (attribute, value) in [
            ("specversion", "1.0"),
            ("id", name),
            ("source", SOURCE),
            ("type", "chat.message.posted"),
            ("subject", "room:poison"),
        ] {
            kind.headers.insert(format!("ce-{attribute}"), json!(value));
        }
        kind.headers.remove(without);
        kind.headers.extend(with.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    };
    binary(kinds, "binary mode", "", &[], data, Fate::Text(b"hello".to_vec()));
    binary(kinds, "mixed prefixes", "", &[("cloudEvents:id", json!("x"))], data, Fate::Quarantined("mixed-prefixes"));
    binary(kinds, "binary mode without id", "ce-id", &[], data, Fate::Quarantined("missing-member"));
    binary(kinds, "binary mode with bad JSON", "", &[], b"{\"a\":", Fate::Quarantined("malformed-json"));
    binary(kinds, "binary mode with invalid UTF-8", "", &[], b"\"\xFF\"", Fate::Quarantined("not-utf8"));
    binary(
        kinds,
        "binary mode with a second event in its data",
        "",
        &[],
        b"{},\"id\":\"x\"",
        Fate::Quarantined("malformed-json"),
    );
    binary(
        kinds,
        "binary mode with a bad attribute",
        "",
        &[("ce-Upper", json!("x"))],
        data,
        Fate::Quarantined("bad-member"),
    );
    binary(kinds, "binary mode without data", "", &[], b"", Fate::Quarantined("missing-member"));

    let structured = STRUCTURED.as_bytes();
    let nested = sized(b'F', &entry(b"inner", &sized(b'A', &sized(b'S', b"\xFF\xFE"))));
    // Neither NaN nor an infinity: RabbitMQ refuses to take those.
    let every_type: Vec<u8> = [
        &b"t\x01"[..],
        b"b\xFF",
        b"B\xFF",
        b"s\xFF\xFE",
        b"u\xFF\xFE",
        b"I\xFF\xFF\xFF\xFE",
        b"i\xFF\xFF\xFF\xFE",
        b"l\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE",
        b"f\x7F\x7F\xFF\xFF",
        b"d\x7F\xEF\xFF\xFF\xFF\xFF\xFF\xFF",
        b"D\x02\0\0\x01\x3A",
        b"T\0\0\0\0\xFF\xFF\xFF\xFF",
        b"V",
        &sized(b'S', b"\xFF\0"),
        &sized(b'x', b"\0\xFF"),
        &nested,
    ]
    .iter()
    .enumerate()
    .flat_map(|(number, value)| entry(format!("h{number}").as_bytes(), value))
    .collect();
    kinds.property("headers of every type", properties(structured, &every_type, 2), Fate::Text(b"hello".to_vec()));
    kinds.property("not persistent", properties(structured, b"", 1), Fate::Text(b"hello".to_vec()));
    let reason = "unreadable-properties";
    kinds.property(
        "a content type that is no UTF-8",
        properties(b"application/\xFF", b"", 2),
        Fate::Quarantined(reason),
    );
    kinds.property(
        "a header name that is no UTF-8",
        properties(structured, &entry(b"caf\xE9", b"V"), 2),
        Fate::Quarantined(reason),
    );
    let inner = entry(b"outer", &sized(b'F', &entry(b"\xC3", b"V")));
    kinds.property("a nested name that is no UTF-8", properties(structured, &inner, 2), Fate::Quarantined(reason));
    let message_id = [&[0x80, 0x80, u8::try_from(STRUCTURED.len()).unwrap()], structured, &[2, 0xF0, 0x9F]].concat();
    kinds.property("a message id that is no UTF-8", message_id, Fate::Quarantined(reason));
    let mut deep = Vec::new();
    for _ in 0..5000 {
        deep = sized(b'A', &deep);
    }
    kinds.property("deep headers", properties(structured, &entry(b"deep", &deep), 2), Fate::Quarantined(reason));
    let reserved = entry(b"x-chancery-unreadable-properties", b"l\0\0\0\0\0\0\0\x01");
    kinds.property("the reserved header", properties(structured, &reserved, 2), Fate::Quarantined(reason));
    let name = "a routing key that is no UTF-8";
    kinds.add(name, Some(STRUCTURED), sound(name), Fate::Text(b"hello".to_vec())).routing_key =
        b"caf\xE9.\xFF".to_vec();
}

fn batches(kinds: &mut Kinds, scale: Scale) {
    let batch = |elements: &[Vec<u8>]| [b"[", &elements.join(&b" ,\n"[..])[..], b"]"].concat();
    let malformed = || Fate::Quarantined("malformed-json");
    kinds.add("a batch that is no array", Some(BATCH), ordinary(SOURCE, "no array", "x"), malformed());
    kinds.add("a batch cut off", Some(BATCH), "[{\"id\":1},", malformed());
    kinds.add("a batch of brackets", Some(BATCH), vec![b'['; scale.of(1 << 20)], malformed());
    kinds.add("an empty batch", Some(BATCH), "[ ]", Fate::Quarantined("empty-batch"));
    let bad = br#"{ "specversion" : "1.0", "id": "bad" }"#.to_vec();
    let elements = [ordinary(SOURCE, "good 1", "x"), bad.clone(), ordinary(SOURCE, "good 2", "y")];
    let fate = Fate::Parts { archived: 2, quarantined: vec![("missing-member", bad)] };
    kinds.add("a batch with one bad element", Some(BATCH), batch(&elements), fate);
    let inner = batch(&[ordinary(SOURCE, "inner", "x")]);
    let fate = Fate::Parts { archived: 0, quarantined: vec![("malformed-json", inner.clone())] };
    kinds.add("a batch in a batch", Some(BATCH), batch(&[inner]), fate);
    let count = scale.of(10_000);
    let joins: Vec<Vec<u8>> = (0..count)
        .map(|number| {
            let mut event = Value::Object(message(&format!("join {number}")));
            event["type"] = json!("chat.room.joined");
            event["subject"] = json!("room:crowd");
            event["data"]["sender"] =
                json!({ "uri": format!("sip:{number}@example.com"), "name": format!("Person {number}") });
            event.to_string().into_bytes()
        })
        .collect();
    kinds.add(
        "ten thousand joins in one batch",
        Some(BATCH),
        batch(&joins),
        Fate::Parts { archived: count, quarantined: vec![] },
    );
}
