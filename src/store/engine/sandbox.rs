//! What the engine's process gives up before the library is loaded: every file but its own
//! directory and what the library reads, new sockets, other programs, other processes.
//!
//! Best effort: what the kernel cannot enforce is reported in the ready line, not fatal, because
//! the refusals in front stand without it. The listener exists already; accepting on it stays
//! possible.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::protocol::{Enforced, Sandbox};

/// The process could not be fenced in although the kernel can.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    #[error("landlock")]
    Landlock(#[from] landlock::RulesetError),
    #[error("landlock: a path")]
    Path(#[from] landlock::PathFdError),
    #[error("seccomp")]
    Seccomp(#[from] seccompiler::Error),
    #[error("seccomp: the filter")]
    Filter(#[from] seccompiler::BackendError),
    #[error("resource limits")]
    Limits(#[from] io::Error),
}

/// Read, and nothing else. `/proc/self` and `/sys` are how the engine learns its memory and cores.
const READABLE: &[&str] = &[
    "/dev/null",
    "/dev/urandom",
    "/dev/zero",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/lib",
    "/lib64",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/self",
    "/proc/stat",
    "/proc/sys/kernel",
    "/proc/sys/vm",
    "/proc/uptime",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/usr/lib",
    "/usr/share/zoneinfo",
];

/// System calls the engine does not need and a foothold in it would.
const REFUSED_CALLS: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_mknodat,
];

/// Fences the calling thread in, and with it every thread it starts. Call it while there is one.
pub(super) fn enter(data: &Path, library: &Path) -> Result<Sandbox, SandboxError> {
    limits()?;
    let landlock = files(data, library)?;
    let seccomp = calls()?;
    Ok(Sandbox { landlock, seccomp })
}

fn limits() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

fn files(data: &Path, library: &Path) -> Result<Enforced, SandboxError> {
    let abi = ABI::V6;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rule(PathBeneath::new(PathFd::new(data)?, AccessFs::from_all(abi)))?;
    let read = AccessFs::from_read(abi) & !AccessFs::Execute;
    let library = library.parent().map(Path::to_owned);
    for path in READABLE.iter().map(PathBuf::from).chain(library) {
        // What a system does not have needs no rule.
        let Ok(fd) = PathFd::new(&path) else { continue };
        let access = if path.is_dir() { read } else { AccessFs::ReadFile.into() };
        ruleset = ruleset.add_rule(PathBeneath::new(fd, access))?;
    }
    Ok(match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Enforced::Enforced,
        RulesetStatus::PartiallyEnforced => Enforced::Partial,
        RulesetStatus::NotEnforced => Enforced::None,
    })
}

fn calls() -> Result<Enforced, SandboxError> {
    let Ok(arch) = std::env::consts::ARCH.try_into() else { return Ok(Enforced::None) };
    let rules: BTreeMap<i64, _> = REFUSED_CALLS.iter().map(|&call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?;
    let program: BpfProgram = filter.try_into()?;
    match seccompiler::apply_filter_all_threads(&program) {
        Ok(()) => Ok(Enforced::Enforced),
        // The kernel was built without it.
        Err(seccompiler::Error::Seccomp(e) | seccompiler::Error::Prctl(e))
            if e.raw_os_error() == Some(libc::EINVAL) =>
        {
            Ok(Enforced::None)
        }
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener, process::Command};

    use super::{
        super::{binding::Library, library},
        *,
    };
    use crate::config;

    const INSIDE: &str = "TRACEGATE_TEST_SANDBOX";

    /// The fences alone: no refusal stands in front of these statements. A fence cannot be left
    /// again, so the fenced half runs in a process of its own: this test, started once more.
    #[test]
    fn the_library_reaches_nothing_outside() {
        if let Some(dir) = std::env::var_os(INSIDE) {
            return inside(Path::new(&dir));
        }
        let dir = tempfile::tempdir().unwrap();
        let name = "store::engine::sandbox::tests::the_library_reaches_nothing_outside";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(INSIDE, dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("1 passed"), "{said}");
    }

    fn inside(dir: &Path) {
        let found = library::find(&config::Engine::default()).expect("run scripts/fetch-engine");
        let outside = dir.join("outside");
        let data = dir.join("data");
        fs::create_dir_all(&data).unwrap();
        fs::write(&outside, "outside\n").unwrap();
        fs::write(data.join("inside"), "inside\n").unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let sandbox = enter(&data, &found).unwrap();
        assert_eq!(sandbox.seccomp, Enforced::Enforced);
        assert_ne!(sandbox.landlock, Enforced::None);
        assert!(Command::new("/bin/true").status().is_err(), "a program was started");
        assert!(TcpListener::bind("127.0.0.1:0").is_err(), "a socket was made");

        let library = Library::load(&found).unwrap();
        let path = format!("--path={}", data.display());
        let mut connection = library.connect(&[path, "--logger.level=error".into()]).unwrap();
        let mut ask = |sql: String| {
            let chunk = connection.query(&sql, "TSVRaw", &[])?;
            Ok::<_, super::super::exception::Exception>(chunk.bytes().to_vec())
        };
        let read = |p: &Path| format!("SELECT * FROM file('{}', LineAsString)", p.display());
        assert_eq!(ask(read(&data.join("inside"))).unwrap(), b"inside\n");
        for sql in [
            read(&outside),
            read(Path::new("/etc/passwd")),
            read(Path::new("/proc/1/cmdline")),
            format!("SELECT 1 INTO OUTFILE '{}'", dir.join("out").display()),
            format!(
                "SELECT * FROM url('http://127.0.0.1:{port}/', LineAsString) SETTINGS http_max_tries = 1"
            ),
            format!(
                "SELECT * FROM remote('127.0.0.1:{port}', system.one) SETTINGS connections_with_failover_max_tries = 1"
            ),
            "SELECT * FROM executable('id', LineAsString, 'a String')".to_owned(),
        ] {
            let failed = ask(sql.clone()).err().unwrap_or_else(|| panic!("it ran: {sql}"));
            println!("{sql}: {failed}");
        }
        assert!(!dir.join("out").exists());
        assert_eq!(ask("SELECT 1".to_owned()).unwrap(), b"1\n");
    }
}
