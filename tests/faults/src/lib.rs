//! An independent judge of Chancery, and a runner that brings it into trouble.
//!
//! Nothing here shares code with the pipeline. The binary is run as a stranger would run it: events are published to the
//! broker, and what an archive would see on the pickup shares is compared with what the broker confirmed.

pub mod archive;
pub mod checker;
pub mod daemon;
pub mod dice;
pub mod error;
pub mod event;
pub mod evidence;
pub mod faults;
pub mod layout;
pub mod ledger;
pub mod neighbour;
pub mod plan;
pub mod proxy;
pub mod publisher;
pub mod purge;
pub mod reader;
pub mod report;
pub mod round;
pub mod servers;
pub mod shim;
pub mod site;
pub mod traffic;

#[cfg(test)]
mod tests {
    #[test]
    fn the_judge_shares_no_code_with_what_it_judges() {
        let manifest = include_str!("../Cargo.toml");
        let depends =
            manifest.lines().any(|line| line.starts_with("chancery") || line.contains("package = \"chancery\""));
        assert!(!depends, "tests/faults must not depend on the package chancery");
    }
}
