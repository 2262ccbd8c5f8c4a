//! Configurations that are right, how layers win over each other, and what is explained of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{
    ByteSize, CollectedWhen, Dialect, ExplainRow, LogLevel, MatrixBridge, Origin, QueueType, Span, Store, explain,
};
use super::Desk;

const SMALL: &str = "[[source]]\nuri = \"urn:a\"\n[[adapter]]\nname = \"vantage\"\n";

fn row<'a>(rows: &'a [ExplainRow], key: &str) -> &'a ExplainRow {
    rows.iter().find(|row| row.key == key).unwrap()
}

#[test]
fn a_small_file_is_enough() {
    let desk = Desk::new(SMALL);
    let config = desk.loader().load().unwrap().config;
    let adapter = &config.adapter[0];
    assert_eq!(config.home, desk.path().join("spool"));
    assert_eq!(config.pickup_dir(adapter), desk.path().join("spool/pickup/vantage"));
    assert_eq!((adapter.interval, adapter.dialect), (Span::from_secs(900), Dialect::Full));
    assert_eq!(config.amqp, None);
}

#[test]
fn a_large_file_is_read_whole() {
    let desk = Desk::new(
        r#"
        home = "/var/lib/chancery"
        [[source]]
        uri = "urn:a"
        [[source]]
        uri = "urn:A"
        [amqp]
        url = "amqps://broker.example.com/chat%2fprod?heartbeat=30"
        username = "chancery"
        password_env = "BROKER"
        ca_file = "tls/ca.pem"
        queue_type = "classic"
        [intake]
        event_size_max = "512MiB"
        [staging]
        store = "postgres"
        url = "postgres://chancery@db:5432/chancery?sslmode=verify-full"
        password_file = "tls/../password"
        [files]
        root = "repository"
        [[adapter]]
        name = "one"
        interval = "30d"
        transform = "tls/one.XSL"
        collected_when = "after:2h"
        dialect = "lync2013"
        keep_after_collection = "3653d"
        pickup = "out/one"
        [adapter.parameters]
        tenant = "emea"
        "größe.x" = ""
        [[adapter]]
        name = "two"
        pickup = "out/one-more"
        "#,
    )
    .variable("BROKER", "x");
    for directory in ["tls", "repository"] {
        fs::create_dir(desk.path().join(directory)).unwrap();
    }
    for file in ["tls/ca.pem", "tls/one.XSL", "password"] {
        fs::write(desk.path().join(file), "x").unwrap();
    }
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(desk.path().join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    let config = desk.loader().load().unwrap().config;
    let amqp = config.amqp.as_ref().unwrap();
    assert_eq!(amqp.ca_file, Some(desk.path().join("tls/ca.pem")));
    assert_eq!(amqp.queue_type, QueueType::Classic);
    assert_eq!(config.staging.store, Store::Postgres);
    assert_eq!(config.intake.event_size_max, ByteSize::new(512 << 20));
    assert_eq!(config.files.root, Some(desk.path().join("repository")));
    let one = config.adapter_named("one").unwrap();
    assert_eq!(one.collected_when, CollectedWhen::After(Span::from_secs(7200)));
    assert_eq!(one.transform.as_deref().map(Path::new), Some(desk.path().join("tls/one.XSL").as_path()));
    assert_eq!(one.parameters["tenant"], "emea");
    assert_eq!(config.state_dir(), PathBuf::from("/var/lib/chancery/state"));
}

#[test]
fn the_laboratory_allows_a_second_but_not_less() {
    let with = |interval: &str| Desk::new(&format!("laboratory = true\n{SMALL}interval = \"{interval}\"\n")).problems();
    assert_eq!(with("1s"), []);
    assert_eq!(with("999ms")[0].cure, "set it to \"1s\" or more");
}

#[test]
fn later_layers_win() {
    let text = format!("{SMALL}[log]\nlevel = \"error\"\nformat = \"json\"\n");
    let file = Desk::new(&text);
    assert_eq!(file.loader().load().unwrap().config.log.level, LogLevel::Error);
    let variable = Desk::new(&text).variable("CHANCERY__LOG__LEVEL", "warn");
    assert_eq!(variable.loader().load().unwrap().config.log.level, LogLevel::Warn);
    let both = Desk::new(&text).variable("CHANCERY__LOG__LEVEL", "warn").argument("log.level=debug");
    let loaded = both.loader().load().unwrap();
    assert_eq!(loaded.config.log.level, LogLevel::Debug);
    assert_eq!(loaded.origins.of(&["log", "level"]), Origin::Argument("log.level".into()));
    assert_eq!(loaded.origins.of(&["log", "format"]).line(), Some(7));
    assert_eq!(loaded.origins.of(&["home"]), Origin::Default);
}

#[test]
fn values_from_outside_the_file_are_read_as_their_key_needs_them() {
    let desk = Desk::new(SMALL)
        .variable("CHANCERY__HOME", "elsewhere")
        .variable("CHANCERY__STAGING__CONNECTIONS", "0x10")
        .variable("CHANCERY__AMQP__USERNAME", "007")
        .variable("CHANCERY_CONFIG_UNRELATED", "x")
        .argument("amqp.declare=true")
        .argument("amqp.queue=true")
        .argument("amqp.exchange=\"quoted\"")
        .argument(" adapter.vantage.interval = 5m ")
        .argument("adapter.vantage.parameters.a.b=x=y")
        .argument("adapter.vantage.one_room_per_file=true");
    let config = desk.loader().load().unwrap().config;
    let amqp = config.amqp.as_ref().unwrap();
    assert_eq!(config.home, desk.path().join("elsewhere"));
    assert_eq!(config.staging.connections, 16);
    assert_eq!((amqp.username.as_str(), amqp.queue.as_str(), amqp.exchange.as_str()), ("007", "true", "quoted"));
    assert!(amqp.declare);
    let adapter = &config.adapter[0];
    assert_eq!((adapter.interval, adapter.one_room_per_file), (Span::from_secs(300), true));
    assert_eq!(adapter.parameters["a.b"], "x=y");
}

#[test]
fn the_file_is_found_by_argument_then_variable_then_directory() {
    let near = Desk::new(SMALL);
    let far = Desk::new(SMALL);
    let far_file = far.path().join("chancery.toml");
    assert_eq!(near.loader().load().unwrap().file, Path::new("chancery.toml"));
    let by_variable = Desk::new(SMALL).variable("CHANCERY_CONFIG", far_file.to_str().unwrap());
    let loaded = by_variable.loader().load().unwrap();
    assert_eq!((loaded.file, loaded.config.home), (far_file.clone(), far.path().join("spool")));
    let near_file = near.path().join("chancery.toml");
    let by_argument = by_variable.loader().file(Some(near_file.clone()));
    assert_eq!(by_argument.load().unwrap().file, near_file);
}

#[test]
fn unchecked_loading_asks_nothing_of_the_machine() {
    let desk = Desk::new(&format!("{SMALL}schema = \"gone.xsd\"\n"));
    assert!(desk.loader().load().is_err());
    assert!(desk.loader().load_unchecked().is_ok());
    assert!(Desk::new(&format!("{SMALL}shcema = \"gone.xsd\"\n")).loader().load_unchecked().is_err());
}

#[test]
fn every_value_is_explained_with_its_origin() {
    let desk = Desk::new(&format!("{SMALL}[amqp]\nurl = \"amqp://u:hunter2@h/v\"\npassword_env = \"BROKER\"\n"))
        .variable("BROKER", "hunter2")
        .variable("CHANCERY__LOG__LEVEL", "warn")
        .argument("adapter.vantage.parameters.tenant=emea");
    let rows = explain(&desk.loader().load_unchecked().unwrap());
    let pickup = row(&rows, "adapter.vantage.pickup");
    assert_eq!(pickup.value, format!("{:?}", desk.path().join("spool/pickup/vantage").to_str().unwrap()));
    assert_eq!(pickup.origin, Origin::Default);
    assert_eq!(row(&rows, "log.level").origin.to_string(), "environment variable CHANCERY__LOG__LEVEL");
    assert_eq!(row(&rows, "source.1.uri").origin.to_string(), "chancery.toml:2:1");
    let parameter = row(&rows, "adapter.vantage.parameters.tenant");
    assert_eq!(
        (parameter.value.as_str(), parameter.origin.to_string().as_str()),
        ("\"emea\"", "--set adapter.vantage.parameters.tenant")
    );
    assert_eq!(row(&rows, "amqp.url").value, "\"amqp://u:***@h/v\"");
    assert_eq!(row(&rows, "amqp.ca_file").value, "-");
    assert_eq!(row(&rows, "intake.commit_events_max").value, "2000");
    assert!(!format!("{rows:?}").contains("hunter2"));
    let keys: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys.len(), rows.len());
}

#[test]
fn the_matrix_bridge_listens_on_loopback_unless_told_otherwise() {
    let listen: std::net::SocketAddr = MatrixBridge::default().listen.parse().unwrap();
    assert!(listen.ip().is_loopback(), "{listen}");
}
