//! The sections as data: names, order, shapes, defaults and manual text of every key.
//!
//! Read once from the JSON Schema that the section types derive, so that checking, explaining and the
//! generated files can never disagree with the types. Nothing here is written by hand twice.

use std::sync::LazyLock;

use schemars::schema_for;
use serde::de::{DeserializeOwned, Deserializer, Visitor, value::Error};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::sections::{
    Access, Adapter, Amqp, Bridge, Completeness, Config, Conversations, Evidence, FileHost, Files, Intake, Log,
    MatrixBridge, Source, Spool, StagingSection, TransformLimits,
};

/// A table of keys.
#[derive(Debug)]
pub(super) struct Section {
    /// One sentence.
    pub about: String,
    /// In the order of the manual.
    pub keys: Vec<Key>,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub name: String,
    pub title: String,
    /// The manual text, without the title.
    pub about: String,
    pub shape: Shape,
    pub required: bool,
    /// A section that is absent unless somebody writes it.
    pub absent: bool,
    /// The value when nobody sets it, where it is a constant.
    pub default: Option<Value>,
    /// A value to show where there is no default.
    pub example: Option<Value>,
}

/// What a key takes.
#[derive(Debug)]
pub(super) enum Shape {
    Flag,
    Number {
        min: u64,
        max: u64,
    },
    Text,
    Path,
    /// A path, or the name of a shipped transform.
    Transform,
    Span,
    Size,
    /// The words of `collected_when`.
    Proof,
    Words(Vec<String>),
    /// A table of texts under free names.
    Texts,
    /// `[name]`
    Section(Section),
    /// `[[name]]`
    Entries(Section),
}

impl Section {
    pub(super) fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// The whole configuration.
pub(super) static OUTLINE: LazyLock<Section> = LazyLock::new(|| {
    let root = schema_for!(Config).to_value();
    section(&root, &root, "Config")
});

fn section(root: &Value, schema: &Value, type_name: &str) -> Section {
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
    let keys = field_order(type_name)
        .iter()
        .map(|&name| {
            let property = &schema["properties"][name];
            Key {
                name: name.to_owned(),
                title: text(property, "title"),
                about: text(property, "description"),
                shape: shape(root, property),
                required: required(name),
                absent: property["anyOf"].is_array(),
                default: property.get("default").filter(|value| !value.is_array() && !value.is_object()).cloned(),
                example: property["examples"].get(0).cloned(),
            }
        })
        .collect();
    Section { about: text(schema, "description"), keys }
}

fn shape(root: &Value, property: &Value) -> Shape {
    if let Some(name) = definition_name(property) {
        let definition = &root["$defs"][name];
        return match definition["type"].as_str() {
            Some("object") => Shape::Section(section(root, definition, name)),
            _ => leaf(definition),
        };
    }
    if let Some(name) = definition_name(&property["items"]) {
        return Shape::Entries(section(root, &root["$defs"][name], name));
    }
    leaf(property)
}

/// The name behind a `$ref`, also where the key may be left out.
fn definition_name(property: &Value) -> Option<&str> {
    let reference = property["$ref"].as_str().or_else(|| property["anyOf"][0]["$ref"].as_str())?;
    reference.strip_prefix("#/$defs/")
}

fn leaf(schema: &Value) -> Shape {
    if let Some(words) = schema["enum"].as_array() {
        return Shape::Words(words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    if let Some(words) = schema["oneOf"].as_array() {
        return Shape::Words(words.iter().map(|word| text(word, "const")).collect());
    }
    // A key that may be left out is also allowed to be null.
    let type_name = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match (type_name, schema["format"].as_str()) {
        (Some("boolean"), _) => Shape::Flag,
        (Some("integer"), _) => Shape::Number {
            min: schema["minimum"].as_u64().unwrap_or(0),
            max: schema["maximum"].as_u64().unwrap_or(u64::MAX),
        },
        (Some("object"), _) => Shape::Texts,
        (_, Some("path")) => Shape::Path,
        (_, Some("transform")) => Shape::Transform,
        (_, Some("span")) => Shape::Span,
        (_, Some("size")) => Shape::Size,
        (_, Some("proof")) => Shape::Proof,
        _ => Shape::Text,
    }
}

fn text(schema: &Value, key: &str) -> String {
    schema[key].as_str().unwrap_or_default().to_owned()
}

/// The keys of a section in the order of the source text; a JSON object does not keep it.
fn field_order(type_name: &str) -> &'static [&'static str] {
    match type_name {
        "Config" => fields::<Config>(),
        "Source" => fields::<Source>(),
        "Amqp" => fields::<Amqp>(),
        "Bridge" => fields::<Bridge>(),
        "MatrixBridge" => fields::<MatrixBridge>(),
        "Spool" => fields::<Spool>(),
        "Intake" => fields::<Intake>(),
        "StagingSection" => fields::<StagingSection>(),
        "Files" => fields::<Files>(),
        "FileHost" => fields::<FileHost>(),
        "Access" => fields::<Access>(),
        "Completeness" => fields::<Completeness>(),
        "Evidence" => fields::<Evidence>(),
        "Conversations" => fields::<Conversations>(),
        "Adapter" => fields::<Adapter>(),
        "TransformLimits" => fields::<TransformLimits>(),
        "Log" => fields::<Log>(),
        _ => &[],
    }
}

fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Always fails: all that matters is the list serde hands over before it reads anything.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("only names are read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = names;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    /// A section type that `field_order` does not know would vanish from the manual.
    #[test]
    fn every_schema_property_is_in_the_outline() {
        fn names(section: &Section) -> usize {
            section.keys.iter().fold(0, |sum, key| {
                assert!(!key.title.is_empty(), "{} has no title", key.name);
                sum + 1
                    + match &key.shape {
                        Shape::Section(inner) | Shape::Entries(inner) => names(inner),
                        _ => 0,
                    }
            })
        }
        let root = schema_for!(Config).to_value();
        let count = |schema: &Value| schema["properties"].as_object().map_or(0, |properties| properties.len());
        let total = count(&root) + root["$defs"].as_object().unwrap().values().map(count).sum::<usize>();
        assert_eq!(names(&OUTLINE), total);
    }
}
