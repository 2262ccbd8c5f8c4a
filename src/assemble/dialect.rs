//! What the spellings of the canonical XML differ in. One question per difference, so that the writer
//! never asks which dialect it writes.

use crate::config::Dialect;
use crate::model::MessageType;

/// The end of every canonical document.
pub const DOCUMENT_CLOSE: &str = "</Conversations>\n";

const OPEN: &str = concat!(
    r#"<?xml version="1.0" encoding="utf-8"?>"#,
    "\n",
    r#"<Conversations xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:c="urn:chancery:1">"#
);

const OPEN_BARE: &str = concat!(
    r#"<?xml version="1.0" encoding="utf-8"?>"#,
    "\n",
    r#"<Conversations xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">"#
);

/// The beginning of a canonical document, up to and including the root's start tag.
///
/// Conversations follow directly, with nothing between them: the built-in rules of old stylesheets
/// print white space between elements.
pub fn document_open(dialect: Dialect) -> &'static str {
    if extended(dialect) { OPEN } else { OPEN_BARE }
}

/// Whether our own namespace, and with it everything the old layout has no place for, is written.
pub(super) fn extended(dialect: Dialect) -> bool {
    match dialect {
        Dialect::Full | Dialect::Ocs2007r2 => true,
        Dialect::Lync2013 => false,
    }
}

/// The attribute of `Sender` that holds the display name.
pub(super) fn user_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Full | Dialect::Lync2013 => "UserName",
        Dialect::Ocs2007r2 => "userName",
    }
}

/// Whether `Channel/@islogged` is written; the published schema lacks it.
pub(super) fn has_is_logged(dialect: Dialect) -> bool {
    extended(dialect)
}

/// The `Message/@type` a message is written with; `None`: the dialect has no place for it.
pub(super) fn spelled(dialect: Dialect, message_type: MessageType) -> Option<MessageType> {
    match dialect {
        Dialect::Full | Dialect::Ocs2007r2 => Some(message_type),
        Dialect::Lync2013 if message_type == MessageType::Edit => Some(MessageType::Chat),
        Dialect::Lync2013 => message_type.in_old_layout().then_some(message_type),
    }
}
