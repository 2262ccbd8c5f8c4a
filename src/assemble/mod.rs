//! From staged events to conversations: when an interval closes, who took part, and the canonical XML.
//!
//! Pure rules. Nothing here reads a clock, a file or a database; the same events give the same bytes.

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
pub mod window;
mod xml;

pub use captures::{AttachmentRef, CapturedFile, Captures, NoCaptures};
pub use conversation::{AssembleError, Assembler, BatchContext, ConversationCounts, RenderedConversation};
pub use dialect::{DOCUMENT_CLOSE, document_open};
pub use document::CanonicalWriter;
pub use sample::sample_document;
