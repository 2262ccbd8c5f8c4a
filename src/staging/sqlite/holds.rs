//! The statements about holds and the purges they exclude. What a hold covers is decided in `staging::holds`.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::write::add_act;
use super::{SqliteStaging, purge, rows, sql};
use crate::model::Ticks;
use crate::staging::commit::commit;
use crate::staging::holds::{HoldSubject, covering, need_content};
use crate::staging::keys::{key, plain, refused};
use crate::staging::{Hold, Holds, NewAct, NewHold, PurgePermit, PurgeRow, Result, Seq, SeqRange};
use crate::support::step::Commit;

/// How long an announcement of a process that died stays on record.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(86_400);

/// Events that nobody has looked at yet, sorted by whether a hold covers them.
#[derive(Default)]
pub(super) struct Sifted {
    pub(super) free: Vec<Seq>,
    /// With the hold.
    pub(super) held: Vec<(Seq, i64)>,
    /// The last one that was looked at.
    pub(super) last: Seq,
    /// Whether there were as many as asked for.
    pub(super) more: bool,
}

/// The holds that stand, as a transaction sees them.
pub(super) async fn standing(connection: &mut SqliteConnection) -> Result<Vec<Hold>> {
    let found = sqlx::query(sql::HOLDS).bind(false).fetch_all(connection).await?;
    found.iter().map(rows::hold).collect()
}

/// Looks at the next events of a range, one at a time: they may be large.
pub(super) async fn sift(
    connection: &mut SqliteConnection,
    range: SeqRange,
    holds: &[Hold],
    most: i64,
) -> Result<Sifted> {
    let query = sqlx::query(sql::HOLD_CANDIDATES).bind(range.from).bind(range.to).bind(most);
    let mut found = query.bind(need_content(holds)).bind(false).fetch(connection);
    let (mut sifted, mut count) = (Sifted::default(), 0);
    while let Some(row) = found.try_next().await? {
        (sifted.last, count) = (row.try_get("seq")?, count + 1);
        match held_by(&row, holds)? {
            Some(hold) => sifted.held.push((sifted.last, hold)),
            None => sifted.free.push(sifted.last),
        }
    }
    sifted.more = count == most;
    Ok(sifted)
}

/// Remembers which events are held.
pub(super) async fn note_held(connection: &mut SqliteConnection, held: &[(Seq, i64)]) -> Result<()> {
    for (seq, hold) in held {
        sqlx::query(sql::HOLD_EVENT).bind(*seq).bind(*hold).execute(&mut *connection).await?;
    }
    Ok(())
}

fn held_by(row: &SqliteRow, holds: &[Hold]) -> Result<Option<i64>> {
    let (source, room) = rows::hold_subject(row)?;
    let raw: Option<Vec<u8>> = row.try_get("raw")?;
    let time = rows::time(row, "time")?;
    let raw = raw.as_deref().unwrap_or_default();
    Ok(covering(holds, &HoldSubject { source: &source, room: room.as_deref(), time, raw }))
}

#[async_trait]
impl Holds for SqliteStaging {
    async fn holds(&self, all: bool) -> Result<Vec<Hold>> {
        sqlx::query(sql::HOLDS).bind(all).fetch_all(self.reader()).await?.iter().map(rows::hold).collect()
    }

    async fn place_hold(&self, hold: &NewHold, act: &NewAct) -> Result<i64> {
        let mut tx = self.begin().await?;
        let scope = &hold.scope;
        let text = |text: &Option<String>| text.as_deref().map(|text| plain(text).into_owned());
        let id = sqlx::query_scalar(sql::ADD_HOLD)
            .bind(text(&scope.room))
            .bind(text(&scope.person))
            .bind(text(&scope.source))
            .bind(scope.from.map(Ticks::ticks))
            .bind(scope.to.map(Ticks::ticks))
            .bind(act.at.ticks())
            .bind(plain(&act.who).into_owned())
            .bind(plain(&act.reason).into_owned())
            .fetch_one(&mut *tx)
            .await?;
        add_act(&mut tx, act).await?;
        commit(tx, Commit::HOLD_PLACED).await?;
        Ok(id)
    }

    async fn release_hold(&self, id: i64, act: &NewAct) -> Result<()> {
        let mut tx = self.begin().await?;
        let release = sqlx::query(sql::RELEASE_HOLD).bind(id).bind(act.at.ticks());
        if release.execute(&mut *tx).await?.rows_affected() == 0 {
            return Err(refused(format!("hold {id} does not stand: there is none, or it was released already")));
        }
        sqlx::query(sql::FREE_EVENTS).bind(id).execute(&mut *tx).await?;
        add_act(&mut tx, act).await?;
        commit(tx, Commit::HOLD_RELEASED).await
    }

    async fn begin_purge(&self, what: &str, ttl: Duration) -> Result<PurgePermit> {
        let now = Ticks::now();
        let mut tx = self.begin().await?;
        sqlx::query(sql::FORGET_PURGES).bind(now.minus(FORGOTTEN_AFTER).ticks()).execute(&mut *tx).await?;
        let add = sqlx::query_scalar(sql::ADD_PURGE).bind(key(what).into_owned()).bind(now.ticks()).bind(millis(ttl));
        let id = add.fetch_one(&mut *tx).await?;
        let holds = standing(&mut tx).await?;
        commit(tx, Commit::PURGE_BEGUN).await?;
        Ok(PurgePermit { id, holds })
    }

    async fn end_purge(&self, id: i64) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(sql::END_PURGE).bind(id).execute(&mut *tx).await?;
        commit(tx, Commit::PURGE_ENDED).await
    }

    async fn purges(&self) -> Result<Vec<PurgeRow>> {
        sqlx::query(sql::PURGES).fetch_all(self.reader()).await?.iter().map(rows::purge).collect()
    }

    async fn covered(&self, range: SeqRange, holds: &[Hold]) -> Result<Option<i64>> {
        let query = sqlx::query(sql::HOLD_CANDIDATES).bind(range.from).bind(range.to).bind(i64::MAX);
        let mut found = query.bind(need_content(holds)).bind(true).fetch(self.reader());
        while let Some(row) = found.try_next().await? {
            if let Some(hold) = held_by(&row, holds)? {
                return Ok(Some(hold));
            }
        }
        Ok(None)
    }

    async fn not_swept(&self) {
        self.returned.lock().await.clear();
    }

    async fn purge_limit(&self, adapters: &[String]) -> Result<Seq> {
        purge::limit(&mut *self.reader().acquire().await?, adapters).await
    }
}

fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)
}
