//! Acts of people: who does what to which thing, and why.

use rustix::process::getuid;

use crate::model::Ticks;
use crate::staging::NewAct;

/// A record of the act that the person at the keyboard is about to do.
pub(super) fn act(verb: &str, subject: impl Into<String>, reason: impl Into<String>) -> NewAct {
    NewAct { at: Ticks::now(), who: who(), verb: verb.to_owned(), subject: subject.into(), reason: reason.into() }
}

/// The login name as the system tells it; `sudo` does not hide who is behind it.
fn who() -> String {
    let named =
        ["SUDO_USER", "LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok().filter(|who| !who.is_empty()));
    let uid = getuid().as_raw();
    named.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}
