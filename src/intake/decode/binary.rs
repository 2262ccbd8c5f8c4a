//! Binary mode: the attributes stand in the headers, the body is the data. It becomes the structured
//! event that says the same, with the body inside it byte for byte.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{MessageHead, Refusal, essence, not_json};
use crate::model::UnreadableReason;

/// The prefixes in use on RabbitMQ; a message must keep to one.
const PREFIXES: [&str; 3] = ["ce-", "cloudEvents:", "cloudEvents_"];

/// Attributes that CloudEvents defines as text. Some clients send them as numbers.
const TEXT_ATTRIBUTES: [&str; 10] = [
    "datacontenttype",
    "dataschema",
    "id",
    "partitionkey",
    "sequence",
    "source",
    "specversion",
    "subject",
    "time",
    "type",
];

/// The prefix a message's attributes carry; `None` when it has no attributes in its headers.
pub(super) fn prefix_of(head: &MessageHead) -> Result<Option<&'static str>, Refusal> {
    let mut found = None;
    for name in head.headers.keys() {
        let prefix = PREFIXES.into_iter().find(|prefix| name.starts_with(prefix));
        match (found, prefix) {
            (Some(one), Some(other)) if one != other => {
                return Err(Refusal::new("mixed-prefixes", format!("headers begin with both {one} and {other}")));
            }
            (None, Some(_)) => found = prefix,
            _ => {}
        }
    }
    Ok(found)
}

/// Writes the structured event: attributes sorted by name, then the body as `data` or `data_base64`.
///
/// The same message always gives the same bytes, so a redelivery is a duplicate and no conflict.
pub(super) fn envelope(head: &MessageHead, prefix: &str, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut attributes = BTreeMap::new();
    if let Some(content_type) = &head.content_type {
        attributes.insert("datacontenttype", Value::from(content_type.as_str()));
    }
    for (header, value) in &head.headers {
        let Some(name) = header.strip_prefix(prefix) else { continue };
        let value = attribute(name, value)?;
        if attributes.insert(name, value.clone()).is_some_and(|before| before != value) {
            return Err(bad("datacontenttype stands in the headers and differs from the content type"));
        }
    }
    let mut raw = Vec::with_capacity(body.len() + 256);
    for (name, value) in &attributes {
        raw.push(if raw.is_empty() { b'{' } else { b',' });
        // Names are plain letters and digits, and values were checked: neither needs escaping beyond JSON's own.
        raw.extend_from_slice(format!("\"{name}\":{value}").as_bytes());
    }
    if !body.is_empty() {
        write_data(head, body, &mut raw)?;
    }
    raw.push(b'}');
    Ok(raw)
}

fn write_data(head: &MessageHead, body: &[u8], raw: &mut Vec<u8>) -> Result<(), Refusal> {
    let parsed = serde_json::from_slice::<IgnoredAny>(body);
    let is_json = match head.content_type.as_deref().map(essence) {
        Some(media_type) => media_type == "application/json" || media_type.ends_with("+json"),
        None => parsed.is_ok(),
    };
    match (is_json, parsed) {
        (true, Err(error)) => return Err(not_json(body, &error, "the JSON that the content type announces")),
        (true, Ok(_)) => {
            // A JSON text may still hold bytes that are no UTF-8 inside its strings.
            if let Err(error) = std::str::from_utf8(body) {
                let detail = format!("invalid UTF-8 at byte {} of the body", error.valid_up_to());
                return Err(Refusal::new(UnreadableReason::NotUtf8.as_str(), detail));
            }
            raw.extend_from_slice(b",\"data\":");
            raw.extend_from_slice(body);
        }
        (false, _) => {
            raw.extend_from_slice(b",\"data_base64\":\"");
            raw.extend_from_slice(STANDARD.encode(body).as_bytes());
            raw.push(b'"');
        }
    }
    Ok(())
}

fn attribute(name: &str, value: &Value) -> Result<Value, Refusal> {
    let lawful = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !lawful || name == "data" {
        return Err(bad("a header's name is no CloudEvents attribute (lower-case letters and digits, not \"data\")"));
    }
    match value {
        Value::Number(number) if TEXT_ATTRIBUTES.contains(&name) => Ok(Value::from(number.to_string())),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
        _ => Err(bad(&format!("the header of attribute {name} is neither text, number nor boolean"))),
    }
}

fn bad(detail: &str) -> Refusal {
    Refusal::new(UnreadableReason::BadMember.as_str(), detail)
}
