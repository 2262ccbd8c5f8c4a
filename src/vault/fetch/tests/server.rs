//! A small HTTP server on loopback that answers as a test says, and a source that may ask it.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::config::{FileHost, Files};
use crate::model::{Text, event};
use crate::staging::Capture;
use crate::vault::fetch::Hosts;
use crate::vault::{FileSource, Outcome, Taken, Vault, capture};

/// What no reason may ever show.
pub(super) const TOKEN: &str = "hush-3f9a";

pub(super) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// Reads one request per connection, answers it and closes.
pub(super) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// `answer` gets the path and writes the whole answer; an error means that the client is gone.
    pub(super) fn new(answer: impl Fn(&str, &mut dyn Wire) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::wrapped(answer, |stream| Some(Box::new(stream)))
    }

    /// With TLS, and a certificate for `name`; the PEM of the authority that signed it is returned too.
    pub(super) fn with_tls(
        name: &str,
        answer: impl Fn(&str, &mut dyn Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let server = Self::wrapped(answer, move |stream| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(Box::new(rustls::StreamOwned::new(connection, stream)))
        });
        (server, made.cert.pem())
    }

    fn wrapped(
        answer: impl Fn(&str, &mut dyn Wire) -> io::Result<()> + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), requests: Arc::default(), stopped: Arc::default() };
        let (requests, stopped) = (Arc::clone(&server.requests), Arc::clone(&server.stopped));
        let (answer, wrap) = (Arc::new(answer), Arc::new(wrap));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (requests, answer, wrap) = (Arc::clone(&requests), Arc::clone(&answer), Arc::clone(&wrap));
                thread::spawn(move || {
                    let Some(mut wire) = wrap(stream) else { return };
                    let mut head = String::new();
                    let mut reader = BufReader::with_capacity(1, &mut wire);
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).is_ok_and(|read| read > 0) {
                            continue;
                        }
                        return;
                    }
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    requests.lock().unwrap().push(head);
                    let _ = answer(&path, &mut wire);
                });
            }
        });
        server
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The heads of the requests that came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// An answer with a length.
pub(super) fn answer(wire: &mut dyn Wire, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    write!(wire, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len())?;
    wire.write_all(body)?;
    wire.flush()
}

/// A name server that gives one list of addresses after the other for whatever name; the last one stays.
#[derive(Debug)]
pub(super) struct Names {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    pub(super) fn new(answers: &[&str]) -> Arc<Self> {
        let list = |text: &&str| text.split(' ').map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(list).collect()), asked: AtomicUsize::new(0) })
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let addresses = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let mut found = self.empty();
        for address in addresses.unwrap() {
            found.push(SocketAddr::new(address, uri.port_u16().unwrap()));
        }
        Ok(found)
    }
}

/// A vault and a source.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) files: Files,
    pub(super) names: Arc<Names>,
    vault: Vault,
}

impl Bench {
    /// All names lead to loopback.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(&dir.path().join("vault")).unwrap();
        Self { dir, files: Files::default(), names: Names::new(&["127.0.0.1"]), vault }
    }

    /// Allows an address, in a private network and with [`TOKEN`].
    pub(super) fn allow(&mut self, url: &str) -> &mut FileHost {
        let token = self.dir.path().join("token");
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let url = Some(url.to_owned());
        self.files.host.push(FileHost { url, token_file: Some(token), allow_private: true, ..FileHost::default() });
        self.files.host.last_mut().unwrap()
    }

    pub(super) fn source(&self) -> FileSource {
        let hosts = Hosts::with_names(&self.files, || self.names.clone()).unwrap();
        assert!(!format!("{hosts:?}").contains(TOKEN), "a token is printed");
        FileSource { root: self.files.root.clone(), hosts }
    }

    pub(super) fn capture(&self, location: &str) -> Capture {
        self.capture_file(&event::File { location: Some(Text::from(location)), ..event::File::default() })
    }

    /// Captures, and looks after what must hold whatever comes of it.
    pub(super) fn capture_file(&self, file: &event::File<'_>) -> Capture {
        match self.attempt(file) {
            Outcome::Settled(capture) | Outcome::NotYet { meanwhile: Some(capture), .. } => capture,
            Outcome::NotYet { reason, .. } => Capture::Missing { reason },
        }
    }

    /// As [`Bench::capture_file`], and tells whether more may come.
    pub(super) fn attempt(&self, file: &event::File<'_>) -> Outcome {
        let Taken { outcome, bytes } = capture(&self.vault, &self.source(), Some(file)).unwrap();
        bytes.map_or(Ok(true), |fresh| self.vault.keep(fresh)).unwrap();
        for entry in std::fs::read_dir(self.dir.path().join("vault/tmp")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                assert_eq!(std::fs::read_dir(path).unwrap().count(), 0, "a half-written file is left");
            }
        }
        outcome
    }

    /// The reason why there is no file.
    pub(super) fn reason(&self, location: &str) -> String {
        match self.capture(location) {
            Capture::Missing { reason } => {
                assert!(!reason.contains(TOKEN), "a token is shown: {reason}");
                reason
            }
            stored @ Capture::Stored { .. } => panic!("{location:?} gave {stored:?}"),
        }
    }
}
