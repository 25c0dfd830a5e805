//! What may be asked: how deep, how much, under how many names, and in production only what is known beforehand.

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{ObjectType, SchemaBuilder, SubscriptionType};
use chassis::http::Problem;
use sha2::{Digest, Sha256};

/// `me { orders { items { lines { product { price { amount } } } } } }` is seven deep.
const DEEPEST: usize = 8;
/// A field costs one, a list as often as it has elements, and a field that makes a call of its own `schema::CALL` more: however often it is
/// repeated, there are less than 20 of them.
const COSTLIEST: usize = 4000;
/// Fields under other names than their own.
const ALIASES: usize = 15;

pub(super) fn bound<Q, M, S>(schema: SchemaBuilder<Q, M, S>) -> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    schema
        .limit_depth(DEEPEST)
        .limit_complexity(COSTLIEST)
        .limit_recursive_depth(16)
        .limit_directives(4)
        // The schema is in `contracts/graphql`.
        .disable_introspection()
        .disable_suggestions()
}

/// Which documents are answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Documents {
    /// Any within the limits.
    Any,
    /// Those of [`TRUSTED`] alone.
    Trusted,
}

/// The documents of clients of ours.
const TRUSTED: [&str; 2] = [
    include_str!("../../../../contracts/graphql/orders.graphql"),
    include_str!("../../../../contracts/graphql/search.graphql"),
];

impl std::str::FromStr for Documents {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "Any" => Ok(Self::Any),
            "Trusted" => Ok(Self::Trusted),
            _ => Err("write Any or Trusted"),
        }
    }
}

impl Documents {
    /// # Errors
    /// What is not answered, and why.
    pub(super) fn allow(
        self,
        query: &str,
        document_id: Option<&str>,
    ) -> Result<ExecutableDocument, Problem> {
        let by_id = |wanted| TRUSTED.into_iter().find(|text| id(text) == wanted);
        let by_text = match self {
            Self::Any => Some(query).filter(|_| document_id.is_none()),
            Self::Trusted => TRUSTED.into_iter().find(|text| *text == query),
        };
        let text = document_id.and_then(by_id).or(by_text);
        let text = text.ok_or_else(|| {
            Problem::invalid(
                "unknown_document",
                "Only documents that are known here are answered; send documentId, the SHA-256 of one of contracts/graphql.",
            )
        })?;
        let document = parse_query(text)
            .map_err(|error| Problem::invalid("malformed_query", error.to_string()))?;
        if aliases(&document) > ALIASES {
            let detail = format!("At most {ALIASES} fields may have another name.");
            return Err(Problem::invalid("too_many_aliases", detail));
        }
        Ok(document)
    }
}

/// The SHA-256 of a document, in hexadecimal digits.
fn id(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn aliases(document: &ExecutableDocument) -> usize {
    let operations = document.operations.iter();
    let operations = operations.map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document.fragments.values();
    let fragments = fragments.map(|fragment| &fragment.node.selection_set.node);
    operations.chain(fragments).map(aliases_of).sum()
}

fn aliases_of(set: &SelectionSet) -> usize {
    let of = |selection: &Selection| match selection {
        Selection::Field(field) => {
            let own = usize::from(field.node.alias.is_some());
            own + aliases_of(&field.node.selection_set.node)
        }
        Selection::FragmentSpread(_) => 0,
        Selection::InlineFragment(fragment) => aliases_of(&fragment.node.selection_set.node),
    };
    set.items.iter().map(|item| of(&item.node)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(documents: Documents, query: &str, id: Option<&str>) -> Option<String> {
        documents.allow(query, id).err().map(|problem| problem.code)
    }

    #[test]
    fn in_production_only_known_documents_are_answered() {
        let trusted = Documents::Trusted;
        let known = id(TRUSTED[0]);
        assert_eq!(code(trusted, "", Some(&known)), None);
        assert_eq!(code(trusted, TRUSTED[0], None), None);
        let unknown = Some("unknown_document".to_owned());
        assert_eq!(code(trusted, "{ me { name } }", None), unknown);
        assert_eq!(
            code(trusted, TRUSTED[0], Some("abc")),
            None,
            "its text is known"
        );
        assert_eq!(
            code(Documents::Any, "{ me { name } }", Some("abc")),
            unknown
        );
        assert_eq!(code(Documents::Any, "{ me { name } }", None), None);
    }

    #[test]
    fn a_field_is_not_asked_for_under_a_hundred_names() {
        let names: String = (0..16).map(|n| format!("a{n}: me {{ name }} ")).collect();
        let too_many = Some("too_many_aliases".to_owned());
        assert_eq!(
            code(Documents::Any, &format!("{{ {names} }}"), None),
            too_many
        );
        let hidden = format!("{{ ...f }} fragment f on Query {{ {names} }}");
        assert_eq!(code(Documents::Any, &hidden, None), too_many);
        assert_eq!(
            code(Documents::Any, "{ me", None),
            Some("malformed_query".to_owned())
        );
    }

    /// Each that is executed makes a call, and names are not needed for that. Nothing is executed here: there is no state.
    #[tokio::test]
    async fn calls_have_a_price_however_they_are_repeated() {
        let graph = super::super::graph();
        for (field, at_most) in [("me { name }", 19), ("search(first: 1) { total }", 19)] {
            let many = format!("{{ {} }}", format!("{field} ").repeat(at_most + 1));
            let answer = graph.execute(many).await;
            let error = &answer.errors[0].message;
            assert!(error.contains("complex"), "{field}: {error}");
        }
    }
}
