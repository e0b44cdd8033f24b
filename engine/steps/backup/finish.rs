//! From a dump to a backup: compressed, read back, summed up, put on disk, described, and given its name, in this order. The
//! rename is the moment from which it is a backup.

use super::super::archive::{self, Manifest, Packing, Reading, blocking};
use super::super::attempt::{Attempt, Unit};
use super::super::stop::{self, Stop};
use super::Chosen;
use crate::clock;
use crate::plan::action::Backup;
use crate::run::{Failure, Outputs};
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Proves what was dumped and lets it appear.
pub async fn finish(attempt: &Attempt, action: &Backup, chosen: &Chosen) -> Result<Outputs, Stop> {
    if chosen.packing != Packing::None {
        pack(attempt, chosen).await?;
    }
    let manifest = verify(attempt, action, chosen).await?;
    let path = chosen.partial();
    if chosen.path.exists() {
        let why = "something has appeared under this name";
        return Err(archive::unusable("exists", &chosen.path, why).into());
    }
    manifest.write(&chosen.path)?;
    let named = std::fs::rename(&path, &chosen.path).and_then(|()| archive::sync_directory(&chosen.path));
    named.map_err(|error| Failure::new("runplan::backup::rename", format!("{}: {error}", path.display())))?;
    Ok(outputs(chosen, &manifest))
}

/// Reads everything back while its files are summed up and put on disk.
async fn verify(attempt: &Attempt, action: &Backup, chosen: &Chosen) -> Result<Manifest, Stop> {
    let path = chosen.partial();
    let kind = archive::recognise(&path)?;
    let teller = attempt.clone();
    let total = Some(chosen.database_bytes);
    let reading = Reading {
        progress: Arc::new(move |bytes| teller.progress("reading back", bytes, total, Unit::Bytes)),
        ..Reading::new(&attempt.world.programs, &attempt.cancelled)
    };
    let (read, cancelled) = (path.clone(), attempt.cancelled.clone());
    let sums = blocking(move || archive::sums(&read, true, &|_| !cancelled.is_cancelled()));
    let (summary, files) = tokio::try_join!(archive::read_back(&reading, &path, kind), sums)?;
    if !kind.is_archive() && !summary.is_complete_dump() {
        let why = "pg_dump's first or last line is missing";
        return Err(archive::unusable("cut_short", &path, why).into());
    }
    let now = clock::now();
    let kept = action.keep.and_then(|keep| now.checked_add(keep.std()).ok());
    Ok(Manifest {
        format: 1,
        run: attempt.world.run.as_str().to_owned(),
        step: attempt.step.id.value.as_str().to_owned(),
        kind,
        sha256: archive::whole(&files),
        bytes: files.iter().map(|file| file.bytes).sum(),
        files,
        client_version: chosen.client_version.clone(),
        server: chosen.server.clone(),
        taken_at: chosen.taken_at.clone(),
        verified_at: now.to_string(),
        rows: summary.rows.values().sum(),
        tables: summary.rows.iter().map(|(name, rows)| (name.clone(), (*rows).into())).collect(),
        database_bytes: chosen.database_bytes,
        scope: scope(attempt, action).await?,
        record: chosen.record.clone(),
        needs: Some(archive::Needs::of(&summary)),
        kept_until: kept.map(|at| at.to_string()),
    })
}

/// What was left out on purpose.
async fn scope(attempt: &Attempt, action: &Backup) -> Result<Map<String, Value>, Failure> {
    let mut scope = Map::new();
    for (name, texts) in
        [("tables", &action.tables), ("exclude_tables", &action.exclude_tables), ("schemas", &action.schemas)]
    {
        if let Some(texts) = texts {
            let mut values = Vec::new();
            for text in texts {
                values.push(attempt.plain(text).await?);
            }
            scope.insert(name.to_owned(), json!(values));
        }
    }
    Ok(scope)
}

/// A backup that is there already, if it is this attempt's and every byte of it is right.
pub async fn recognise(attempt: &Attempt, chosen: &Chosen) -> Result<Option<Outputs>, Stop> {
    if !chosen.path.exists() {
        return Ok(None);
    }
    let Some(manifest) = Manifest::read(&chosen.path)? else { return Ok(None) };
    let (run, step) = (attempt.world.run.as_str(), attempt.step.id.value.as_str());
    if manifest.run != run || manifest.step != step {
        return Ok(None);
    }
    let (path, cancelled) = (chosen.path.clone(), attempt.cancelled.clone());
    let proved = manifest.clone();
    let proof = blocking(move || proved.prove(&path, &|_| !cancelled.is_cancelled())).await;
    match proof {
        Ok(()) => Ok(Some(outputs(chosen, &manifest))),
        Err(_) if attempt.cancelled.is_cancelled() => Err(stop::cancelled().into()),
        Err(failure) => Err(failure.into()),
    }
}

fn outputs(chosen: &Chosen, manifest: &Manifest) -> Outputs {
    let mut outputs = Outputs::new();
    let mut give = |name: &str, value: Value| drop(outputs.insert(name.to_owned(), value));
    give("path", chosen.path.display().to_string().into());
    give("sha256", manifest.sha256.clone().into());
    give("bytes", manifest.bytes.into());
    give("tables", manifest.tables.len().into());
    give("rows", manifest.rows.into());
    give("taken_at", manifest.taken_at.clone().into());
    // For a later `unchanged_since`.
    give("record", Value::Object(manifest.record.clone()));
    if let Some(kept) = &manifest.kept_until {
        give("kept_until", kept.clone().into());
    }
    outputs
}

/// Compresses plain SQL; then what pg_dump wrote goes.
async fn pack(attempt: &Attempt, chosen: &Chosen) -> Result<(), Stop> {
    let (from, to) = (chosen.dumped(), chosen.partial());
    if !from.exists() && to.exists() {
        // It was packed before the interruption: the text only goes when that is done.
        return Ok(());
    }
    let (packing, cancelled) = (chosen.packing, attempt.cancelled.clone());
    blocking(move || {
        pack_file(&from, &to, packing, &cancelled)
            .and_then(|()| std::fs::remove_file(&from))
            .map_err(|error| Failure::new("runplan::backup::compress", format!("{}: {error}", to.display())))
    })
    .await
    .map_err(|failure| if attempt.cancelled.is_cancelled() { stop::cancelled() } else { failure }.into())
}

fn pack_file(from: &Path, to: &Path, packing: Packing, cancelled: &CancellationToken) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let mut text = std::fs::File::open(from)?;
    let file = match packing {
        Packing::None => file,
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
            copy(&mut text, &mut encoder, cancelled)?;
            encoder.finish()?
        }
        Packing::Zstd => {
            let mut encoder = zstd::Encoder::new(file, 3)?;
            encoder.include_checksum(true)?;
            copy(&mut text, &mut encoder, cancelled)?;
            encoder.finish()?
        }
        Packing::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, file);
            copy(&mut text, &mut encoder, cancelled)?;
            encoder.finish().map_err(std::io::Error::other)?
        }
    };
    file.sync_all()
}

fn copy(from: &mut impl Read, to: &mut impl Write, cancelled: &CancellationToken) -> std::io::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        if cancelled.is_cancelled() {
            return Err(std::io::Error::other("it was cancelled"));
        }
        to.write_all(&chunk[..count])?;
    }
}
