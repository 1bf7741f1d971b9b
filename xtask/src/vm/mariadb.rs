//! MariaDB in the guest, with a data directory that the machine's own server made before the guest starts: its files are
//! the same on all architectures.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::cpio::Archive;
use super::output_of;
use super::root::Sources;

const SERVER: &[&str] = &["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"];
const MESSAGES: &[&str] = &["/usr/share/mysql/english/errmsg.sys", "/usr/share/mariadb/english/errmsg.sys"];
/// A small log keeps the archive small. `tests/guest/init` starts the server with the same.
const INNODB: &[&str] = &["--innodb-data-file-path=ibdata1:10M:autoextend", "--innodb-log-file-size=4M"];

/// Packs the server: the files that have libraries of their own.
pub(super) fn pack<W: Write>(root: &mut Archive<W>, sources: &Sources<'_>) -> Result<Vec<PathBuf>> {
    let server = sources.programs.first(SERVER, "mariadb-server")?;
    root.file(Path::new("/usr/sbin/mariadbd"), &server)?;
    let messages = sources.programs.first(MESSAGES, "mariadb-server")?;
    root.file(&sources.programs.place(&messages), &messages)?;
    if let Some(share) = messages.parent().and_then(Path::parent) {
        let charsets = share.join("charsets");
        root.tree(&sources.programs.place(&charsets), &charsets, &|_| true)?;
    }
    root.tree(Path::new("/data"), &data_directory(sources)?, &|_| true)?;
    Ok(vec![server])
}

/// A data directory with the application's tables, made once for each server version and schema.
fn data_directory(sources: &Sources<'_>) -> Result<PathBuf> {
    let server = SERVER.iter().map(Path::new).find(|path| path.is_file());
    let server = server.with_context(|| format!("no {}: install mariadb-server", SERVER.join(" and no ")))?;
    let schema = sources.guest.join("schema.sql");
    let (directory, stamp) = (sources.target.join("data"), sources.target.join("data.made"));
    let wanted =
        output_of(Command::new(server).args(["--no-defaults", "--version"]))? + &fs::read_to_string(&schema)?;
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(directory);
    }
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    let location = format!("--datadir={}", directory.display());
    let mut install = Command::new("mariadb-install-db");
    install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal", &location]);
    // Each server removes what temporary tables it finds when it starts: also those of others in a shared directory.
    install.env("TMPDIR", sources.target);
    output_of(install.args(INNODB).arg(format!("--user={}", user()?)))?;
    let log = File::create(sources.target.join("schema.log"))?;
    let mut bootstrap = Command::new(server);
    bootstrap
        .args(["--no-defaults", "--bootstrap", &location])
        .args(INNODB)
        .arg(format!("--user={}", user()?));
    bootstrap.env("TMPDIR", sources.target);
    bootstrap.stdin(File::open(&schema)?).stdout(Stdio::null()).stderr(log);
    if !bootstrap.status().context("cannot run mariadbd")?.success() {
        bail!("mariadbd refuses {}: see {}/schema.log", schema.display(), sources.target.display());
    }
    fs::write(stamp, wanted)?;
    Ok(directory)
}

fn user() -> Result<String> {
    Ok(output_of(Command::new("id").arg("-un"))?.trim().to_owned())
}
