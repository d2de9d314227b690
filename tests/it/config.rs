//! The configuration: bad files with their messages, and what the machine refuses.

use std::{net::TcpListener, process::Output};

use crate::harness::tracegate;

fn check_config(file: &std::path::Path, more: &[&str]) -> Output {
    tracegate(["check-config"]).arg(file).args(more).output().unwrap()
}

#[test]
fn port_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let file = dir.path().join("tracegate.toml");
    let text = format!(
        "version = 1\ndata_dir = {:?}\n[dns]\nlisten = []\n[gateway]\nlisten = \"{address}\"\n\
         [api]\nlisten = \"127.0.0.1:0\"\n[store.engine]\nlisten = \"127.0.0.1:0\"\n\
         [dns.upstream]\nmode = \"off\"\n",
        dir.path()
    );
    std::fs::write(&file, text).unwrap();
    let output = check_config(&file, &[]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stdout}");
    assert_eq!(
        stdout,
        format!(
            "{}:6: gateway.listen: cannot listen on {address}: address already in use. Stop what \
             listens there, or choose another port.\n1 problem.\n",
            file.display()
        )
    );
}
