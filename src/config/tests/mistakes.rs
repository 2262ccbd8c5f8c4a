//! The mistakes people make, each with the place, the key and the words that must come back.
//!
//! Every mistake is made alone in an otherwise good configuration, and exactly one problem must be
//! reported: a rule that also fires on its neighbour's mistake fails here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::super::{ConfigError, Loader, Problem};
use super::Desk;

/// Two lines above every TOML below; so its first line is line 3.
const SOURCE: &str = "[[source]]\nuri = \"urn:a\"\n";
/// Below every TOML, unless it has adapters of its own.
const ADAPTER: &str = "\n[[adapter]]\nname = \"a\"\n";

struct Mistake {
    toml: &'static str,
    line: usize,
    key: &'static str,
    expected: &'static str,
    cure: &'static str,
}

const fn m(toml: &'static str, line: usize, key: &'static str, expected: &'static str, cure: &'static str) -> Mistake {
    Mistake { toml, line, key, expected, cure }
}

/// `DIR` stands for the directory of the configuration file.
#[rustfmt::skip]
const MISTAKES: &[Mistake] = &[
    // Names and types.
    m("[log]\nlevle = \"info\"", 4, "log.levle", "one of level, format", "did you mean level?"),
    m("[amqq]", 3, "amqq", "one of home, laboratory", "did you mean amqp?"),
    m("[intake]\ncolour = 1", 4, "intake.colour", "one of commit_events_max", "remove it"),
    m("[amqp]\npassword = \"hunter2\"", 4, "amqp.password", "one of url", "password_file, or use password_env"),
    m("[amqp]\nqueue-type = \"classic\"", 4, "amqp.queue-type", "one of url", "did you mean queue_type?"),
    m("[log]\nlevel = \"verbose\"", 4, "log.level", "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"", "choose one"),
    m("[amqp]\nqueue_type = \"Quorum\"", 4, "amqp.queue_type", "one of \"quorum\", \"classic\"", "did you mean \"quorum\"?"),
    m("[[adapter]]\nname = \"a\"\ndialect = \"lync2010\"", 5, "dialect", "one of \"full\"", "did you mean \"lync2013\"?"),
    m("[spool]\nenabled = \"true\"", 4, "spool.enabled", "true or false", "leave the quotes out"),
    m("[spool]\nenabled = 1", 4, "spool.enabled", "true or false", "write enabled = true"),
    m("[staging]\nconnections = \"8\"", 4, "staging.connections", "from 2 to 100", "leave the quotes out"),
    m("[staging]\nlease = \"4s\"", 4, "staging.lease", "5s to 1h", "set it to \"5s\" or more"),
    m("[staging]\nlease = \"2h\"", 4, "staging.lease", "5s to 1h", "set it to \"1h\" or less"),
    m("[files]\nvault = 3", 4, "files.vault", "a path", "double quotes"),
    m("[files]\nvault = \"\"", 4, "files.vault", "a path", "leave the key out"),
    m("[conversations]\npresence_lease = 20", 4, "conversations.presence_lease", "a span of time", "give it a unit: \"20s\""),
    m("[conversations]\npresence_lease = \"20 min\"", 4, "conversations.presence_lease", "a span of time", "write it like \"20m\""),
    m("[intake]\nevent_size_max = 1048576", 4, "intake.event_size_max", "a size", "write it as text"),
    m("[intake]\nevent_size_max = \"64 megs\"", 4, "intake.event_size_max", "a size", "write it like \"64MiB\""),
    m("[adapter]\nname = \"a\"", 3, "adapter", "a list of tables", "write [[adapter]]"),
    m("[[log]]\nlevel = \"info\"", 3, "log", "a section", "write [log]"),
    m("[[adapter]]\ninterval = \"5m\"", 3, "name", "text", "add name = \"vantage\""),
    m("[[adapter]]\nname = \"a\"\nparameters = { n = 1 }", 5, "parameters.n", "text", "double quotes"),
    m("[[adapter]]\nname = \"a\"\nparameters = \"n\"", 5, "parameters", "a table of texts", "write parameters = { NAME = "),
    m("[[source]]\ndescription = \"x\"", 3, "uri", "text", "add uri = "),
    // Syntax.
    m("[log]\nlevel = info", 4, "", "text in double quotes", "double quotes"),
    m("[log\nlevel = \"info\"", 3, "", "`]`", "close it"),
    m("[log]\nlevel = \"info\"\nlevel = \"warn\"", 5, "", "each key once", "keep one of the two"),
    m("[log]\nlevel \"info\"", 4, "", "`=`", "write KEY = VALUE"),
    m("[log]\nlevel = \"info", 4, "", "\"", "close it"),
    // Sources.
    m("[[source]]\nuri = \"urn:a\"", 4, "uri", "each source once", "remove one"),
    m("[[source]]\nuri = \"\"", 4, "uri", "the CloudEvents source", "as the emitter does"),
    m("[[source]]\nuri = \"urn:a b\"", 4, "uri", "a URI", "%20"),
    m("[[source]]\nuri = \"urn:a\\u0007\"", 4, "uri", "a URI", "as the emitter does"),
    // Adapters.
    m("[[adapter]]\nname = \"\"", 4, "name", "letters, digits", "give it a name"),
    m("[[adapter]]\nname = \"a b/c\"", 4, "name", "letters, digits", "write \"a-b-c\""),
    m("[[adapter]]\nname = \"a2345678901234567890123456789012345678901234567890123456789012345\"", 4, "name", "at most 64", "shorter"),
    m("[[adapter]]\nname = \"a\"\n[[adapter]]\nname = \"A\"", 6, "name", "whatever the case", "choose another name"),
    m("[[adapter]]\nname = \"a\"\ninterval = \"10s\"", 5, "interval", "1m to 30d", "set it to \"1m\" or more (or laboratory = true for tests)"),
    m("[[adapter]]\nname = \"a\"\ninterval = \"31d\"", 5, "interval", "1m to 30d", "set it to \"30d\" or less"),
    m("[[adapter]]\nname = \"a\"\npickup = \"p\"\n[[adapter]]\nname = \"b\"\npickup = \"x/../p\"", 8, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"p\"\n[[adapter]]\nname = \"b\"\npickup = \"p/b\"", 8, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"p/b\"\n[[adapter]]\nname = \"b\"\npickup = \"p\"", 8, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"spool/state/p\"", 5, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"spool/vault\"", 5, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"spool/incoming\"", 5, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"link/pickup/b\"\n[[adapter]]\nname = \"b\"", 3 + 3, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"spool\"", 5, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"repository/p\"\n[files]\nroot = \"repository\"", 5, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"p\"\n[staging]\npath = \"p/x.db\"", 5, "pickup", "a directory of its own", "choose another"),
    m("[[adapter]]\nname = \"a\"\npickup = \"file/p\"", 5, "pickup", "can be made", "choose another directory"),
    m("[[adapter]]\nname = \"a\"\ntransform = \"none.xsl\"", 5, "transform", ".xsl or .xslt", "correct the path"),
    m("[[adapter]]\nname = \"a\"\ntransform = \"filedmup\"", 5, "transform", "a shipped transform (xml, filedump,", "did you mean \"filedump\"?"),
    m("[[adapter]]\nname = \"a\"\nmax_file_size = \"5KiB\"", 5, "max_file_size", "\"1MiB\" or more", "a part holds at least one message"),
    m("[[adapter]]\nname = \"a\"\nrender = \"document\"", 5, "render", "\"whole\", \"conversation\"", "choose one of these words"),
    m("[[adapter]]\nname = \"a\"\ntransform = \"file\"", 5, "transform", ".xsl or .xslt", "ends in .xsl"),
    m("[[adapter]]\nname = \"a\"\ntransform = \"\"", 5, "transform", ".xsl or .xslt", "canonical XML"),
    m("[[adapter]]\nname = \"a\"\ntransform = \"directory.xsl\"", 5, "transform", ".xsl or .xslt", "name the file itself"),
    m("[[adapter]]\nname = \"a\"\nschema = \"none.xsd\"", 5, "schema", "an XSD file", "correct the path"),
    m("[[adapter]]\nname = \"a\"\n[adapter.parameters]\n\"1st\" = \"x\"", 6, "parameters.1st", "a letter or _", "rename it"),
    m("[[adapter]]\nname = \"a\"\nparameters = { \"c:x\" = \"\" }", 5, "parameters.c:x", "a letter or _", "rename it"),
    m("[[adapter]]\nname = \"a\"\ncollected_when = \"after:0s\"", 5, "collected_when", "the time the archive needs", "after:2h"),
    m("[[adapter]]\nname = \"a\"\ncollected_when = \"after:soon\"", 5, "collected_when", "\"after:<span>\"", "after:2h"),
    m("[[adapter]]\nname = \"a\"\ncollected_when = \"remove\"", 5, "collected_when", "\"removed\"", "did you mean \"removed\"?"),
    m("[[adapter]]\nname = \"a\"\n[adapter.limits]\nmemory = \"64MiB\"", 6, "limits.memory", "128MiB to", "\"128MiB\" or more"),
    m("[[adapter]]\nname = \"a\"\n[adapter.limits]\ntime = \"0s\"", 6, "limits.time", "1s to 1d", "\"1s\" or more"),
    m("[[adapter]]\nname = \"a\"\n[adapter.limits]\ndepth = 50000", 6, "limits.depth", "1000 to 30000", "30000 or less"),
    m("[[adapter]]\nname = \"a\"\n[adapter.limits]\noperation = 1", 6, "limits.operation", "one of memory", "did you mean operations?"),
    m("[[adapter]]\nname = \"a\"\nlimits = 3", 5, "limits", "a section", "on a line of its own"),
    m("[[adapter]]\nname = \"a\"\nmanifests_beside = true", 5, "manifests_beside", "two visits of the archive", "set keep_after_collection to \"1d\""),
    m("[[adapter]]\nname = \"a\"\nkeep_after_collection = \"3654d\"", 5, "keep_after_collection", "ten years", "use a hold"),
    // AMQP.
    m("[amqp]\nurl = \"http://h\"", 4, "amqp.url", "amqp://HOST:PORT/VHOST", "begin it with amqp://"),
    m("[amqp]\nurl = \"h:5672\"", 4, "amqp.url", "amqp://HOST:PORT/VHOST", "begin it with amqp://"),
    m("[amqp]\nurl = \"amqp:///v\"", 4, "amqp.url", "amqp://HOST:PORT/VHOST", "name the broker's host"),
    m("[amqp]\nurl = \"amqp://h:99999/v\"", 4, "amqp.url", "1 to 65535", "write 5672"),
    m("[amqp]\nurl = \"amqp://h:5672/\"", 4, "amqp.url", "amqp://HOST:PORT/VHOST", "write /%2f"),
    m("[amqp]\nurl = \"amqp://h:5672//\"", 4, "amqp.url", "amqp://HOST:PORT/VHOST", "as %2f"),
    m("[amqp]\nurl = \"amqp://h:5672/%2\"", 4, "amqp.url", "amqp://HOST:PORT/VHOST", "as %2f"),
    m("[amqp]\nurl = \"amqp://u:hunter2@h/v\"", 4, "amqp.url", "without a password", "amqp.password_file"),
    m("[amqp]\nurl = \"amqp://u@h/v\"", 4, "amqp.url", "amqp://HOST", "amqp.username"),
    m("[amqp]\nusername = \"\"", 4, "amqp.username", "a user", "name the user"),
    m("[amqp]\npassword_file = \"secret\"\npassword_env = \"FULL\"", 5, "amqp.password_env", "one of the two", "remove one"),
    m("[amqp]\npassword_file = \"none\"", 4, "amqp.password_file", "holds the password", "correct the path"),
    m("[amqp]\npassword_file = \"empty\"", 4, "amqp.password_file", "holds the password", "write the password into it"),
    m("[amqp]\npassword_file = \"exposed\"", 4, "amqp.password_file", "for Chancery's user alone", "run chmod 600 DIR/exposed"),
    m("[amqp]\npassword_file = \"directory.xsl\"", 4, "amqp.password_file", "nothing else", "name the right file"),
    m("[amqp]\npassword_env = \"NONE\"", 4, "amqp.password_env", "the name of a variable", "set NONE where Chancery is started"),
    m("[amqp]\npassword_env = \"EMPTY\"", 4, "amqp.password_env", "the name of a variable", "set EMPTY"),
    m("[amqp]\nurl = \"amqps://h\"\nca_file = \"none.pem\"", 5, "amqp.ca_file", "a PEM file", "correct the path"),
    m("[amqp]\nca_file = \"file\"", 4, "amqp.ca_file", "only for amqps://", "write the url with amqps://"),
    m("[amqp]\nurl = \"amqps://h\"\ncert_file = \"file\"", 5, "amqp.cert_file", "both or neither", "add key_file"),
    m("[amqp]\nurl = \"amqps://h\"\nkey_file = \"file\"", 5, "amqp.key_file", "both or neither", "add cert_file"),
    m("[amqp]\nqueue = \"\"", 4, "amqp.queue", "a name", "chancery.queue"),
    m("[amqp]\nexchange = \"amq.topic\"", 4, "amqp.exchange", "outside amq.", "another name"),
    m("[amqp]\nexchange = \"x\"\ndead_letter_exchange = \"x\"", 5, "amqp.dead_letter_exchange", "of its own", "another name"),
    m("[amqp]\nqueue = \"x\"\ndead_letter_exchange = \"x\"", 5, "amqp.dead_letter_exchange", "of its own", "another name"),
    m("[amqp]\nprefetch = 0", 4, "amqp.prefetch", "from 1 to 65535", "1 or more"),
    m("[amqp]\nprefetch = 70000", 4, "amqp.prefetch", "from 1 to 65535", "65535 or less"),
    m("[amqp]\nprefetch = 100", 4, "amqp.prefetch", "one commit", "2000 or more"),
    // Files over http.
    m("[[files.host]]\nallow_http = true", 3, "url", "https://HOST/", "add url = "),
    m("[[files.host]]\nurl = \"h\"", 4, "url", "https://HOST/", "begin it with https://"),
    m("[[files.host]]\nurl = \"ftp://h/\"", 4, "url", "https://HOST/", "begin it with https://"),
    m("[[files.host]]\nurl = \"https:///\"", 4, "url", "https://HOST/", "the host's name"),
    m("[[files.host]]\nurl = \"http://h/\"", 4, "url", "https://", "allow_http = true"),
    m("[[files.host]]\nurl = \"https://u:hunter2@h/\"", 4, "url", "https://HOST/", "token_file"),
    m("[[files.host]]\nurl = \"https://h/?token=hunter2\"", 4, "url", "https://HOST/", "end it with the slash"),
    m("[[files.host]]\nurl = \"https://h/files\"", 4, "url", "ends with a slash", "put a slash at its end"),
    m("[[files.host]]\nurl = \"https://H:443/\"", 4, "url", "https://HOST/", "the way it is meant"),
    m("[[files.host]]\nurl = \"https://h/a/../b/\"", 4, "url", "https://HOST/", "the way it is meant"),
    m("[[files.host]]\nurl = \"https://h/\"\n[[files.host]]\nurl = \"https://h\"", 6, "url", "each address once", "remove one"),
    m("[[files.host]]\nurl = \"https://h/\"\ntoken = \"hunter2\"", 5, "token", "one of url", "name it in token_file, or use token_env"),
    m("[[files.host]]\nurl = \"https://h/\"\nallow_privat = true", 5, "allow_privat", "one of url", "did you mean allow_private?"),
    m("[[files.host]]\nurl = \"https://h/\"\ntoken_file = \"secret\"\ntoken_env = \"FULL\"", 6, "token_env", "one of the two", "remove one"),
    m("[[files.host]]\nurl = \"https://h/\"\ntoken_file = \"exposed\"", 5, "token_file", "for Chancery's user alone", "run chmod 600 DIR/exposed"),
    m("[[files.host]]\nurl = \"https://h/\"\ntoken_file = \"none\"", 5, "token_file", "holds the token", "correct the path"),
    m("[[files.host]]\nurl = \"https://h/\"\ntoken_env = \"NONE\"", 5, "token_env", "holds the token", "set NONE where Chancery is started, or use token_file"),
    m("[[files.host]]\nurl = \"https://h/\"\nca_file = \"none\"", 5, "ca_file", "a PEM file", "correct the path"),
    m("[[files.host]]\nurl = \"http://h/\"\nallow_http = true\nca_file = \"file\"", 6, "ca_file", "only for https://", "write the url with https://"),
    m("[evidence]\ntsa = \"tsa.firm.example\"", 4, "evidence.tsa", "https://HOST/PATH or http://HOST/PATH", "begin it with https://"),
    m("[evidence]\ntsa = \"ftp://h/\"", 4, "evidence.tsa", "https://HOST/PATH", "begin it with https:// or http://"),
    m("[evidence]\ntsa = \"https://me@h/\"", 4, "evidence.tsa", "https://HOST/PATH", "tsa_token_file"),
    m("[evidence]\ntsa = \"http://h/\"\ntsa_token_env = \"FULL\"", 4, "evidence.tsa", "https://", "begin it with https://"),
    m("[evidence]\ntsa_interval = \"2d\"", 4, "evidence.tsa_interval", "0s to 1d", "\"1d\" or less"),
    m("[files]\nmedia = \"https://h/m/\"", 4, "files.media", "below the url of a [[files.host]]", "add [[files.host]] with url = \"https://h/\""),
    m("[files]\nmedia = \"https://h.b/m/\"\n[[files.host]]\nurl = \"https://h/\"", 4, "files.media", "below the url of a [[files.host]]", "add [[files.host]]"),
    m("[files]\nmedia = \"https://h/m\"\n[[files.host]]\nurl = \"https://h/\"", 4, "files.media", "ends with a slash", "put a slash"),
    m("[files]\nhost = 3", 4, "files.host", "a list of tables", "write [[files.host]]"),
    m("[files]\nfetch_timeout = \"2d\"", 4, "files.fetch_timeout", "1s to 1d", "\"1d\" or less"),
    m("[files]\nfetch_idle_timeout = \"0s\"", 4, "files.fetch_idle_timeout", "1s to 1h", "\"1s\" or more"),
    m("[files]\nfetch_connect_timeout = \"2h\"", 4, "files.fetch_connect_timeout", "1s to 1h", "\"1h\" or less"),
    m("[files]\nfetch_size_max = \"0B\"", 4, "files.fetch_size_max", "or more", "to fetch nothing"),
    // Intake, spool, conversations.
    m("[intake]\ncommit_events_max = 0", 4, "intake.commit_events_max", "from 1 to 10000", "1 or more"),
    m("[intake]\ncommit_events_max = 10001", 4, "intake.commit_events_max", "from 1 to 10000", "10000 or less"),
    m("[intake]\ncommit_events_max = -1", 4, "intake.commit_events_max", "from 1 to 10000", "1 or more"),
    m("[intake]\ncommit_delay = \"11s\"", 4, "intake.commit_delay", "0s to 10s", "\"10s\" or less"),
    m("[intake]\nevent_size_max = \"1023B\"", 4, "intake.event_size_max", "1KiB to 512MiB", "\"1KiB\" or more"),
    m("[intake]\nevent_size_max = \"1GiB\"", 4, "intake.event_size_max", "1KiB to 512MiB", "\"512MiB\" or less"),
    m("[spool]\nscan_interval = \"50ms\"", 4, "spool.scan_interval", "100ms to 1h", "\"100ms\" or more"),
    m("[spool]\nscan_interval = \"2h\"", 4, "spool.scan_interval", "100ms to 1h", "\"1h\" or less"),
    m("[spool]\nenabled = false", 4, "spool.enabled", "at least one way in", "add [amqp]"),
    m("[access]\nofficers = { jane = \"Jane\" }", 4, "access.officers", "numeric ids", "id -u NAME"),
    m("[completeness]\npatience = \"2d\"", 4, "completeness.patience", "0s to 1d", "\"1d\" or less"),
    m("[conversations]\npresence_lease = \"0s\"", 4, "conversations.presence_lease", "1s to 7d", "\"1s\" or more"),
    m("[conversations]\npresence_lease = \"8d\"", 4, "conversations.presence_lease", "1s to 7d", "\"7d\" or less"),
    // Staging.
    m("[staging]\nstore = \"postgres\"", 3, "staging.url", "the address", "add url = "),
    m("[staging]\nstore = \"mysql\"", 4, "staging.store", "one of \"sqlite\", \"postgres\"", "choose one"),
    m("[staging]\nurl = \"postgres://h/d\"", 4, "staging.url", "only for \"postgres\"", "staging.store = \"postgres\""),
    m("[staging]\npath = \"directory.xsl\"", 4, "staging.path", "a file", "staging.db"),
    m("[staging]\nstore = \"postgres\"\nurl = \"postgres://h/d\"\npath = \"x.db\"", 6, "staging.path", "only for \"sqlite\"", "remove this key"),
    m("[staging]\nstore = \"postgres\"\nurl = \"mysql://h/d\"", 5, "staging.url", "postgres://USER@HOST", "begin it with postgres://"),
    m("[staging]\nstore = \"postgres\"\nurl = \"postgres:///d\"", 5, "staging.url", "postgres://USER@HOST", "name the server"),
    m("[staging]\nstore = \"postgres\"\nurl = \"postgres://h:0/d\"", 5, "staging.url", "1 to 65535", "write 5432"),
    m("[staging]\nstore = \"postgres\"\nurl = \"postgres://u:hunter2@h/d\"", 5, "staging.url", "without a password", "staging.password_file"),
    m("[staging]\nstore = \"postgres\"\nurl = \"postgres://u@h/d?password=hunter2\"", 5, "staging.url", "without a password", "staging.password_file"),
    m("[staging]\nstore = \"postgres\"\nurl = \"postgres://h/d\"\nschema = \"Big-One\"", 6, "staging.schema", "small letters", "choose another name"),
    m("[staging]\nconnections = 1", 4, "staging.connections", "from 2 to 100", "2 or more"),
    m("[staging]\nconnections = 101", 4, "staging.connections", "from 2 to 100", "100 or less"),
    // Places.
    m("[files]\nroot = \"none\"", 4, "files.root", "directory of uploaded files", "mount it"),
    m("[files]\nroot = \"repository\"\nvault = \"repository\"", 4, "files.root", "neither inside the other", "another directory"),
    m("[files]\nroot = \"repository\"\nvault = \"repository/vault\"", 4, "files.root", "neither inside the other", "another directory"),
    m("[staging]\npath = \"file/x.db\"", 4, "staging.path", "can be made", "choose another directory"),
    m("[files]\nvault = \"file/vault\"", 4, "files.vault", "can be made", "choose another directory"),
];

/// What the mistakes refer to, beside the configuration file.
fn furnish(desk: &Desk) {
    let path = |name: &str| desk.path().join(name);
    for (name, text, mode) in
        [("secret", "x", 0o600), ("empty", "\n", 0o600), ("exposed", "x", 0o644), ("file", "x", 0o644)]
    {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for name in ["directory.xsl", "repository", "spool"] {
        fs::create_dir(path(name)).unwrap();
    }
    std::os::unix::fs::symlink(path("spool"), path("link")).unwrap();
}

/// What is wrong with what was reported; `None` if it is just the problem that was made.
fn objection(problems: &[Problem], mistake: &Mistake, cure: &str) -> Option<String> {
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let [problem] = problems else { return Some(format!("expected one problem, found {told:#?}")) };
    let right = problem.key == mistake.key
        && problem.place.line() == Some(mistake.line)
        && problem.expected.contains(mistake.expected)
        && problem.cure.contains(cure)
        && !told[0].contains("hunter2");
    (!right).then(|| told[0].clone())
}

fn only(desk: &Desk, label: &str) -> Problem {
    let problems = desk.problems();
    assert_eq!(problems.len(), 1, "{label}\n{problems:#?}");
    problems.into_iter().next().unwrap()
}

fn assert_says(problem: &Problem, label: &str, key: &str, expected: &str, cure: &str) {
    assert_eq!(problem.key, key, "{label}\n{problem}");
    assert!(problem.expected.contains(expected), "{label}\n{problem}");
    assert!(problem.cure.contains(cure), "{label}\n{problem}");
    assert!(!problem.to_string().contains("hunter2"), "{label}: a password is shown");
}

#[test]
fn every_mistake_is_told_with_its_place_and_its_cure() {
    let mut objections = Vec::new();
    for mistake in MISTAKES {
        let adapter = if mistake.toml.contains("adapter]") { "" } else { ADAPTER };
        let text = format!("{SOURCE}{}{adapter}", mistake.toml);
        let desk = Desk::new(&text).variable("FULL", "x").variable("EMPTY", "");
        furnish(&desk);
        let problems = desk.problems();
        let cure = mistake.cure.replace("DIR", &desk.path().to_string_lossy());
        if let Some(objection) = objection(&problems, mistake, &cure) {
            objections.push(format!("{}\n  line {}: {objection}", mistake.toml, mistake.line));
        }
    }
    assert!(objections.is_empty(), "{}", objections.join("\n\n"));
}

#[test]
fn the_environment_and_arguments_have_their_own_mistakes() {
    type Case = (&'static str, &'static str, &'static str, &'static str);
    let variables: [Case; 7] = [
        ("CHANCERY__LOG__LEVLE=info", "log.levle", "one of level", "did you mean level?"),
        ("CHANCERY__LOG__LEVEL=", "log.level", "a value", "unset the variable"),
        ("CHANCERY__LOG=info", "log", "a key", "log.level"),
        ("CHANCERY__ADAPTER__0__NAME=b", "adapter.0.name", "no variable can name", "--set adapter.NAME.KEY"),
        ("CHANCERY__SOURCE__0__URI=b", "source.0.uri", "no variable can name", "[[source]]"),
        (
            "CHANCERY__FILES__HOST__0__URL=https://h/",
            "files.host",
            "outside lists",
            "write it as [[files.host]] in the file",
        ),
        ("CHANCERY__SPOOL__ENABLED=yes", "spool.enabled", "true or false", "write enabled = true"),
    ];
    for (text, key, expected, cure) in variables {
        let (name, value) = text.split_once('=').unwrap();
        let desk = Desk::new(&format!("{SOURCE}{ADAPTER}")).variable(name, value);
        let problem = only(&desk, text);
        assert_says(&problem, text, key, expected, cure);
        assert_eq!(problem.place.to_string(), format!("environment variable {name}"));
    }
    let arguments: [Case; 10] = [
        ("home=file/x", "home", "can be made", "choose another directory"),
        ("log.level", "log.level", "KEY=VALUE", "write --set KEY=VALUE"),
        ("log=debug", "log", "a key", "log.level"),
        ("log.level.x=debug", "level.x", "the name of a key", "set level itself"),
        ("adapter.b.interval=5m", "adapter.b.interval", "one of the names a", "adapter.a.KEY"),
        ("adapter.interval=5m", "adapter.interval", "adapter.NAME.KEY", "adapter.vantage.interval"),
        ("adapter.a.intervall=5m", "intervall", "one of name", "did you mean interval?"),
        ("adapter.a.interval=5", "interval", "a span of time", "write it like \"15m\""),
        ("source.0.uri=x", "source.0.uri", "outside [[source]]", "[[source]]"),
        ("amqp.url=amqp://u:hunter2@h/v", "amqp.url", "without a password", "amqp.password_file"),
    ];
    for (text, key, expected, cure) in arguments {
        let desk = Desk::new(&format!("{SOURCE}{ADAPTER}")).argument(text);
        furnish(&desk);
        let problem = only(&desk, text);
        assert_says(&problem, text, key, expected, cure);
        let name = text.split('=').next().unwrap();
        assert_eq!(problem.place.to_string(), format!("--set {name}"));
    }
}

#[test]
fn an_empty_file_lacks_sources_and_adapters() {
    let problems = Desk::new("").problems();
    let told: Vec<(&str, Option<usize>)> = problems.iter().map(|p| (p.key.as_str(), p.place.line())).collect();
    assert_eq!(told, [("source", Some(1)), ("adapter", Some(1))]);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "hoem = \"x\"\n[[source]]\nuri = \"urn:a\"\n[log]\nlevel = \"loud\"\n[intake]\ncommit_delay = \"1h\"\n\
                [[adapter]]\nname = \"a\"\ninterval = \"10s\"\n[[adapter]]\nname = \"A\"\nschema = \"none\"\n";
    let lines: Vec<_> = Desk::new(text).problems().iter().filter_map(|problem| problem.place.line()).collect();
    assert_eq!(lines, [1, 5, 7, 10, 12, 13]);
}

#[test]
fn a_problem_reads_like_a_sentence() {
    let desk = Desk::new(&format!("{SOURCE}[[adapter]]\nname = \"vantage\"\n  interval = \"10s\"\n"));
    assert_eq!(
        desk.problems()[0].to_string(),
        "chancery.toml:5:3: adapter \"vantage\": interval is \"10s\"; expected 1m to 30d; set it to \"1m\" or more \
         (or laboratory = true for tests)"
    );
    let twice = Desk::new(&format!("{SOURCE}{SOURCE}{ADAPTER}"));
    assert_eq!(
        twice.problems()[0].to_string(),
        "chancery.toml:4:1: source 2: uri is \"urn:a\", which source 1 at chancery.toml:2:1 has too; expected each \
         source once; remove one of the two"
    );
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let desk = Desk::new("");
    let file = desk.path().join("chancery.toml");
    let load = || desk.loader().load().unwrap_err();
    fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(matches!(load(), ConfigError::TooLarge(_)));
    fs::write(&file, b"# \n# \xff\n").unwrap();
    assert!(matches!(load(), ConfigError::NotText { line: 2, .. }));
    let named = Loader::new().environment([]).file(Some(desk.path().join("none.toml")));
    assert!(matches!(named.load().unwrap_err(), ConfigError::Unreadable(_)));
}

#[test]
fn without_a_file_the_way_to_make_one_is_told() {
    // A machine with a system-wide configuration finds that one instead.
    if std::path::Path::new("/etc/chancery/chancery.toml").exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let error = Loader::new().directory(dir.path().to_owned()).environment([]).load().unwrap_err();
    assert!(matches!(error, ConfigError::NotFound));
    let report = crate::errors::Failure::from(error).report();
    assert!(report.contains("chancery config sample > chancery.toml"), "{report}");
}

proptest! {
    /// Whatever stands in the file, the environment or the arguments: an answer, never a panic.
    #[test]
    fn nothing_anyone_writes_makes_loading_panic(
        lines in prop::collection::vec(
            "\\[{1,2}(amqp|log|adapter|source|staging)\\]{1,2}|[a-z_]{1,9} = (\\PC{0,9}|\"\\PC{0,9}\"|[0-9]{1,30})|\\PC{0,20}",
            0..8,
        ),
        name in "(AMQP|ADAPTER|LOG|)(__[A-Z_.]{0,8}){0,3}",
        argument in "(amqp|adapter|log|source|)(\\.[a-z]{0,5}){0,3}=?\\PC{0,9}",
    ) {
        let text = format!("{SOURCE}{}{ADAPTER}", lines.join("\n"));
        let desk = Desk::new(&text).variable(&format!("CHANCERY__{name}"), "1").argument(&argument);
        for problem in desk.problems() {
            prop_assert!(!problem.to_string().is_empty());
        }
    }
}
