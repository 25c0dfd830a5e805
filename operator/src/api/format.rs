//! How the texts of a Shop look that a program reads later. The API server judges them at admission; the operator judges them
//! again with the same pattern, because a Shop that was stored under an older CRD keeps what it has.

use std::sync::OnceLock;

use kube::core::Rule;
use regex::Regex;

/// What a text must match, and what to say where it does not. The patterns mean the same to RE2 and to the crate `regex`.
#[derive(Debug)]
pub struct Format {
    patterns: &'static [&'static str],
    message: &'static str,
    compiled: OnceLock<Vec<Regex>>,
}

impl Format {
    const fn new(patterns: &'static [&'static str], message: &'static str) -> Self {
        Self {
            patterns,
            message,
            compiled: OnceLock::new(),
        }
    }

    /// What to write instead: the second half of a sentence that begins with the field's path.
    pub fn message(&self) -> &'static str {
        self.message
    }

    /// Whether a text matches all patterns.
    pub fn admits(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| {
            // A test compiles every format; one that does not compile admits nothing.
            let compile = |pattern: &&str| Regex::new(pattern).ok();
            self.patterns.iter().filter_map(compile).collect()
        });
        compiled.len() == self.patterns.len() && compiled.iter().all(|regex| regex.is_match(text))
    }

    /// The admission rule.
    pub(super) fn rule(&self) -> Rule {
        let matches = |pattern: &&str| format!("self.matches(r'{pattern}')");
        let all: Vec<_> = self.patterns.iter().map(matches).collect();
        Rule::new(all.join(" && ")).message(self.message)
    }
}

/// A host's name or its IPv4 address.
macro_rules! host {
    () => {
        r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
    };
}

/// An IPv6 address; whether it has the right number of groups is left to whoever connects.
macro_rules! ipv6 {
    () => {
        r"[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}(\.[0-9]{1,3}){0,3}"
    };
}

/// From 1 to 65535, with its colon; or nothing.
macro_rules! port {
    () => {
        r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    };
}

/// Where a URL leads, before its path.
macro_rules! server {
    () => {
        concat!("(", host!(), r"|\[", ipv6!(), r"\])", port!())
    };
}

/// One part of an image's path between two slashes.
macro_rules! path_component {
    () => {
        r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
    };
}

/// `spec.images.registry`.
pub static REGISTRY: Format = Format::new(
    &[concat!(
        "^((",
        host!(),
        port!(),
        ")|",
        path_component!(),
        ")(/",
        path_component!(),
        ")*$"
    )],
    "must be a host and a path without scheme and without a slash at the end, for example ghcr.io/example",
);

/// `spec.services.<service>.image`, `spec.images.postgres`, `spec.images.nats`.
pub static IMAGE: Format = Format::new(
    &[concat!(
        "^(",
        host!(),
        port!(),
        "/)?",
        path_component!(),
        "(/",
        path_component!(),
        ")*",
        r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
    )],
    "must be an image without scheme, for example ghcr.io/example/orders:1.2.3, or with @sha256: and 64 hex digits",
);

/// What may stand before the @ of an address. \x27 is the quote that would end the rule, \x60 its sister.
macro_rules! address_character {
    () => {
        r"[A-Za-z0-9!#$%&\x27*+/=?^_\x60{|}~-]"
    };
}

/// What may stand in a name without quotes: the same, and letters of other alphabets.
macro_rules! name_character {
    () => {
        concat!("(", address_character!(), r"|[^\x00-\x9F\p{Z}])")
    };
}

macro_rules! address {
    () => {
        concat!(
            address_character!(),
            r"+(\.",
            address_character!(),
            "+)*@",
            host!()
        )
    };
}

/// `spec.email.from`: what the email service takes, but for non-ASCII addresses, which many mail servers refuse. The second
/// pattern bounds what is before the @ to 64 characters.
pub static SENDER: Format = Format::new(
    &[
        concat!(
            "^(",
            address!(),
            "|(",
            name_character!(),
            "(",
            name_character!(),
            r"|[. ])*|\x22[^\x00-\x1F\x22\x5C\x7F-\x9F]+\x22 ?)?<",
            address!(),
            ">)$"
        ),
        "^(.*<)?[^@<]{1,64}@[^@]*$",
    ],
    r#"must be an address such as shop@example.com, or a name with it such as Demo Shop <shop@example.com>; a name with , ; : @ or () stands in quotes ("Shop, Inc." <shop@example.com>)"#,
);

/// `spec.email.smtp.host`.
pub static SMTP_HOST: Format = Format::new(
    &[concat!("^(", host!(), r"\.?|", ipv6!(), ")$")],
    "must be a host name or an address alone, for example mail.example.com; the port is a field of its own",
);

/// `spec.telemetry.otlp.endpoint`.
pub static OTLP_ENDPOINT: Format = Format::new(
    &[concat!(
        "^https?://",
        server!(),
        r"(/[A-Za-z0-9._~!$&()*+,;=:@%/-]*)?$"
    )],
    "must be a URL with a host and, where needed, a port and a path, for example http://collector.observability:4318",
);

/// `spec.telemetry.logs.level`. The filter knows more; what is not here is most likely a typing error.
pub static LOG_LEVEL: Format = Format::new(
    &[
        "^([A-Za-z0-9_:-]+=)?(?i:off|error|warn|info|debug|trace)(,([A-Za-z0-9_:-]+=)?(?i:off|error|warn|info|debug|trace))*$",
    ],
    "must be off, error, warn, info, debug or trace, also for single modules, for example warn,shop_orders=debug; several are divided by commas without spaces",
);

/// What may follow the host in a link, but for what is filled in. No `$`: the kubelet puts other variables in place of `$(NAME)`, passwords
/// among them.
macro_rules! link_character {
    () => {
        r"[A-Za-z0-9._~!&()*+,;=:@%/?#\[\]-]"
    };
}

/// `spec.telemetry.links.trace`.
pub static TRACE_LINK: Format = Format::new(
    &[
        concat!(
            "^https?://",
            server!(),
            "([/?#](",
            link_character!(),
            r"|\{traceId\})*)?$"
        ),
        r"\{traceId\}",
    ],
    "must be a URL with {traceId} where the id of the trace belongs and nothing else in braces, for example https://jaeger.example/trace/{traceId}; other braces, quotes and spaces are written %7B, %7D, %22 and %20",
);

/// `spec.telemetry.links.logs`.
pub static LOGS_LINK: Format = Format::new(
    &[
        concat!(
            "^https?://",
            server!(),
            "([/?#](",
            link_character!(),
            r"|\{traceId\}|\{orderId\})*)?$"
        ),
        r"\{(traceId|orderId)\}",
    ],
    "must be a URL with {traceId} or {orderId} where the id of the trace or of the order belongs and nothing else in braces, for example https://logs.example/?query=trace_id:={traceId}; other braces, quotes and spaces are written %7B, %7D, %22 and %20",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_fits_into_its_rule() {
        for format in [
            &REGISTRY,
            &IMAGE,
            &SENDER,
            &SMTP_HOST,
            &OTLP_ENDPOINT,
            &LOG_LEVEL,
            &TRACE_LINK,
            &LOGS_LINK,
        ] {
            for pattern in format.patterns {
                Regex::new(pattern).expect(pattern);
                assert!(!pattern.contains('\''), "{pattern} would end the rule");
            }
        }
    }
}
