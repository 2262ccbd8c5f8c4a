//! What a worker takes away from itself: memory without end, files, network, further processes.
//!
//! The limits of the process always hold. Landlock is added as far as the kernel has it, and what was
//! achieved is said in the handshake.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetError, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::spec::Limits;

/// Descriptors a worker may have open: the three standard ones, a stylesheet, and a few of the runtime.
const DESCRIPTORS_MAX: u64 = 24;
/// Stack, in bytes: about three kilobytes for each level of the deepest nesting that may be configured, of which libxslt
/// takes one. The kernel keeps 128 MiB free below the stack of every process.
const STACK: u64 = 96 << 20;

/// Sets the limits of this process. To be called before anything is read.
///
/// # Errors
/// When the operating system refuses a limit.
pub(super) fn limit(limits: &Limits) -> io::Result<()> {
    for (resource, most) in
        [(Resource::As, limits.memory), (Resource::Core, 0), (Resource::Fsize, 0), (Resource::Nofile, DESCRIPTORS_MAX)]
    {
        lower(resource, most)?;
    }
    set_current(Resource::Stack, STACK)
}

/// Gives this process so many seconds of processor time in total; later calls may raise it.
///
/// # Errors
/// When the operating system refuses the limit.
pub(super) fn limit_processor(total_secs: u64) -> io::Result<()> {
    set_current(Resource::Cpu, total_secs)
}

/// Denies this thread and its children all files, TCP, and new processes. Returns what was achieved, for people.
///
/// # Errors
/// When the operating system refuses a limit.
pub(super) fn confine() -> io::Result<String> {
    lower(Resource::Nproc, 0)?;
    let status = deny_everything().map(|status| status.ruleset);
    Ok(match status {
        Ok(RulesetStatus::FullyEnforced) => "rlimits and landlock".into(),
        Ok(RulesetStatus::PartiallyEnforced) => "rlimits and landlock, as far as this kernel has it".into(),
        Ok(RulesetStatus::NotEnforced) | Err(_) => "rlimits only".into(),
    })
}

/// Sets a limit for good. One that is lower already stays: only a privileged process may raise it.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let most = Some(getrlimit(resource).maximum.map_or(most, |hard| hard.min(most)));
    Ok(setrlimit(resource, Rlimit { current: most, maximum: most })?)
}

/// Sets a limit within what this process may have at most.
fn set_current(resource: Resource, wanted: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = Some(maximum.map_or(wanted, |hard| hard.min(wanted)));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}

/// A ruleset that handles every right and grants none.
fn deny_everything() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// In a thread, because Landlock binds the thread that asks for it.
    #[test]
    fn landlock_denies_files_and_tcp_where_the_kernel_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let confined = std::thread::spawn(move || {
            let status = deny_everything().unwrap().ruleset;
            (status, File::open("/etc/passwd").is_ok(), TcpStream::connect(address).is_ok())
        });
        let (status, reads, connects) = confined.join().unwrap();
        match status {
            RulesetStatus::FullyEnforced => assert_eq!((reads, connects), (false, false)),
            // Kernels before 6.7 know no rule for TCP.
            RulesetStatus::PartiallyEnforced => assert!(!reads),
            RulesetStatus::NotEnforced => assert!(reads && connects),
        }
    }
}
