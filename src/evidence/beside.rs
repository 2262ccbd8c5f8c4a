//! Copies of manifests beside the outputs: what they are called, and what they hold.

use std::fs;
use std::path::Path;

use super::NAMESPACE;
use super::key::PublicKey;
use super::layout::{SIGNATURE, entry_path};
use super::record::{RecordError, signature_path};
use crate::model::Ticks;
use crate::support::durable::WithPath as _;

/// What the name of a copy has after what the names of its batch's outputs begin with.
pub(super) const COPY: &str = ".manifest.json";

/// A file to be put beside the outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its name.
    pub name: String,
    /// Its bytes, which are those of the file in the evidence directory.
    pub bytes: Vec<u8>,
}

/// The name of the copy of a batch's manifest. It begins as those of the batch's outputs do.
pub fn copy_name(adapter: &str, interval_end: Ticks, batch: i64) -> String {
    format!("{adapter}-{}-{batch:09}{COPY}", interval_end.file_stamp())
}

/// What is put beside the outputs of a batch, in this order: the signature on its manifest, if it has to have one, and
/// then the manifest, so that whoever finds the manifest finds its signature. `manifest` are the bytes of entry `entry`.
///
/// # Errors
/// When the signature cannot be read, or is none on these bytes.
pub fn copies(
    dir: &Path,
    (entry, manifest): (u64, Vec<u8>),
    is_signed: bool,
    name: String,
) -> Result<Vec<Copy>, RecordError> {
    let mut copies = Vec::new();
    if is_signed {
        let path = signature_path(&dir.join(entry_path(entry)));
        let bytes = fs::read(&path).at("read", &path)?;
        let is_on_it = str::from_utf8(&bytes).is_ok_and(|armored| {
            PublicKey::of_signature(armored).is_some_and(|key| key.verify(NAMESPACE, &manifest, armored).is_ok())
        });
        if !is_on_it {
            return Err(RecordError::Differs { path });
        }
        copies.push(Copy { name: format!("{name}{SIGNATURE}"), bytes });
    }
    copies.push(Copy { name, bytes: manifest });
    Ok(copies)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;
    use crate::evidence::key::SigningKey;

    #[test]
    fn a_copy_is_the_manifest_with_the_signature_that_is_on_it() {
        let (dir, key) = (tempfile::tempdir().unwrap(), SigningKey::generate().unwrap());
        let name = copy_name("vantage", Ticks::parse("2026-11-22T10:15:00Z").unwrap(), 42);
        assert_eq!(name, "vantage-20261122T101500Z-000000042.manifest.json");
        let manifest = b"{}\n".to_vec();
        let of = |is_signed| copies(dir.path(), (3, manifest.clone()), is_signed, name.clone());
        let unsigned = of(false).unwrap();
        assert_eq!(unsigned, [Copy { name: name.clone(), bytes: manifest.clone() }]);
        assert!(matches!(of(true), Err(RecordError::Disk(_))), "its signature is not there");

        let path = dir.path().join("log/00000/000000003.json.sig");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for wrong in ["no signature".to_owned(), key.sign(NAMESPACE, b"[]\n")] {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(of(true), Err(RecordError::Differs { .. })));
        }
        let signature = key.sign(NAMESPACE, &manifest);
        fs::write(&path, &signature).unwrap();
        let signed = of(true).unwrap();
        let names: Vec<_> = signed.iter().map(|copy| copy.name.as_str()).collect();
        assert_eq!(names, [&*format!("{name}.sig"), &*name]);
        assert_eq!((&*signed[0].bytes, &*signed[1].bytes), (signature.as_bytes(), &*manifest));
    }
}
