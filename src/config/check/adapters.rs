//! Rules for `[[adapter]]`: names that can begin file names, intervals, stylesheets, proof and keeping.

use std::collections::HashMap;
use std::path::Path;

use super::super::sections::{Adapter, CollectedWhen};
use super::super::shape::did_you_mean;
use super::super::{ByteSize, SHIPPED_TRANSFORMS, Span};
use super::Rules;

/// The longest name; longer ones leave too little of a file name's 255 bytes.
const NAME_LENGTH_MAX: usize = 64;
const INTERVAL_MIN: Span = Span::from_secs(60);
const INTERVAL_MIN_LABORATORY: Span = Span::from_secs(1);
const INTERVAL_MAX: Span = Span::from_secs(30 * 86_400);
const MEMORY_MIN: ByteSize = ByteSize::new(128 << 20);
const MEMORY_MAX: ByteSize = ByteSize::new(1 << 40);
const FILE_SIZE_MIN: ByteSize = ByteSize::new(1 << 20);
const FILE_SIZE_MIN_LABORATORY: ByteSize = ByteSize::new(4 << 10);
const KEEP_MAX: Span = Span::from_secs(3_653 * 86_400);

pub(super) fn check(rules: &mut Rules<'_>) {
    let adapters = &rules.config().adapter;
    if adapters.is_empty() {
        rules.report(
            &["adapter"],
            "is missing",
            "at least one [[adapter]]",
            "add [[adapter]] with a name; without one nothing is ever archived",
        );
    }
    let mut first: HashMap<String, usize> = HashMap::new();
    for (index, adapter) in adapters.iter().enumerate() {
        let step = index.to_string();
        name(rules, &step, adapter, &first);
        first.entry(adapter.name.to_lowercase()).or_insert(index);
        interval(rules, &step, adapter);
        transform(rules, &step, adapter);
        if let Some(schema) = &adapter.schema {
            rules.readable_file(&["adapter", &step, "schema"], schema, "an XSD file");
        }
        parameters(rules, &step, adapter);
        collection(rules, &step, adapter);
        limits(rules, &step, adapter);
        file_size(rules, &step, adapter);
    }
}

fn name(rules: &mut Rules<'_>, step: &str, adapter: &Adapter, first: &HashMap<String, usize>) {
    let path = ["adapter", step, "name"];
    let name = &adapter.name;
    let expected = "letters, digits, - and _, at most 64";
    if rules.broken(&path) {
        return;
    }
    if name.is_empty() {
        rules.report(&path, "is empty", expected, "give it a name, such as the archive's");
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        rules.report(&path, format!("is {name:?}"), expected, format!("write {plain:?}"));
    } else if name.len() > NAME_LENGTH_MAX {
        rules.report(&path, format!("is {} characters long", name.len()), expected, "choose a shorter name");
    }
    if let Some(earlier) = first.get(&name.to_lowercase()) {
        let place = rules.loaded.origins.nearest(&["adapter", &earlier.to_string(), "name"]);
        rules.report(
            &path,
            format!("is {name:?}, which adapter {} at {place} has too", earlier + 1),
            "each name once, whatever the case of its letters: a share may not tell them apart",
            "choose another name",
        );
    }
}

fn interval(rules: &mut Rules<'_>, step: &str, adapter: &Adapter) {
    let laboratory = rules.config().laboratory;
    let path = ["adapter", step, "interval"];
    let interval = adapter.interval;
    let least = if laboratory { INTERVAL_MIN_LABORATORY } else { INTERVAL_MIN };
    if !laboratory && interval < INTERVAL_MIN {
        rules.report(
            &path,
            format!("is \"{interval}\""),
            format!("{least} to {INTERVAL_MAX}"),
            "set it to \"1m\" or more (or laboratory = true for tests)",
        );
    } else {
        rules.span_between(&path, interval, least, INTERVAL_MAX);
    }
}

fn transform(rules: &mut Rules<'_>, step: &str, adapter: &Adapter) {
    let Some(transform) = adapter.transform.as_deref() else { return };
    let path = ["adapter", step, "transform"];
    if SHIPPED_TRANSFORMS.contains(&transform) {
        return;
    }
    let expected = format!("an .xsl or .xslt file, or a shipped transform ({})", SHIPPED_TRANSFORMS.join(", "));
    let file = Path::new(transform);
    let is_stylesheet =
        file.extension().is_some_and(|end| end.eq_ignore_ascii_case("xsl") || end.eq_ignore_ascii_case("xslt"));
    if transform.is_empty() {
        rules.report(&path, "is empty", expected, "remove the key to write the canonical XML");
    } else if !is_stylesheet {
        let word = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let cure = match did_you_mean(word, SHIPPED_TRANSFORMS.into_iter()) {
            Some(close) => format!("did you mean {close:?}?"),
            None => "name a file that ends in .xsl or .xslt".to_owned(),
        };
        rules.report(&path, format!("is {transform:?}"), expected, cure);
    } else {
        rules.readable_file(&path, file, &expected);
    }
}

fn parameters(rules: &mut Rules<'_>, step: &str, adapter: &Adapter) {
    for name in adapter.parameters.keys().filter(|name| !is_ncname(name)) {
        rules.report(
            &["adapter", step, "parameters", name],
            "is no name a stylesheet can declare",
            "a letter or _, then letters, digits, -, _ and .",
            "rename it here and in the stylesheet's xsl:param",
        );
    }
}

/// The names of XML without a colon.
fn is_ncname(name: &str) -> bool {
    let start = |c: char| {
        matches!(c, '_' | 'A'..='Z' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
            | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
            | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
            | '\u{10000}'..='\u{EFFFF}')
    };
    let rest = |c: char| {
        start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
    };
    let mut letters = name.chars();
    letters.next().is_some_and(start) && letters.all(rest)
}

fn collection(rules: &mut Rules<'_>, step: &str, adapter: &Adapter) {
    if let CollectedWhen::After(span) = adapter.collected_when
        && span.get().is_zero()
    {
        rules.report(
            &["adapter", step, "collected_when"],
            "is \"after:0s\", which proves nothing",
            "\"after:\" and the time the archive needs to read",
            "write \"after:2h\" or longer than the archive's own interval",
        );
    }
    if adapter.manifests_beside && adapter.keep_after_collection.get().is_zero() {
        rules.report(
            &["adapter", step, "manifests_beside"],
            "is true, and keep_after_collection is \"0s\"",
            "keep_after_collection longer than the time between two visits of the archive",
            "set keep_after_collection to \"1d\", for one: a copy that the archive has not taken by then is deleted with its batch",
        );
    }
    if adapter.keep_after_collection > KEEP_MAX {
        rules.report(
            &["adapter", step, "keep_after_collection"],
            format!("is \"{}\"", adapter.keep_after_collection),
            "at most 3653d, which is ten years",
            "set it to \"3653d\" or less; use a hold to keep something longer",
        );
    }
}

fn file_size(rules: &mut Rules<'_>, step: &str, adapter: &Adapter) {
    let least = if rules.config().laboratory { FILE_SIZE_MIN_LABORATORY } else { FILE_SIZE_MIN };
    if let Some(size) = adapter.max_file_size
        && size < least
    {
        rules.report(
            &["adapter", step, "max_file_size"],
            format!("is \"{size}\""),
            format!("\"{least}\" or more"),
            format!("set it to \"{least}\" or more: a part holds at least one message and all participants"),
        );
    }
}

fn limits(rules: &mut Rules<'_>, step: &str, adapter: &Adapter) {
    let limits = &adapter.limits;
    let path = |key| ["adapter", step, "limits", key];
    let cure = match limits.memory {
        memory if memory < MEMORY_MIN => {
            format!("set it to \"{MEMORY_MIN}\" or more; the program alone takes half of that")
        }
        memory if memory > MEMORY_MAX => format!("set it to \"{MEMORY_MAX}\" or less"),
        _ => String::new(),
    };
    if !cure.is_empty() {
        let found = format!("is \"{}\"", limits.memory);
        rules.report(&path("memory"), found, format!("{MEMORY_MIN} to {MEMORY_MAX}"), cure);
    }
    rules.span_between(&path("time"), limits.time, Span::from_secs(1), Span::from_secs(86_400));
    rules.span_between(
        &path("time_per_mebibyte"),
        limits.time_per_mebibyte,
        Span::from_secs(0),
        Span::from_secs(3_600),
    );
}
