//! The XSLT adapter: canonical XML in, the archive's own format out.
//!
//! Stylesheets run in worker processes of this same program (`chancery transform-worker`) that have a
//! memory, processor and wall-clock limit, no files and no network; a crash in the C libraries costs one
//! document, never the service. The parent side is [`Transformer`]; the frames between the two are
//! described in `frame.rs`.

mod diagnostic;
mod error;
mod ffi;
mod frame;
mod join;
mod lint;
mod modules;
mod pool;
mod sandbox;
mod shipped;
mod spec;
mod split;
mod worker;

pub use diagnostic::{Diagnostic, TemplateCost};
pub use error::{Death, TransformError};
pub use join::{JoinError, Joiner};
pub use lint::{Finding, Severity, lint};
pub use pool::{Transformed, Transformer};
pub use shipped::Shipped;
pub use spec::{Limits, OutputForm, OutputMethod, Part, ResolveError, Stylesheet, TransformSpec, resolve};
pub use split::{ConversationDocuments, SplitError};
pub use worker::{WORKER_COMMAND, worker_main};
