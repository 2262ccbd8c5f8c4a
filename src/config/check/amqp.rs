//! Rules for `[amqp]`: an address without a password, TLS files that fit it, names that may be declared.

use super::super::sections::Amqp;
use super::super::shape::without_password;
use super::super::url::Address;
use super::Rules;

pub(super) fn check(rules: &mut Rules<'_>) {
    let Some(amqp) = &rules.config().amqp else { return };
    address(rules, amqp);
    rules.password("amqp", amqp.password_file.as_deref(), amqp.password_env.as_deref());
    tls(rules, amqp);
    names(rules, amqp);
    if amqp.username.is_empty() {
        rules.report(&["amqp", "username"], "is empty", "the name of a user of the broker", "name the user");
    }
    let commit = rules.config().intake.commit_events_max;
    if u32::from(amqp.prefetch) < commit && !rules.broken(&["intake", "commit_events_max"]) {
        rules.report(
            &["amqp", "prefetch"],
            format!("is {}, less than intake.commit_events_max = {commit}", amqp.prefetch),
            "at least as many events under way as one commit holds, or each commit waits for its delay",
            format!("set it to {commit} or more, or lower intake.commit_events_max"),
        );
    }
}

fn address(rules: &mut Rules<'_>, amqp: &Amqp) {
    let path = ["amqp", "url"];
    let shown = format!("is {:?}", without_password(&amqp.url));
    let form = "amqp://HOST:PORT/VHOST or amqps://HOST:PORT/VHOST";
    let Some(address) = Address::parse(&amqp.url).filter(|address| matches!(address.scheme, "amqp" | "amqps")) else {
        return rules.report(&path, shown, form, "begin it with amqp:// or amqps://");
    };
    if address.password.is_some() {
        rules.report(
            &path,
            "holds a password",
            format!("{form}, without a password"),
            "move the password to a file and name it in amqp.password_file, or use amqp.password_env",
        );
    } else if address.user.is_some() {
        let cure = "name the user in amqp.username";
        rules.report(&path, format!("{shown}, which holds a user name"), form, cure);
    }
    if address.host.is_empty() {
        rules.report(&path, format!("{shown}, without a host"), form, "name the broker's host");
    }
    if address.port.is_err() {
        rules.report(
            &path,
            format!("{shown}, with a port that is none"),
            "a port from 1 to 65535",
            "write 5672, or 5671 for TLS",
        );
    }
    let vhost = address.path;
    if vhost == Some("") {
        let found = format!("{shown}, which names the virtual host with the empty name");
        rules.report(&path, found, form, "write /%2f for the virtual host `/`");
    } else if vhost.is_some_and(|name| name.contains('/') || !percent_encoding_is_whole(name)) {
        let found = format!("{shown}, whose virtual host is not percent-encoded");
        rules.report(&path, found, form, "write a slash in the virtual host's name as %2f");
    }
}

fn percent_encoding_is_whole(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

fn tls(rules: &mut Rules<'_>, amqp: &Amqp) {
    let files = [("ca_file", &amqp.ca_file), ("cert_file", &amqp.cert_file), ("key_file", &amqp.key_file)];
    let plain = amqp.url.starts_with("amqp://");
    for (key, file) in files {
        let Some(file) = file else { continue };
        if plain {
            let found = "is set, but the url begins with amqp://";
            rules.report(
                &["amqp", key],
                found,
                "TLS files only for amqps://",
                "write the url with amqps://, or remove this key",
            );
        }
        rules.readable_file(&["amqp", key], file, "a PEM file");
    }
    let pair = match (&amqp.cert_file, &amqp.key_file) {
        (Some(_), None) => ("cert_file", "key_file"),
        (None, Some(_)) => ("key_file", "cert_file"),
        _ => return,
    };
    if !rules.broken(&["amqp", pair.1]) {
        let cure = format!("add {}", pair.1);
        rules.report(&["amqp", pair.0], format!("is set without {}", pair.1), "both or neither", cure);
    }
}

fn names(rules: &mut Rules<'_>, amqp: &Amqp) {
    let names =
        [("exchange", &amqp.exchange), ("queue", &amqp.queue), ("dead_letter_exchange", &amqp.dead_letter_exchange)];
    for (key, name) in names {
        let path = ["amqp", key];
        if name.is_empty() {
            rules.report(&path, "is empty", "a name", format!("write a name, such as \"chancery.{key}\""));
        } else if name.starts_with("amq.") {
            let found = format!("is {name:?}");
            rules.report(&path, found, "a name outside amq., which the broker keeps for itself", "choose another name");
        } else if name.len() > 255 {
            let found = format!("is {} bytes long", name.len());
            rules.report(&path, found, "a name of at most 255 bytes", "choose a shorter name");
        }
    }
    if amqp.exchange == amqp.dead_letter_exchange {
        rules.report(
            &["amqp", "dead_letter_exchange"],
            format!("is {:?}, the same as exchange", amqp.exchange),
            "an exchange of its own, or dead letters come in again without end",
            "choose another name",
        );
    }
    if amqp.queue == amqp.dead_letter_exchange {
        rules.report(
            &["amqp", "dead_letter_exchange"],
            format!("is {:?}, and the queue of that name is the one to take in from", amqp.queue),
            "a name of its own, since a queue of the same name holds the dead letters",
            "choose another name",
        );
    }
}
