//! Rules for `[bridge.matrix]`: an address to listen on, one to ask, a source that is believed, a broker to publish to.

use std::net::SocketAddr;

use url::Url;

use super::super::Span;
use super::super::shape::without_password;
use super::Rules;

pub(super) fn check(rules: &mut Rules<'_>) {
    let config = rules.config();
    let Some(bridge) = &config.bridge.matrix else { return };
    let path = |key| ["bridge", "matrix", key];
    rules.secret(
        &["bridge", "matrix"],
        "admin_token",
        bridge.admin_token_file.as_deref(),
        bridge.admin_token_env.as_deref(),
    );
    let homeserver = Url::parse(&bridge.homeserver).ok().filter(|url| {
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && plain
            && url.fragment().is_none()
    });
    if homeserver.is_none() {
        rules.report(
            &path("homeserver"),
            format!("is {:?}", without_password(&bridge.homeserver)),
            "http://HOST:PORT or https://HOST, without a path",
            "write the address under which clients reach the homeserver",
        );
    }
    if bridge.listen.parse::<SocketAddr>().is_err() {
        rules.report(
            &path("listen"),
            format!("is {:?}", bridge.listen),
            "an IP address and a port",
            "write 127.0.0.1:29330, or an address of this machine that the homeserver reaches",
        );
    }
    let (second, hour) = (Span::from_secs(1), Span::from_secs(3600));
    rules.span_between(&path("heartbeat"), bridge.heartbeat, second, hour);
    if !config.source.iter().any(|source| source.uri == bridge.source) && !rules.broken(&["source"]) {
        rules.report(
            &path("source"),
            format!("is {:?}, which is no [[source]]", bridge.source),
            "a source that is believed; else all that the bridge publishes goes to quarantine",
            format!("add [[source]] with uri = {:?}", bridge.source),
        );
    }
    if config.amqp.is_none() && !rules.broken(&["amqp"]) {
        rules.report(
            &["bridge", "matrix"],
            "is set, and there is no [amqp] section",
            "a broker to publish to",
            "add [amqp], or remove [bridge.matrix]",
        );
    }
}
