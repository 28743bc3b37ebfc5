//! InsightFace's verification sets (`lfw.bin`, `cfp_fp.bin`, …): a Python pickle of two lists, the encoded
//! images (JPEG or PNG), of which 2i and 2i + 1 are pair i, and for each pair whether it shows one person.
//!
//! A pickle is a program, and Python runs whatever it says; here only lists, tuples, bytes and booleans
//! are read from it and everything else is refused.

use crate::io::{IoError, read_regular_file, write_atomically};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Most bytes of a file, and of its images together: a pickle may name one object many times.
const MAX_BYTES: u64 = 4 << 30;

/// Encoded images in pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BinPairs {
    /// Two for each pair, as they stand in their files.
    pub images: Vec<Vec<u8>>,
    /// By pair.
    pub same: Vec<bool>,
}

impl BinPairs {
    /// Reads a file of pickle protocol 0–5, Python 2's included.
    ///
    /// # Errors
    /// A missing or damaged file, one that holds something else, or lists that do not fit each other.
    pub fn read(path: &Path) -> Result<Self, IoError> {
        let bytes = read_regular_file(path, MAX_BYTES)?;
        let unsuitable = |reason: String| {
            let wanted = "a pickled pair of lists, encoded images (bytes) and booleans";
            IoError::unsuitable(path, format!("is not {wanted} ({reason}); export it anew"))
        };
        if !nests_at_most(&bytes, MAX_DEPTH) {
            return Err(unsuitable("it nests deeper than two lists can".into()));
        }
        let (images, same): (Images, Vec<Same>) =
            serde_pickle::from_slice(&bytes, serde_pickle::DeOptions::new())
                .map_err(|e| unsuitable(e.to_string()))?;
        if images.0.len() != 2 * same.len() {
            let (images, pairs) = (images.0.len(), same.len());
            return Err(unsuitable(format!("{images} images for {pairs} pairs")));
        }
        Ok(Self { images: images.0, same: same.into_iter().map(|same| same.0).collect() })
    }

    /// SHA-256 of the images with their lengths, and of what is said of each pair.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for image in &self.images {
            hash.update((image.len() as u64).to_le_bytes());
            hash.update(image);
        }
        self.same.iter().for_each(|&same| hash.update([u8::from(same)]));
        format!("{:x}", hash.finalize())
    }

    /// Writes what InsightFace's `load_bin` reads (protocol 3).
    ///
    /// # Panics
    /// If there are not two images for each pair.
    pub fn write(&self, path: &Path) -> Result<(), IoError> {
        assert_eq!(self.images.len(), 2 * self.same.len(), "two images a pair");
        let images: Vec<Encoded<'_>> = self.images.iter().map(|image| Encoded(image)).collect();
        write_atomically(path, |mut out| {
            serde_pickle::to_writer(
                &mut out,
                &(images, &self.same),
                serde_pickle::SerOptions::new(),
            )
            .map_err(std::io::Error::other)
        })
    }
}

/// A tuple of lists of what `codecs.encode` is called with, where Python wrote bytes as text.
const MAX_DEPTH: usize = 8;

/// Whether nothing in a pickle is nested deeper; a reader that recurses would end the process. Follows
/// the program without its values: of each on the stack it knows how deep it is. A list or tuple that
/// comes back from the memo could nest in itself, and no such set needs one. What cannot be followed is
/// left to the reader, which refuses it.
fn nests_at_most(bytes: &[u8], most: usize) -> bool {
    const MARK: usize = usize::MAX;
    let mut stack: Vec<usize> = Vec::new();
    let mut memo: BTreeMap<usize, usize> = BTreeMap::new();
    let mut at = 0;
    let number = |from: usize, length: usize| {
        let digits = bytes.get(from..from + length)?;
        Some(digits.iter().rev().fold(0usize, |sum, &digit| (sum << 8) | usize::from(digit)))
    };
    while let Some(&opcode) = bytes.get(at) {
        at += 1;
        let to_mark = |stack: &mut Vec<usize>| {
            let mark = stack.iter().rposition(|&depth| depth == MARK).unwrap_or(0);
            stack.drain(mark..).filter(|&depth| depth != MARK).max().unwrap_or(0)
        };
        let line =
            |at: usize| bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| n + 1);
        // How many bytes belong to the opcode, and what it leaves on the stack.
        let (skip, left) = match opcode {
            b'(' => (0, Some(MARK)),
            b']' | b')' | b'}' | 0x8f => (0, Some(1)),
            b't' | b'l' | b'd' | 0x91 => (0, Some(to_mark(&mut stack) + 1)),
            0x85..=0x87 => {
                let from = stack.len().saturating_sub(usize::from(opcode - 0x84));
                (0, Some(stack.drain(from..).filter(|&d| d != MARK).max().unwrap_or(0) + 1))
            }
            b'a' | b's' | b'e' | b'u' | 0x90 => {
                let item = match opcode {
                    b'a' => stack.pop().unwrap_or(0),
                    b's' => stack.pop().unwrap_or(0).max(stack.pop().unwrap_or(0)),
                    _ => to_mark(&mut stack),
                };
                let item = if item == MARK { 0 } else { item };
                let list = stack.pop().filter(|&depth| depth != MARK).unwrap_or(0);
                (0, Some(list.max(item + 1)))
            }
            // A call: of bytes that are written as text, or none that the reader takes.
            b'R' | b'b' | 0x81 | 0x93 => {
                stack.truncate(stack.len().saturating_sub(2));
                (0, Some(0))
            }
            b'2' => (0, Some(stack.last().copied().unwrap_or(0))),
            b'0' => {
                stack.pop();
                (0, None)
            }
            b'1' => {
                to_mark(&mut stack);
                (0, None)
            }
            // Values without parts.
            b'N' | 0x88 | 0x89 => (0, Some(0)),
            b'K' => (1, Some(0)),
            b'M' => (2, Some(0)),
            b'J' => (4, Some(0)),
            b'G' => (8, Some(0)),
            b'U' | b'C' | 0x8a | 0x8c => (number(at, 1).map_or(bytes.len(), |n| 1 + n), Some(0)),
            b'T' | b'B' | b'X' | 0x8b => (number(at, 4).map_or(bytes.len(), |n| 4 + n), Some(0)),
            0x8d | 0x8e | 0x96 => {
                (number(at, 8).map_or(bytes.len(), |n| n.saturating_add(8)), Some(0))
            }
            b'I' | b'L' | b'F' | b'S' | b'V' | b'P' => (line(at), Some(0)),
            b'c' => {
                let first = line(at);
                (first + line((at + first).min(bytes.len())), Some(0))
            }
            // Out of the memo, and into it.
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => {
                let (skip, key) = match opcode {
                    b'g' | b'p' => {
                        let skip = line(at);
                        let text = bytes[at..].get(..skip.saturating_sub(1)).unwrap_or_default();
                        let text = str::from_utf8(text).unwrap_or_default().trim();
                        (skip, text.parse().ok())
                    }
                    b'h' | b'q' => (1, number(at, 1)),
                    b'j' | b'r' => (4, number(at, 4)),
                    _ => (0, Some(memo.len())),
                };
                let Some(key) = key else { return true };
                if matches!(opcode, b'g' | b'h' | b'j') {
                    if memo.get(&key).is_some_and(|&depth| depth > 0) {
                        return false;
                    }
                    (skip, Some(0))
                } else {
                    memo.insert(key, stack.last().copied().unwrap_or(0));
                    (skip, None)
                }
            }
            0x80 => (1, None),
            0x95 => (8, None),
            _ => return true,
        };
        at = at.saturating_add(skip);
        if let Some(depth) = left {
            if depth != MARK && depth > most {
                return false;
            }
            stack.push(depth);
        }
    }
    true
}

/// Bytes that serde would write as a list of numbers.
struct Encoded<'a>(&'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

struct Images(Vec<Vec<u8>>);

impl<'de> Deserialize<'de> for Images {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Images;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of encoded images")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Images, A::Error> {
                let (mut images, mut total) = (Vec::new(), 0u64);
                while let Some(OwnBytes(image)) = list.next_element()? {
                    total += image.len() as u64;
                    if total > MAX_BYTES {
                        return Err(de::Error::custom("more than 4 GiB of images"));
                    }
                    images.push(image);
                }
                Ok(Images(images))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

struct OwnBytes(Vec<u8>);

impl<'de> Deserialize<'de> for OwnBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = OwnBytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the bytes of an encoded image")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<OwnBytes, E> {
                Ok(OwnBytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<OwnBytes, E> {
                Ok(OwnBytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// A boolean, or a number that stands for one.
struct Same(bool);

impl<'de> Deserialize<'de> for Same {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Truth;
        impl Visitor<'_> for Truth {
            type Value = Same;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("True, False, 1 or 0")
            }

            fn visit_bool<E: de::Error>(self, same: bool) -> Result<Same, E> {
                Ok(Same(same))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Same, E> {
                match number {
                    0 | 1 => Ok(Same(number == 1)),
                    _ => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }
        }
        deserializer.deserialize_any(Truth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<BinPairs, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        BinPairs::read(file.path()).map_err(|e| e.to_string())
    }

    /// As Python 2 wrote it: images are `str`, SHORT_BINSTRING `U`, memoised by BINPUT `q`.
    const PYTHON_2: &[u8] = b"\x80\x02]q\x00(U\x03\xff\xd8aq\x01U\x02\xff\xd8q\x02U\x01aq\x03h\x01e]q\x04(\x88\x89e\x86q\x05.";

    fn of_python_2() -> BinPairs {
        let images: [&[u8]; 4] = [b"\xff\xd8a", b"\xff\xd8", b"a", b"\xff\xd8a"];
        BinPairs { images: images.map(<[u8]>::to_vec).into(), same: vec![true, false] }
    }

    #[test]
    fn what_python_2_and_we_write_is_read() {
        assert_eq!(read(PYTHON_2).unwrap(), of_python_2());
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = BinPairs { images: vec![vec![7; 70_000], vec![]], same: vec![false] };
        for pairs in [of_python_2(), long, BinPairs::default()] {
            pairs.write(file.path()).unwrap();
            assert_eq!(BinPairs::read(file.path()).unwrap(), pairs);
        }
    }

    #[test]
    fn numbers_may_stand_for_truth_and_nothing_else_may() {
        let with = |truth: &[u8]| [b"\x80\x02](C\x01aC\x01be](", truth, b"e\x86."].concat();
        assert_eq!(read(&with(b"K\x01")).unwrap().same, [true]);
        assert!(read(&with(b"K\x02")).unwrap_err().contains("2"));
        assert!(read(&with(b"N")).is_err());
        let message = read(&with(b"\x88\x88")).unwrap_err();
        assert!(message.contains("2 images for 2 pairs"), "{message}");
    }

    #[test]
    fn what_is_nested_deep_is_refused_before_it_is_read() {
        let lists = [b"\x80\x02".as_slice(), &[b']'; 400_000], &[b'a'; 399_999], b"."].concat();
        let tuples = [b"\x80\x02N".as_slice(), &[0x85; 3_000_000], b"."].concat();
        // Deeper by way of the memo: a list in itself, again and again.
        let memo =
            [b"\x80\x02]q\x00".as_slice(), &b"]q\x01h\x00aq\x00".repeat(200_000), b"."].concat();
        for bytes in [lists, tuples, memo] {
            assert!(read(&bytes).is_err());
        }
        assert!(nests_at_most(PYTHON_2, 2) && !nests_at_most(PYTHON_2, 1));
    }

    #[test]
    fn programs_and_damage_are_refused_without_panic() {
        // What `os.system("true")` pickles to.
        let message = read(b"cos\nsystem\n(S'true'\ntR.").unwrap_err();
        assert!(message.contains("is not a pickled pair of lists"), "{message}");
        assert!(read(b"").is_err());
        for end in 0..PYTHON_2.len() {
            assert!(read(&PYTHON_2[..end]).is_err(), "cut at {end}");
        }
        for at in 0..PYTHON_2.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut bytes = PYTHON_2.to_vec();
                bytes[at] ^= flip;
                // Whether the rest still reads depends on what was hit.
                let _ = read(&bytes);
            }
        }
    }
}
