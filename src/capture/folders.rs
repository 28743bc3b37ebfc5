//! Where captures lie below a root, and what they are called.
//!
//! A capture is one folder: the root itself, a folder in it, or a folder in that.
//!
//! | capture folder | id | session |
//! |---|---|---|
//! | `ROOT` | the root's name | `s1` |
//! | `ROOT/cat` | `cat` | `s1` |
//! | `ROOT/1001/b` | `1001` | `b` |

use super::CaptureError;
use crate::io::IoError;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// The session of a capture whose folder has no folder of its own person around it.
pub(super) const ONLY_SESSION: &str = "s1";

/// Extensions of images that can be decoded, lower case.
pub(super) const IMAGE_EXTENSIONS: [&str; 12] =
    ["bmp", "png", "tif", "tiff", "pgm", "ppm", "pnm", "jpg", "jpeg", "tga", "exr", "pbm"];

/// The files and folders of one folder, in natural order, hidden ones left out.
#[derive(Debug)]
pub(super) struct Listing {
    pub folder: PathBuf,
    pub files: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
}

impl Listing {
    pub fn of(folder: &Path) -> Result<Self, CaptureError> {
        let fail = |e| IoError::from_system(folder, e);
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if file_name(&path).starts_with('.') {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
        files.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
        folders.sort();
        Ok(Self { folder: folder.to_path_buf(), files, folders })
    }

    /// The file of this name, whatever its case.
    pub fn file(&self, name: &str) -> Option<&Path> {
        let found = self.files.iter().find(|path| file_name(path).eq_ignore_ascii_case(name));
        found.map(PathBuf::as_path)
    }

    pub fn images(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().filter(|path| is_image(path))
    }

    /// The only image whose name without extension is one of `stems`, whatever the case.
    ///
    /// # Errors
    /// Two of them.
    pub fn image_called(&self, stems: &[&str]) -> Result<Option<&Path>, CaptureError> {
        let called = |path: &&PathBuf| stems.contains(&file_stem(path).to_lowercase().as_str());
        let mut found = self.images().filter(called);
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => Err(twice(&self.folder, first, second)),
            (first, _) => Ok(first.map(PathBuf::as_path)),
        }
    }
}

/// The complaint about two files where one is wanted.
pub(super) fn twice(folder: &Path, first: &Path, second: &Path) -> CaptureError {
    let (first, second) = (file_name(first), file_name(second));
    CaptureError::malformed(
        folder,
        format!("has {first} and {second} for the same thing; keep one of them"),
    )
}

/// A folder that holds a capture.
#[derive(Debug)]
pub(super) struct CaptureFolder {
    pub id: String,
    pub session: String,
    pub listing: Listing,
}

/// How deep below the root a folder lies: 0 is the root.
pub(super) type Depth = usize;

/// Folders down to depth 2 that `is_capture` accepts, in order of their names, and what could not
/// be read. Nothing is looked for below a capture.
///
/// # Errors
/// A root that cannot be read.
pub(super) fn capture_folders(
    root: &Path,
    is_capture: &dyn Fn(&Listing, Depth) -> bool,
) -> Result<(Vec<CaptureFolder>, Vec<String>), CaptureError> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let listing = Listing::of(root)?;
    descend(listing, &mut Vec::new(), is_capture, &mut found, &mut problems);
    // The root's own name, even where it is given as `.`.
    if let Some(CaptureFolder { id, listing, .. }) = found.first_mut()
        && listing.folder == root
    {
        let whole = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
        *id = whole.file_name().map_or("capture".into(), |name| name.to_string_lossy().into());
    }
    Ok((found, problems))
}

fn descend(
    listing: Listing,
    names: &mut Vec<String>,
    is_capture: &dyn Fn(&Listing, Depth) -> bool,
    found: &mut Vec<CaptureFolder>,
    problems: &mut Vec<String>,
) {
    if is_capture(&listing, names.len()) {
        if listing.folder.to_str().is_none() {
            problems.push(format!(
                "{}: the name is not UTF-8; rename the folder",
                listing.folder.display()
            ));
            return;
        }
        let id = names.first().cloned().unwrap_or_default();
        let session = names.get(1).cloned().unwrap_or_else(|| ONLY_SESSION.into());
        found.push(CaptureFolder { id, session, listing });
        return;
    }
    if names.len() == 2 {
        return;
    }
    for folder in &listing.folders {
        match Listing::of(folder) {
            Ok(inner) => {
                names.push(file_name(folder));
                descend(inner, names, is_capture, found, problems);
                names.pop();
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// By extension, whatever its case.
pub(super) fn is_image(path: &Path) -> bool {
    has_extension(path, &IMAGE_EXTENSIONS)
}

pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    extensions.contains(&extension.as_str())
}

/// Orders names as people count: `im2` before `im10`.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    loop {
        let (digits_a, digits_b) = (leading_digits(rest_a), leading_digits(rest_b));
        if !digits_a.is_empty() && !digits_b.is_empty() {
            let (x, y) = (digits_a.trim_start_matches('0'), digits_b.trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order.is_ne() {
                return order;
            }
            (rest_a, rest_b) = (&rest_a[digits_a.len()..], &rest_b[digits_b.len()..]);
            continue;
        }
        match (rest_a.chars().next(), rest_b.chars().next()) {
            (Some(x), Some(y)) if x == y => {
                (rest_a, rest_b) = (&rest_a[x.len_utf8()..], &rest_b[y.len_utf8()..]);
            }
            // Equal but for leading zeros, or at the first difference.
            (x, y) => return x.cmp(&y).then_with(|| a.cmp(b)),
        }
    }
}

fn leading_digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names = ["im10.png", "im2.png", "im1.png", "im02.png", "a", "im", "im2a.png"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["a", "im", "im1.png", "im02.png", "im2.png", "im2a.png", "im10.png"]);
    }

    #[test]
    fn captures_are_named_after_their_folders() {
        let root = tempfile::tempdir().unwrap();
        for name in ["cat", "1001/a", "1001/b", "1002/a/deeper"] {
            let folder = root.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("lights"), "").unwrap();
        }
        let is_capture = |listing: &Listing, _| listing.file("LIGHTS").is_some();
        let (found, problems) = capture_folders(root.path(), &is_capture).unwrap();
        let names: Vec<_> = found.iter().map(|f| (f.id.as_str(), f.session.as_str())).collect();
        assert_eq!(names, [("1001", "a"), ("1001", "b"), ("cat", "s1")]);
        assert!(problems.is_empty());

        let (found, _) = capture_folders(&root.path().join("cat"), &is_capture).unwrap();
        assert_eq!((found[0].id.as_str(), found[0].session.as_str()), ("cat", "s1"));
    }
}
