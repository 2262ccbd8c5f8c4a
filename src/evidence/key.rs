//! Keys and signatures in OpenSSH's own formats, so that `ssh-keygen` checks them without us.
//!
//! A key file is what `ssh-keygen -t ed25519` writes without a passphrase (PROTOCOL.key in OpenSSH's sources); a signature is
//! what `ssh-keygen -Y sign` writes (PROTOCOL.sshsig). Ed25519 signatures are deterministic: signing again gives the
//! same bytes.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256, Sha512};

const ALGORITHM: &str = "ssh-ed25519";
const HASH_ALGORITHM: &str = "sha512";
const KEY_MAGIC: &[u8] = b"openssh-key-v1\0";
const SIGNATURE_MAGIC: &[u8] = b"SSHSIG";
const KEY_LABEL: &str = "OPENSSH PRIVATE KEY";
const SIGNATURE_LABEL: &str = "SSH SIGNATURE";
/// Characters of base64 in a line, as OpenSSH breaks them.
const LINE: usize = 70;

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A private key. Never printed, never logged.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().fingerprint())
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key file cannot be read.
    #[error("cannot read the key {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read the key file.
    #[error("the key {} has mode {mode:04o}, expected 0600: others may read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no key that can sign here.
    #[error("{}: {problem}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What was expected, and what was found.
        problem: &'static str,
    },
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers")]
    NoRandomness(#[source] io::Error),
}

impl KeyError {
    /// What to do about it.
    pub fn cure(&self) -> String {
        match self {
            Self::Unreadable { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                format!("make one with `chancery evidence keygen`, or set evidence.key if it is not {}", path.display())
            }
            Self::Unreadable { .. } => "give the user that runs Chancery the right to read it".to_owned(),
            Self::Exposed { path, .. } => {
                format!("`chmod 600 {0}`; if others may have read it, also `chancery evidence rotate`", path.display())
            }
            Self::NoKey { .. } => {
                "name a file that `chancery evidence keygen` or `ssh-keygen -t ed25519 -N ''` made".to_owned()
            }
            Self::NoRandomness(_) => "try again once the machine has started up".to_owned(),
        }
    }
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is no signature in OpenSSH's format.
    #[error("it is no SSH signature")]
    Malformed,
    /// It was made for another purpose.
    #[error("it was made for another purpose (namespace)")]
    Namespace,
    /// It was made with another key.
    #[error("it was made with another key")]
    Key,
    /// It does not belong to these bytes.
    #[error("it does not belong to these bytes")]
    Bytes,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let seed: [u8; 32] = random()?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Reads a key file, which nobody but its owner may be able to read.
    ///
    /// # Errors
    /// Every [`KeyError`] but the last; [`KeyError::cure`] says what to do.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::from_openssh(&text).map_err(|problem| KeyError::NoKey { path: path.to_owned(), problem })
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// What was expected, and what was found.
    pub fn from_openssh(text: &str) -> Result<Self, &'static str> {
        const DAMAGED: &str = "expected an OpenSSH private key, found a damaged one";
        let bytes = unarmored(text, KEY_LABEL).ok_or("expected an OpenSSH private key, found something else")?;
        let mut fields = Fields(bytes.strip_prefix(KEY_MAGIC).ok_or(DAMAGED)?);
        let (cipher, _, _) = (fields.string().ok_or(DAMAGED)?, fields.string(), fields.string());
        if cipher != b"none" {
            return Err("expected a key without a passphrase (nobody is there to type it), found an encrypted one");
        }
        if fields.number() != Some(1) {
            return Err("expected one key, found several");
        }
        fields.string().ok_or(DAMAGED)?;
        let mut private = Fields(fields.string().ok_or(DAMAGED)?);
        if private.number() != private.number() {
            return Err(DAMAGED);
        }
        if private.string() != Some(ALGORITHM.as_bytes()) {
            return Err("expected an ed25519 key, found one of another kind");
        }
        let public = private.string().ok_or(DAMAGED)?;
        let pair: &[u8; 64] = private.string().and_then(|pair| pair.try_into().ok()).ok_or(DAMAGED)?;
        let key = ed25519_dalek::SigningKey::from_keypair_bytes(pair).map_err(|_| DAMAGED)?;
        if public != key.verifying_key().as_bytes() {
            return Err(DAMAGED);
        }
        Ok(Self(key))
    }

    /// The text of its key file.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn to_openssh(&self, comment: &str) -> Result<String, KeyError> {
        let check: [u8; 4] = random()?;
        let mut private = [check, check].concat();
        put(&mut private, ALGORITHM.as_bytes());
        put(&mut private, self.0.verifying_key().as_bytes());
        put(&mut private, &self.0.to_keypair_bytes());
        put(&mut private, comment.as_bytes());
        private.extend((1..).take((8 - private.len() % 8) % 8));
        let mut bytes = KEY_MAGIC.to_vec();
        for field in [b"none".as_slice(), b"none", b""] {
            put(&mut bytes, field);
        }
        bytes.extend(1_u32.to_be_bytes());
        put(&mut bytes, &self.public().blob());
        put(&mut bytes, &private);
        Ok(armored(&bytes, KEY_LABEL))
    }

    /// The key that others check with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature on a message, as `ssh-keygen -Y sign -n NAMESPACE` writes it.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> String {
        let signature = self.0.sign(&signed_data(namespace, message));
        let mut inner = Vec::new();
        put(&mut inner, ALGORITHM.as_bytes());
        put(&mut inner, &signature.to_bytes());
        let mut bytes = SIGNATURE_MAGIC.to_vec();
        bytes.extend(1_u32.to_be_bytes());
        for field in [&self.public().blob(), namespace.as_bytes(), b"", HASH_ALGORITHM.as_bytes(), &inner] {
            put(&mut bytes, field);
        }
        armored(&bytes, SIGNATURE_LABEL)
    }
}

impl PublicKey {
    /// Reads `ssh-ed25519 BASE64`, with or without a comment behind it.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some(ALGORITHM) {
            return None;
        }
        Self::of_blob(&STANDARD.decode(words.next()?).ok()?)
    }

    fn of_blob(blob: &[u8]) -> Option<Self> {
        let mut fields = Fields(blob);
        if fields.string()? != ALGORITHM.as_bytes() {
            return None;
        }
        let bytes: &[u8; 32] = fields.string()?.try_into().ok()?;
        VerifyingKey::from_bytes(bytes).ok().filter(|_| fields.0.is_empty()).map(Self)
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, ALGORITHM.as_bytes());
        put(&mut blob, self.0.as_bytes());
        blob
    }

    /// `ssh-ed25519 BASE64`.
    pub fn line(&self) -> String {
        format!("{ALGORITHM} {}", STANDARD.encode(self.blob()))
    }

    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(self.blob())))
    }

    /// Checks an armored signature on a message.
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn verify(&self, namespace: &str, message: &[u8], armored: &str) -> Result<(), SignatureError> {
        let parts = SignatureParts::parse(armored).ok_or(SignatureError::Malformed)?;
        if parts.namespace != namespace.as_bytes() {
            return Err(SignatureError::Namespace);
        }
        if parts.key != *self {
            return Err(SignatureError::Key);
        }
        // The strict form: a signature has one encoding, and weak keys are refused.
        let held = self.0.verify_strict(&signed_data(namespace, message), &parts.signature);
        held.map_err(|_| SignatureError::Bytes)
    }

    /// The key that an armored signature names as its maker.
    pub fn of_signature(armored: &str) -> Option<Self> {
        SignatureParts::parse(armored).map(|parts| parts.key)
    }
}

struct SignatureParts {
    key: PublicKey,
    namespace: Vec<u8>,
    signature: Signature,
}

impl SignatureParts {
    fn parse(text: &str) -> Option<Self> {
        let bytes = unarmored(text, SIGNATURE_LABEL)?;
        let mut fields = Fields(bytes.strip_prefix(SIGNATURE_MAGIC)?);
        if fields.number()? != 1 {
            return None;
        }
        let key = PublicKey::of_blob(fields.string()?)?;
        let namespace = fields.string()?.to_vec();
        let (reserved, hash, inner) = (fields.string()?, fields.string()?, fields.string()?);
        if !reserved.is_empty() || hash != HASH_ALGORITHM.as_bytes() || !fields.0.is_empty() {
            return None;
        }
        let mut inner = Fields(inner);
        if inner.string()? != ALGORITHM.as_bytes() {
            return None;
        }
        let signature = Signature::from_slice(inner.string()?).ok().filter(|_| inner.0.is_empty())?;
        // There is one way to write a signature; a file that says the same otherwise was changed.
        (armored(&bytes, SIGNATURE_LABEL) == text).then_some(Self { key, namespace, signature })
    }
}

/// What is signed in a message's place: its digest, with the purpose.
fn signed_data(namespace: &str, message: &[u8]) -> Vec<u8> {
    let mut data = SIGNATURE_MAGIC.to_vec();
    for field in [namespace.as_bytes(), b"", HASH_ALGORITHM.as_bytes(), &Sha512::digest(message)] {
        put(&mut data, field);
    }
    data
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(got) if got == N => Ok(bytes),
        Ok(_) => Err(KeyError::NoRandomness(io::ErrorKind::UnexpectedEof.into())),
        Err(errno) => Err(KeyError::NoRandomness(errno.into())),
    }
}

/// Appends a field with its length, as SSH writes strings.
fn put(out: &mut Vec<u8>, field: &[u8]) {
    // Everything here is far below 4 GiB.
    out.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(field);
}

/// What is left of a sequence of fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let mut rest = Self(self.0);
        let length = usize::try_from(rest.number()?).ok()?;
        let (field, rest) = rest.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

fn armored(bytes: &[u8], label: &str) -> String {
    let text = STANDARD.encode(bytes);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out + "-----END " + label + "-----\n"
}

fn unarmored(text: &str, label: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let inner = inner.strip_suffix(&format!("-----END {label}-----"))?;
    let joined: String = inner.split_ascii_whitespace().collect();
    STANDARD.decode(joined).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use std::process::{Command, Output, Stdio};

    use super::*;
    use std::io::Write as _;

    fn ssh_keygen(arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new("ssh-keygen");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("ssh-keygen (package openssh-client): {error}"));
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    fn key() -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(&[7; 32]))
    }

    #[test]
    fn a_key_file_comes_back_and_ssh_keygen_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SigningKey::generate().unwrap();
        fs::write(&path, key.to_openssh("a comment").unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(SigningKey::load(&path).unwrap().public(), key.public());
        let read = ssh_keygen(&["-y", "-f", path.to_str().unwrap()], b"");
        assert_eq!(String::from_utf8(read.stdout).unwrap(), format!("{} a comment\n", key.public().line()));
        let shown = ssh_keygen(&["-l", "-f", path.to_str().unwrap()], b"");
        assert!(String::from_utf8(shown.stdout).unwrap().contains(&key.public().fingerprint()));
    }

    #[test]
    fn a_key_of_ssh_keygen_signs_and_a_passphrase_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (kind, phrase, expected) in [
            ("ed25519", "", None),
            ("ed25519", "secret", Some("without a passphrase")),
            ("ecdsa", "", Some("ed25519 key, found one of another kind")),
        ] {
            let _ = fs::remove_file(&path);
            let made = ssh_keygen(&["-q", "-t", kind, "-N", phrase, "-f", path.to_str().unwrap()], b"y\n");
            assert!(made.status.success());
            match (SigningKey::load(&path), expected) {
                (Ok(_), None) => {}
                (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (other, _) => panic!("{kind}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_a_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, key().to_openssh("").unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SigningKey::load(&path).unwrap_err();
        assert!(error.to_string().contains("mode 0640"), "{error}");
        assert!(error.cure().contains("chmod 600"));
        let missing = SigningKey::load(&dir.path().join("none")).unwrap_err();
        assert!(missing.cure().contains("chancery evidence keygen"));
    }

    #[test]
    fn ssh_keygen_accepts_our_signatures_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (signers, signature) = (dir.path().join("signers"), dir.path().join("signature"));
        fs::write(&signers, format!("chancery namespaces=\"space\" {}\n", key().public().line())).unwrap();
        let check = |message: &[u8], namespace: &str| {
            let (signers, signature) = (signers.to_str().unwrap(), signature.to_str().unwrap());
            let arguments = ["-Y", "verify", "-f", signers, "-I", "chancery", "-n", namespace, "-s", signature];
            ssh_keygen(&arguments, message).status.success()
        };
        for length in [0, 1, 100, 70_000] {
            let message = vec![b'x'; length];
            fs::write(&signature, key().sign("space", &message)).unwrap();
            assert!(check(&message, "space"), "{length}");
            assert!(!check(&[&message, b"!".as_slice()].concat(), "space"));
            assert!(!check(&message, "other"));
        }
    }

    #[test]
    fn we_accept_what_ssh_keygen_signs_and_no_other_bytes_key_or_purpose() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, key().to_openssh("").unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let made = ssh_keygen(&["-Y", "sign", "-n", "space", "-f", path.to_str().unwrap()], b"message");
        let signature = String::from_utf8(made.stdout).unwrap();
        assert_eq!(signature, key().sign("space", b"message"));
        let public = key().public();
        assert_eq!(PublicKey::of_signature(&signature), Some(public));
        assert_eq!(public.verify("space", b"message", &signature), Ok(()));
        assert_eq!(public.verify("space", b"massage", &signature), Err(SignatureError::Bytes));
        assert_eq!(public.verify("other", b"message", &signature), Err(SignatureError::Namespace));
        let other = SigningKey(ed25519_dalek::SigningKey::from_bytes(&[8; 32]));
        let forged = other.sign("space", b"message");
        assert_eq!(public.verify("space", b"message", &forged), Err(SignatureError::Key));
        for at in 0..signature.len() {
            let mut changed = signature.clone().into_bytes();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert!(public.verify("space", b"message", &changed).is_err(), "byte {at}");
        }
        assert_eq!(public.verify("space", b"message", &signature[1..]), Err(SignatureError::Malformed));
    }

    #[test]
    fn a_public_key_is_read_from_its_line() {
        let public = key().public();
        assert_eq!(PublicKey::parse(&public.line()), Some(public));
        assert_eq!(PublicKey::parse(&format!("{} someone", public.line())), Some(public));
        for wrong in ["", "ssh-rsa AAAA", "ssh-ed25519", "ssh-ed25519 AAAA"] {
            assert_eq!(PublicKey::parse(wrong), None, "{wrong}");
        }
    }
}
