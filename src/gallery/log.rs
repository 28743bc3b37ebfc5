//! The logs: of enrolments and removals, and of the removals once more. A removal counts if either
//! says so: no damage to one file brings a removed person back.
//!
//! ```text
//! header   128 bytes: what file this is; at 112 the acknowledged length and its checksum
//! record   magic, length of the payload, CRC-32C; payload
//! ```
//!
//! The checksum runs over the file's kind, the gallery, the generation, the record's own offset, the length and the
//! payload (JSON, sealed in an encrypted gallery): a record moved elsewhere is none. After damage
//! the next record is found by its magic, which no JSON text contains, and its checksum.
//!
//! The acknowledged length is written after each batch without waiting for the disk. Below it
//! everything must be whole; behind it lies what a killed writer did not finish. After a power
//! failure it may be too low, which only leaves a cut just behind it untold.

use super::generation::{DataFile, Generation, private_file};
use super::{Damage, Harm, TemplateNumber};
use crate::io::{IoError, read_regular_file};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;

pub(super) const HEADER_BYTES: u64 = 128;
/// Where the acknowledged length stands in the header.
const MARK: u64 = 112;
const MARK_BYTES: usize = 12;
/// 0xF5 and 0xFF never stand in UTF-8.
const RECORD_MAGIC: [u8; 4] = [0xF5, b'L', b'T', 0xFF];
const FRAME_BYTES: usize = 12;
/// Longest payload; a damaged length is not followed further.
pub(super) const MAX_PAYLOAD: usize = 1 << 20;
/// Longest log: some ten million templates.
const MAX_LOG: u64 = 1 << 33;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Record {
    Enrol(Enrolment),
    Remove(TemplateNumber),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Enrolment {
    pub number: TemplateNumber,
    pub person: String,
    pub session: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub quality: f32,
    /// Of the vector file.
    pub row: u64,
    /// CRC-32C of the vector.
    pub checksum: u32,
}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
struct Entry<R> {
    record: R,
    /// How many records of the same batch follow. A batch counts when it is complete.
    more: usize,
}

/// What a log holds.
pub(super) struct LogContent {
    /// Records and places without any, in order.
    pub pieces: Vec<(Range<u64>, Piece)>,
    /// Where the next batch goes.
    pub end: u64,
    /// Bytes behind it that a killed writer left.
    pub unfinished: u64,
}

pub(super) enum Piece {
    Record(Record),
    Damage,
}

fn header(generation: &Generation, which: DataFile) -> Vec<u8> {
    let mut bytes = generation.header_start(which);
    bytes.resize(MARK as usize, 0);
    bytes
}

/// CRC-32C of what all records of a log share.
fn checksum_seed(generation: &Generation, which: DataFile) -> u32 {
    let file = crc32c::crc32c(which.magic().as_bytes());
    let gallery = crc32c::crc32c_append(file, generation.id.as_bytes());
    crc32c::crc32c_append(gallery, &generation.number.to_le_bytes())
}

fn mark_bytes(seed: u32, length: u64) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    let checksum = crc32c::crc32c_append(seed, &length.to_le_bytes());
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn frame_checksum(seed: u32, offset: u64, payload: &[u8]) -> u32 {
    let checksum = crc32c::crc32c_append(seed, &offset.to_le_bytes());
    let checksum = crc32c::crc32c_append(checksum, &(payload.len() as u32).to_le_bytes());
    crc32c::crc32c_append(checksum, payload)
}

/// The payload of the record at an offset, if one begins there.
fn payload_at(bytes: &[u8], offset: usize, seed: u32) -> Option<Range<usize>> {
    let frame = bytes.get(offset..offset + FRAME_BYTES)?;
    let word = |at: usize| frame[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let length = word(4)? as usize;
    if frame[..4] != RECORD_MAGIC || length > MAX_PAYLOAD {
        return None;
    }
    let start = offset + FRAME_BYTES;
    let payload = bytes.get(start..start + length)?;
    (frame_checksum(seed, offset as u64, payload) == word(8)?).then_some(start..start + length)
}

/// The payloads in a log, by their offset.
fn scan(bytes: &[u8], seed: u32) -> Vec<(u64, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = HEADER_BYTES as usize;
    while at < bytes.len() {
        if let Some(payload) = payload_at(bytes, at, seed) {
            found.push((at as u64, payload.clone()));
            at = payload.end;
        } else {
            let rest = &bytes[at + 1..];
            let next = rest.windows(RECORD_MAGIC.len()).position(|w| w == RECORD_MAGIC);
            at = next.map_or(bytes.len(), |distance| at + 1 + distance);
        }
    }
    found
}

/// Reads a log; what is wrong with its header goes to `damage`.
pub(super) fn read_log(
    generation: &Generation,
    which: DataFile,
    damage: &mut Vec<Damage>,
) -> Result<LogContent, IoError> {
    let path = generation.path(which);
    let fail = |e| IoError::from_system(&path, e);
    let seed = checksum_seed(generation, which);
    // Before the records: a writer at work lengthens them first.
    let mut mark = None;
    for _ in 0..3 {
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut bytes))
            .map_err(fail)?;
        mark = bytes.get(MARK as usize..MARK as usize + MARK_BYTES).and_then(|bytes| {
            let length = u64::from_le_bytes(*bytes.first_chunk()?);
            (mark_bytes(seed, length) == bytes).then_some(length)
        });
        if mark.is_some() {
            break;
        }
        // Perhaps it was just being written.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let bytes = read_regular_file(&path, MAX_LOG)?;
    let length = bytes.len() as u64;
    let mut expected = header(generation, which);
    expected.extend(mark_bytes(seed, mark.unwrap_or(0)));
    expected.resize(HEADER_BYTES as usize, 0);
    let whole = |range: Range<usize>| bytes.get(range.clone()) == Some(&expected[range]);
    let (mark_start, mark_end) = (MARK as usize, MARK as usize + MARK_BYTES);
    if mark.is_none() || !whole(0..mark_start) || !whole(mark_end..HEADER_BYTES as usize) {
        let bytes = 0..length.min(HEADER_BYTES);
        damage.push(Damage { file: path, bytes, harm: Harm::Header });
    }
    // Where the mark cannot be read, everything counts as acknowledged, and a byte more: the log
    // may have been cut.
    let mark = mark.unwrap_or(length.max(HEADER_BYTES) + 1).max(HEADER_BYTES);

    let mut entries: Vec<(Range<u64>, Entry<Record>)> = scan(&bytes, seed)
        .into_par_iter()
        .filter_map(|(offset, payload)| {
            let place = offset..payload.end as u64;
            let plain = generation.opened(which, offset, &bytes[payload])?;
            Some((place, serde_json::from_slice(&plain).ok()?))
        })
        .collect();
    while entries.last().is_some_and(|(place, entry)| entry.more > 0 && place.start >= mark) {
        entries.pop();
    }
    let mut pieces = Vec::with_capacity(entries.len());
    let mut at = HEADER_BYTES;
    for (place, entry) in entries {
        if place.start > at {
            pieces.push((at..place.start, Piece::Damage));
        }
        at = place.end;
        pieces.push((place, Piece::Record(entry.record)));
    }
    if mark > at {
        pieces.push((at..mark, Piece::Damage));
    }
    let end = at.max(mark);
    Ok(LogContent { pieces, end, unfinished: length.saturating_sub(end) })
}

/// The end of a log, for its one writer.
pub(super) struct LogWriter {
    which: DataFile,
    path: PathBuf,
    file: File,
    seed: u32,
    end: u64,
}

impl LogWriter {
    /// Starts the log of a new generation.
    pub fn create(generation: &Generation, which: DataFile) -> Result<Self, IoError> {
        let path = generation.path(which);
        let file = private_file(&path).map_err(|e| IoError::from_system(&path, e))?;
        let seed = checksum_seed(generation, which);
        let mut log = Self { which, path, file, seed, end: HEADER_BYTES };
        log.restore_header(generation)?;
        Ok(log)
    }

    /// Cuts what a killed writer left, or fills up with zeros what is missing of what was
    /// acknowledged, so that the loss stays told.
    pub fn open(generation: &Generation, which: DataFile, end: u64) -> Result<Self, IoError> {
        let path = generation.path(which);
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(end).map(|()| file))
            .map_err(|e| IoError::from_system(&path, e))?;
        let mut log = Self { which, path, file, seed: checksum_seed(generation, which), end };
        log.restore_header(generation)?;
        Ok(log)
    }

    fn restore_header(&mut self, generation: &Generation) -> Result<(), IoError> {
        let mut bytes = header(generation, self.which);
        bytes.extend(mark_bytes(self.seed, self.end));
        bytes.resize(HEADER_BYTES as usize, 0);
        self.write_at(0, &bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), IoError> {
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(|e| IoError::from_system(&self.path, e))
    }

    /// Writes a batch behind the last one. It counts once [`LogWriter::sync`] returns.
    pub fn append(&mut self, generation: &Generation, batch: &[Record]) -> Result<(), IoError> {
        let mut bytes = Vec::new();
        let records = batch.len();
        for (number, record) in batch.iter().enumerate() {
            let entry = Entry { record, more: records - 1 - number };
            let plain =
                serde_json::to_vec(&entry).map_err(|e| IoError::unsuitable(&self.path, e))?;
            let offset = self.end + bytes.len() as u64;
            let payload = generation.sealed(self.which, offset, &plain);
            bytes.extend(RECORD_MAGIC);
            bytes.extend((payload.len() as u32).to_le_bytes());
            bytes.extend(frame_checksum(self.seed, offset, &payload).to_le_bytes());
            bytes.extend(payload);
        }
        self.write_at(self.end, &bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Returns when everything appended is on the disk.
    pub fn sync(&self) -> Result<(), IoError> {
        self.file.sync_data().map_err(|e| IoError::from_system(&self.path, e))
    }

    /// Notes that everything appended is acknowledged.
    pub fn mark(&mut self) {
        // The batch is safe without it; the mark only tells a later cut from a killed writer.
        let _ = self.write_at(MARK, &mark_bytes(self.seed, self.end));
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Takes back what was appended behind `end` and not marked.
    pub fn cut_back(&mut self, end: u64) -> Result<(), IoError> {
        self.file
            .set_len(end)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| IoError::from_system(&self.path, e))?;
        self.end = end;
        Ok(())
    }
}
