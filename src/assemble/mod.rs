//! From staged events to conversations: when an interval closes, who took part, and the canonical XML.
//!
//! Pure rules. Nothing here reads a clock, a database or a file, but for scratch files that hold long conversations
//! meanwhile; the same events give the same bytes.

mod attachments;
mod canonical;
mod captures;
mod content;
mod conversation;
mod dialect;
mod document;
pub mod participants;
mod room;
mod sample;
#[cfg(test)]
mod tests;
mod text;
pub mod window;
mod xml;

pub use attachments::attachments_manifest;
pub use captures::{CapturedFile, Captures, FileRef, NoCaptures};
pub use conversation::{AssembleError, Assembler, BatchContext, ConversationCounts, RenderedConversation, Taken};
pub use dialect::{DOCUMENT_CLOSE, document_open};
pub use document::CanonicalWriter;
pub use sample::sample_document;
pub use text::{ConversationPart, ConversationText};
