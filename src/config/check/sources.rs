//! Rules for `[[source]]`: each emitter once, under a URI that can stand in an event.

use std::collections::HashMap;

use super::{Rules, Span};

pub(super) fn check(rules: &mut Rules<'_>) {
    let sources = &rules.config().source;
    if sources.is_empty() {
        rules.report(
            &["source"],
            "is missing",
            "at least one [[source]]",
            "add [[source]] with the uri your chat server writes; events of others go to quarantine",
        );
    }
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, source) in sources.iter().enumerate() {
        let step = index.to_string();
        let path = ["source", step.as_str(), "uri"];
        let uri = source.uri.as_str();
        if let Some(silence) = source.silence {
            let least = Span::from_secs(if rules.config().laboratory { 1 } else { 10 });
            rules.span_between(&["source", &step, "silence"], silence, least, Span::from_secs(30 * 86_400));
        }
        if rules.broken(&path) {
            continue;
        }
        if uri.is_empty() {
            rules.report(&path, "is empty", "the CloudEvents source of the emitter", "write it as the emitter does");
        } else if uri.chars().any(|c| c.is_whitespace() || c.is_control()) {
            rules.report(
                &path,
                format!("is {uri:?}, with spaces or control characters"),
                "a URI",
                "write spaces as %20, as the emitter does",
            );
        }
        if let Some(earlier) = first.get(uri) {
            let place = rules.loaded.origins.nearest(&["source", &earlier.to_string(), "uri"]);
            rules.report(
                &path,
                format!("is {uri:?}, which source {} at {place} has too", earlier + 1),
                "each source once",
                "remove one of the two",
            );
        } else {
            first.insert(uri, index);
        }
    }
}
