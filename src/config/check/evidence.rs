//! Rules for `[evidence]`: an address that a time stamp authority can have.

use url::Url;

use super::super::Span;
use super::super::shape::without_password;
use super::Rules;

const URL_FORM: &str = "https://HOST/PATH or http://HOST/PATH";

pub(super) fn check(rules: &mut Rules<'_>) {
    let evidence = &rules.config().evidence;
    let day = Span::from_secs(86_400);
    rules.span_between(&["evidence", "tsa_interval"], evidence.tsa_interval, Span::from_secs(0), day);
    rules.secret(&["evidence"], "tsa_token", evidence.tsa_token_file.as_deref(), evidence.tsa_token_env.as_deref());
    let has_token = evidence.tsa_token_file.is_some() || evidence.tsa_token_env.is_some();
    let path = ["evidence", "tsa"];
    let Some(text) = &evidence.tsa else {
        if has_token {
            let found = "is missing, although a token for it is named";
            rules.report(&path, found, URL_FORM, "name the authority, or remove tsa_token_file and tsa_token_env");
        }
        return;
    };
    let shown = format!("is {:?}", without_password(text));
    match Url::parse(text) {
        Err(error) => {
            let found = format!("{shown}, which is no URL: {error}");
            rules.report(&path, found, URL_FORM, "begin it with https:// and the host's name");
        }
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            rules.report(&path, shown, URL_FORM, "begin it with https:// or http://");
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => rules.report(
            &path,
            "holds a user name or a password",
            URL_FORM,
            "write it without; a bearer token goes into a file that tsa_token_file names, or use tsa_token_env",
        ),
        Ok(url) if url.scheme() == "http" && has_token => rules.report(
            &path,
            format!("{shown}, without TLS, and a token is to be sent there"),
            "https://",
            "begin it with https://, or remove tsa_token_file and tsa_token_env",
        ),
        Ok(_) => {}
    }
}
