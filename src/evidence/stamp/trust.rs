//! The signature on a time stamp (CMS, RFC 5652) and the certificate behind it.
//!
//! Signatures and chains are checked by the library that checks those of TLS; here stands only what is particular to CMS and
//! RFC 3161: what exactly is signed, and that the signer's certificate is the one that the signature names.

use std::time::Duration;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Encode as _, Tag, Tagged as _};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::asn1::Elements;
use super::{SHA256, SIGNED_DATA, TST_INFO};

const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// id-contentType (RFC 5652).
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// id-messageDigest (RFC 5652).
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// id-aa-signingCertificateV2 (RFC 5035).
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// id-kp-timeStamping (RFC 5280), as DER has it.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

/// Certificates of authorities that are believed.
#[derive(Debug, Clone, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads a PEM file's text.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(pem: &[u8]) -> Result<Self, &'static str> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|_| "expected certificates in PEM, found a damaged one")?;
        let usable = found.iter().all(|certificate| anchor_from_trusted_cert(certificate).is_ok());
        match found.is_empty() {
            true => Err("expected certificates in PEM (-----BEGIN CERTIFICATE-----), found none"),
            false if !usable => Err("expected certificates of authorities (X.509 version 3), found something else"),
            false => Ok(Self(found)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What could be told of a stamp's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    /// It holds with this certificate, which the stamp brings along.
    Certificate(Vec<u8>),
    /// It cannot be checked here; why.
    Unchecked(String),
}

/// The signed part of a reply.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// What is signed: a `TSTInfo`.
    pub(super) content: Vec<u8>,
    /// What is within the set of signed attributes.
    attributes: Vec<u8>,
    digest: ObjectIdentifier,
    signature: Vec<u8>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Token {
    /// Reads a `ContentInfo` with the `SignedData` of one signer.
    pub(super) fn read(reply: &mut Elements<'_>) -> Result<Self, String> {
        let mut info = reply.sequence("the token")?;
        let kind = info.oid("the token's type")?;
        if kind != SIGNED_DATA {
            return Err(format!("the token's type is {kind}, expected signed data ({SIGNED_DATA})"));
        }
        let mut signed = Elements::of_sequence(info.tagged(0).ok_or("the token is empty")?, "the signed data")?;
        signed.skip("the signed data's version")?;
        signed.skip("the digest algorithms")?;
        let mut inner = signed.sequence("the content")?;
        let kind = inner.oid("the content's type")?;
        if kind != TST_INFO {
            return Err(format!("the content's type is {kind}, expected a time stamp ({TST_INFO})"));
        }
        let mut content = Elements::within(inner.tagged(0).ok_or("the content is missing")?, "the content")?;
        let content = content.octets("the content")?.to_vec();
        let mut certificates = Vec::new();
        if let Some(set) = signed.tagged(0) {
            let mut set = Elements::within(set, "the certificates")?;
            while !set.is_finished() {
                let certificate = set.any("a certificate")?.to_der().map_err(|error| error.to_string())?;
                certificates.push(CertificateDer::from(certificate));
            }
        }
        // Lists of revoked certificates.
        signed.tagged(1);
        let mut signers = signed.set("the signers")?;
        let mut signer = signers.sequence("the signer")?;
        if !signers.is_finished() {
            return Err("the token has several signers, expected one".to_owned());
        }
        signer.skip("the signer's version")?;
        signer.skip("the signer's name")?;
        let digest = signer.sequence("the digest algorithm")?.oid("the digest algorithm")?;
        let attributes = signer.tagged(0).ok_or("the signed attributes are missing")?.to_vec();
        signer.skip("the signature's algorithm")?;
        let signature = signer.octets("the signature")?.to_vec();
        Ok(Self { content, attributes, digest, signature, certificates })
    }

    /// The first value of a signed attribute.
    fn attribute(&self, wanted: ObjectIdentifier) -> Result<Option<AnyRef<'_>>, String> {
        let mut attributes = Elements::within(&self.attributes, "the signed attributes")?;
        while !attributes.is_finished() {
            let mut attribute = attributes.sequence("a signed attribute")?;
            if attribute.oid("a signed attribute's type")? == wanted {
                return attribute.set("a signed attribute")?.any("a signed attribute").map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn signed_by(&self) -> Result<SignedBy, String> {
        let unchecked = |why: String| Ok(SignedBy::Unchecked(why));
        if self.certificates.is_empty() {
            return unchecked("it brings no certificate along".to_owned());
        }
        let kind = self.attribute(CONTENT_TYPE)?.and_then(|value| value.decode_as::<ObjectIdentifier>().ok());
        if kind != Some(TST_INFO) {
            return Err("its signature is for something else than a time stamp".to_owned());
        }
        let Some(digest) = digest(self.digest, &self.content) else {
            return unchecked(format!("it is signed with the digest algorithm {}, not known here", self.digest));
        };
        let named = self.attribute(MESSAGE_DIGEST)?.ok_or("its signature names no digest")?;
        if named.value() != digest {
            return Err("it was changed after it was signed".to_owned());
        }
        let attributes = AnyRef::new(Tag::Set, &self.attributes).and_then(|set| set.to_der());
        let attributes = attributes.map_err(|error| format!("its signed attributes cannot be read: {error}"))?;
        let mut unknown = true;
        for certificate in &self.certificates {
            let Ok(read) = EndEntityCert::try_from(certificate) else { continue };
            for algorithm in algorithms().all {
                match read.verify_signature(*algorithm, &attributes, &self.signature) {
                    Ok(()) => {
                        self.is_named(certificate)?;
                        return Ok(SignedBy::Certificate(certificate.to_vec()));
                    }
                    Err(webpki::Error::InvalidSignatureForPublicKey) => unknown = false,
                    Err(_) => {}
                }
            }
        }
        if unknown {
            return unchecked("its certificate has a kind of key that is not known here".to_owned());
        }
        Err("its signature does not hold".to_owned())
    }

    /// The attribute that names the signer's certificate names this one: another with the same key would not do
    /// (RFC 5816). Those who name it by SHA-1 alone name nothing that could be relied on.
    fn is_named(&self, certificate: &[u8]) -> Result<(), String> {
        let Some(value) = self.attribute(SIGNING_CERTIFICATE)? else { return Ok(()) };
        let what = "the name of the signer's certificate";
        let mut first = Elements::within(value.value(), what)?.sequence(what)?.sequence(what)?;
        let mut element = first.any(what)?;
        let mut algorithm = SHA256;
        // Left out when it is SHA-256.
        if element.tag() == Tag::Sequence {
            algorithm = Elements::within(element.value(), what)?.oid(what)?;
            element = first.any(what)?;
        }
        match digest(algorithm, certificate) {
            Some(expected) if expected != element.value() => {
                Err("its signature names another certificate as the signer's".to_owned())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn vouched_for(
        &self,
        by: &SignedBy,
        authorities: &Authorities,
        since_1970: Duration,
    ) -> Result<(), String> {
        let signer = match by {
            SignedBy::Certificate(signer) => CertificateDer::from(signer.as_slice()),
            SignedBy::Unchecked(why) => return Err(why.clone()),
        };
        let trouble = |error: webpki::Error| format!("its certificate is not vouched for: {error}");
        let anchors: Vec<_> =
            authorities.0.iter().filter_map(|certificate| anchor_from_trusted_cert(certificate).ok()).collect();
        let leaf = EndEntityCert::try_from(&signer).map_err(trouble)?;
        let time = UnixTime::since_unix_epoch(since_1970);
        let usage = KeyUsage::required(TIME_STAMPING);
        leaf.verify_for_usage(algorithms().all, &anchors, &self.certificates, time, usage, None, None)
            .map(|_| ())
            .map_err(trouble)
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    default_provider().signature_verification_algorithms
}

fn digest(algorithm: ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        SHA256 => Some(Sha256::digest(bytes).to_vec()),
        SHA384 => Some(Sha384::digest(bytes).to_vec()),
        SHA512 => Some(Sha512::digest(bytes).to_vec()),
        _ => None,
    }
}
