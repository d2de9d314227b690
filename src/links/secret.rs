//! `<data_dir>/secrets`: 32 random bytes per file, as hexadecimal digits, for our user alone.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::Error;

/// The directory of secrets, mode 0700.
#[derive(Clone, Debug)]
pub struct Secrets(PathBuf);

impl Secrets {
    /// Opens or makes `<data_dir>/secrets`.
    ///
    /// # Errors
    /// When it cannot be made, or others may look into it.
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        let dir = data_dir.join("secrets");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(at(&dir))?;
        let mode = fs::metadata(&dir).map_err(at(&dir))?.mode();
        if mode & 0o077 != 0 {
            return Err(Error::Exposed(dir));
        }
        Ok(Self(dir))
    }

    /// Where the secret of this name lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The secret in file `name`, made on the first call and the same ever after.
    ///
    /// # Errors
    /// When the file is not ours alone, is damaged, or cannot be read or made.
    pub fn load_or_make(&self, name: &str) -> Result<[u8; 32], Error> {
        let path = self.path(name);
        match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
            Ok(file) => read(&path, file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let secret = random()?;
                self.write(&path, &secret)?;
                Ok(secret)
            }
            Err(e) => Err(at(&path)(e)),
        }
    }

    /// The secret in file `name`, if there is such a file.
    ///
    /// # Errors
    /// When the file is not ours alone, is damaged, or cannot be read.
    pub fn load_if_there(&self, name: &str) -> Result<Option<[u8; 32]>, Error> {
        let path = self.path(name);
        match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
            Ok(file) => read(&path, file).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at(&path)(e)),
        }
    }

    /// Puts a secret that was kept elsewhere into file `name`.
    ///
    /// # Errors
    /// [`Error::OtherKey`] when another one is there.
    pub fn put(&self, name: &str, secret: &[u8; 32]) -> Result<(), Error> {
        match self.load_if_there(name)? {
            None => self.write(&self.path(name), secret),
            Some(there) if there == *secret => Ok(()),
            Some(_) => Err(Error::OtherKey),
        }
    }

    /// Written whole under another name first: a crash leaves no half secret.
    fn write(&self, path: &Path, secret: &[u8; 32]) -> Result<(), Error> {
        let new = path.with_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)
            .map_err(at(&new))?;
        file.write_all(format!("{}\n", hex::encode(secret)).as_bytes()).map_err(at(&new))?;
        file.sync_all().map_err(at(&new))?;
        fs::rename(&new, path).map_err(at(path))?;
        File::open(&self.0).and_then(|dir| dir.sync_all()).map_err(at(&self.0))
    }
}

/// 32 bytes nobody can guess.
pub(super) fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes)
}

/// Refuses a file that is not ours alone.
pub(super) fn refuse_exposed(path: &Path, file: &File) -> Result<(), Error> {
    let meta = file.metadata().map_err(at(path))?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw() || meta.uid() == 0;
    match meta.mode() & 0o077 == 0 && ours {
        true => Ok(()),
        false => Err(Error::Exposed(path.to_owned())),
    }
}

fn read(path: &Path, file: File) -> Result<[u8; 32], Error> {
    refuse_exposed(path, &file)?;
    let mut text = String::new();
    let bad = || Error::BadSecret(path.to_owned());
    file.take(80).read_to_string(&mut text).map_err(|_| bad())?;
    let mut secret = [0; 32];
    hex::decode_to_slice(text.trim_end(), &mut secret).map_err(|_| bad())?;
    Ok(secret)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_for_us_alone() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path()).unwrap();
        let first = secrets.load_or_make("codes.key").unwrap();
        assert_eq!(Secrets::open(dir.path()).unwrap().load_or_make("codes.key").unwrap(), first);
        assert_ne!(secrets.load_or_make("other.key").unwrap(), first);
        let mode = |p: &Path| fs::metadata(p).unwrap().mode() & 0o777;
        assert_eq!(mode(&secrets.path("codes.key")), 0o600);
        assert_eq!(mode(&dir.path().join("secrets")), 0o700);
    }

    #[test]
    fn a_secret_that_others_see_or_that_is_damaged_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path()).unwrap();
        secrets.load_or_make("k").unwrap();
        let path = secrets.path("k");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(secrets.load_or_make("k"), Err(Error::Exposed(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "abc").unwrap();
        assert!(matches!(secrets.load_or_make("k"), Err(Error::BadSecret(_))));
        std::os::unix::fs::symlink(&path, secrets.path("link")).unwrap();
        assert!(secrets.load_or_make("link").is_err());
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path().join("secrets"), open).unwrap();
        assert!(matches!(Secrets::open(dir.path()), Err(Error::Exposed(_))));
    }
}
