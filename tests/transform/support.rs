//! What the tests of the shipped transforms share: running, packaging, and reading with other people's programs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use chancery::package::{Attachment, Contents, Files};
use chancery::transform::{Shipped, Stylesheet, Transformer};
use serde_json::Value;

use super::{ROOT, bare_spec, read};

/// The common sample of the shipped transforms.
pub(crate) fn sample() -> String {
    String::from_utf8(read("transforms/sample.xml")).unwrap()
}

/// A shipped transform with parameters.
pub(crate) async fn transformer(shipped: Shipped, parameters: &[(&str, &str)]) -> Transformer {
    let mut spec = bare_spec();
    spec.stylesheet = Some(Stylesheet::Shipped(shipped));
    spec.limits.time = std::time::Duration::from_secs(300);
    spec.parameters = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Transformer::start(spec).await.unwrap()
}

pub(crate) async fn transform(shipped: Shipped, parameters: &[(&str, &str)], document: &str) -> String {
    let (output, left_out) = transform_counting(shipped, parameters, document).await;
    assert_eq!(left_out, 0);
    output
}

/// The output, and how many messages the stylesheet says it left out; it may say nothing else.
pub(crate) async fn transform_counting(
    shipped: Shipped,
    parameters: &[(&str, &str)],
    document: &str,
) -> (String, usize) {
    let transformed = transformer(shipped, parameters).await.transform(document.as_bytes()).await.unwrap();
    let told = |message: &String| message.strip_prefix("left out: ").unwrap().trim().parse::<usize>().unwrap();
    let left_out = transformed.messages.iter().map(told).sum();
    (String::from_utf8(transformed.bytes).unwrap(), left_out)
}

/// The bytes that the sample's attachments have.
fn attachment(name: &str) -> io::Result<Attachment> {
    let bytes = std::fs::read(Path::new(ROOT).join("transforms/attachments").join(name))?;
    Ok(Attachment { size: bytes.len() as u64, bytes: Box::new(io::Cursor::new(bytes)) })
}

/// Packaged files in memory.
#[derive(Default)]
pub(crate) struct Packaged {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) contents: Vec<Contents>,
    extension: String,
}

impl Files for Packaged {
    type File = Vec<u8>;

    fn create(&mut self, extension: &str) -> io::Result<Vec<u8>> {
        self.extension = extension.to_owned();
        Ok(Vec::new())
    }

    fn complete(&mut self, file: Vec<u8>, contents: Contents) -> io::Result<()> {
        self.files.push((self.extension.clone(), file));
        self.contents.push(contents);
        Ok(())
    }
}

pub(crate) fn package(document: &str) -> Packaged {
    let mut packaged = Packaged::default();
    chancery::package::write(document.as_bytes(), &attachment, &mut packaged).unwrap();
    packaged
}

/// What a transform makes of a document, as the archive would get it: files with their extensions.
pub(crate) async fn files(shipped: Shipped, parameters: &[(&str, &str)], document: &str) -> Vec<(String, Vec<u8>)> {
    let output = transform(shipped, parameters, document).await;
    match is_packaged(shipped) {
        true => package(&output).files,
        false => vec![(extension(shipped).to_owned(), output.into_bytes())],
    }
}

/// Whether it writes packaging documents.
pub(crate) fn is_packaged(shipped: Shipped) -> bool {
    matches!(shipped, Shipped::GlobalRelay | Shipped::Eml | Shipped::Rsmf | Shipped::Assentor)
}

pub(crate) fn extension(shipped: Shipped) -> &'static str {
    match shipped {
        Shipped::Csv => "csv",
        Shipped::Html => "html",
        Shipped::Jsonl => "jsonl",
        _ => "xml",
    }
}

/// Reads files with Python's own libraries; see `readers/read.py`.
pub(crate) fn read_with_python(kind: &str, files: &[(String, Vec<u8>)]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = files
        .iter()
        .enumerate()
        .map(|(number, (extension, bytes))| {
            let path = folder.path().join(format!("{number}.{extension}"));
            std::fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    let output = Command::new("python3")
        .arg(Path::new(ROOT).join("tests/transform/readers/read.py"))
        .arg(kind)
        .args(paths)
        .output()
        .expect("python3 is needed: it reads what the transforms write");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The events of a canonical document: source and id of each message, with how often they occur.
pub(crate) fn events(document: &str) -> BTreeMap<String, usize> {
    count(messages(document).map(|message| {
        format!("{} {}", attribute(message, "c:source").unwrap(), attribute(message, "c:event").unwrap())
    }))
}

/// The start tags of all messages; `FirstMessage` repeats one.
pub(crate) fn messages(document: &str) -> impl Iterator<Item = &str> {
    document.split("<Message ").skip(1).map(|rest| rest.split('>').next().unwrap())
}

/// The raw value of an attribute.
pub(crate) fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let at = tag
        .find(&format!(" {name}=\""))
        .map(|at| at + 1)
        .or_else(|| tag.starts_with(&format!("{name}=\"")).then_some(0))?;
    tag[at..].split('"').nth(1)
}

pub(crate) fn count<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}
