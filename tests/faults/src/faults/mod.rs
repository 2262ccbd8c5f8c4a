//! The faults: what each is, where it applies, and how it is brought about. One file per family.

mod calls;
mod database;
mod disk;
mod network;
mod others;
mod process;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::archive::Archive;
use crate::checker::{Charge, Finding};
use crate::daemon::Daemon;
use crate::error::Outcome;
use crate::proxy::Proxy;
use crate::servers::Servers;
use crate::shim::Shim;
use crate::site::{Site, Store, Volume};

/// A fault by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the table below says what each is")]
pub enum Fault {
    Kill,
    CrashPoint,
    Terminate,
    Pause,
    WorkerKill,
    TwoInstances,
    ConnectionKill,
    BrokerRestart,
    BrokerDown,
    DatabaseRestart,
    DatabaseDown,
    StagingFull,
    ShareFull,
    ShareReadOnly,
    ShareRemoved,
    ShareSlow,
    SyncFails,
    RenameFails,
    WriteFails,
    PowerCut,
    ClockSteps,
    Tamper,
    Duplicates,
    Reordering,
    Late,
    Poison,
    Conflicts,
}

/// What a fault needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// A tmpfs of its own.
    Volume(Volume),
    /// A binary that knows the named steps.
    CrashPoints,
    /// Servers that may be restarted.
    Keeper,
    /// The shim between the product and its file system; for power cuts, one that keeps what is needed to undo.
    Shim {
        power_cuts: bool,
    },
}

/// What is to be known about a fault.
#[derive(Debug)]
struct Card {
    fault: Fault,
    about: &'static str,
    /// The only store it applies to.
    only: Option<Store>,
    needs: Needs,
    /// Shortest and longest, in milliseconds; 0 for what is a moment.
    lasts: (u64, u64),
    /// Takes many seconds, so that a round has at most one of them.
    slow: bool,
    /// Shares its round with faults of the traffic only.
    solitary: bool,
}

const fn card(fault: Fault, lasts: (u64, u64), about: &'static str) -> Card {
    Card { fault, about, only: None, needs: Needs::Nothing, lasts, slow: false, solitary: false }
}

const fn shimmed(fault: Fault, lasts: (u64, u64), about: &'static str) -> Card {
    Card { needs: Needs::Shim { power_cuts: false }, ..card(fault, lasts, about) }
}

const CARDS: [Card; 27] = [
    card(Fault::Kill, (500, 2500), "SIGKILL at random moments, several times; started again at once"),
    Card {
        needs: Needs::CrashPoints,
        ..card(Fault::CrashPoint, (2500, 4000), "the process kills itself at a named step, drawn at random")
    },
    card(Fault::Terminate, (0, 0), "SIGTERM in the middle of work; started again"),
    card(Fault::Pause, (400, 2500), "SIGSTOP, and SIGCONT later"),
    card(Fault::WorkerKill, (300, 1500), "SIGKILL for the process that runs the stylesheet, several times"),
    card(
        Fault::TwoInstances,
        (1500, 3000),
        "a second process on the same home, which must be refused; then a second home on the same store and shares",
    ),
    card(Fault::ConnectionKill, (300, 1500), "all connections to the broker broken, several times"),
    Card {
        needs: Needs::Keeper,
        slow: true,
        ..card(Fault::BrokerRestart, (0, 0), "RabbitMQ stopped or killed, and started again")
    },
    Card {
        slow: true,
        ..card(
            Fault::BrokerDown,
            (2000, 9000),
            "the broker refuses, or nothing passes: longer than the publisher waits",
        )
    },
    Card {
        only: Some(Store::Postgres),
        needs: Needs::Keeper,
        slow: true,
        ..card(
            Fault::DatabaseRestart,
            (0, 0),
            "PostgreSQL stopped or crashed, and started again; or all its backends ended",
        )
    },
    Card {
        slow: true,
        ..card(
            Fault::DatabaseDown,
            (5500, 8000),
            "PostgreSQL refuses or nothing passes; SQLite is locked by another process for longer than its busy timeout",
        )
    },
    Card {
        only: Some(Store::Sqlite),
        needs: Needs::Volume(Volume::Staging),
        ..card(Fault::StagingFull, (800, 3000), "no space left for the SQLite file")
    },
    Card {
        needs: Needs::Volume(Volume::Shares),
        ..card(Fault::ShareFull, (800, 3000), "no space left on the pickup shares")
    },
    Card {
        needs: Needs::Volume(Volume::Shares),
        ..card(Fault::ShareReadOnly, (800, 3000), "the shares mounted read-only")
    },
    card(Fault::ShareRemoved, (800, 3000), "a share gone, an empty directory in its place; then it is back"),
    shimmed(Fault::ShareSlow, (800, 3000), "each call on the shares takes up to a quarter of a second"),
    shimmed(Fault::SyncFails, (500, 2500), "syncs fail on shares, vault or home"),
    shimmed(Fault::RenameFails, (500, 2500), "renames fail on shares, vault or home"),
    shimmed(Fault::WriteFails, (500, 2500), "writes fail on shares, vault or home, for want of space or by error"),
    Card {
        needs: Needs::Shim { power_cuts: true },
        solitary: true,
        ..card(
            Fault::PowerCut,
            (1000, 3000),
            "killed, and all that was not synced is undone before the next start; several times",
        )
    },
    shimmed(
        Fault::ClockSteps,
        (1500, 3500),
        "the clock of the wall jumps by up to an hour back and 20 s forth, and is right again",
    ),
    card(Fault::Tamper, (0, 0), "a bad neighbour changes a published file before it is purged"),
    card(Fault::Duplicates, (0, 0), "events published twice, byte for byte"),
    card(Fault::Reordering, (0, 0), "events published out of order"),
    card(Fault::Late, (0, 0), "events dated back by hours"),
    card(Fault::Poison, (0, 0), "bodies that are no event"),
    card(Fault::Conflicts, (0, 0), "other content under a key already used"),
];

/// What the machine and the binary can do.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Abilities {
    /// Small file systems can be mounted.
    pub mounts: bool,
    /// The binary knows the named steps.
    pub crash_points: bool,
    /// The servers may be restarted.
    pub keeper: bool,
}

impl Fault {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        CARDS.iter().map(|card| card.fault)
    }

    /// One line on what it is.
    pub fn about(self) -> &'static str {
        self.card().about
    }

    /// Its name.
    pub fn name(self) -> String {
        use clap::ValueEnum as _;
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Why it cannot be brought about; `None`: it can.
    pub fn obstacle(self, store: Store, able: Abilities) -> Option<&'static str> {
        let card = self.card();
        if card.only.is_some_and(|only| only != store) {
            return Some("it does not apply to this store");
        }
        match card.needs {
            Needs::Volume(_) if !able.mounts => Some("it needs the right to mount (run as root)"),
            Needs::CrashPoints if !able.crash_points => Some("this binary has no crash points"),
            Needs::Keeper if !able.keeper => Some("it needs servers that it may restart (CHANCERY_TEST_SERVICES)"),
            _ => None,
        }
    }

    /// Whether it takes many seconds.
    pub fn slow(self) -> bool {
        self.card().slow
    }

    /// Shortest and longest, in milliseconds.
    pub fn lasts(self) -> (u64, u64) {
        self.card().lasts
    }

    /// Whether no other fault may strike beside it.
    pub fn solitary(self) -> bool {
        self.card().solitary
    }

    /// Whether it needs the shim, and whether the shim must prepare for power cuts.
    pub fn shim(self) -> Option<bool> {
        match self.card().needs {
            Needs::Shim { power_cuts } => Some(power_cuts),
            _ => None,
        }
    }

    /// The volume it happens on.
    pub fn volume(self) -> Option<Volume> {
        match self.card().needs {
            Needs::Volume(volume) => Some(volume),
            _ => None,
        }
    }

    /// Whether it is part of the traffic and needs no hand.
    pub fn in_traffic(self) -> bool {
        matches!(self, Self::Duplicates | Self::Reordering | Self::Late | Self::Poison | Self::Conflicts)
    }

    /// Whether it kills the process.
    pub fn kills(self) -> bool {
        matches!(self, Self::Kill | Self::CrashPoint | Self::PowerCut)
    }

    fn card(self) -> &'static Card {
        // Every fault has a card: a test holds it.
        CARDS.iter().find(|card| card.fault == self).unwrap_or(&CARDS[0])
    }
}

/// One fault at one moment of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Injection {
    /// What.
    pub fault: Fault,
    /// When, in milliseconds after the traffic began.
    pub at: u64,
    /// For how long, in milliseconds.
    pub lasts: u64,
    /// Chooses among the fault's forms.
    pub choice: u64,
}

/// What the faults act on.
#[derive(Debug)]
pub struct Scene {
    /// The round's place.
    pub site: Site,
    /// The product.
    pub daemon: Daemon,
    /// The archive.
    pub archive: Archive,
    /// The door to the broker.
    pub broker: Proxy,
    /// The door to the database.
    pub database: Option<Proxy>,
    /// The servers.
    pub servers: Servers,
    /// The shim, where the round needs one.
    pub shim: Option<Shim>,
    /// What must not happen and did, noticed by a fault.
    pub findings: Mutex<Vec<Finding>>,
}

/// One time that a fault struck.
#[derive(Debug, Clone, Copy)]
pub struct Strike {
    /// What.
    pub fault: Fault,
    /// When it began.
    pub began: Instant,
    /// When it was over: the process was started again, the server or the share was back.
    pub over: Instant,
    /// Whether the process was ended by it.
    pub ended_process: bool,
}

impl Scene {
    fn charge(&self, detail: impl Into<String>) {
        let finding = Finding { charge: Charge::Misbehaved, detail: detail.into() };
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }
}

/// Brings a fault about and ends it again.
///
/// # Errors
/// When the runner itself cannot do what the fault asks for.
pub async fn inject(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    match injection.fault {
        Fault::Kill => process::kill(scene, injection).await,
        Fault::CrashPoint => process::crash_point(scene, injection).await,
        Fault::Terminate => process::terminate(scene, injection).await,
        Fault::Pause => process::pause(scene, injection).await,
        Fault::WorkerKill => process::worker_kill(scene, injection).await,
        Fault::TwoInstances => others::two_instances(scene, injection).await,
        Fault::Tamper => others::tamper(scene, injection).await,
        Fault::ConnectionKill => network::connection_kill(scene, injection).await,
        Fault::BrokerRestart => network::broker_restart(scene, injection).await,
        Fault::BrokerDown => network::broker_down(scene, injection).await,
        Fault::DatabaseRestart => database::restart(scene, injection).await,
        Fault::DatabaseDown => database::down(scene, injection).await,
        Fault::StagingFull => disk::full(scene, injection, Volume::Staging).await,
        Fault::ShareFull => disk::full(scene, injection, Volume::Shares).await,
        Fault::ShareReadOnly => disk::read_only(scene, injection).await,
        Fault::ShareRemoved => disk::removed(scene, injection).await,
        Fault::ShareSlow | Fault::SyncFails | Fault::RenameFails | Fault::WriteFails => {
            calls::failing(scene, injection).await
        }
        Fault::PowerCut => calls::cut_power(scene, injection).await,
        Fault::ClockSteps => calls::clock_steps(scene, injection).await,
        Fault::Duplicates | Fault::Reordering | Fault::Late | Fault::Poison | Fault::Conflicts => Ok(Vec::new()),
    }
}

fn strike(injection: &Injection, began: Instant, ended_process: bool) -> Strike {
    Strike { fault: injection.fault, began, over: Instant::now(), ended_process }
}

/// Strikes several times in the time the fault lasts, at moments that its choice decides.
fn moments(injection: &Injection) -> Vec<Duration> {
    let mut dice = crate::dice::Dice::new(injection.choice, 1);
    let count = dice.between(2, 4);
    (0..count).map(|_| Duration::from_millis(dice.between(0, injection.lasts * 2 / count))).collect()
}

fn lasting(injection: &Injection) -> Duration {
    Duration::from_millis(injection.lasts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_card_and_a_line() {
        use clap::ValueEnum as _;
        for fault in Fault::value_variants() {
            assert_eq!(fault.card().fault, *fault);
            assert!(fault.about().len() > 10 && fault.lasts().0 <= fault.lasts().1, "{fault:?}");
        }
        assert_eq!(Fault::value_variants().len(), CARDS.len());
    }
}
