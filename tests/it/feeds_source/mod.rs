//! Where lists come from: files, directories, web servers; signatures.

mod files;
mod https;

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;
use tracegate::{
    config,
    feeds::{
        FeedSpec, Meter,
        source::{Ask, Brought, Looked, Source, SourceError},
    },
};

/// Directories of one test: lists in `lists`, files being received in `incoming`.
struct Lab {
    dir: TempDir,
    config: config::Feeds,
}

impl Lab {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["lists", "incoming", "outside"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let roots = vec![dir.path().join("lists")];
        let config = config::Feeds { roots, fetch_retry_wait_ms: 1, ..config::Feeds::default() };
        Self { dir, config }
    }

    fn list(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("lists").join(name)
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.list(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Settings of a feed of this source, with more keys as JSON.
    fn spec(&self, source: &str, more: &str) -> FeedSpec {
        let json = format!(r#"{{"name": "it", "source": {source:?}, "format": "domains"{more}}}"#);
        FeedSpec::parse(&json, &self.config).unwrap()
    }

    async fn look(
        &self,
        source: &dyn Source,
        spec: &FeedSpec,
        validator: &str,
    ) -> Result<Looked, SourceError> {
        let incoming = self.dir.path().join("incoming");
        let (incoming, meter) = (&*incoming, &Meter::default());
        let ask = Ask { spec, validator, last: None, incoming, bytes_max: 10_000, meter };
        let looked = source.look(ask).await;
        // What was refused or is not new leaves nothing behind.
        let left = fs::read_dir(incoming).unwrap().count();
        let kept = match &looked {
            Ok(Looked { brought: Some(b), .. }) => 1 + usize::from(b.manifest.is_some()),
            _ => 0,
        };
        assert_eq!(left, kept);
        if let Ok(Looked { brought: Some(b), .. }) = &looked
            && b.manifest.is_none()
            && spec.minisign_key.is_empty()
        {
            let (done, bytes) = (meter.done(), b.list.bytes());
            // Lines that files of a directory do not end are ended here.
            assert!(done.bytes <= bytes && (done.bytes > 0 || bytes == 0), "{done:?}: {bytes}");
        }
        looked
    }

    async fn brought(&self, source: &dyn Source, spec: &FeedSpec, validator: &str) -> Brought {
        self.look(source, spec, validator).await.unwrap().brought.unwrap()
    }

    async fn same(&self, source: &dyn Source, spec: &FeedSpec, validator: &str) {
        assert!(self.look(source, spec, validator).await.unwrap().brought.is_none());
    }

    #[track_caller]
    fn refused(found: Result<Looked, SourceError>, words: &str) {
        match found {
            Err(SourceError::Refused(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[track_caller]
    fn away(found: Result<Looked, SourceError>, words: &str) {
        match found {
            Err(SourceError::Away(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("not away: {other:?}"),
        }
    }
}

fn text(brought: &Brought) -> String {
    fs::read_to_string(brought.list.path()).unwrap()
}

/// A key pair of minisign in `dir`: its public key.
fn keys(dir: &Path, name: &str) -> String {
    let (public, secret) = (dir.join(format!("{name}.pub")), dir.join(name));
    let made = Command::new("minisign")
        .args(["-G", "-W", "-f", "-p"])
        .arg(&public)
        .arg("-s")
        .arg(&secret)
        .output()
        .expect("minisign: run scripts/test-deps");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read_to_string(public).unwrap().lines().nth(1).unwrap().to_owned()
}

/// Signs `file` with a key of [`keys`].
fn sign(dir: &Path, name: &str, file: &Path) {
    let made = Command::new("minisign")
        .arg("-S")
        .arg("-s")
        .arg(dir.join(name))
        .arg("-m")
        .arg(file)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
