//! Replaces a file as a whole: whoever reads it has the old content or the new one, and never a part.

use crate::Failure;
use std::fs::{File, Metadata, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while a file is beside the other, so that a signal does not leave it there.
static WRITING: Mutex<()> = Mutex::new(());

/// Waits until no file is being written, and lets none be from then on.
pub fn finish() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a new content in the place of the old one, with its mode and its owner, unless something else stands there
/// by now. Whether it did.
///
/// # Errors
/// Where it could not, and the file is as it was.
pub fn put(path: &Path, old: &str, new: &str) -> Result<bool, Failure> {
    let said = |error: std::io::Error| match error.kind() {
        ErrorKind::ReadOnlyFilesystem => format!(
            "`{}`: {error}: what Kubernetes mounts of a ConfigMap or a Secret cannot be written; push into a shared \
             volume, or into the object itself",
            path.display()
        ),
        _ => format!("`{}`: {error}", path.display()),
    };
    let current = File::open(path).map_err(said)?;
    // Other pushers wait here, and then find that the content changed. Where the file system has no locks, comparing
    // is all there is.
    let _locked = current.lock();
    let _writing = finish();
    let metadata = current.metadata().map_err(said)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = Beside::new(folder, path);
    beside.fill(new, &metadata).map_err(said)?;
    if std::fs::read_to_string(path).map_err(said)? != old {
        return Ok(false);
    }
    std::fs::rename(&beside.0, path).map_err(said)?;
    // The name too is to outlast a loss of power; not every file system lets a folder be synchronised.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(true)
}

/// A file beside another, removed where it is not renamed.
struct Beside(PathBuf);

impl Beside {
    fn new(folder: &Path, path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Not the process's number: in containers that share a volume each is the first.
        let chance = RandomState::new().hash_one(path);
        Self(folder.join(format!(".{name}.{chance:016x}")))
    }

    fn fill(&self, content: &str, like: &Metadata) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut file = options.open(&self.0)?;
        file.write_all(content.as_bytes())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
                // Only root gives a file away. Its group may be given by who is in it.
                let _ = fchown(&file, Some(like.uid()), Some(like.gid()))
                    .or_else(|_| fchown(&file, None, Some(like.gid())));
            }
        }
        file.set_permissions(like.permissions())?;
        file.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_what_somebody_else_wrote() {
        let folder = std::env::temp_dir().join(format!("claimgate-put-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        std::fs::write(&path, "edited").unwrap();
        assert_eq!(put(&path, "old", "new"), Ok(false));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "edited");
        assert_eq!(put(&path, "edited", "new"), Ok(true));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside");
        assert!(put(&folder.join("none"), "", "").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
