//! Faults of the file systems below staging and the shares.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Injection, Scene, Strike, lasting, strike};
use crate::error::{At as _, Outcome, Trouble};
use crate::site::{Volume, mount};

const BALLAST: &str = ".ballast";
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Somebody else fills the volume to its last byte, and deletes it all again.
pub(super) async fn full(scene: &Scene, injection: &Injection, volume: Volume) -> Outcome<Vec<Strike>> {
    let began = Instant::now();
    let ballast = scene.site.volume(volume).join(BALLAST);
    let end = began + lasting(injection);
    let outcome = loop {
        // Again and again: what the product or the archive deletes meanwhile must not give it room.
        // Another fault of the round may have made the volume read-only; that passes.
        if let Err(error) = fill(&ballast)
            && error.kind() != io::ErrorKind::ReadOnlyFilesystem
        {
            break Err(error).at("fill", &ballast);
        }
        if Instant::now() >= end {
            break Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    };
    empty(&ballast).await.at("remove", &ballast)?;
    outcome?;
    Ok(vec![strike(injection, began, false)])
}

/// Deletes the ballast, as soon as the volume can be written.
async fn empty(ballast: &Path) -> io::Result<()> {
    loop {
        match fs::remove_file(ballast) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => sleep(TRY_AGAIN).await,
            // It may have been read-only all the time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => return removed,
        }
    }
}

fn fill(ballast: &Path) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(ballast)?;
    for size in [1 << 20, 1 << 12, 1] {
        let zeros = vec![0; size];
        loop {
            match file.write(&zeros) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

pub(super) async fn read_only(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let shares = scene.site.volume(Volume::Shares);
    // Busy while a file is open for writing; that passes.
    let mut made = mount(&["-o", "remount,ro"], &shares);
    for _ in 0..300 {
        if made.is_ok() {
            break;
        }
        sleep(TRY_AGAIN).await;
        made = mount(&["-o", "remount,ro"], &shares);
    }
    made?;
    let began = Instant::now();
    sleep(lasting(injection)).await;
    mount(&["-o", "remount,rw"], &shares)?;
    Ok(vec![strike(injection, began, false)])
}

/// One share is gone, and where it was there is an empty directory, as after an unmount.
pub(super) async fn removed(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let outputs = scene.site.outputs();
    let adapter = outputs[usize::try_from(injection.choice % outputs.len() as u64).unwrap_or(0)].name;
    let share = scene.site.share(adapter);
    // Until something was published there, the product takes any empty directory for a new share, which is how one begins.
    let begun = Instant::now();
    while !scene.archive.book().keys().any(|(of, _)| of == adapter) {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(Trouble::Said(format!("adapter {adapter} has published nothing within 60 s")));
        }
        sleep(TRY_AGAIN).await;
    }
    let away = share.with_file_name(format!(".{adapter}-away"));
    fs::rename(&share, &away).at("rename", &share)?;
    let began = Instant::now();
    fs::create_dir(&share).at("create", &share)?;
    sleep(lasting(injection)).await;
    // An archive that was just about to acknowledge writes there too; that is not the product's doing.
    for entry in fs::read_dir(&share).at("list", &share)? {
        let path = entry.at("list", &share)?.path();
        if path.extension().is_some_and(|ending| ending == "ack") {
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    if fs::remove_dir(&share).is_err() {
        scene.charge(format!("{adapter}: something was written into the empty place of an absent share"));
        let kept = share.with_file_name(format!(".{adapter}-strange"));
        fs::rename(&share, &kept).at("rename", &share)?;
    }
    fs::rename(&away, &share).at("rename", &away)?;
    Ok(vec![strike(injection, began, false)])
}
