//! For the tests of intake: a staging that keeps what it gets in memory and can be told to fail.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::config::{Config, Source};
use crate::staging::{Arrivals, NewQuarantined, Result, StageEvents, Staged, StagingError};

/// Everything staged, by source and id, with every content that came under one key.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    kept: Mutex<Kept>,
    away: AtomicBool,
    broken: AtomicBool,
    hanging: AtomicBool,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) events: BTreeMap<(String, String), Vec<Vec<u8>>>,
    pub(super) quarantined: Vec<NewQuarantined>,
    pub(super) duplicates: u64,
    pub(super) commits: u64,
    pub(super) largest: usize,
}

impl Recorder {
    /// While away, every call fails as if the database could not be reached.
    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// While hanging, no commit is answered.
    pub(super) fn set_hanging(&self, hanging: bool) {
        self.hanging.store(hanging, Ordering::SeqCst);
    }

    /// From now on every call fails as if retrying were no use.
    pub(super) fn set_broken(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// Calls that failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    pub(super) fn look<T>(&self, at: impl FnOnce(&Kept) -> T) -> T {
        at(&self.kept.lock().unwrap())
    }

    pub(super) fn len(&self) -> usize {
        self.look(|kept| kept.events.len())
    }

    /// The ids staged, sorted, whatever their source.
    pub(super) fn ids(&self) -> Vec<String> {
        self.look(|kept| kept.events.keys().map(|(_, id)| id.clone()).collect())
    }

    fn answer(&self) -> Result<()> {
        let detail = "told to fail".to_owned();
        let error = match (self.broken.load(Ordering::SeqCst), self.away.load(Ordering::SeqCst)) {
            (true, _) => StagingError::Broken { detail },
            (false, true) => StagingError::Unavailable { detail },
            (false, false) => return Ok(()),
        };
        self.failures.fetch_add(1, Ordering::SeqCst);
        Err(error)
    }
}

#[async_trait]
impl StageEvents for Recorder {
    async fn ping(&self) -> Result<()> {
        self.answer()
    }

    async fn stage(&self, batch: &Arrivals) -> Result<Staged> {
        tokio::task::yield_now().await;
        while self.hanging.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.answer()?;
        let mut kept = self.kept.lock().unwrap();
        let mut staged = Staged::default();
        for event in &batch.events {
            let contents = kept.events.entry((event.source.to_string(), event.id.clone())).or_default();
            if contents.contains(&event.raw) {
                staged.duplicates += 1;
                continue;
            }
            staged.conflicts += u64::from(!contents.is_empty());
            contents.push(event.raw.clone());
            staged.kept += 1;
        }
        kept.quarantined.extend_from_slice(&batch.quarantined);
        staged.quarantined = batch.quarantined.len() as u64;
        kept.duplicates += staged.duplicates;
        kept.commits += 1;
        kept.largest = kept.largest.max(batch.events.len());
        Ok(staged)
    }
}

/// The source that tests write from.
pub(super) const SOURCE: &str = "/chat/test";

/// A configuration that believes [`SOURCE`] and has neither AMQP nor adapters.
pub(super) fn config() -> Config {
    Config {
        source: vec![Source { uri: SOURCE.into(), description: String::new(), silence: None }],
        ..Config::default()
    }
}

/// A posted message of [`SOURCE`].
pub(super) fn posted(id: &str) -> Vec<u8> {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"{SOURCE}","type":"chat.message.posted","subject":"room:1","time":"2026-11-22T10:15:00Z","data":{{"sender":{{"id":7,"uri":"sip:ada@firm.example"}},"message":{{"id":1,"text":"hello {id}"}}}}}}"#
    )
    .into_bytes()
}
