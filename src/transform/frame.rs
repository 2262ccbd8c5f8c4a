//! The frames between parent and worker.
//!
//! A frame is `u32` length of the head, `u64` length of the body (both little-endian), the head as JSON,
//! the body as bytes. The parent sends [`Start`] once, then requests; the worker answers each frame with
//! one frame. The end of its standard input ends the worker.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::diagnostic::{Diagnostic, TemplateCost};
use super::modules::ReadFile;
use super::spec::{Limits, OutputForm, Part, Stylesheet};

/// Largest head either side accepts, in bytes.
const HEAD_MAX: u32 = 16 << 20;
const LENGTHS: usize = 12;

/// The first frame: what the worker shall do from now on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) stylesheet: Option<Stylesheet>,
    pub(super) schema: Option<PathBuf>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) limits: Limits,
    /// The parent's process id: when it is no longer the parent, the worker ends.
    pub(super) parent: u32,
}

/// The answer to [`Start`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Started {
    Ready(Ready),
    Unusable { diagnostics: Vec<Diagnostic> },
}

/// What a worker says of itself and its stylesheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) form: OutputForm,
    pub(super) media_type: Option<String>,
    pub(super) sandbox: String,
    /// SHA-256 of all files of the transform, hexadecimal.
    pub(super) digest: String,
    /// The names of the stylesheet's parameters.
    pub(super) declared: Vec<String>,
    /// The files of the stylesheet that were read, the main one first.
    pub(super) sheet_files: Vec<ReadFile>,
    /// The same of the schema.
    pub(super) schema_files: Vec<ReadFile>,
}

/// A request; its body is the document.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) task: Task,
    /// Processor time for this request, in seconds.
    pub(super) cpu_secs: u64,
    /// Which part of a document it makes, where it makes one.
    #[serde(default)]
    pub(super) part: Option<Part>,
    /// Whether the answer shall say what each template cost.
    #[serde(default)]
    pub(super) profile: bool,
}

/// What shall be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Task {
    /// Transform it, and check the output where there is a schema.
    Transform,
    /// Check it against the schema.
    Validate,
}

/// The answer to a [`Request`]; its body is the output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Done { messages: Vec<String>, dropped: u64, costs: Vec<TemplateCost> },
    Input { diagnostics: Vec<Diagnostic> },
    Failed { diagnostics: Vec<Diagnostic>, messages: Vec<String> },
    Invalid { diagnostics: Vec<Diagnostic> },
}

/// Reads a frame; `None` when the other side has closed the stream between two frames.
pub(super) fn read<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; LENGTHS];
    match stream.read(&mut lengths)? {
        0 => return Ok(None),
        read => stream.read_exact(&mut lengths[read..])?,
    }
    let (head_len, body_len) = split(lengths)?;
    let mut head = vec![0; head_len];
    stream.read_exact(&mut head)?;
    let mut body = Vec::new();
    let wanted = usize::try_from(body_len).map_err(|_| too_large())?;
    body.try_reserve_exact(wanted).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    stream.take(body_len).read_to_end(&mut body)?;
    if body.len() != wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((parse(&head)?, body)))
}

/// Writes a frame.
pub(super) fn write(stream: &mut impl Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    stream.write_all(&open(head, body.len())?)?;
    stream.write_all(body)?;
    stream.flush()
}

/// Reads a frame, as the parent; a body larger than `body_max` is an error.
pub(super) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    body_max: u64,
) -> io::Result<(T, Vec<u8>)> {
    let mut lengths = [0; LENGTHS];
    stream.read_exact(&mut lengths).await?;
    let (head_len, body_len) = split(lengths)?;
    if body_len > body_max {
        return Err(too_large());
    }
    let mut head = vec![0; head_len];
    stream.read_exact(&mut head).await?;
    let mut body = Vec::new();
    stream.take(body_len).read_to_end(&mut body).await?;
    if body.len() as u64 != body_len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((parse(&head)?, body))
}

/// Writes a frame, as the parent.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    stream.write_all(&open(head, body.len())?).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// Everything of a frame before its body.
fn open(head: &impl Serialize, body_len: usize) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let head_len = u32::try_from(head.len()).ok().filter(|&len| len <= HEAD_MAX).ok_or_else(too_large)?;
    let mut frame = Vec::with_capacity(LENGTHS + head.len());
    frame.extend(head_len.to_le_bytes());
    frame.extend((body_len as u64).to_le_bytes());
    frame.extend(head);
    Ok(frame)
}

fn split(lengths: [u8; LENGTHS]) -> io::Result<(usize, u64)> {
    let [a, b, c, d, body @ ..] = lengths;
    let head = u32::from_le_bytes([a, b, c, d]);
    if head > HEAD_MAX {
        return Err(too_large());
    }
    Ok((head as usize, u64::from_le_bytes(body)))
}

fn parse<T: DeserializeOwned>(head: &[u8]) -> io::Result<T> {
    serde_json::from_slice(head).map_err(io::Error::from)
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a frame is larger than its limit")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    fn request(task: Task, cpu_secs: u64) -> Request {
        Request { task, cpu_secs, part: None, profile: false }
    }

    #[tokio::test]
    async fn frames_survive_both_ways() {
        let body = vec![7; 100_000];
        let mut wire = Vec::new();
        send(&mut wire, &Request { part: Some(Part::Next), ..request(Task::Validate, 9) }, &body).await.unwrap();
        write(&mut wire, &Reply::Done { messages: vec!["ä".into()], dropped: 1, costs: Vec::new() }, b"").unwrap();

        let mut stream = wire.as_slice();
        let (request, read_body) = read::<Request>(&mut stream).unwrap().unwrap();
        assert_eq!((request.task, request.cpu_secs, request.part), (Task::Validate, 9, Some(Part::Next)));
        assert_eq!(read_body, body);
        let (reply, rest) = receive::<Reply>(&mut stream, 10).await.unwrap();
        assert!(matches!(reply, Reply::Done { messages, dropped: 1, .. } if messages == ["ä"]));
        assert!(rest.is_empty());
        assert!(read::<Request>(&mut stream).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_cut_or_oversized_frame_is_an_error() {
        let mut wire = Vec::new();
        write(&mut wire, &request(Task::Transform, 1), b"document").unwrap();
        for len in 1..wire.len() {
            assert!(read::<Request>(&mut &wire[..len]).is_err(), "{len}");
        }
        assert!(receive::<Request>(&mut wire.as_slice(), 7).await.is_err());
    }
}
