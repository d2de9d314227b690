//! The gateway over TLS: certificates by name, changed while it runs.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use tracegate::{config::Certificate, listener::http::TlsError, record::Table};

use crate::site::Site;

/// A certificate for `host` that signs itself, with its key.
pub(crate) fn certificate(dir: &Path, name: &str, host: &str) -> Certificate {
    let [chain, key] = ["pem", "key"].map(|end| dir.join(format!("{name}.{end}")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "30", "-subj", "/CN=test", "-addext"])
        .arg(format!("subjectAltName=DNS:{host}"))
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    Certificate { hosts: vec![host.to_owned()], chain, key }
}

/// The status curl gets for `https://host/path`, trusting `ca` alone; none when it does not.
pub(crate) fn curl(site: &Site, host: &str, path: &str, ca: &Path) -> Option<String> {
    let at = site.gateway_tls.unwrap();
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "--cacert"])
        .arg(ca)
        .arg("--resolve")
        .arg(format!("{host}:{}:127.0.0.1", at.port()))
        .arg(format!("https://{host}:{}{path}", at.port()))
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn each_host_is_served_with_its_own_certificate_and_new_ones_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let one = certificate(dir.path(), "one", "s.example.com");
    let many = certificate(dir.path(), "many", "*.go.example.com");
    let (ca_one, ca_many) = (one.chain.clone(), many.chain.clone());
    let site = Site::start(|c| c.gateway.certificates = vec![one.clone(), many]);
    let path = format!("/{}", site.link("https://www.demo.test/"));
    let get = |host: &str, ca: &Path| curl(&site, host, &path, ca);
    let jumped = Some("302".to_owned());
    assert_eq!(get("s.example.com", &ca_one), jumped);
    assert_eq!(get("S.EXAMPLE.com", &ca_one), jumped);
    assert_eq!(get("a.go.example.com", &ca_many), jumped);
    assert_eq!(get("s.example.com", &ca_many), None, "another certificate");
    assert_eq!(get("a.b.go.example.com", &ca_many), None, "a wildcard is one label");
    assert_eq!(get("other.example.com", &ca_one), None, "a name we have no certificate for");

    // A certificate is replaced: those who trust the old one alone no longer come in.
    let certificates = site.certificates.clone().unwrap();
    assert!(!certificates.refresh().unwrap(), "nothing has changed");
    fs::copy(&ca_one, dir.path().join("old.pem")).unwrap();
    certificate(dir.path(), "one", "s.example.com");
    assert!(certificates.refresh().unwrap());
    assert_eq!(get("s.example.com", &ca_one), jumped);
    assert_eq!(get("s.example.com", &dir.path().join("old.pem")), None);
    // What cannot be used leaves it in force, and is complained of once.
    fs::write(&one.chain, "no certificate").unwrap();
    assert!(matches!(certificates.refresh(), Err(TlsError::NotPem(_))));
    assert!(!certificates.refresh().unwrap());

    // Plain HTTP at the port of TLS, and TLS at the port of plain HTTP, end without harm.
    let mut plain = crate::site::connect(site.gateway_tls.unwrap());
    std::io::Write::write_all(&mut plain, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut plain, &mut rest).ok();
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    let kept = site.stop();
    assert_eq!(kept.of(Table::Jumps).len(), 4);
    assert!(
        kept.column(Table::Jumps, "host")
            .iter()
            .all(|h| h.to_ascii_lowercase().contains("example.com:"))
    );
}

#[test]
fn certificates_that_cannot_be_right_are_refused() {
    use tracegate::listener::http::Certificates;
    let dir = tempfile::tempdir().unwrap();
    let good = certificate(dir.path(), "good", "s.example.com");
    let other = certificate(dir.path(), "other", "s.example.com");
    let load = |c: Certificate| Certificates::load(&[c], None).unwrap_err();
    let crossed = Certificate { key: other.key.clone(), ..good.clone() };
    assert!(matches!(load(crossed), TlsError::Refused { .. }));
    let elsewhere = Certificate { hosts: vec!["www.example.com".into()], ..good.clone() };
    assert!(matches!(load(elsewhere), TlsError::OtherHost { .. }));
    let swapped = Certificate { chain: good.key.clone(), ..good.clone() };
    assert!(matches!(load(swapped), TlsError::NotPem(_)));
    let missing = Certificate { chain: dir.path().join("none"), ..good.clone() };
    assert!(matches!(load(missing), TlsError::Io { .. }));
    fs::set_permissions(&good.key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(load(good), TlsError::Exposed(_)));
    assert!(matches!(Certificates::load(&[], None), Err(TlsError::None)));
}
