//! Time stamps of an outside authority (RFC 3161) on heads: what is asked for, what is answered, and who signed it.
//!
//! A head is signed with the firm's own key and carries the firm's own clock; a time stamp says, signed by somebody else, that the
//! head was there at a moment. What is kept is the authority's whole reply, as `openssl ts -verify -in` reads it.

mod asn1;
mod authority;
mod trust;

use std::time::Duration;

use der::Encode as _;
use der::asn1::{Null, ObjectIdentifier, OctetString};
use rand::RngExt as _;

use super::merkle::Hash;
use crate::model::Ticks;
use asn1::Elements;

pub use authority::{Authority, AuthorityError};
pub use trust::{Authorities, SignedBy};

/// id-sha256 (RFC 8017).
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// id-signedData (RFC 5652).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// id-ct-TSTInfo (RFC 3161).
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// What an authority is asked to stamp (`TimeStampReq`, RFC 3161 section 2.4.1).
#[derive(Debug, Clone, der::Sequence)]
struct Asked {
    version: u8,
    imprint: Imprint,
    nonce: u64,
    /// The reply is to hold the certificate, so that it can be checked when the authority is long gone.
    with_certificate: bool,
}

#[derive(Debug, Clone, der::Sequence)]
struct Imprint {
    algorithm: Algorithm,
    digest: OctetString,
}

#[derive(Debug, Clone, der::Sequence)]
struct Algorithm {
    name: ObjectIdentifier,
    parameters: Null,
}

/// A request for a stamp on a head.
#[derive(Debug, Clone)]
pub struct Request {
    digest: Hash,
    nonce: u64,
    bytes: Vec<u8>,
}

impl Request {
    /// For a head whose bytes have this SHA-256.
    ///
    /// # Errors
    /// When it cannot be written, which no digest brings about.
    pub fn new(digest: Hash) -> Result<Self, der::Error> {
        // Positive, so that every authority gives it back as it got it.
        let nonce = rand::rng().random_range(1..=u64::MAX >> 1);
        let imprint = Imprint {
            algorithm: Algorithm { name: SHA256, parameters: Null },
            digest: OctetString::new(digest.as_slice())?,
        };
        let asked = Asked { version: 1, imprint, nonce, with_certificate: true };
        Ok(Self { digest, nonce, bytes: asked.to_der()? })
    }

    /// What is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a reply is the stamp that was asked for; why not.
    ///
    /// # Errors
    /// What is wrong with the reply, in words.
    pub fn accepts(&self, reply: &[u8]) -> Result<Stamp, String> {
        let stamp = Stamp::read(reply)?;
        if stamp.digest != self.digest {
            return Err("it stamped something else than the head".to_owned());
        }
        if stamp.nonce != Some(self.nonce) {
            return Err("it gave back another nonce: the reply is an old one, or not for us".to_owned());
        }
        Ok(stamp)
    }
}

/// A time stamp as it was granted.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The SHA-256 of what was stamped.
    pub digest: Hash,
    /// When, by the authority's clock.
    pub at: Ticks,
    nonce: Option<u64>,
    token: trust::Token,
}

impl Stamp {
    /// Reads a `TimeStampResp` (RFC 3161 section 2.4.2). What is signed in it is not checked here: see [`Stamp::signed_by`].
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reply: &[u8]) -> Result<Self, String> {
        let mut reply = Elements::of_sequence(reply, "the reply")?;
        let mut status = reply.sequence("the status")?;
        let granted: u8 = status.number("the status")?;
        // 0 granted, 1 granted with modifications.
        if granted > 1 {
            return Err(format!("the authority refused, with status {granted}{}", said(&mut status)));
        }
        let token = trust::Token::read(&mut reply)?;
        let mut info = Elements::of_sequence(&token.content, "the stamp")?;
        info.skip("the stamp's version")?;
        info.skip("the authority's policy")?;
        let mut imprint = info.sequence("the imprint")?;
        let algorithm = imprint.sequence("the imprint's algorithm")?.oid("the imprint's algorithm")?;
        if algorithm != SHA256 {
            return Err(format!("the imprint's algorithm is {algorithm}, expected SHA-256 ({SHA256})"));
        }
        let digest = imprint.octets("the imprint")?;
        let digest = Hash::try_from(digest).map_err(|_| "the imprint is no SHA-256 digest".to_owned())?;
        info.skip("the serial number")?;
        let at = info.time("the time")?;
        Ok(Self { digest, at, nonce: info.optional_number(), token })
    }

    /// Whether its signature holds, and with which certificate.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn signed_by(&self) -> Result<SignedBy, String> {
        self.token.signed_by()
    }

    /// Whether one of the authorities vouches for that certificate, for stamping time, at the time that the stamp names.
    /// Whether it was revoked is not asked: that takes the network.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn vouched_for(&self, by: &SignedBy, authorities: &Authorities) -> Result<(), String> {
        let ms = u64::try_from(self.at.since_1970_ms()).map_err(|_| "it is of a time before 1970".to_owned())?;
        self.token.vouched_for(by, authorities, Duration::from_millis(ms))
    }
}

/// The words of a refusal, if it has any.
fn said(status: &mut Elements<'_>) -> String {
    status.texts().map_or_else(String::new, |texts| format!(": {}", texts.escape_debug()))
}
