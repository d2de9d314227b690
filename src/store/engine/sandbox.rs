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
