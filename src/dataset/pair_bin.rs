//! InsightFace's verification sets (`lfw.bin`, `cfp_fp.bin`, …): a Python pickle of two lists, the encoded
//! images (JPEG or PNG), of which 2i and 2i + 1 are pair i, and for each pair whether it shows one person.
//!
//! A pickle is a program, and Python runs whatever it says; here only lists, tuples, bytes and booleans
//! are read from it and everything else is refused.

use crate::io::{IoError, read_regular_file, write_atomically};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
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
        let (images, same): (Images, Vec<Same>) =
            serde_pickle::from_slice(&bytes, serde_pickle::DeOptions::new())
                .map_err(|e| unsuitable(e.to_string()))?;
        if images.0.len() != 2 * same.len() {
            let (images, pairs) = (images.0.len(), same.len());
            return Err(unsuitable(format!("{images} images for {pairs} pairs")));
        }
        Ok(Self { images: images.0, same: same.into_iter().map(|same| same.0).collect() })
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
