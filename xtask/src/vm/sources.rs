//! Which package archives this machine uses, and where in them each kernel may lie.
//!
//! No archive's address is written here: all come from apt's own source files, in both of their formats
//! (sources.list(5)).

use std::fs;
use std::path::Path;

/// A suite of an archive, as one line of a `sources.list` names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suite {
    pub(super) uri: String,
    pub(super) name: String,
}

/// Which of Debian's archives a suite lies in: each has an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Releases, their point updates and backports.
    Main,
    /// Security updates.
    Security,
}

const RELEASES: &[&str] =
    &["buster", "bullseye", "bookworm", "trixie", "forky", "sid", "stable", "oldstable", "testing"];

/// All suites that the machine's apt uses.
pub(super) fn of_this_machine(etc_apt: &Path) -> Vec<Suite> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc_apt.join("sources.list.d")) {
        let mut parts: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        files.extend(parts);
    }
    let parse = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line(&text),
            Some("sources") => deb822(&text),
            _ => Vec::new(),
        }
    };
    files.iter().flat_map(parse).collect()
}

/// `deb [option=value …] URI SUITE COMPONENT…`
fn one_line(text: &str) -> Vec<Suite> {
    let parse = |line: &str| {
        let mut rest = line.trim().strip_prefix("deb ")?.trim_start();
        if rest.starts_with('[') {
            rest = rest.split_once(']')?.1;
        }
        let mut words = rest.split_whitespace();
        Some(Suite { uri: words.next()?.to_owned(), name: words.next()?.to_owned() })
    };
    text.lines().filter_map(parse).collect()
}

/// Stanzas of `Field: value` lines, continued by lines that begin with a blank.
fn deb822(text: &str) -> Vec<Suite> {
    let mut suites = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    // The empty line closes the last stanza.
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            suites.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    suites
}

fn stanza(fields: &[(String, String)]) -> Vec<Suite> {
    let words = |wanted: &'static str| {
        fields.iter().filter(move |(name, _)| name == wanted).flat_map(|(_, value)| value.split_whitespace())
    };
    let off = words("enabled").any(|word| word.eq_ignore_ascii_case("no"));
    if off || !words("types").any(|word| word == "deb") {
        return Vec::new();
    }
    let suites = |uri: &str| {
        let uri = uri.to_owned();
        words("suites").map(move |name| Suite { uri: uri.clone(), name: name.to_owned() })
    };
    words("uris").flat_map(suites).collect()
}

/// Where to look for a kernel that lies in one of `wanted`, best first: the archives that the machine uses, then, for
/// releases that have left them, the part of the mirror for old releases.
pub(super) fn candidates(machine: &[Suite], wanted: &[(Part, &str)]) -> Vec<Suite> {
    let (main, security) = (bases(machine, Part::Main), bases(machine, Part::Security));
    let mut current = Vec::new();
    let mut old = Vec::new();
    for (part, name) in wanted {
        for uri in if *part == Part::Main { &main } else { &security } {
            current.push(Suite { uri: uri.clone(), name: (*name).to_owned() });
            if let Some((mirror, archive)) = uri.trim_end_matches('/').rsplit_once('/') {
                old.push(Suite {
                    uri: format!("{mirror}/debian-archive/{archive}"),
                    name: (*name).to_owned(),
                });
            }
        }
    }
    current.extend(old);
    current
}

/// Addresses of Debian's archives of one kind; a mirror whose security archive is not used has it beside the main one.
fn bases(machine: &[Suite], part: Part) -> Vec<String> {
    let mut uris = Vec::new();
    let mut add = |uri: String| {
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    };
    for suite in machine {
        let release = suite.name.split(['-', '/']).next().unwrap_or_default();
        let is_security = suite.name.contains("security") || suite.name.ends_with("/updates");
        if RELEASES.contains(&release) && is_security == (part == Part::Security) {
            add(suite.uri.clone());
        }
    }
    if part == Part::Security {
        for uri in bases(machine, Part::Main) {
            add(format!("{}-security", uri.trim_end_matches('/')));
        }
    }
    uris
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(uri: &str, name: &str) -> Suite {
        Suite { uri: uri.to_owned(), name: name.to_owned() }
    }

    const DEB822: &str = "\
Types: deb deb-src
# a comment
URIs: http://mirror.test/debian
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/some.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://mirror.test/disabled
Suites: bookworm
Enabled: no

Types: deb
URIs: http://other.test/node
Suites: nodistro";

    #[test]
    fn both_formats_are_read() {
        let expected = [
            suite("http://mirror.test/debian", "bookworm"),
            suite("http://mirror.test/debian", "bookworm-updates"),
            suite("http://mirror.test/debian-security", "bookworm-security"),
            suite("http://other.test/node", "nodistro"),
        ];
        assert_eq!(deb822(DEB822), expected);
        let lines = "# deb http://no.test/debian bookworm main\n\
                     deb [arch=amd64 signed-by=/k.gpg] http://a.test/debian bookworm main contrib\n\
                     deb-src http://a.test/debian bookworm main\n\
                     deb http://b.test/debian trixie main\n";
        let expected = [suite("http://a.test/debian", "bookworm"), suite("http://b.test/debian", "trixie")];
        assert_eq!(one_line(lines), expected);
    }

    #[test]
    fn old_releases_are_looked_for_last() {
        let found =
            candidates(&deb822(DEB822), &[(Part::Security, "bullseye-security"), (Part::Main, "bullseye")]);
        let expected = [
            suite("http://mirror.test/debian-security", "bullseye-security"),
            suite("http://mirror.test/debian", "bullseye"),
            suite("http://mirror.test/debian-archive/debian-security", "bullseye-security"),
            suite("http://mirror.test/debian-archive/debian", "bullseye"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_machine_without_debian_has_no_candidates() {
        let machine = [suite("http://mirror.test/ubuntu", "noble")];
        assert!(candidates(&machine, &[(Part::Main, "bullseye")]).is_empty());
    }
}
