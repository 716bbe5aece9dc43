//! Replaces a file as a whole: whoever reads it has the old content or the new one, and never a part.

use crate::Failure;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long another push may take.
const LONGEST: Duration = Duration::from_secs(10);

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
pub fn replace(path: &Path, old: &str, new: &str) -> Result<bool, Failure> {
    let said = |error: std::io::Error| match error.kind() {
        ErrorKind::ReadOnlyFilesystem => format!(
            "`{}`: {error}: what Kubernetes mounts of a ConfigMap or a Secret cannot be written; push into a shared \
             volume, or into the object itself",
            path.display()
        ),
        _ => format!("`{}`: {error}", path.display()),
    };
    let current = File::open(path).map_err(said)?;
    lock(&current, path, LONGEST)?;
    let _writing = finish();
    let metadata = current.metadata().map_err(said)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = Beside::new(folder, path);
    beside.fill(new, Some(&metadata), true).map_err(said)?;
    if std::fs::read_to_string(path).map_err(said)? != old {
        return Ok(false);
    }
    std::fs::rename(&beside.0, path).map_err(said)?;
    // The name too is to outlast a loss of power; not every file system lets a folder be synchronised.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(true)
}

/// Waits for other pushers, who then find that the content changed. Where the file system has no locks, comparing is all
/// there is.
fn lock(file: &File, path: &Path, longest: Duration) -> Result<(), Failure> {
    const STEP: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if waited > longest {
            return Err(format!(
                "`{}`: another process has held its lock for {longest:?}: `fuser` tells which",
                path.display()
            ));
        }
        std::thread::sleep(STEP);
        waited += STEP;
    }
    Ok(())
}

/// Writes a file as a whole: over the one that is there, with its mode and its owner, or anew, which `private` keeps
/// from everybody else. A link stays, and what it leads to is replaced.
///
/// # Errors
/// Where it could not, or something stands there that is no file; that is as it was.
pub fn write(path: &Path, content: &str, private: bool) -> Result<(), Failure> {
    let said = |error: std::io::Error| format!("`{}`: {error}", path.display());
    let target = match std::fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => path.to_owned(),
        Err(error) => return Err(said(error)),
    };
    let metadata = match std::fs::metadata(&target) {
        Ok(metadata) if metadata.is_file() => Some(metadata),
        Ok(_) => {
            return Err(format!(
                "`{}`: no regular file; without `--out` it goes to standard output",
                path.display()
            ));
        }
        Err(_) => None,
    };
    let folder = target.parent().unwrap_or(Path::new("."));
    let beside = Beside::new(folder, &target);
    beside.fill(content, metadata.as_ref(), private).map_err(said)?;
    std::fs::rename(&beside.0, &target).map_err(said)
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

    fn fill(&self, content: &str, like: Option<&Metadata>, private: bool) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // With the mode of another it is private until it has that.
            options.mode(if private || like.is_some() { 0o600 } else { 0o666 });
        }
        let mut file = options.open(&self.0)?;
        file.write_all(content.as_bytes())?;
        let Some(like) = like else { return file.sync_all() };
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
        assert_eq!(replace(&path, "old", "new"), Ok(false));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "edited");
        assert_eq!(replace(&path, "edited", "new"), Ok(true));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside");
        assert!(replace(&folder.join("none"), "", "").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn follows_nothing_that_is_planted_beside_and_shows_no_secret() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = std::env::temp_dir().join(format!("claimgate-write-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name);
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        let mode = |name: &str| std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        std::fs::write(at("victim"), "untouched").unwrap();
        symlink(at("victim"), at("new.next")).unwrap();
        write(&at("new"), "secret", true).unwrap();
        assert_eq!(
            (read("new"), mode("new"), read("victim")),
            ("secret".into(), 0o600, "untouched".into())
        );
        write(&at("new"), "again", false).unwrap();
        assert_eq!((read("new"), mode("new")), ("again".into(), 0o600), "its mode stays");
        symlink(at("new"), at("link")).unwrap();
        write(&at("link"), "through", false).unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(read("new"), "through");
        symlink(at("nowhere"), at("broken")).unwrap();
        assert!(write(&at("broken"), "", false).is_err() && write(&folder, "", false).is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 5, "nothing is left beside");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn waits_for_no_lock_for_ever() {
        let path = std::env::temp_dir().join(format!("claimgate-lock-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let (holder, waiter) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        holder.lock().unwrap();
        let why = lock(&waiter, &path, Duration::from_millis(50)).unwrap_err();
        assert!(why.contains("has held its lock for 50ms"), "{why}");
        holder.unlock().unwrap();
        assert_eq!(lock(&waiter, &path, Duration::from_millis(50)), Ok(()));
        std::fs::remove_file(&path).unwrap();
    }
}
