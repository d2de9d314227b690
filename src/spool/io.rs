//! The only way from the spool to the file system.
//!
//! Every operation that changes something passes [`Disk::step`] first, so that tests can let it
//! fail, stop the world there, or keep account of what a power cut would take away. Outside tests
//! a [`Disk`] is empty and a step is nothing.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{fs::FallocateFlags, io::Errno};

/// The file system.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: Option<std::sync::Arc<super::tests::faults::Faults>>,
}

/// A change about to be made.
#[cfg_attr(not(test), expect(dead_code, reason = "only tests look inside"))]
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// A new, empty file.
    Create,
    /// Space up to this size, for the file of this inode.
    Allocate(u64, u64),
    /// Bytes at an offset of an inode.
    Write(u64, u64, &'a [u8]),
    /// An inode's data and size made durable.
    Sync(u64),
    /// An inode cut or grown to a size.
    Truncate(u64, u64),
    /// A file's new name.
    Rename(&'a Path, &'a Path),
    /// A file's end.
    Remove(&'a Path),
    /// A directory's names made durable.
    SyncDir(&'a Path),
}

impl Disk {
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests look and may fail")]
    fn step(&self, _: Step<'_>) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self, step: Step<'_>) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |f| f.step(step))
    }

    /// Makes a directory that only we may enter, unless it is there.
    #[expect(clippy::unused_self, reason = "all of the file system is behind one type")]
    pub(super) fn directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    /// Makes a new file of `size` allocated bytes; it is removed again when there is no room.
    pub(super) fn create(&self, path: &Path, size: u64) -> io::Result<Handle> {
        self.step(Step::Create)?;
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let handle = self.handle(file)?;
        #[cfg(test)]
        if let Some(f) = &self.faults {
            f.created(path, handle.inode);
        }
        let allocated = if size == 0 { Ok(()) } else { handle.allocate(size) };
        match allocated {
            Ok(()) => Ok(handle),
            Err(e) => {
                self.remove(path)?;
                Err(e)
            }
        }
    }

    /// Opens a file that exists.
    pub(super) fn open(&self, path: &Path) -> io::Result<Handle> {
        self.handle(OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn handle(&self, file: File) -> io::Result<Handle> {
        let inode = file.metadata()?.ino();
        Ok(Handle { file, inode, disk: self.clone() })
    }

    /// Gives a file a new name, replacing what has it.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Rename(from, to))?;
        fs::rename(from, to)
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Step::Remove(path))?;
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step(Step::SyncDir(path))?;
        File::open(path)?.sync_all()
    }

    /// Writes a small file whole: under a temporary name, fsynced, renamed, directory fsynced.
    pub(super) fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.publish_into(path, 0, bytes)
    }

    /// As [`Disk::publish`], with room for all of it allocated first.
    pub(super) fn publish_large(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.publish_into(path, bytes.len() as u64, bytes)
    }

    fn publish_into(&self, path: &Path, allocate: u64, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        self.remove(&temporary)?;
        let file = self.create(&temporary, allocate)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        self.rename(&temporary, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }

    /// Every file in a directory, in the order of names.
    #[expect(clippy::unused_self, reason = "all of the file system is behind one type")]
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Bytes that we could still allocate.
    #[expect(clippy::unused_self, reason = "all of the file system is behind one type")]
    pub(super) fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let fs = rustix::fs::statvfs(path)?;
        Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct Handle {
    file: File,
    inode: u64,
    disk: Disk,
}

impl Handle {
    /// Writes all of `bytes` at `offset`: one `pwrite(2)` unless the kernel takes less.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.step(Step::Write(self.inode, offset, bytes))?;
        self.file.write_all_at(bytes, offset)
    }

    /// Fills `bytes` from `offset`.
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// Fills what the file has of `bytes` from `offset`; returns how much that is.
    pub(super) fn read_up_to(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// `fdatasync(2)`: data, and the size where it changed.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.step(Step::Sync(self.inode))?;
        self.file.sync_data()
    }

    /// Cuts the file.
    pub(super) fn truncate(&self, size: u64) -> io::Result<()> {
        self.disk.step(Step::Truncate(self.inode, size))?;
        self.file.set_len(size)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.disk.step(Step::Allocate(self.inode, size))?;
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            Err(Errno::OPNOTSUPP) => self.fill(size),
            done => Ok(done?),
        }
    }

    /// Allocates by writing zeros, on file systems that know no other way.
    fn fill(&self, size: u64) -> io::Result<()> {
        let zeros = [0; 65_536];
        let mut at = 0;
        while at < size {
            let n = usize::try_from(size - at).map_or(zeros.len(), |n| n.min(zeros.len()));
            self.file.write_all_at(&zeros[..n], at)?;
            at += n as u64;
        }
        Ok(())
    }
}

/// Whether an error means that there is no room, rather than that something is broken.
pub(super) fn is_full(e: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(e.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
