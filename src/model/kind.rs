//! The event types on the wire and the message types of the compliance layout.

use std::fmt;

/// What the chat server did: the CloudEvents `type`, as far as Chancery knows it.
///
/// The numbers are stored in staging and must never change; new kinds take new numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
#[allow(missing_docs, reason = "each variant is the event type of the same name, see TABLE")]
pub enum Kind {
    Other = 0,
    RoomJoined = 1,
    RoomLeft = 2,
    MessagePosted = 3,
    HistoryViewed = 4,
    HistorySearched = 5,
    FileUploaded = 6,
    FileDownloaded = 7,
    MessageEdited = 8,
    MessageDeleted = 9,
    FileDeleted = 10,
    MessageReacted = 11,
    MessageUnreacted = 12,
    RoomCreated = 13,
    RoomUpdated = 14,
    RoomDeleted = 15,
    MemberAdded = 16,
    MemberRemoved = 17,
    MemberRenamed = 18,
    MemberRoleChanged = 19,
    MemberInvited = 20,
    PresenceRenewed = 21,
    SourceHeartbeat = 22,
}

/// `Message/@type` of the canonical XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is written as its name in capitals")]
pub enum MessageType {
    Join,
    Part,
    Chat,
    Backchat,
    FileUpload,
    FileDownload,
    Edit,
    Delete,
    FileDelete,
    React,
    Unreact,
    RoomCreate,
    RoomUpdate,
    RoomDelete,
    Member,
    Other,
}

/// Every known event type with its kind and the message it makes (`None`: a signal, no message).
const TABLE: &[(Kind, &str, Option<MessageType>)] = &[
    (Kind::RoomJoined, "chat.room.joined", Some(MessageType::Join)),
    (Kind::RoomLeft, "chat.room.left", Some(MessageType::Part)),
    (Kind::MessagePosted, "chat.message.posted", Some(MessageType::Chat)),
    (Kind::HistoryViewed, "chat.history.viewed", Some(MessageType::Backchat)),
    (Kind::HistorySearched, "chat.history.searched", Some(MessageType::Backchat)),
    (Kind::FileUploaded, "chat.file.uploaded", Some(MessageType::FileUpload)),
    (Kind::FileDownloaded, "chat.file.downloaded", Some(MessageType::FileDownload)),
    (Kind::MessageEdited, "chat.message.edited", Some(MessageType::Edit)),
    (Kind::MessageDeleted, "chat.message.deleted", Some(MessageType::Delete)),
    (Kind::FileDeleted, "chat.file.deleted", Some(MessageType::FileDelete)),
    (Kind::MessageReacted, "chat.message.reacted", Some(MessageType::React)),
    (Kind::MessageUnreacted, "chat.message.unreacted", Some(MessageType::Unreact)),
    (Kind::RoomCreated, "chat.room.created", Some(MessageType::RoomCreate)),
    (Kind::RoomUpdated, "chat.room.updated", Some(MessageType::RoomUpdate)),
    (Kind::RoomDeleted, "chat.room.deleted", Some(MessageType::RoomDelete)),
    (Kind::MemberAdded, "chat.member.added", Some(MessageType::Member)),
    (Kind::MemberRemoved, "chat.member.removed", Some(MessageType::Member)),
    (Kind::MemberRenamed, "chat.member.renamed", Some(MessageType::Member)),
    (Kind::MemberRoleChanged, "chat.member.role_changed", Some(MessageType::Member)),
    (Kind::MemberInvited, "chat.member.invited", Some(MessageType::Member)),
    (Kind::PresenceRenewed, "chat.presence.renewed", None),
    (Kind::SourceHeartbeat, "chat.source.heartbeat", None),
];

impl Kind {
    /// Every known kind, [`Kind::Other`] excepted.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|&(kind, _, _)| kind)
    }

    /// The kind of a CloudEvents `type`; [`Kind::Other`] for a type Chancery does not know.
    pub fn of_type(event_type: &str) -> Self {
        TABLE.iter().find(|(_, name, _)| *name == event_type).map_or(Self::Other, |&(kind, _, _)| kind)
    }

    /// The CloudEvents `type`; `None` for [`Kind::Other`], whose type only the event itself knows.
    pub fn event_type(self) -> Option<&'static str> {
        TABLE.iter().find(|(kind, _, _)| *kind == self).map(|&(_, name, _)| name)
    }

    /// The message this kind becomes; `None` for signals, which make no message.
    pub fn message_type(self) -> Option<MessageType> {
        match TABLE.iter().find(|(kind, _, _)| *kind == self) {
            Some(&(_, _, message_type)) => message_type,
            None => Some(MessageType::Other),
        }
    }

    /// The number staging stores.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The kind of a stored number; an unknown number, from a later version, reads as `Other`.
    pub fn of_code(code: i16) -> Self {
        TABLE.iter().map(|&(kind, _, _)| kind).find(|kind| kind.code() == code).unwrap_or(Self::Other)
    }

    /// Whether the event tells of a file whose bytes belong to the record.
    pub fn carries_file(self) -> bool {
        matches!(self, Self::FileUploaded | Self::FileDownloaded)
    }

    /// The word in `c:change` for `MEMBER` messages.
    pub fn member_change(self) -> Option<&'static str> {
        match self {
            Self::MemberAdded => Some("added"),
            Self::MemberRemoved => Some("removed"),
            Self::MemberRenamed => Some("renamed"),
            Self::MemberRoleChanged => Some("role_changed"),
            Self::MemberInvited => Some("invited"),
            _ => None,
        }
    }
}

impl MessageType {
    /// The word in `Message/@type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "JOIN",
            Self::Part => "PART",
            Self::Chat => "CHAT",
            Self::Backchat => "BACKCHAT",
            Self::FileUpload => "FILEUPLOAD",
            Self::FileDownload => "FILEDOWNLOAD",
            Self::Edit => "EDIT",
            Self::Delete => "DELETE",
            Self::FileDelete => "FILEDELETE",
            Self::React => "REACT",
            Self::Unreact => "UNREACT",
            Self::RoomCreate => "ROOMCREATE",
            Self::RoomUpdate => "ROOMUPDATE",
            Self::RoomDelete => "ROOMDELETE",
            Self::Member => "MEMBER",
            Self::Other => "OTHER",
        }
    }

    /// Whether the layout of 2007 to 2015 already knew this type.
    pub fn in_old_layout(self) -> bool {
        matches!(self, Self::Join | Self::Part | Self::Chat | Self::Backchat | Self::FileUpload | Self::FileDownload)
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
