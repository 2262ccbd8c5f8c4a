//! From the properties of an AMQP message to the decoder's own [`MessageHead`]; the driver's types end here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};

use super::wire::{Inflow, STAND_IN};
use crate::intake::decode::{MessageHead, UnreadableProperties};
use crate::model::Ticks;

/// How often the broker says it has delivered the message before. Quorum queues count; classic ones do not.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The head of a message, or in its place the properties that `inflow` kept aside.
pub(super) fn head_of(properties: &BasicProperties, inflow: &Inflow) -> MessageHead {
    let number = properties.headers().as_ref().and_then(|headers| headers.inner().get(STAND_IN));
    if let Some(AMQPValue::LongLongInt(number)) = number
        && let Some(kept) = inflow.take_unreadable(*number)
    {
        let unreadable = UnreadableProperties { flaw: kept.flaw, base64: STANDARD.encode(kept.properties) };
        return MessageHead { unreadable: Some(unreadable), ..MessageHead::default() };
    }
    MessageHead {
        unreadable: None,
        content_type: properties.content_type().as_ref().map(|text| text.as_str().to_owned()),
        headers: properties.headers().as_ref().map(table).unwrap_or_default(),
    }
}

/// Earlier deliveries of the message; 0 when the broker does not say.
pub(super) fn delivery_count(properties: &BasicProperties) -> u64 {
    let value = properties.headers().as_ref().and_then(|headers| headers.inner().get(DELIVERY_COUNT));
    value.map(to_json).and_then(|value| value.as_u64()).unwrap_or(0)
}

/// The headers, without the broker's own delivery count: it would make each redelivery look different.
fn table(headers: &FieldTable) -> Map<String, Value> {
    let entries = headers.inner().iter().filter(|(name, _)| name.as_str() != DELIVERY_COUNT);
    entries.map(|(name, value)| (name.as_str().to_owned(), to_json(value))).collect()
}

fn to_json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => json!(value),
        AMQPValue::ShortShortInt(value) => json!(value),
        AMQPValue::ShortShortUInt(value) => json!(value),
        AMQPValue::ShortInt(value) => json!(value),
        AMQPValue::ShortUInt(value) => json!(value),
        AMQPValue::LongInt(value) => json!(value),
        AMQPValue::LongUInt(value) => json!(value),
        AMQPValue::LongLongInt(value) => json!(value),
        AMQPValue::Float(value) => json!(value),
        AMQPValue::Double(value) => json!(value),
        AMQPValue::DecimalValue(value) => json!({ "scale": value.scale, "value": value.value }),
        AMQPValue::ShortString(text) => json!(text.as_str()),
        AMQPValue::LongString(text) => bytes(text.as_bytes()),
        AMQPValue::ByteArray(value) => bytes(value.as_slice()),
        AMQPValue::Timestamp(seconds) => json!(instant(*seconds).iso()),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(to_json).collect(),
        AMQPValue::FieldTable(headers) => Value::Object(
            headers.inner().iter().map(|(name, value)| (name.as_str().to_owned(), to_json(value))).collect(),
        ),
        AMQPValue::Void => Value::Null,
    }
}

fn bytes(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(value) }),
    }
}

/// A protocol timestamp: whole seconds since 1970.
fn instant(seconds: u64) -> Ticks {
    let epoch = Ticks::parse("1970-01-01T00:00:00Z").unwrap_or(Ticks::MIN);
    epoch.plus(Duration::from_secs(seconds))
}
