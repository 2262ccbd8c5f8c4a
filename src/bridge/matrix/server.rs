//! The HTTP server that the homeserver delivers to.
//!
//! Source: Matrix application-service API, "Homeserver -> Application Service API". Only the homeserver has business here, so
//! nothing of a request is read beyond its head before its token is right, and who has not shown one is the first to go when
//! connections become many.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::deliver::{Delivery, DeliveryError};
use super::registration::Registration;

/// How long a request's head may take, and how long its body.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// The largest head and body. A transaction has at most 100 events of 64 KiB, and JSON may escape each byte to six.
const HEAD_BYTES_MAX: usize = 16 << 10;
const BODY_BYTES_MAX: usize = 64 << 20;
/// Connections that have not shown the token yet. One more, and the oldest of them is closed.
const STRANGERS_MAX: usize = 128;
/// How long to wait before accepting again when the machine has no more connections to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes what the homeserver delivers.
#[async_trait]
pub trait Take: Send + Sync + 'static {
    /// Takes a transaction; when it returns, the transaction is safe.
    async fn take(&self, transaction_id: &str, body: &[u8]) -> Result<(), DeliveryError>;
}

#[async_trait]
impl Take for Delivery {
    async fn take(&self, transaction_id: &str, body: &[u8]) -> Result<(), DeliveryError> {
        Delivery::take(self, transaction_id, body).await
    }
}

/// Serves until told to stop; a transaction that is under way is finished.
pub async fn serve<T: Take>(listener: TcpListener, who: Arc<Registration>, taker: Arc<T>, stop: CancellationToken) {
    let strangers = Arc::new(Strangers::default());
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (who, taker) = (Arc::clone(&who), Arc::clone(&taker));
                let stranger = strangers.enter();
                tasks.spawn(connection(stream, who, taker, stranger, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// One connection, which carries one request: a homeserver that kept it open could meet its closing with the next transaction.
async fn connection<T: Take>(
    stream: TcpStream,
    who: Arc<Registration>,
    taker: Arc<T>,
    stranger: Arc<Stranger>,
    stop: CancellationToken,
) {
    let told = Arc::clone(&stranger);
    let service = service_fn(move |request: Request<Incoming>| {
        let (who, taker, stranger) = (Arc::clone(&who), Arc::clone(&taker), Arc::clone(&told));
        async move { Ok::<_, Infallible>(answer(request, &who, &*taker, &stranger).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        () = stranger.closed.cancelled() => return,
        // Whatever went wrong on the way, the other side knows it as well.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        () = stranger.closed.cancelled() => {}
        _ = connection => {}
    }
}

async fn answer<T: Take>(
    request: Request<Incoming>,
    who: &Registration,
    taker: &T,
    stranger: &Stranger,
) -> Response<Full<Bytes>> {
    let token = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    match token.map(|value| value.strip_prefix(b"Bearer ").unwrap_or_default()) {
        None => return refusal(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "no token"),
        Some(token) if !who.is_homeserver(token) => {
            return refusal(StatusCode::FORBIDDEN, "M_FORBIDDEN", "not the homeserver's token");
        }
        Some(_) => stranger.leave(),
    }
    let path = request.uri().path().to_owned();
    // Synapse falls back to paths without a prefix, as they were before the specification gave them one.
    let short = path.strip_prefix("/_matrix/app/v1").unwrap_or(&path);
    let (what, of) = short.trim_start_matches('/').split_once('/').unwrap_or((short.trim_start_matches('/'), ""));
    match (request.method(), what) {
        (&Method::PUT, "transactions") if !of.is_empty() && !of.contains('/') => {
            transaction(of, request.into_body(), taker).await
        }
        (&Method::POST, "ping") if of.is_empty() => fine(),
        (&Method::GET, "users" | "rooms") => {
            refusal(StatusCode::NOT_FOUND, "M_NOT_FOUND", "the bridge makes neither users nor rooms")
        }
        (_, "transactions" | "ping" | "users" | "rooms") => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "not by this method")
        }
        _ => refusal(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "no such endpoint"),
    }
}

async fn transaction<T: Take>(id: &str, body: Incoming, taker: &T) -> Response<Full<Bytes>> {
    let body = match timeout(BODY_TIME_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            tracing::error!(transaction = id, limit = BODY_BYTES_MAX, "a transaction is too large and was refused");
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", "the transaction is too large");
        }
        Ok(Err(_)) => return refusal(StatusCode::BAD_REQUEST, "M_UNKNOWN", "the body was cut off"),
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN", "the body took too long"),
    };
    match taker.take(id, &body).await {
        Ok(()) => fine(),
        Err(error) => {
            tracing::warn!(transaction = id, error = %chain(&error), "a transaction was not taken; it will be sent again");
            let status = match error {
                DeliveryError::Malformed(_) => StatusCode::BAD_REQUEST,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            refusal(status, "M_UNKNOWN", "not taken; send it again")
        }
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn fine() -> Response<Full<Bytes>> {
    json(StatusCode::OK, "{}".to_owned())
}

fn refusal(status: StatusCode, errcode: &str, error: &str) -> Response<Full<Bytes>> {
    json(status, serde_json::json!({ "errcode": errcode, "error": error }).to_string())
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// Who is connected and has not shown the token.
#[derive(Default)]
struct Strangers(Mutex<VecDeque<Arc<Stranger>>>);

struct Stranger {
    /// Closed to make room.
    closed: CancellationToken,
    known: CancellationToken,
}

impl Strangers {
    fn list(&self) -> MutexGuard<'_, VecDeque<Arc<Stranger>>> {
        // The list is whole whatever panicked while it was held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more; the oldest one goes when they are too many.
    fn enter(&self) -> Arc<Stranger> {
        let stranger = Arc::new(Stranger { closed: CancellationToken::new(), known: CancellationToken::new() });
        let mut list = self.list();
        // Whoever is known by now, or gone, whose connection held the only other reference.
        list.retain(|other| !other.known.is_cancelled() && Arc::strong_count(other) > 1);
        if list.len() >= STRANGERS_MAX
            && let Some(oldest) = list.pop_front()
        {
            oldest.closed.cancel();
        }
        list.push_back(Arc::clone(&stranger));
        stranger
    }
}

impl Stranger {
    fn leave(&self) {
        self.known.cancel();
    }
}

#[cfg(test)]
mod tests;
