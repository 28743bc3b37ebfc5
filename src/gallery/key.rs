//! Keys of encrypted galleries, and sealing with them.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): its nonce of 192 bits may be drawn at random for
//! every message without ever coming twice.

use super::GalleryError;
use crate::io::{IoError, read_regular_file};
use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use std::io::Write;
use std::path::Path;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// By how much sealing lengthens: a nonce before, a tag behind.
pub(super) const SEAL_BYTES: usize = NONCE_BYTES + 16;

/// What encrypts a gallery. Wiped from memory when dropped; not printed.
#[derive(Clone)]
pub struct GalleryKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for GalleryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GalleryKey(..)")
    }
}

impl GalleryKey {
    /// Reads a key file: 32 bytes as they are, or 64 hexadecimal digits.
    ///
    /// # Errors
    /// A file that is neither, or cannot be read.
    pub fn read(path: &Path) -> Result<Self, GalleryError> {
        let bad = || GalleryError::BadKeyFile(path.to_path_buf());
        let bytes = Zeroizing::new(match read_regular_file(path, 1 << 20) {
            Err(IoError::Unsuitable { .. }) => return Err(bad()),
            other => other?,
        });
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() == KEY_BYTES {
            key.copy_from_slice(&bytes);
            return Ok(Self(key));
        }
        let digits = bytes.trim_ascii();
        if digits.len() != 2 * KEY_BYTES {
            return Err(bad());
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or_else(bad);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Ok(Self(key))
    }

    /// Draws a key and writes it to a new file, in hexadecimal, for its owner only.
    ///
    /// # Errors
    /// A file that exists: with its key, everything sealed by it would be lost.
    pub fn make(path: &Path) -> Result<Self, GalleryError> {
        let key = Zeroizing::new(<[u8; KEY_BYTES]>::generate());
        let fail = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::AlreadyExists => GalleryError::KeyFileExists(path.to_path_buf()),
            _ => IoError::from_system(path, e).into(),
        };
        let text = Zeroizing::new(key.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let mut file = super::generation::private_file(path).map_err(fail)?;
        file.write_all(text.as_bytes()).map_err(fail)?;
        file.write_all(b"\n").map_err(fail)?;
        file.sync_all().map_err(fail)?;
        Ok(Self(key))
    }
}

/// Seals and opens the pieces of one gallery.
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
    /// Of the gallery.
    id: String,
}

impl Sealer {
    pub fn new(key: &GalleryKey, id: &str) -> Self {
        Self { cipher: XChaCha20Poly1305::new((&*key.0).into()), id: id.to_string() }
    }

    /// What stands where; a piece opens only in the place it was sealed for.
    fn place(&self, kind: &str, generation: u64, position: u64) -> String {
        format!("lumiface gallery {} {kind} {generation} {position}", self.id)
    }

    /// Nonce, ciphertext, tag.
    pub fn seal(&self, kind: &str, generation: u64, position: u64, plain: &[u8]) -> Vec<u8> {
        let nonce = XNonce::generate();
        let aad = self.place(kind, generation, position);
        let payload = Payload { msg: plain, aad: aad.as_bytes() };
        // It fails above 256 GiB only.
        let sealed = self.cipher.encrypt(&nonce, payload).expect("a piece is short");
        [nonce.as_slice(), &sealed].concat()
    }

    /// `None` where anything was changed, exchanged or sealed with another key.
    pub fn open(
        &self,
        kind: &str,
        generation: u64,
        position: u64,
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let aad = self.place(kind, generation, position);
        let payload = Payload { msg: sealed, aad: aad.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = GalleryKey::make(&path).unwrap();
        assert_eq!(*made.0, *GalleryKey::read(&path).unwrap().0);
        assert!(matches!(GalleryKey::make(&path), Err(GalleryError::KeyFileExists(_))));
        assert_eq!(*made.0, *GalleryKey::read(&path).unwrap().0);
        assert!(!format!("{made:?}").contains("0x"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let raw = folder.path().join("raw");
        std::fs::write(&raw, *made.0).unwrap();
        assert_eq!(*made.0, *GalleryKey::read(&raw).unwrap().0);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for content in ["", "abc", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            std::fs::write(&path, content).unwrap();
            let refused = GalleryKey::read(&path);
            assert!(matches!(refused, Err(GalleryError::BadKeyFile(_))), "{content}");
        }
        assert!(matches!(GalleryKey::read(folder.path()), Err(GalleryError::Io(_))));
    }

    #[test]
    fn a_piece_opens_in_its_own_place_only() {
        let key = |byte| GalleryKey(Zeroizing::new([byte; KEY_BYTES]));
        let sealer = Sealer::new(&key(1), "a");
        let sealed = sealer.seal("vector", 1, 7, b"face");
        assert_eq!(sealed.len(), 4 + SEAL_BYTES);
        assert_ne!(sealed, sealer.seal("vector", 1, 7, b"face"), "a nonce twice");
        assert_eq!(sealer.open("vector", 1, 7, &sealed).unwrap(), b"face");
        assert_eq!(sealer.open("vector", 1, 8, &sealed), None);
        assert_eq!(sealer.open("vector", 2, 7, &sealed), None);
        assert_eq!(sealer.open("record", 1, 7, &sealed), None);
        assert_eq!(Sealer::new(&key(1), "b").open("vector", 1, 7, &sealed), None);
        assert_eq!(Sealer::new(&key(2), "a").open("vector", 1, 7, &sealed), None);
        assert_eq!(sealer.open("vector", 1, 7, &sealed[..20]), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open("vector", 1, 7, &changed), None);
        }
    }
}
