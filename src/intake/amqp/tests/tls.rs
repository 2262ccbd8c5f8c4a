//! TLS against a broker of its own, with certificates made for the occasion.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_util::sync::CancellationToken;

use super::super::{AmqpMode, Publisher, Timing, run_timed, setup};
use crate::config::Amqp;
use crate::intake::testing::{Recorder, config, posted};
use crate::intake::{IntakeError, IntakeStats};

/// A broker that lives as long as this value.
struct TlsBroker {
    home: tempfile::TempDir,
    url: String,
}

impl TlsBroker {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let tls = home.path().join("tls");
        fs::create_dir(&tls).unwrap();
        let authority = Authority::new("Test authority");
        fs::write(tls.join("ca.pem"), authority.0.pem()).unwrap();
        authority.issue(&tls, "cert.pem", "key.pem");
        authority.issue(&tls, "client.pem", "client-key.pem");
        fs::write(tls.join("stranger-ca.pem"), Authority::new("Somebody else").0.pem()).unwrap();
        let mut broker = Self { home, url: String::new() };
        let started = broker.services(&["start"], &["rabbitmq"]);
        let found = started.lines().find_map(|line| line.strip_prefix("export CHANCERY_TEST_AMQPS_URL="));
        broker.url = found.unwrap_or_else(|| panic!("no TLS address in {started:?}")).to_owned();
        broker
    }

    fn services(&self, verb: &[&str], services: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/services");
        let output = Command::new(script).args(verb).arg(self.home.path()).args(services).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.home.path().join("tls").join(name))
    }
}

impl Drop for TlsBroker {
    fn drop(&mut self) {
        self.services(&["stop"], &[]);
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, directory: &Path, cert: &str, key: &str) {
        let pair = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let issued = CertificateParams::new(names).unwrap().signed_by(&pair, &self.0).unwrap();
        fs::write(directory.join(cert), issued.pem()).unwrap();
        fs::write(directory.join(key), pair.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_over_tls_with_client_certificates_and_strangers_are_refused() {
    let broker = TlsBroker::start();
    let settings = Amqp {
        url: broker.url.clone(),
        ca_file: broker.file("ca.pem"),
        cert_file: broker.file("client.pem"),
        key_file: broker.file("client-key.pem"),
        ..Amqp::default()
    };
    setup(&settings).await.unwrap();
    let mut publisher = Publisher::connect(&settings).await.unwrap();
    publisher.publish(posted("over tls")).await.unwrap();
    publisher.finish().await.unwrap();
    let (stage, stats) = (Arc::new(Recorder::default()), Arc::new(IntakeStats::default()));
    let shutdown = CancellationToken::new();
    let mode = AmqpMode::Drained;
    run_timed(&config(), &settings, stage.clone(), stats, shutdown, mode, Timing::default()).await.unwrap();
    assert_eq!(stage.ids(), ["over tls"]);

    let stranger = Amqp { ca_file: broker.file("stranger-ca.pem"), ..settings.clone() };
    let unnamed = Amqp { cert_file: None, key_file: None, ..settings.clone() };
    for refused in [stranger, unnamed] {
        let error = setup(&refused).await.unwrap_err();
        assert!(matches!(error, IntakeError::Broker { .. }), "{error}");
    }
    let missing = Amqp { key_file: broker.file("nowhere.pem"), ..settings };
    let error = setup(&missing).await.unwrap_err().to_string();
    assert!(error.starts_with("amqp.key_file: cannot read "), "{error}");
}
