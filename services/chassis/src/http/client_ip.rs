//! Who is at the other end, also behind proxies.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;

use super::problem::Problem;
use crate::auth::ApiToken;

/// The proxies whose `X-Forwarded-For` is believed. None of them by default: then a client is whoever connects.
///
/// Written here and not taken from `axum-client-ip`, which believes the header whoever sends it, and only the last of its
/// addresses: a caller that gets past the proxy could name any address, and behind two proxies all clients would be one.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// Why a text names no proxies.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither an address nor a network such as 10.0.0.0/8")]
pub struct InvalidProxy(String);

impl FromStr for TrustedProxies {
    type Err = InvalidProxy;

    /// Addresses and networks with commas between them.
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let networks = text.split(',').map(str::trim).map(|part| {
            part.parse::<IpNet>()
                .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| InvalidProxy(part.to_owned()))
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client behind `peer`: of the addresses that trusted proxies have noted, the last that is no trusted proxy
    /// itself. What stands before that one may be invented.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientIp {
        self.behind(peer, self.contains(peer), headers)
    }

    /// As [`Self::client`], where it is known whether `peer` speaks for others.
    fn behind(&self, peer: IpAddr, speaks_for_others: bool, headers: &HeaderMap) -> ClientIp {
        let mut client = peer.to_canonical();
        let mut is_proxy = speaks_for_others;
        let noted = headers.get_all(ClientIp::FORWARDED).iter();
        let noted: Vec<_> = noted.filter_map(|value| value.to_str().ok()).collect();
        let mut hops = noted.iter().rev().flat_map(|value| value.rsplit(','));
        while is_proxy
            && let Some(hop) = hops.next()
            && let Some(address) = address(hop.trim())
        {
            client = address;
            is_proxy = self.contains(client);
        }
        ClientIp(client)
    }
}

/// Who may say for whom a request is.
#[derive(Clone)]
pub(crate) struct Speakers {
    pub(crate) proxies: TrustedProxies,
    /// `PROXY_TOKEN`
    pub(crate) token: Option<ApiToken>,
}

impl Speakers {
    /// The client behind whoever connected from `peer`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientIp {
        let shown = headers.get(ClientIp::TOKEN);
        let shown = shown.and_then(|value| value.to_str().ok());
        let proves_it = shown.zip(self.token.as_ref());
        let proves_it = proves_it.is_some_and(|(shown, token)| token.is(shown));
        let speaks = proves_it || self.proxies.contains(peer);
        self.proxies.behind(peer, speaks, headers)
    }
}

/// An address as proxies write it: some with the port, IPv6 in brackets or without.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    plain
        .or_else(|| {
            text.parse()
                .ok()
                .map(|socket: std::net::SocketAddr| socket.ip())
        })
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
        .map(|address: IpAddr| address.to_canonical())
}

/// The address of the client that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

impl ClientIp {
    /// The header in which proxies note it.
    pub(crate) const FORWARDED: &str = "x-forwarded-for";
    /// The header in which a caller of the shop itself proves that it may note it, with the `PROXY_TOKEN` of the one that is called.
    /// By its address nobody could be told: that is one of all pods.
    pub(crate) const TOKEN: &str = "x-proxy-token";

    /// What counts as one client: an IPv4 address, or the /64 of IPv6 that one household has.
    pub fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientIp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let client = parts.extensions.get::<Self>().copied();
        client.ok_or_else(|| Problem::internal("a request came without the address of its client"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is taken for the client of a request from `peer` with these `X-Forwarded-For`, where 10/8 and ::1 are ours.
    fn client(peer: &str, forwarded: &[&str]) -> String {
        let trusted: TrustedProxies = "10.0.0.0/8, ::1".parse().unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(ClientIp::FORWARDED, value.parse().unwrap());
        }
        trusted
            .client(peer.parse().unwrap(), &headers)
            .0
            .to_string()
    }

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_speaks_for() {
        assert_eq!(client("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(
            client("10.0.0.1", &["192.0.2.7, 10.9.9.9"]),
            "192.0.2.7",
            "two proxies"
        );
        assert_eq!(
            client("10.0.0.1", &["192.0.2.7", "10.9.9.9"]),
            "192.0.2.7",
            "two headers"
        );
        assert_eq!(client("::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client("::ffff:10.0.0.1", &["192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(client("10.0.0.1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_caller_with_the_token_speaks_for_its_clients_wherever_it_is() {
        let speakers = Speakers {
            proxies: TrustedProxies::default(),
            token: Some(ApiToken::new("open sesame".to_owned().into())),
        };
        let client = |token: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(
                ClientIp::FORWARDED,
                "198.51.100.1, 192.0.2.7".parse().unwrap(),
            );
            if let Some(token) = token {
                headers.insert(ClientIp::TOKEN, token.parse().unwrap());
            }
            let peer = "10.244.1.9".parse().unwrap();
            speakers.client(peer, &headers).0.to_string()
        };
        assert_eq!(client(Some("open sesame")), "192.0.2.7");
        assert_eq!(client(Some("open barley")), "10.244.1.9");
        assert_eq!(client(None), "10.244.1.9");
    }

    #[test]
    fn nobody_becomes_another_by_a_header_of_his_own() {
        assert_eq!(
            client("192.0.2.7", &["198.51.100.1"]),
            "192.0.2.7",
            "past the proxy"
        );
        assert_eq!(
            client("10.0.0.1", &["198.51.100.1, 192.0.2.7"]),
            "192.0.2.7",
            "the proxy has added what it saw"
        );
        assert_eq!(client("10.0.0.1", &["192.0.2.7, unknown"]), "10.0.0.1");
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        let error = "10.0.0.0/8,proxy".parse::<TrustedProxies>().unwrap_err();
        assert!(error.to_string().starts_with("\"proxy\""), "{error}");
    }

    #[test]
    fn a_household_is_one_client() {
        let network = |text: &str| ClientIp(text.parse().unwrap()).network().to_string();
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8::ffff:1"), "2001:db8::");
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8::1"));
    }
}
