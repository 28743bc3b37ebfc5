//! TensorBoard event files, scalars only.
//!
//! The file is a row of TFRecords: length, its checksum, payload, its checksum, little-endian
//! (tensorflow/core/lib/io/record_writer.h). The checksum is CRC-32C, masked. A payload is a
//! protobuf message (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto):
//!
//! ```text
//! Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
//! Summary { repeated Value value = 1; }
//! Value   { string tag = 1; float simple_value = 2; }
//! ```
//!
//! Seven fields are encoded by hand: the crates for this had their last release in 2024 or before,
//! and bring protobuf libraries.

use crate::io::{IoError, read_regular_file, write_atomically};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The one event file of a run: TensorBoard takes each file with `tfevents` in its name, and
/// draws several of one folder as one zigzag curve.
pub const EVENT_FILE: &str = "events.out.tfevents.lumiface";

/// What TensorBoard expects of the first record.
const FILE_VERSION: &str = "brain.Event:2";
/// Most bytes of an event file: millions of epochs.
const MAX_BYTES: u64 = 1 << 30;

/// A protobuf field's key: its number and how its value is stored.
const fn key(number: u8, wire_type: u8) -> u8 {
    (number << 3) | wire_type
}

const VARINT: u8 = 0;
const EIGHT_BYTES: u8 = 1;
const SIZED: u8 = 2;
const FOUR_BYTES: u8 = 5;

const EVENT_WALL_TIME: u8 = key(1, EIGHT_BYTES);
const EVENT_STEP: u8 = key(2, VARINT);
const EVENT_FILE_VERSION: u8 = key(3, SIZED);
const EVENT_SUMMARY: u8 = key(5, SIZED);
const SUMMARY_VALUE: u8 = key(1, SIZED);
const VALUE_TAG: u8 = key(1, SIZED);
const VALUE_SIMPLE_VALUE: u8 = key(2, FOUR_BYTES);

/// An event file open for more scalars.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts the file at `path`, or goes on with it after `keep_up_to_step`.
    ///
    /// A run that resumes repeats the steps after its checkpoint, and a killed one may have left
    /// half a record, behind which TensorBoard would read nothing. Both are dropped. A TensorBoard
    /// that shows the file goes on where nothing had to be dropped; else it needs a restart, as it
    /// holds the old file open.
    ///
    /// # Errors
    /// What the system reports, or a file of more than 1 GiB.
    pub fn open(path: &Path, keep_up_to_step: u64) -> Result<Self, IoError> {
        let old = match read_regular_file(path, MAX_BYTES) {
            Err(IoError::NotFound(_)) => Vec::new(),
            read => read?,
        };
        let mut kept = records_up_to(&old, keep_up_to_step);
        if kept.is_empty() {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            // A clock set before 1970 spoils the axis of wall time and nothing else.
            push_record(&mut kept, &version_event(now.unwrap_or_default().as_secs_f64()));
        }
        if kept != old {
            write_atomically(path, |out| out.write_all(&kept))?;
        }
        let file = File::options().append(true).open(path);
        let file = file.map_err(|e| IoError::from_system(path, e))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Appends the values of one step; a TensorBoard that is open shows them at its next reload.
    ///
    /// `wall_time` is in seconds since 1970. Steps start at 1: 0 would outlive any `open`.
    ///
    /// # Errors
    /// What the system reports. Part of the record may then be in the file: open it again before
    /// any other call.
    pub fn scalars(
        &mut self,
        step: u64,
        wall_time: f64,
        values: &[(&str, f32)],
    ) -> Result<(), IoError> {
        let mut record = Vec::new();
        push_record(&mut record, &scalars_event(step, wall_time, values));
        // Unbuffered: nothing waits in this process for a flush that a kill prevents.
        self.file.write_all(&record).map_err(|e| IoError::from_system(&self.path, e))
    }
}

/// The records that are whole and whose step is at most `last`.
///
/// A record with a damaged payload is skipped. Behind a damaged length, no record can be found.
fn records_up_to(bytes: &[u8], last: u64) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((payload, crc, after)) = split_record(rest) {
        if crc == masked_crc(payload) && step_of(payload).is_some_and(|step| step <= last) {
            push_record(&mut kept, payload);
        }
        rest = after;
    }
    kept
}

/// The first record's payload, the checksum stored for it, and the records after it.
fn split_record(bytes: &[u8]) -> Option<(&[u8], [u8; 4], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_crc, rest) = rest.split_first_chunk()?;
    if *length_crc != masked_crc(length) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    let (crc, rest) = rest.split_first_chunk()?;
    Some((payload, *crc, rest))
}

fn push_record(out: &mut Vec<u8>, payload: &[u8]) {
    let length = (payload.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked_crc(&length));
    out.extend(payload);
    out.extend(masked_crc(payload));
}

/// The CRC-32C as TFRecords hold it: rotated and shifted, so that a CRC of bytes that include
/// their own CRC stays meaningful.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// An event's step, where it was written by this module: the time first, then the step.
fn step_of(event: &[u8]) -> Option<u64> {
    match event.split_at_checked(9)? {
        ([EVENT_WALL_TIME, ..], [EVENT_STEP, step @ ..]) => read_varint(step),
        // Protobuf omits a zero.
        ([EVENT_WALL_TIME, ..], _) => Some(0),
        _ => None,
    }
}

fn version_event(wall_time: f64) -> Vec<u8> {
    let mut event = timed_event(wall_time);
    push_sized(&mut event, EVENT_FILE_VERSION, FILE_VERSION.as_bytes());
    event
}

fn scalars_event(step: u64, wall_time: f64, values: &[(&str, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, number) in values {
        let mut value = Vec::new();
        push_sized(&mut value, VALUE_TAG, tag.as_bytes());
        value.push(VALUE_SIMPLE_VALUE);
        value.extend(number.to_le_bytes());
        push_sized(&mut summary, SUMMARY_VALUE, &value);
    }
    let mut event = timed_event(wall_time);
    if step > 0 {
        event.push(EVENT_STEP);
        push_varint(&mut event, step);
    }
    push_sized(&mut event, EVENT_SUMMARY, &summary);
    event
}

fn timed_event(wall_time: f64) -> Vec<u8> {
    let mut event = vec![EVENT_WALL_TIME];
    event.extend(wall_time.to_le_bytes());
    event
}

fn push_sized(out: &mut Vec<u8>, key: u8, content: &[u8]) {
    out.push(key);
    push_varint(out, content.len() as u64);
    out.extend(content);
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &[u8]) -> Option<u64> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's `tensorboard` 2.21 writes, by its `RecordWriter` and its protobuf classes:
    /// the version at 1700000000.25, then step 300 at 1700000001.5 with two scalars.
    const PEER: &str = "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32\
        338d2fe92c00000000000000f4aecc450900006040fc54d94110ac022a1e0a110a0a6c6f73732f746f74616c\
        150000403f0a090a026c721500000000e85fd3de";

    fn records(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        payloads.iter().for_each(|payload| push_record(&mut bytes, payload));
        bytes
    }

    /// A version record, then one record for each step.
    fn run_to(last: u64) -> Vec<u8> {
        let mut payloads = vec![version_event(5.0)];
        payloads.extend((1..=last).map(|step| scalars_event(step, step as f64, &[("loss", 0.5)])));
        records(&payloads)
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        // RFC 3720's polynomial over the customary check string.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn the_bytes_are_those_of_tensorboards_own_writer() {
        let values = [("loss/total", 0.75), ("lr", 0.0)];
        let ours =
            records(&[version_event(1700000000.25), scalars_event(300, 1700000001.5, &values)]);
        let hex: String = ours.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, PEER);
    }

    #[test]
    fn steps_are_read_back() {
        for step in [0, 1, 127, 128, 300, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
            assert_eq!(step_of(&scalars_event(step, 2.0, &[("a", 1.0)])), Some(step));
        }
        assert_eq!(step_of(&version_event(2.0)), Some(0));
        for foreign in [&b""[..], b"\x10\x01", b"\x09\0\0\0\0\0\0\0\0\x10\xff"] {
            assert_eq!(step_of(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_new_file_starts_with_the_version_and_holds_what_was_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run").join(EVENT_FILE);
        let mut file = EventFile::open(&path, 0).unwrap();
        file.scalars(1, 7.0, &[("loss", 0.5), ("eer", 0.25)]).unwrap();
        // Before the file is closed: a kill must not take what was appended.
        let bytes = std::fs::read(&path).unwrap();
        let (version, _, rest) = split_record(&bytes).unwrap();
        assert_eq!(version[9..], version_event(0.0)[9..]);
        assert_eq!(rest, records(&[scalars_event(1, 7.0, &[("loss", 0.5), ("eer", 0.25)])]));
    }

    #[test]
    fn a_record_torn_anywhere_is_dropped() {
        let (two, three) = (run_to(2), run_to(3));
        for length in two.len()..three.len() {
            assert_eq!(records_up_to(&three[..length], 9), two, "torn after {length} bytes");
        }
    }

    #[test]
    fn a_damaged_byte_costs_no_record_before_it() {
        let (one, two, three) = (run_to(1), run_to(2), run_to(3));
        let without_the_second = [&one[..], &three[two.len()..]].concat();
        for index in one.len()..two.len() {
            let mut damaged = three.clone();
            damaged[index] ^= 0x10;
            // With its length damaged, the record hides those after it.
            let in_length = index < one.len() + 12;
            let expected = if in_length { &one } else { &without_the_second };
            assert_eq!(&records_up_to(&damaged, 9), expected, "damaged at {index}");
        }
    }

    #[test]
    fn later_steps_are_dropped_and_so_is_what_has_none_to_read() {
        for last in 0..=200 {
            assert_eq!(records_up_to(&run_to(200), last), run_to(last), "kept to {last}");
        }
        let foreign = records(&[b"not an event".to_vec()]);
        assert!(records_up_to(&foreign, 9).is_empty());
    }

    #[test]
    fn a_killed_run_goes_on_after_its_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVENT_FILE);
        let killed = run_to(4);
        std::fs::write(&path, &killed[..killed.len() - 7]).unwrap();
        let mut file = EventFile::open(&path, 2).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), run_to(2));
        for step in 3..=5 {
            file.scalars(step, step as f64, &[("loss", 0.5)]).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), run_to(5));
    }

    #[test]
    fn a_file_that_needs_no_change_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVENT_FILE);
        std::fs::write(&path, run_to(2)).unwrap();
        // Held open as a TensorBoard does: a replacement would be another file.
        let mut reader = File::open(&path).unwrap();
        EventFile::open(&path, 2).unwrap().scalars(3, 3.0, &[("loss", 0.5)]).unwrap();
        let mut seen = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut seen).unwrap();
        assert_eq!(seen, run_to(3));
    }

    #[test]
    fn what_is_no_event_file_is_begun_again_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVENT_FILE);
        for content in [&b""[..], b"not records", &[0; 64]] {
            std::fs::write(&path, content).unwrap();
            EventFile::open(&path, 9).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let (version, _, rest) = split_record(&bytes).unwrap();
            assert_eq!(version[9..], version_event(0.0)[9..]);
            assert!(rest.is_empty());
        }
        assert!(matches!(EventFile::open(folder.path(), 0), Err(IoError::NotAFile(_))));
    }
}
