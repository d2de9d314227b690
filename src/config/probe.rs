//! What only the machine can tell: ports in use, directories that cannot be written, files that
//! are not there. Every socket is closed and every file removed again.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Config, Loaded, Problem, Source, UpstreamMode, check::listeners, problem::plain};

/// Everything this machine would refuse. `ours` are addresses that our own running server holds.
pub fn probe(loaded: &Loaded, ours: &[SocketAddr]) -> Vec<Problem> {
    let (config, source) = (&loaded.config, &loaded.source);
    let mut problems = Vec::new();
    for (key, address) in listeners(config) {
        if !ours.contains(&address) {
            problems.extend(port(source, &key, address));
        }
    }
    problems.extend(directory(source, "data_dir", &config.data_dir));
    problems.extend(files(config, source));
    problems.extend(zones(config, source));
    problems.extend(resolv_conf(config, source));
    problems
}

fn port(source: &Source, key: &str, address: SocketAddr) -> Option<Problem> {
    let tcp = TcpListener::bind(address).map(drop);
    let udp = if key.starts_with("dns.") { UdpSocket::bind(address).map(drop) } else { Ok(()) };
    let error = tcp.and(udp).err()?;
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "Stop what listens there, or choose another port",
        io::ErrorKind::PermissionDenied => {
            "Choose a port from 1024, or grant CAP_NET_BIND_SERVICE as deploy/tracegate.service does"
        }
        io::ErrorKind::AddrNotAvailable => "Write an address of this machine",
        _ => "Choose another address or port",
    };
    Some(source.problem(key, format!("cannot listen on {address}: {}", plain(&error)), advice))
}

/// Whether a file can be made in `dir`, or, where it does not exist, in what would hold it.
fn directory(source: &Source, key: &str, dir: &Path) -> Option<Problem> {
    let existing = nearest_existing(dir);
    let probe = existing.join(format!(".tracegate-probe-{}", std::process::id()));
    let made = fs::OpenOptions::new().write(true).create_new(true).open(&probe);
    let error = made.and_then(|_| fs::remove_file(&probe)).err()?;
    let advice = "Choose a directory that this user may write, or change its owner";
    let shown = existing.display();
    Some(source.problem(key, format!("cannot write in {shown}: {}", plain(&error)), advice))
}

fn nearest_existing(dir: &Path) -> PathBuf {
    let mut ancestors = dir.ancestors();
    match ancestors.find(|p| p.symlink_metadata().is_ok()) {
        Some(found) => found.to_owned(),
        None => PathBuf::from("."),
    }
}

fn files(config: &Config, source: &Source) -> Vec<Problem> {
    let named = [
        ("dns.public_suffix_file", &config.dns.public_suffix_file),
        ("gateway.acme.ca_file", &config.gateway.acme.ca_file),
        ("gateway.acme.external_account_key_file", &config.gateway.acme.external_account_key_file),
        ("gateway.notices.tier_rules", &config.gateway.notices.tier_rules),
        ("gateway.outbound.keys_file", &config.gateway.outbound.keys_file),
        ("gateway.walks.ca_file", &config.gateway.walks.ca_file),
        ("verify.anchors_file", &config.verify.anchors_file),
        ("verify.protected_file", &config.verify.protected_file),
        ("verify.data.vrps_file", &config.verify.data.vrps_file),
        ("verify.registries.bootstrap_file", &config.verify.registries.bootstrap_file),
        ("verify.registries.ca_file", &config.verify.registries.ca_file),
        ("webhooks.ca_file", &config.webhooks.ca_file),
        ("store.engine.library", &config.store.engine.library),
        ("store.password_file", &config.store.password_file),
    ];
    let mut problems = Vec::new();
    for (key, path) in named {
        let Some(path) = path else { continue };
        if let Err(e) = fs::File::open(path) {
            problems.push(unreadable(source, key, path, &e));
        }
    }
    for (i, certificate) in config.gateway.certificates.iter().enumerate() {
        for (name, path) in [("chain", &certificate.chain), ("key", &certificate.key)] {
            if let Err(e) = fs::File::open(path) {
                let key = format!("gateway.certificates[{i}].{name}");
                problems.push(unreadable(source, &key, path, &e));
            }
        }
    }
    for (key, path) in [
        ("store.password_file", &config.store.password_file),
        ("gateway.outbound.keys_file", &config.gateway.outbound.keys_file),
        ("gateway.acme.external_account_key_file", &config.gateway.acme.external_account_key_file),
    ] {
        problems.extend(path.as_deref().and_then(|p| open_to_others(source, key, p)));
    }
    problems
}

fn open_to_others(source: &Source, key: &str, path: &Path) -> Option<Problem> {
    let mode = fs::metadata(path).ok()?.mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        let problem = format!("{} can be read by others (mode {mode:o})", path.display());
        source.problem(key, problem, "chmod 600 it")
    })
}

/// Zone files exist and lie below their root once links are followed. Their text is read by the
/// resolver.
fn zones(config: &Config, source: &Source) -> Vec<Problem> {
    if config.dns.zones.is_empty() {
        return Vec::new();
    }
    let root = match config.dns.zone_root.canonicalize() {
        Ok(root) => root,
        Err(e) => return vec![unreadable(source, "dns.zone_root", &config.dns.zone_root, &e)],
    };
    let mut problems = Vec::new();
    for (i, zone) in config.dns.zones.iter().enumerate() {
        let key = format!("dns.zones[{i}].file");
        let path = root.join(&zone.file);
        match path.canonicalize() {
            Err(e) => problems.push(unreadable(source, &key, &path, &e)),
            Ok(real) if !real.starts_with(&root) => {
                let problem = format!("{} leads out of dns.zone_root", zone.file.display());
                problems.push(source.problem(&key, problem, "Put the file itself below it"));
            }
            Ok(real) => {
                if let Err(e) = fs::File::open(&real) {
                    problems.push(unreadable(source, &key, &real, &e));
                }
            }
        }
    }
    problems
}

/// Forwarding without servers of its own needs some from resolv.conf that are not ourselves.
fn resolv_conf(config: &Config, source: &Source) -> Option<Problem> {
    let upstream = &config.dns.upstream;
    if upstream.mode == UpstreamMode::Off || !upstream.servers.is_empty() {
        return None;
    }
    if config.dns.listen.is_empty() && config.gateway.listen.is_none() {
        return None;
    }
    let (key, path) = ("dns.upstream.resolv_conf", &upstream.resolv_conf);
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => return Some(unreadable(source, key, path, &e)),
    };
    let servers = text.lines().filter_map(|l| l.trim().strip_prefix("nameserver"));
    let addresses: Vec<SocketAddr> =
        servers.filter_map(|s| s.trim().parse().ok()).map(|ip| SocketAddr::new(ip, 53)).collect();
    let advice = "List resolvers in dns.upstream.servers, or set dns.upstream.mode = \"off\"";
    let shown = path.display();
    if addresses.is_empty() {
        Some(source.problem(key, format!("{shown} names no resolver"), advice))
    } else if addresses.iter().all(|a| config.dns.listen.contains(a)) {
        Some(source.problem(key, format!("{shown} names only our own listener"), advice))
    } else {
        None
    }
}

fn unreadable(source: &Source, key: &str, path: &Path, error: &io::Error) -> Problem {
    let problem = format!("{} cannot be read: {}", path.display(), plain(error));
    source.problem(key, problem, "Name a file that this user may read")
}
