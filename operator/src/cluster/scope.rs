//! Where the operator looks: in the whole cluster, or in some namespaces and, for want of rights, nowhere else.

use std::{fmt, str::FromStr};

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

/// The namespaces whose Shops one install looks after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All there are and will be.
    Cluster,
    /// These: at least one, sorted, none twice.
    Namespaces(Vec<String>),
}

impl Scope {
    /// What to list and watch to see all objects of a kind: one path, or one for each namespace.
    pub fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::Cluster => vec![Api::all(client.clone())],
            Self::Namespaces(names) => names
                .iter()
                .map(|name| Api::namespaced(client.clone(), name))
                .collect(),
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    /// Names with commas between them; none is the whole cluster.
    fn from_str(list: &str) -> Result<Self, String> {
        let mut names = Vec::new();
        for name in list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            if !is_label(name) {
                return Err(format!(
                    "{name:?} cannot be the name of a namespace: at most 63 small letters, digits and hyphens"
                ));
            }
            names.push(name.to_owned());
        }
        names.sort_unstable();
        names.dedup();
        Ok(match names.is_empty() {
            true => Self::Cluster,
            false => Self::Namespaces(names),
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("all namespaces"),
            Self::Namespaces(names) => write!(f, "namespaces {}", names.join(", ")),
        }
    }
}

/// RFC 1123, which is what the API server asks of a namespace's name.
fn is_label(name: &str) -> bool {
    name.len() <= 63
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    #[test]
    fn a_list_of_names_becomes_a_scope() {
        let namespaces = |names: &[&str]| {
            Ok(Scope::Namespaces(
                names.iter().map(|name| (*name).into()).collect(),
            ))
        };
        assert_eq!("".parse(), Ok(Scope::Cluster));
        assert_eq!(" , ".parse(), Ok(Scope::Cluster));
        assert_eq!("a".parse(), namespaces(&["a"]));
        assert_eq!("b, a,b,".parse(), namespaces(&["a", "b"]));
        for wrong in ["A", "a.b", "a/b", "-a", "a-", "a b", &"x".repeat(64)] {
            let refused = wrong.parse::<Scope>().expect_err(wrong);
            assert!(refused.contains(wrong), "{refused}");
        }
    }

    #[tokio::test]
    async fn each_namespace_has_a_path_of_its_own() {
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
        let client = Client::try_from(nowhere).expect("a client");
        let paths = |scope: Scope| -> Vec<_> {
            let apis = scope.apis::<Secret>(&client);
            apis.iter()
                .map(|api| api.resource_url().to_owned())
                .collect()
        };
        assert_eq!(paths(Scope::Cluster), ["/api/v1/secrets"]);
        assert_eq!(
            paths(Scope::Namespaces(vec!["a".into(), "b".into()])),
            [
                "/api/v1/namespaces/a/secrets",
                "/api/v1/namespaces/b/secrets"
            ]
        );
    }
}
