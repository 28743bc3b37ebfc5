//! The file of vectors: a header of one page, then rows of little-endian float 32, each of unit
//! length; sealed rows are longer by nonce and tag. Rows are only ever appended, and a place is
//! never used twice in a generation, so that what a reader has mapped does not change.

use super::generation::{DataFile, Generation, private_file};
use super::key::SEAL_BYTES;
use super::{Damage, Harm};
use crate::io::IoError;
use memmap2::{Mmap, MmapOptions};
use rayon::prelude::*;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;

/// A page: the rows behind it are aligned for any arithmetic.
pub(super) const HEADER_BYTES: u64 = 4096;

fn header(generation: &Generation) -> Vec<u8> {
    let mut bytes = generation.header_start(DataFile::Vectors);
    bytes.resize(HEADER_BYTES as usize, 0);
    bytes
}

/// Bytes from one row to the next.
fn stride(generation: &Generation) -> u64 {
    let plain = generation.dim * size_of::<f32>();
    (plain + if generation.sealer.is_some() { SEAL_BYTES } else { 0 }) as u64
}

/// Where a row stands in the file.
pub(super) fn row_bytes(generation: &Generation, row: u64) -> Range<u64> {
    let start = HEADER_BYTES + row * stride(generation);
    start..start + stride(generation)
}

/// CRC-32C of a vector.
fn checksum(vector: &[f32]) -> u32 {
    crc32c::crc32c(bytemuck::cast_slice(vector))
}

/// Rows that a file of this length holds, the last one perhaps in part.
pub(super) fn rows_of(generation: &Generation, length: u64) -> u64 {
    length.saturating_sub(HEADER_BYTES).div_ceil(stride(generation))
}

/// The rows of a gallery.
pub(super) enum Vectors {
    Mapped {
        bytes: Mmap,
        rows: usize,
        dim: usize,
    },
    /// Of an encrypted gallery. Rows that are not served are zeros.
    Opened(Vec<f32>),
}

impl Vectors {
    /// Maps or opens the rows that carry a template and checks each: (row, checksum), rising.
    /// Returns which of them are whole.
    pub fn read(
        generation: &Generation,
        file: &File,
        wanted: &[(u64, u32)],
        damage: &mut Vec<Damage>,
    ) -> Result<(Self, Vec<bool>), IoError> {
        let path = generation.path(DataFile::Vectors);
        let fail = |e| IoError::from_system(&path, e);
        let length = file.metadata().map_err(fail)?.len();
        // SAFETY: rows that were written are never changed, and erased only when no reader holds
        // the lock on this file; whoever cuts it by hand meets the same fate as with any mapping.
        let bytes = unsafe { MmapOptions::new().len(length as usize).map(file) }.map_err(fail)?;
        let expected = header(generation);
        if bytes.get(..expected.len()) != Some(&expected[..]) {
            let bytes = 0..length.min(HEADER_BYTES);
            damage.push(Damage { file: path.clone(), bytes, harm: Harm::Header });
        }
        let dim = generation.dim;
        let stored = |row: u64| {
            let range = row_bytes(generation, row);
            bytes.get(range.start as usize..range.end as usize)
        };
        if generation.sealer.is_none() {
            let whole = wanted
                .par_iter()
                .map(|&(row, sum)| stored(row).is_some_and(|b| crc32c::crc32c(b) == sum))
                .collect();
            let rows = ((length.saturating_sub(HEADER_BYTES)) / stride(generation)) as usize;
            return Ok((Self::Mapped { bytes, rows, dim }, whole));
        }
        let rows = wanted.last().map_or(0, |&(row, _)| row as usize + 1);
        let mut values = vec![0.0; rows * dim];
        // Each wanted row's place among the values.
        let mut places = Vec::with_capacity(wanted.len());
        let mut rest = values.as_mut_slice();
        let mut next = 0;
        for &(row, sum) in wanted {
            let (_, from) = rest.split_at_mut((row - next) as usize * dim);
            let (place, behind) = from.split_at_mut(dim);
            places.push((row, sum, place));
            rest = behind;
            next = row + 1;
        }
        let whole = places
            .into_par_iter()
            .map(|(row, sum, place)| {
                let opened = stored(row).and_then(|b| generation.opened(DataFile::Vectors, row, b));
                let Some(plain) = opened.filter(|plain| crc32c::crc32c(plain) == sum) else {
                    return false;
                };
                for (value, bytes) in place.iter_mut().zip(plain.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
                true
            })
            .collect();
        Ok((Self::Opened(values), whole))
    }

    /// (rows, dim).
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Mapped { bytes, rows, dim } => {
                let length = rows * dim * size_of::<f32>();
                let start = HEADER_BYTES as usize;
                let rows = bytes.get(start..start + length).unwrap_or_default();
                // A page's start is aligned.
                bytemuck::try_cast_slice(rows).unwrap_or_default()
            }
            Self::Opened(values) => values,
        }
    }
}

/// The end of the file of vectors, for its one writer.
pub(super) struct VectorWriter {
    path: PathBuf,
    file: File,
    rows: u64,
}

impl VectorWriter {
    /// Starts the vectors of a new generation.
    pub fn create(generation: &Generation) -> Result<Self, IoError> {
        let path = generation.path(DataFile::Vectors);
        let fail = |e| IoError::from_system(&path, e);
        let mut file = private_file(&path).map_err(fail)?;
        file.write_all(&header(generation)).map_err(fail)?;
        Ok(Self { path, file, rows: 0 })
    }

    /// Goes on behind the last row. What is missing of rows that records name is filled up with
    /// zeros, so that their loss stays told.
    pub fn open(generation: &Generation, rows_recorded: u64) -> Result<Self, IoError> {
        let path = generation.path(DataFile::Vectors);
        let fail = |e| IoError::from_system(&path, e);
        let mut file = File::options().read(true).write(true).open(&path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let rows = rows_of(generation, length).max(rows_recorded);
        file.set_len(row_bytes(generation, rows).start).map_err(fail)?;
        file.write_all(&header(generation)).map_err(fail)?;
        Ok(Self { path, file, rows })
    }

    /// Rows so far: where the next one goes.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes rows, (n, dim), behind the others; returns the checksum of each.
    pub fn append(&mut self, generation: &Generation, values: &[f32]) -> Result<Vec<u32>, IoError> {
        let start = self.rows;
        let vectors: Vec<&[f32]> = values.chunks_exact(generation.dim).collect();
        // Counted before they are written: after a failure the places are not used again.
        self.rows += vectors.len() as u64;
        let sealed: Option<Vec<u8>> = generation.sealer.as_ref().map(|_| {
            let rows = vectors.par_iter().enumerate().map(|(number, vector)| {
                let row = start + number as u64;
                generation.sealed(DataFile::Vectors, row, bytemuck::cast_slice(vector))
            });
            rows.collect::<Vec<_>>().concat()
        });
        let bytes = sealed.as_deref().unwrap_or(bytemuck::cast_slice(values));
        self.file
            .seek(SeekFrom::Start(row_bytes(generation, start).start))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(|e| IoError::from_system(&self.path, e))?;
        Ok(vectors.iter().map(|vector| checksum(vector)).collect())
    }

    /// Returns when everything appended is on the disk.
    pub fn sync(&self) -> Result<(), IoError> {
        self.file.sync_data().map_err(|e| IoError::from_system(&self.path, e))
    }
}

/// A row of the file that is damaged.
pub(super) fn vector_damage(generation: &Generation, row: u64, harm: Harm) -> Damage {
    Damage { file: generation.path(DataFile::Vectors), bytes: row_bytes(generation, row), harm }
}
