//! Writes that are whole or not at all.
//!
//! A file is written under a temporary name in its own folder, synced, then renamed; a folder
//! likewise. A process killed at any moment leaves the old content or the new one, and at worst
//! something whose name starts with [`TEMPORARY_PREFIX`], which the next writer removes.

use super::IoError;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// How every temporary name starts.
const TEMPORARY_PREFIX: &str = ".lumiface-tmp-";

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a rename last through a power failure. Not every file system can sync a folder;
/// one that cannot has nothing better to offer, so its refusal is ignored.
fn sync_folder(folder: &Path) {
    if let Ok(handle) = fs::File::open(folder) {
        let _ = handle.sync_all();
    }
}

/// Creates or replaces `path` with what `write` produces; creates missing parent folders.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), IoError> {
    let folder = parent_of(path);
    let fail = |e| IoError::from_system(path, e);
    fs::create_dir_all(folder).map_err(fail)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{TEMPORARY_PREFIX}{name}-");
    sweep_files(folder, &prefix);
    let file = tempfile::Builder::new().prefix(&prefix).tempfile_in(folder).map_err(fail)?;
    // Held until the rename, so that no other writer takes it for what a kill left. File systems
    // without locks do without.
    let _ = file.as_file().try_lock();
    let mut buffered = BufWriter::new(file);
    write(&mut buffered).map_err(fail)?;
    let file = buffered.into_inner().map_err(|e| fail(e.into_error()))?;
    file.as_file().sync_all().map_err(fail)?;
    #[cfg(unix)]
    {
        // tempfile makes private files; results are meant to be shared like any other output.
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(fail)?;
    }
    file.persist(path).map_err(|e| fail(e.error))?;
    sync_folder(folder);
    Ok(())
}

/// Removes what killed writers of one file left beside it.
fn sweep_files(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let unheld = fs::File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if unheld {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A folder filled under a temporary name and renamed into place when complete.
///
/// Dropped without [`StagedFolder::commit`], it removes itself.
#[derive(Debug)]
pub struct StagedFolder {
    temporary: PathBuf,
    target: PathBuf,
    marker: &'static str,
    committed: bool,
}

impl StagedFolder {
    /// Starts an empty folder beside `target`; removes what a killed run left of it.
    ///
    /// `marker` is a file that every such folder holds when complete. Only a folder that holds
    /// it, or an empty one, will be replaced: whatever else stands at `target` is the user's.
    ///
    /// # Errors
    /// A foreign folder or file at `target`, or what the system reports.
    pub fn create(target: &Path, marker: &'static str) -> Result<Self, IoError> {
        check_replaceable(target, marker)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = parent_of(target).join(format!("{TEMPORARY_PREFIX}{name}"));
        let fail = |e| IoError::from_system(&temporary, e);
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(fail)?;
        }
        fs::create_dir_all(&temporary).map_err(fail)?;
        Ok(Self { temporary, target: target.to_path_buf(), marker, committed: false })
    }

    /// Where to write a file of this folder.
    pub fn path(&self, file_name: &str) -> PathBuf {
        self.temporary.join(file_name)
    }

    /// Name and size in bytes of each file written so far, in order of name.
    pub fn file_sizes(&self) -> Result<Vec<(String, u64)>, IoError> {
        let fail = |e| IoError::from_system(&self.temporary, e);
        let mut sizes = fs::read_dir(&self.temporary)
            .map_err(fail)?
            .map(|entry| {
                let entry = entry.map_err(fail)?;
                let bytes = entry.metadata().map_err(fail)?.len();
                Ok((entry.file_name().to_string_lossy().into_owned(), bytes))
            })
            .collect::<Result<Vec<_>, IoError>>()?;
        sizes.sort();
        Ok(sizes)
    }

    /// Copies over what stands in `target` and is not `ours`: a mesh or a note that its owner put
    /// there outlives the replacement.
    pub fn keep_others(&self, ours: impl Fn(&str) -> bool) -> Result<(), IoError> {
        let Ok(entries) = fs::read_dir(&self.target) else { return Ok(()) };
        for entry in entries {
            let path = entry.map_err(|e| IoError::from_system(&self.target, e))?.path();
            let name = path.file_name().unwrap_or_default();
            if ours(&name.to_string_lossy()) {
                continue;
            }
            if path.is_dir() {
                return Err(IoError::unsuitable(
                    &path,
                    "is a folder that lumiface did not write; move it elsewhere",
                ));
            }
            let copy = self.temporary.join(name);
            fs::copy(&path, &copy).map_err(|e| IoError::from_system(&copy, e))?;
        }
        Ok(())
    }

    /// Puts the folder in place of `target`.
    pub fn commit(mut self) -> Result<(), IoError> {
        let fail = |e| IoError::from_system(&self.target, e);
        sync_folder(&self.temporary);
        check_replaceable(&self.target, self.marker)?;
        // A folder cannot be renamed onto a full one. Killed between the two renames, the target is
        // missing and the next run makes it again: nothing half-written or half-deleted is seen.
        let old = if self.target.exists() { Some(set_aside(&self.target)?) } else { None };
        fs::rename(&self.temporary, &self.target).map_err(fail)?;
        sync_folder(parent_of(&self.target));
        self.committed = true;
        old.map_or(Ok(()), |old| fs::remove_dir_all(&old).map_err(fail))
    }
}

/// Renames a folder to what the next writer removes.
fn set_aside(folder: &Path) -> Result<PathBuf, IoError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let aside = parent_of(folder).join(format!("{TEMPORARY_PREFIX}old-{name}"));
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(|e| IoError::from_system(&aside, e))?;
    }
    fs::rename(folder, &aside).map_err(|e| IoError::from_system(folder, e))?;
    Ok(aside)
}

/// Deletes a folder so that no kill leaves half of it under its name.
pub fn remove_folder(folder: &Path) -> Result<(), IoError> {
    let aside = set_aside(folder)?;
    fs::remove_dir_all(&aside).map_err(|e| IoError::from_system(&aside, e))
}

fn check_replaceable(target: &Path, marker: &str) -> Result<(), IoError> {
    let ours = match fs::read_dir(target) {
        Ok(mut entries) => target.join(marker).exists() || entries.next().is_none(),
        Err(_) => !target.exists(),
    };
    if ours {
        return Ok(());
    }
    Err(IoError::unsuitable(
        target,
        "holds files that lumiface did not write; choose another --out",
    ))
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Holds an output folder for one process; released when dropped, or by the system on a kill.
#[derive(Debug)]
pub struct FolderLock {
    _file: fs::File,
}

impl FolderLock {
    /// Creates `folder` where missing and takes it, or says that another process has it.
    pub fn acquire(folder: &Path) -> Result<Self, IoError> {
        fs::create_dir_all(folder).map_err(|e| IoError::from_system(folder, e))?;
        let path = folder.join(".lock");
        let file = fs::File::create(&path).map_err(|e| IoError::from_system(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(IoError::Locked(folder.to_path_buf())),
            // Some network file systems have no locks; working without one beats not working.
            Err(fs::TryLockError::Error(_)) => {}
        }
        sweep(folder, 1);
        Ok(Self { _file: file })
    }
}

/// Removes what killed runs left half-written in a folder and in the folders below it, down to
/// where captures and checkpoints stand. What cannot be removed does no harm.
fn sweep(folder: &Path, depth: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            let _ = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        } else if is_folder && depth > 0 {
            sweep(&path, depth - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value.txt");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        });
        assert!(matches!(failed, Err(IoError::DiskFull(_))), "{failed:?}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_staged_folder_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("session");
        let staged = StagedFolder::create(&target, "a").unwrap();
        fs::write(staged.path("a"), "1").unwrap();
        drop(staged);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        fs::create_dir(folder.path().join(".lumiface-tmp-session")).unwrap();
        fs::write(folder.path().join(".lumiface-tmp-session/left-by-a-kill"), "x").unwrap();
        let staged = StagedFolder::create(&target, "a").unwrap();
        fs::write(staged.path("a"), "2").unwrap();
        staged.commit().unwrap();
        let names: Vec<_> =
            fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_goes_with_the_next_write_and_a_living_ones_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at(".lumiface-tmp-a.obj-x1y2"), "half").unwrap();
        fs::write(at(".lumiface-tmp-b.obj-x1y2"), "another file's").unwrap();
        let living = fs::File::create(at(".lumiface-tmp-a.obj-z3")).unwrap();
        living.try_lock().unwrap();
        write_atomically(&at("a.obj"), |out| out.write_all(b"whole")).unwrap();
        assert!(!at(".lumiface-tmp-a.obj-x1y2").exists());
        assert!(at(".lumiface-tmp-a.obj-z3").exists() && at(".lumiface-tmp-b.obj-x1y2").exists());
    }

    #[test]
    fn one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(folder.path()).unwrap();
        assert!(matches!(FolderLock::acquire(folder.path()), Err(IoError::Locked(_))));
        drop(first);
        assert!(FolderLock::acquire(folder.path()).is_ok());
    }

    #[test]
    fn taking_a_folder_sweeps_what_kills_left() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("1001");
        fs::create_dir_all(below.join(".lumiface-tmp-s1")).unwrap();
        fs::write(below.join(".lumiface-tmp-s1/half"), "x").unwrap();
        fs::write(folder.path().join(".lumiface-tmp-abc"), "x").unwrap();
        fs::write(folder.path().join(".tmp-of-someone-else"), "x").unwrap();
        let _lock = FolderLock::acquire(folder.path()).unwrap();
        assert_eq!(fs::read_dir(&below).unwrap().count(), 0);
        assert!(!folder.path().join(".lumiface-tmp-abc").exists());
        assert!(folder.path().join(".tmp-of-someone-else").exists());
    }

    #[test]
    fn a_folder_of_the_users_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("session");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("im0.png"), "a capture").unwrap();
        let message = StagedFolder::create(&target, "record").unwrap_err().to_string();
        assert!(message.contains("did not write"), "{message}");
        fs::write(target.join("record"), "").unwrap();
        assert!(StagedFolder::create(&target, "record").is_ok());
    }
}
