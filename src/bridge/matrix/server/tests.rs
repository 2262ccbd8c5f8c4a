#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::net::SocketAddr;

use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Remembers what it took; refuses the transaction `refuse`.
#[derive(Default)]
struct Taken(Mutex<Vec<(String, Vec<u8>)>>);

#[async_trait]
impl Take for Taken {
    async fn take(&self, transaction_id: &str, body: &[u8]) -> Result<(), DeliveryError> {
        if transaction_id == "refuse" {
            return Err(DeliveryError::Unconfirmed);
        }
        self.0.lock().unwrap().push((transaction_id.to_owned(), body.to_vec()));
        Ok(())
    }
}

async fn start() -> (SocketAddr, Arc<Taken>, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let who = Registration {
        id: "chancery".into(),
        as_token: SecretString::from("another token that is long"),
        hs_token: SecretString::from(TOKEN),
    };
    let (taken, stop) = (Arc::new(Taken::default()), CancellationToken::new());
    tokio::spawn(serve(listener, Arc::new(who), Arc::clone(&taken), stop.clone()));
    (address, taken, stop)
}

async fn ask(address: SocketAddr, method: &str, path: &str, token: Option<&str>, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: bridge\r\n{token}content-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A body that nobody wanted may be cut off by a reset, after the answer.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    answer.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn only_the_homeserver_is_heard() {
    let (address, taken, _stop) = start().await;
    let path = "/_matrix/app/v1/transactions/1";
    assert_eq!(ask(address, "PUT", path, None, "").await, "401");
    for wrong in ["x", &TOKEN[1..], &format!("{TOKEN}0"), ""] {
        assert_eq!(ask(address, "PUT", path, Some(wrong), "").await, "403", "{wrong}");
    }
    assert!(taken.0.lock().unwrap().is_empty());
    assert_eq!(ask(address, "PUT", path, Some(TOKEN), "{}").await, "200");
    assert_eq!(*taken.0.lock().unwrap(), [("1".to_owned(), b"{}".to_vec())]);
}

#[tokio::test]
async fn each_endpoint_answers_as_the_specification_says() {
    let (address, _taken, _stop) = start().await;
    for (method, path, status) in [
        ("PUT", "/transactions/1", "200"),
        ("PUT", "/_matrix/app/v1/transactions/refuse", "503"),
        ("PUT", "/_matrix/app/v1/transactions/", "405"),
        ("GET", "/_matrix/app/v1/transactions/1", "405"),
        ("POST", "/_matrix/app/v1/ping", "200"),
        ("GET", "/_matrix/app/v1/users/%40x%3Alab.test", "404"),
        ("GET", "/_matrix/app/v1/rooms/%23x%3Alab.test", "404"),
        ("GET", "/", "404"),
    ] {
        assert_eq!(ask(address, method, path, Some(TOKEN), "{}").await, status, "{method} {path}");
    }
}

#[tokio::test]
async fn too_large_a_body_is_refused_whatever_it_says_of_itself() {
    let (address, taken, _stop) = start().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let block = vec![b' '; 1 << 20];
    // The server may close before all is sent.
    for _ in 0..=(BODY_BYTES_MAX >> 20) {
        if stream.write_all(&block).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    assert!(taken.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_crowd_of_strangers_keeps_nobody_out() {
    let (address, taken, _stop) = start().await;
    // Some say nothing, some begin a request and never end it.
    let mut crowd = Vec::new();
    for number in 0..3 * STRANGERS_MAX {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            // One that was closed to make room may refuse it.
            let _ = stream.write_all(b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nauthor").await;
        }
        crowd.push(stream);
    }
    assert_eq!(ask(address, "PUT", "/_matrix/app/v1/transactions/7", Some(TOKEN), "{}").await, "200");
    assert_eq!(taken.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_then_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let who = Registration { id: "x".into(), as_token: SecretString::from(TOKEN), hs_token: SecretString::from(TOKEN) };
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, Arc::new(who), Arc::new(Taken::default()), stop.clone()));
    stop.cancel();
    timeout(Duration::from_secs(60), served).await.unwrap().unwrap();
}
