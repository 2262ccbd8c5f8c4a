//! One round: traffic and faults, then quiet, then judgement.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::archive::{Archive, Book};
use crate::checker::{Case, Charge, Delivered, Finding, Judgement, Obtained, judge};
use crate::daemon::{Daemon, Start};
use crate::dice::Dice;
use crate::error::{At as _, Outcome, Trouble};
use crate::event::{Key, digest};
use crate::evidence::{self, Lists};
use crate::faults::{Fault, Scene, Strike, inject};
use crate::layout::{self, is_output};
use crate::ledger::{Ledger, Nature};
use crate::plan::Plan;
use crate::proxy::Proxy;
use crate::publisher::{Target, publish};
use crate::purge::Audit;
use crate::reader::{HostileReader, Visible};
use crate::servers::{Server, Servers};
use crate::shim::Shim;
use crate::site::{Site, Store, Ways};
use crate::traffic::upload;

/// How long a round may go on after its faults are over.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(120);
const TURN: Duration = Duration::from_millis(50);
/// The pause between two questions to the product about what it still holds.
const ASK_PAUSE: Duration = Duration::from_millis(250);

/// What all rounds of a run share.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The product's binary.
    pub chancery: PathBuf,
    /// The servers.
    pub servers: Servers,
    /// Where rounds have their directories.
    pub dir: PathBuf,
    /// Tells this run's names on the servers from those of others.
    pub mark: String,
}

/// How long the product took to be back after a fault.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Recovery {
    /// The fault.
    pub fault: Fault,
    /// From the new start of the process until its AMQP session consumed, in seconds; only where it was ended.
    pub back: Option<f64>,
    /// From the end of the fault (the new start of the process) until every message confirmed before the fault began was
    /// visible on every canonical share, in seconds. `None`: never.
    pub caught_up: Option<f64>,
    /// Whether no other fault of the round fell into that time.
    pub alone: bool,
}

/// What came out of a round.
#[derive(Debug, Clone)]
pub struct Played {
    /// The plan.
    pub plan: Plan,
    /// The judgement.
    pub judgement: Judgement,
    /// How often each fault struck.
    pub strikes: BTreeMap<Fault, usize>,
    /// Recovery times.
    pub recoveries: Vec<Recovery>,
    /// How often the hostile reader looked at all shares.
    pub looks: u64,
    /// Files that it saw.
    pub files: usize,
    /// Purge certificates that were compared.
    pub certificates: usize,
    /// Lines of event lists that were compared.
    pub listed: usize,
    /// Starts of the process.
    pub starts: usize,
    /// Seconds the round took.
    pub seconds: f64,
}

impl Played {
    /// Whether nothing is wrong.
    pub fn clean(&self) -> bool {
        self.judgement.findings.is_empty()
    }
}

/// Plays one round.
///
/// # Errors
/// When the runner itself could not do its part; what the product does wrong is in the judgement.
pub async fn play(setting: &Setting, plan: &Plan) -> Outcome<Played> {
    let begun = Instant::now();
    let dir = setting.dir.join(format!("round-{:04}-{}", plan.round, plan.store.name()));
    fresh(&dir)?;
    let plan_file = dir.join("plan.json");
    let text = serde_json::to_vec_pretty(plan).map_err(|error| Trouble::Said(error.to_string()))?;
    fs::write(&plan_file, text).at("write", &plan_file)?;
    let name = format!("{}.{}", setting.mark, plan.round);
    let site = Site::make(&dir, &name, plan.store, &setting.chancery, plan.outputs.clone(), &plan.volumes())?;
    let schema = site.schema();
    let played = stage(setting, plan, site, begun).await;
    setting.servers.tidy(&name, schema.as_deref()).await;
    played
}

/// A directory without anything from an earlier run.
fn fresh(dir: &Path) -> Outcome<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).at("empty", dir)?;
    }
    fs::create_dir_all(dir).at("create", dir)
}

async fn stage(setting: &Setting, plan: &Plan, site: Site, begun: Instant) -> Outcome<Played> {
    let servers = setting.servers.clone();
    let direct = Ways { amqp_url: servers.amqp_url.clone(), postgres_url: servers.postgres_url.clone() };
    site.configure(&direct)?;
    site.ask(&["setup"]).await?;
    site.ask(&["evidence", "keygen"]).await?;
    let broker = Proxy::open(servers.socket(Server::Broker)?).await?;
    let database = match site.store {
        Store::Postgres => Some(Proxy::open(servers.socket(Server::Database)?).await?),
        Store::Sqlite => None,
    };
    let amqp_url = Servers::through(&servers.amqp_url, broker.address());
    let door = database.as_ref().map(Proxy::address);
    let through_door = door.and_then(|door| servers.postgres_url.as_ref().map(|url| Servers::through(url, door)));
    site.configure(&Ways { amqp_url: amqp_url.clone(), postgres_url: through_door })?;
    let day = plan.traffic.make(site.command("home", &[]), &mut Dice::new(plan.seed ^ 0xFA17, plan.round))?;

    let ledger = Arc::new(Ledger::create(&site.dir.join("ledger.ndjson"))?);
    let reader = HostileReader::open(site.watched())?;
    let archive = Archive::open(&site.dir.join("archive"), site.collected())?;
    let shim = shim(plan, &site)?;
    let mut program = site.command("home", &["run"]);
    if let Some(shim) = &shim {
        shim.apply(&mut program);
    }
    let daemon = Daemon::start("daemon", &site.dir.join("log"), remake(&program))?;
    let target = Target { url: amqp_url, exchange: site.name.clone() };
    let scene = Arc::new(Scene { site, daemon, archive, broker, database, servers, shim, findings: Mutex::default() });

    let published = tokio::spawn({
        let (ledger, repository) = (Arc::clone(&ledger), scene.site.repository());
        async move {
            let uploaded = upload(repository, day.uploads);
            tokio::try_join!(publish(&target, &ledger, day.messages), uploaded)
        }
    });
    let mut injected = tokio::task::JoinSet::new();
    for injection in plan.injections.clone() {
        let scene = Arc::clone(&scene);
        injected.spawn(async move {
            sleep(Duration::from_millis(injection.at)).await;
            inject(&scene, &injection).await
        });
    }
    let mut strikes = Vec::new();
    while let Some(done) = injected.join_next().await {
        strikes.extend(done.map_err(|panic| Trouble::Said(panic.to_string()))??);
    }
    let wait = tokio::time::timeout(DRAIN_TIME_MAX, published).await;
    let outcome =
        wait.map_err(|_| Trouble::Said("the publisher could not finish after the faults were over".into()))?;
    outcome.map_err(|panic| Trouble::Said(panic.to_string()))??;

    let unfinished = drain(&scene, &ledger, &reader).await;
    let quarantined = quarantine(&scene.site).await;
    let scene = Arc::into_inner(scene).ok_or_else(|| Trouble::Said("a fault is still at work".into()))?;
    conclude(plan, scene, &ledger, reader, strikes, Ending { unfinished, quarantined, begun }).await
}

/// The shim, if one of the round's faults needs it.
fn shim(plan: &Plan, site: &Site) -> Outcome<Option<Shim>> {
    let needs: Vec<_> = plan.injections.iter().filter_map(|injection| injection.fault.shim()).collect();
    if needs.is_empty() {
        return Ok(None);
    }
    let places = ["shares", "vault", "home", "evidence"].map(|place| site.dir.join(place));
    let dir = site.dir.join("shim");
    let shim = Shim::new(&dir).at("prepare", &dir)?.watching(places);
    let shim = if needs.contains(&true) { shim.with_power_cuts().at("prepare", &dir)? } else { shim };
    Ok(Some(shim))
}

/// The same command again for each start.
fn remake(command: &std::process::Command) -> crate::daemon::MakeCommand {
    let environment: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let (program, dir) = (command.get_program().to_owned(), command.get_current_dir().map(Path::to_owned));
    Box::new(move |_| {
        let mut again = std::process::Command::new(&program);
        again.args(&arguments);
        for (name, value) in &environment {
            match value {
                Some(value) => again.env(name, value),
                None => again.env_remove(name),
            };
        }
        if let Some(dir) = &dir {
            again.current_dir(dir);
        }
        again
    })
}

/// What was found when the round's time was over.
struct Ending {
    unfinished: Option<String>,
    quarantined: Outcome<Vec<String>>,
    begun: Instant,
}

/// Waits until everything is archived and purged. Words on what is still under way when time is up.
///
/// The product's own status is asked only in order to know when to stop waiting; it is no evidence.
async fn drain(scene: &Scene, ledger: &Ledger, reader: &HostileReader) -> Option<String> {
    let begun = Instant::now();
    let mut overlooked = Overlooked::default();
    let mut under_way = "nothing was asked yet".to_owned();
    while begun.elapsed() < DRAIN_TIME_MAX {
        let mut visible = reader.visible();
        overlooked.add(&mut visible, &scene.site, &scene.archive.book(), reader);
        let wanted = ledger.messages();
        let canonical = scene.site.outputs().iter().filter(|output| !output.file_dump);
        let invisible: usize = canonical
            .map(|output| visible.get(output.name))
            .map(|seen| wanted.iter().filter(|key| seen.is_none_or(|seen| !seen.contains_key(key))).count())
            .sum();
        if invisible > 0 {
            under_way = format!("{invisible} messages are not visible yet");
            sleep(TURN).await;
            continue;
        }
        match still_held(scene, ledger).await {
            Ok(None) => return None,
            Ok(Some(held)) => under_way = held,
            Err(error) => under_way = error.to_string(),
        }
        sleep(ASK_PAUSE).await;
    }
    Some(under_way)
}

/// Outputs that the archive took before the hostile reader got to see them: rare, and none the less visible.
#[derive(Default)]
struct Overlooked(BTreeMap<(String, String), Vec<Key>>);

impl Overlooked {
    /// Adds the messages in them to what is visible.
    fn add(&mut self, visible: &mut Visible, site: &Site, book: &Book, reader: &HostileReader) {
        for (entry, taken) in book.iter().filter(|((_, name), _)| is_output(name)) {
            let (adapter, name) = entry;
            if !self.0.contains_key(entry) && reader.has_seen(entry) {
                continue;
            }
            let keys = self.0.entry(entry.clone()).or_insert_with(|| {
                let read =
                    fs::read(&taken.copy).ok().and_then(|bytes| layout::read(site.layout(adapter), name, &bytes).ok());
                read.into_iter().flat_map(|reading| reading.messages).map(|message| message.key).collect()
            });
            let visible = visible.entry(adapter.clone()).or_default();
            for key in keys {
                visible.entry(key.clone()).or_insert(taken.at);
            }
        }
    }
}

/// What `chancery status` says of intake and adapters, as far as it is asked.
#[derive(Deserialize)]
struct Status {
    intake: Intake,
    adapters: Vec<AdapterStatus>,
}

#[derive(Deserialize)]
struct Intake {
    waiting: u64,
    quarantined: u64,
}

#[derive(Deserialize)]
struct AdapterStatus {
    name: String,
    batches: BTreeMap<String, u64>,
    waiting_events: u64,
}

async fn still_held(scene: &Scene, ledger: &Ledger) -> Outcome<Option<String>> {
    let said = scene.site.ask(&["--format", "json", "status"]).await?;
    let status: Status = serde_json::from_slice(&said).map_err(|error| Trouble::Said(format!("status: {error}")))?;
    let entries = ledger.entries();
    let poison: std::collections::BTreeSet<_> =
        entries.iter().filter(|entry| entry.nature == Nature::Poison).map(|entry| &entry.sha256).collect();
    if status.intake.quarantined < poison.len() as u64 {
        return Ok(Some(format!("{} of {} items are in quarantine", status.intake.quarantined, poison.len())));
    }
    // What a neighbour has changed stays where it is, and so do the events of its batch.
    let harmed = scene.archive.harmed() as u64;
    for adapter in &status.adapters {
        let count = |state: &str| adapter.batches.get(state).copied().unwrap_or(0);
        let all: u64 = adapter.batches.values().sum();
        let done = count("purged") + count("empty");
        let stuck = if adapter.name == "acked" { harmed.min(count("collected")) } else { 0 };
        if adapter.waiting_events > 0 || done + stuck < all {
            return Ok(Some(format!(
                "{}: {} events wait, batches {:?}",
                adapter.name, adapter.waiting_events, adapter.batches
            )));
        }
    }
    let held = status.intake.waiting > 0 && harmed == 0;
    Ok(held.then(|| format!("{} events are still in staging", status.intake.waiting)))
}

#[derive(Deserialize)]
struct Listed {
    id: i64,
}

/// The digests of the exact bytes of everything in quarantine, exported one by one as a person would.
async fn quarantine(site: &Site) -> Outcome<Vec<String>> {
    let listed = site.ask(&["--format", "json", "quarantine", "list", "--all", "--limit", "1000000"]).await?;
    let listed: Vec<Listed> =
        serde_json::from_slice(&listed).map_err(|error| Trouble::Said(format!("quarantine list: {error}")))?;
    let mut digests = Vec::new();
    for item in listed {
        digests.push(digest(&site.ask(&["quarantine", "show", &item.id.to_string(), "--content"]).await?));
    }
    Ok(digests)
}

async fn conclude(
    plan: &Plan,
    scene: Scene,
    ledger: &Ledger,
    reader: HostileReader,
    strikes: Vec<Strike>,
    ending: Ending,
) -> Outcome<Played> {
    let Scene { mut site, daemon, archive, findings, .. } = scene;
    let stopped = tokio::task::spawn_blocking(move || daemon.stop()).await;
    let (starts, mut found) = stopped.map_err(|panic| Trouble::Said(panic.to_string()))?;
    // Evidence is written beside delivery: the last of it once more than the daemon had time for.
    if let Err(error) = site.ask(&["run", "--once"]).await {
        found.push(Finding { charge: Charge::Misbehaved, detail: error.to_string() });
    }
    found.extend(findings.into_inner().unwrap_or_else(PoisonError::into_inner));
    let (book, of_archive) = archive.close();
    let mut overlooked = Overlooked::default();
    let mut late = Visible::default();
    overlooked.add(&mut late, &site, &book, &reader);
    let (sightings, mut visible, of_reader, looks) = reader.close(&book);
    for (adapter, keys) in late {
        let visible = visible.entry(adapter).or_default();
        for (key, at) in keys {
            visible.entry(key).or_insert(at);
        }
    }
    found.extend(of_archive.into_iter().chain(of_reader));

    let entries = ledger.entries();
    let delivered = delivered(&site, &book);
    let quarantined = ending.quarantined.unwrap_or_else(|error| {
        found.push(Finding { charge: Charge::Misbehaved, detail: format!("quarantine cannot be exported: {error}") });
        Vec::new()
    });
    let case = Case {
        entries: &entries,
        delivered: &delivered,
        quarantined: &quarantined,
        unfinished: ending.unfinished.is_some(),
    };
    let mut judgement = judge(&case);
    judgement.findings.extend(found);
    if let Some(under_way) = &ending.unfinished {
        judgement.charge(Charge::Waiting, format!("after {} s: {under_way}", DRAIN_TIME_MAX.as_secs()));
    }
    let (collected, certificates) = (site.collected(), site.certificates());
    let finished = ending.unfinished.is_none();
    let adapters: Vec<_> = site.outputs().iter().map(|output| output.name).collect();
    let listed = match Lists::read(&site.evidence()) {
        Ok(lists) => {
            judgement.findings.extend(lists.findings(&entries, &adapters, finished));
            lists.lines()
        }
        Err(detail) => {
            judgement.charge(Charge::Unproven, detail);
            0
        }
    };
    if finished {
        judgement.findings.extend(evidence::verdicts(&site, book.values().any(|taken| taken.harmed)).await?);
    }
    let audit = Audit { shares: &collected, book: &book, sightings: &sightings, certificates: &certificates, finished };
    let (wrong, certificates) = audit.findings();
    judgement.findings.extend(wrong);

    let recoveries = recoveries(&site, ledger, &visible, &starts, &strikes);
    let mut struck: BTreeMap<Fault, usize> = BTreeMap::new();
    for strike in &strikes {
        *struck.entry(strike.fault).or_default() += 1;
    }
    for injection in plan.injections.iter().filter(|injection| injection.fault.in_traffic()) {
        *struck.entry(injection.fault).or_default() += in_traffic(injection.fault, plan, &entries);
    }
    site.unmount();
    let findings_file = site.dir.join("findings.json");
    let text = serde_json::to_vec_pretty(&judgement.findings).map_err(|error| Trouble::Said(error.to_string()))?;
    fs::write(&findings_file, text).at("write", &findings_file)?;
    Ok(Played {
        plan: plan.clone(),
        judgement,
        strikes: struck,
        recoveries,
        looks,
        files: sightings.len(),
        certificates,
        listed,
        starts: starts.len(),
        seconds: ending.begun.elapsed().as_secs_f64(),
    })
}

/// How many bodies a fault of the traffic concerned. What is late or out of order is all of it.
fn in_traffic(fault: Fault, plan: &Plan, entries: &[crate::ledger::Entry]) -> usize {
    let of = |nature| entries.iter().filter(|entry| entry.nature == nature).count();
    match fault {
        Fault::Duplicates => of(Nature::Duplicate),
        Fault::Poison => of(Nature::Poison),
        Fault::Conflicts => of(Nature::Conflict),
        Fault::Late => usize::try_from(plan.traffic.late).unwrap_or(0) * entries.len() / 100,
        _ => entries.len(),
    }
}

/// What each adapter delivered: all that the archive took, and whatever lies on the share still.
fn delivered(site: &Site, book: &Book) -> Vec<Delivered> {
    let mut delivered = Vec::new();
    for output in site.outputs() {
        let mut files = Vec::new();
        for ((adapter, name), taken) in book.iter().filter(|((adapter, _), _)| adapter == output.name) {
            debug_assert_eq!(adapter, output.name);
            let bytes = if is_output(name) { fs::read(&taken.copy).unwrap_or_default() } else { Vec::new() };
            files.push(Obtained { name: name.clone(), sha256: taken.sha256.clone(), bytes });
        }
        let share = site.share(output.name);
        for name in crate::archive::list_if_there(&share).unwrap_or_default() {
            if name.ends_with(".ack") || book.contains_key(&(output.name.to_owned(), name.clone())) {
                continue;
            }
            if let Ok(bytes) = fs::read(share.join(&name)) {
                files.push(Obtained { sha256: digest(&bytes), name, bytes });
            }
        }
        delivered.push(Delivered { adapter: output.name.to_owned(), layout: site.layout(output.name), files });
    }
    delivered
}

fn recoveries(site: &Site, ledger: &Ledger, visible: &Visible, starts: &[Start], strikes: &[Strike]) -> Vec<Recovery> {
    let canonical: Vec<_> = site.outputs().iter().filter(|output| !output.file_dump).collect();
    let mut recoveries = Vec::new();
    for (number, strike) in strikes.iter().enumerate() {
        let start = starts.iter().find(|start| start.at >= strike.began).filter(|_| strike.ended_process);
        let from = start.map_or(strike.over, |start| start.at);
        let wanted = ledger.confirmed_before(strike.began);
        let mut all_visible = Some(from);
        for output in &canonical {
            let seen = visible.get(output.name);
            for key in &wanted {
                let at = seen.and_then(|seen| seen.get(key)).copied();
                all_visible = all_visible.zip(at).map(|(latest, at)| latest.max(at));
            }
        }
        let until = all_visible.unwrap_or(from);
        let others = strikes.iter().enumerate().filter(|(other, _)| *other != number);
        let alone = others.into_iter().all(|(_, other)| other.over < strike.began || other.began > until);
        recoveries.push(Recovery {
            fault: strike.fault,
            back: start.and_then(|start| start.consuming).map(|at| at.duration_since(from).as_secs_f64()),
            caught_up: all_visible.map(|at| at.duration_since(from).as_secs_f64()),
            alone,
        });
    }
    recoveries
}
