//! A time stamp authority for one test: `openssl ts` behind a small HTTP server on the loopback.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;

const SETTINGS: &str = "[req]
distinguished_name = name
prompt = no
[name]
CN = Test authority
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[stamping]
basicConstraints = CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = tsa_here
[tsa_here]
serial = serial
signer_cert = tsa.pem
certs = root.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_chain = no
ess_cert_id_alg = sha256
";

pub struct Tsa {
    dir: Arc<TempDir>,
    address: String,
    answers: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Tsa {
    /// An authority that answers, with a root of its own.
    pub fn start() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        fs::write(dir.path().join("tsa.cnf"), SETTINGS).unwrap();
        fs::write(dir.path().join("serial"), "01\n").unwrap();
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "tsa.cnf"];
        let make =
            |more: &[&str]| openssl(dir.path(), &[&["req", "-x509", "-days", "30"], &new_key[..], more].concat());
        make(&["-extensions", "root", "-keyout", "root.key", "-out", "root.pem"]);
        let issued = ["-subj", "/CN=Stamps", "-CA", "root.pem", "-CAkey", "root.key"];
        make(&[&issued[..], &["-extensions", "stamping", "-keyout", "tsa.key", "-out", "tsa.pem"]].concat());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/stamp", listener.local_addr().unwrap());
        let tsa = Self { dir: Arc::clone(&dir), address, answers: Arc::new(true.into()), asked: Arc::new(0.into()) };
        let (answers, asked) = (Arc::clone(&tsa.answers), Arc::clone(&tsa.asked));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                asked.fetch_add(1, Ordering::SeqCst);
                // A client that was killed has gone away.
                let _ = serve(stream.unwrap(), dir.path(), answers.load(Ordering::SeqCst));
            }
        });
        tsa
    }

    pub fn url(&self) -> &str {
        &self.address
    }

    /// The certificate of its root.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    /// Whether it answers from now on.
    pub fn answers(&self, yes: bool) {
        self.answers.store(yes, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn openssl(dir: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(dir).output();
    let output = output.expect("openssl is installed (package openssl; deploy/install test)");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn serve(mut stream: TcpStream, dir: &Path, answers: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(number) = lower.strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut query = vec![0; length];
    reader.read_exact(&mut query)?;
    if !answers {
        return stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    fs::write(dir.join("query"), query)?;
    openssl(
        dir,
        &["ts", "-reply", "-config", "tsa.cnf", "-section", "tsa_here", "-queryfile", "query", "-out", "reply"],
    );
    let reply = fs::read(dir.join("reply"))?;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/timestamp-reply\r\nconnection: close\r\n";
    stream.write_all(format!("{head}content-length: {}\r\n\r\n", reply.len()).as_bytes())?;
    stream.write_all(&reply)
}
