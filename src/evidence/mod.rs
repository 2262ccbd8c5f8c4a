//! Evidence: what proves that the record is complete and untouched.
//!
//! The formats of everything in the evidence directory (`docs/evidence.md` has them byte for byte), the Merkle trees of
//! RFC 6962, keys and signatures that stock `ssh-keygen` checks, the writer of the directory, and its verifier.
//! Nothing here knows staging, and nothing here ever holds content: events are known by digests.

mod beside;
pub mod entry;
pub mod head;
pub mod key;
mod layout;
pub mod list;
pub mod manifest;
pub mod merkle;
pub mod proof;
pub mod record;
pub mod stamp;
pub mod verify;

pub use beside::{Copy, copies, copy_name};
pub use entry::{Draft, EntryKind};
pub use layout::{entry_path, list_path};

/// The namespace of signatures on entries and heads.
pub const NAMESPACE: &str = "chancery-evidence";
/// The namespace of an old key's signature on the key that replaces it.
pub const ROTATION_NAMESPACE: &str = "chancery-rotation";
/// Who signs, as `allowed_signers` names it.
pub const SIGNER: &str = "chancery";
