//! Who may see content, as the kernel tells who calls.

use rustix::process::{getgid, getgroups, getuid};

use super::act::act;
use super::context::staging_failure;
use crate::config::{Access, Config};
use crate::errors::{ExitStatus, Failure};
use crate::staging::Staging;

/// Whether these ids are an officer's. As long as nobody is named, everybody is one.
fn may_look(access: &Access, user: u32, groups: &[u32]) -> bool {
    (access.officers.is_empty() && access.officer_groups.is_empty())
        || access.officers.contains_key(&user.to_string())
        || groups.iter().any(|group| access.officer_groups.contains_key(&group.to_string()))
}

/// Records a look at content before anything is shown, and refuses it to whoever is no officer. A refusal is recorded too.
///
/// The real user counts, as the kernel knows it: behind `sudo` that is the user one has become, and what `sudo` says of whoever
/// is behind it stands in the record alone.
pub(super) async fn look(
    staging: &Staging,
    config: &Config,
    verb: &str,
    subject: String,
    shown: &str,
) -> Result<(), Failure> {
    let user = getuid().as_raw();
    let mut groups: Vec<u32> = getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect();
    groups.push(getgid().as_raw());
    if may_look(&config.access, user, &groups) {
        return staging.record_act(&act(verb, subject, shown)).await.map_err(staging_failure);
    }
    staging.record_act(&act(&format!("{verb} refused"), subject, "no officer")).await.map_err(staging_failure)?;
    Err(Failure::new(
        ExitStatus::Finding,
        format!("user {user} is no officer and may not see content; nothing was shown, and the attempt is recorded"),
    )
    .hint("an officer can look; who is one, access.officers and access.officer_groups in the configuration say"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_officer_is_named_by_user_or_group_and_root_is_none() {
        let of = |id: &str| [(id.to_owned(), "somebody".to_owned())].into();
        let named = Access { officers: of("7"), officer_groups: of("20") };
        assert!(may_look(&named, 7, &[]) && may_look(&named, 8, &[1, 20]));
        assert!(!may_look(&named, 0, &[0]) && !may_look(&named, 20, &[7]));
        assert!(may_look(&Access::default(), 8, &[]), "nobody is named");
    }
}
