//! Files and directories below configured roots.

use std::{fs, io::Write as _, os::unix::fs::symlink, process::Command, sync::mpsc, thread};

use sha2::{Digest as _, Sha256};
use tracegate::{
    clock::Clock,
    feeds::source::{Files, SourceError},
};

use super::{Lab, keys, sign, text};

fn files(lab: &Lab) -> Files {
    Files::new(&lab.config, Clock::system())
}

#[tokio::test]
async fn a_file_and_what_replaces_it() {
    let lab = Lab::new();
    let path = lab.write("a", "one.example\n");
    let (files, spec) = (files(&lab), lab.spec(path.to_str().unwrap(), ""));
    let first = lab.brought(&files, &spec, "").await;
    assert_eq!(text(&first), "one.example\n");
    assert_eq!(first.list.digest(), <[u8; 32]>::from(Sha256::digest("one.example\n")));
    assert_eq!((first.list.bytes(), first.signer.as_str()), (12, ""));
    assert_eq!(first.from, path.display().to_string());
    let validator = first.validator.clone();
    drop(first);
    lab.same(&files, &spec, &validator).await;

    // As long, and as old: only another file.
    let next = lab.write("next", "two.example\n");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::File::options().write(true).open(&next).unwrap().set_modified(time).unwrap();
    fs::rename(next, &path).unwrap();
    let second = lab.brought(&files, &spec, &validator).await;
    assert_eq!(text(&second), "two.example\n");
    drop(second);
    fs::remove_file(&path).unwrap();
    Lab::away(lab.look(&files, &spec, &validator).await, "No such file");
}

#[tokio::test]
async fn a_file_that_is_being_written_is_not_taken() {
    let lab = Lab::new();
    let path = lab.write("a", "one.example\n");
    let (files, spec) = (files(&lab), lab.spec(path.to_str().unwrap(), ""));
    let mut growing = fs::File::options().append(true).open(&path).unwrap();
    // Something is written while the look waits for it to stand still; it ends by itself.
    let (stop, stopped) = mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            growing.write_all(b"x").unwrap();
        }
    });
    let found = lab.look(&files, &spec, "").await;
    drop(stop);
    writer.join().unwrap();
    match found {
        Err(SourceError::TooLong(_)) => {}
        found => {
            let looked = found.unwrap();
            assert!(looked.brought.is_none() && looked.again_after.is_some());
        }
    }
    fs::write(&path, "whole.example\n").unwrap();
    assert_eq!(text(&lab.brought(&files, &spec, "").await), "whole.example\n");
}

#[tokio::test]
async fn nothing_outside_the_roots() {
    let lab = Lab::new();
    let outside = lab.dir.path().join("outside/secret");
    fs::write(&outside, "secret.example\n").unwrap();
    let inside = lab.write("inside", "inside.example\n");
    let files = files(&lab);
    let look = async |name: &str| {
        let spec = lab.spec(lab.list(name).to_str().unwrap(), "");
        lab.look(&files, &spec, "").await
    };
    symlink(&outside, lab.list("absolute")).unwrap();
    symlink("../outside/secret", lab.list("relative")).unwrap();
    symlink("../outside", lab.list("directory")).unwrap();
    symlink("inside", lab.list("fine")).unwrap();
    symlink("loop", lab.list("loop")).unwrap();
    for name in ["absolute", "relative", "directory/secret", "directory", "loop"] {
        Lab::refused(look(name).await, "out of feeds.roots");
    }
    assert_eq!(text(&look("fine").await.unwrap().brought.unwrap()), "inside.example\n");
    assert!(inside.exists());

    // In a directory, links are not followed at all.
    fs::create_dir(lab.list("d")).unwrap();
    symlink("../inside", lab.list("d/link")).unwrap();
    Lab::refused(look("d").await, "out of feeds.roots");
    let made = Command::new("mkfifo").arg(lab.list("pipe")).status().unwrap();
    assert!(made.success());
    Lab::refused(look("pipe").await, "neither a file");
}

#[tokio::test]
async fn limits() {
    let lab = Lab::new();
    let path = lab.write("a", &"x".repeat(10_000));
    let (files, spec) = (files(&lab), lab.spec(path.to_str().unwrap(), ""));
    assert_eq!(lab.brought(&files, &spec, "").await.list.bytes(), 10_000);
    lab.write("a", &"x".repeat(10_001));
    assert!(matches!(lab.look(&files, &spec, "").await, Err(SourceError::TooLong(10_000))));
}

#[tokio::test]
async fn the_files_of_a_directory_are_one_list() {
    let mut lab = Lab::new();
    lab.config.directory_files_max = 3;
    fs::create_dir(lab.list("d")).unwrap();
    lab.write("d/b.txt", "b.example");
    lab.write("d/a.txt", "a.example\n");
    for skipped in ["d/.hidden", "d/new.part", "d/old.tmp", "d/edited~"] {
        lab.write(skipped, "skipped.example\n");
    }
    fs::create_dir(lab.list("d/sub")).unwrap();
    let (files, source) = (files(&lab), lab.list("d"));
    let spec = lab.spec(source.to_str().unwrap(), "");
    let first = lab.brought(&files, &spec, "").await;
    assert_eq!(text(&first), "a.example\nb.example\n");
    let validator = first.validator.clone();
    drop(first);
    lab.same(&files, &spec, &validator).await;
    lab.write("d/c.txt", "c.example\n");
    let second = lab.brought(&files, &spec, &validator).await;
    assert_eq!(text(&second), "a.example\nb.example\nc.example\n");
    drop(second);
    lab.write("d/d.txt", "d.example\n");
    Lab::refused(lab.look(&files, &spec, "").await, "more than 3 files");

    let mut xlsx = spec;
    xlsx.format = "xlsx".into();
    fs::remove_file(lab.list("d/d.txt")).unwrap();
    Lab::refused(lab.look(&files, &xlsx, "").await, "cannot be a list of format xlsx");
}

#[tokio::test]
async fn a_manifest_beside_a_file() {
    let lab = Lab::new();
    let path = lab.write("a", "one.example\n");
    let manifest = r#", "options": {"manifest": "a.json"}"#;
    let (files, spec) = (files(&lab), lab.spec(path.to_str().unwrap(), manifest));
    Lab::away(lab.look(&files, &spec, "").await, "a.json");
    lab.write("a.json", "{}");
    let first = lab.brought(&files, &spec, "").await;
    assert_eq!(fs::read_to_string(first.manifest.as_ref().unwrap().path()).unwrap(), "{}");
    let validator = first.validator.clone();
    drop(first);
    lab.same(&files, &spec, &validator).await;
    // Another manifest is another version of the same list.
    lab.write("a.json", "{\"legal\":{}}");
    assert_eq!(text(&lab.brought(&files, &spec, &validator).await), "one.example\n");
}

#[tokio::test]
async fn signed_files() {
    let lab = Lab::new();
    let (ours, _other) = (keys(lab.dir.path(), "ours"), keys(lab.dir.path(), "other"));
    let path = lab.write("a", "one.example\n");
    let key = format!(r#", "minisign_key": "{ours}""#);
    let (files, spec) = (files(&lab), lab.spec(path.to_str().unwrap(), &key));
    Lab::refused(lab.look(&files, &spec, "").await, "the signature");
    sign(lab.dir.path(), "ours", &path);
    let brought = lab.brought(&files, &spec, "").await;
    assert_eq!(
        (text(&brought).as_str(), &brought.signer),
        ("one.example\n", &format!("minisign {ours}"))
    );
    drop(brought);
    lab.write("a", "changed.example\n");
    Lab::refused(lab.look(&files, &spec, "").await, "verification failed");
    sign(lab.dir.path(), "other", &path);
    Lab::refused(lab.look(&files, &spec, "").await, "different key");
    lab.write("a.minisig", "nonsense");
    Lab::refused(lab.look(&files, &spec, "").await, "the signature");

    fs::create_dir(lab.list("d")).unwrap();
    let spec = lab.spec(lab.list("d").to_str().unwrap(), &key);
    sign(lab.dir.path(), "ours", &lab.write("d/a.txt", "a.example\n"));
    let b = lab.write("d/b.txt", "b.example\n");
    Lab::refused(lab.look(&files, &spec, "").await, "the signature");
    sign(lab.dir.path(), "ours", &b);
    assert_eq!(text(&lab.brought(&files, &spec, "").await), "a.example\nb.example\n");
}
