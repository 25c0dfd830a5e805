//! Where an order's trace and logs can be looked at, by the templates of whoever runs the shop.

use chassis::settings::wrong;
use chassis::{Env, SettingError};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

const TRACE_LINK: &str = "TRACE_LINK";
const LOGS_LINK: &str = "LOGS_LINK";
const TRACE_ID: &str = "{traceId}";
const ORDER_ID: &str = "{orderId}";

/// The templates; each may be missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkTemplates {
    trace: Option<String>,
    logs: Option<String>,
}

/// Of one order.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Links {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://traces.example/trace/4bf92f3577b34da6a3ce929d0e0e4736")]
    trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://logs.example/?query=0199f0b6-0000-7000-8000-000000000000")]
    logs: Option<String>,
}

impl LinkTemplates {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        Ok(Self {
            trace: template(env, TRACE_LINK, &[TRACE_ID])?,
            logs: template(env, LOGS_LINK, &[TRACE_ID, ORDER_ID])?,
        })
    }

    /// The links of an order; `None` where there is none to give. One that needs a trace is left out where none is known.
    pub(crate) fn of(&self, order: Uuid, trace_id: Option<&str>) -> Option<Links> {
        let fill = |template: &Option<String>| {
            let template = template.as_deref()?;
            let filled = template.replace(ORDER_ID, &order.to_string());
            match trace_id {
                Some(id) => Some(filled.replace(TRACE_ID, id)),
                None => (!filled.contains(TRACE_ID)).then_some(filled),
            }
        };
        let links = Links {
            trace: fill(&self.trace),
            logs: fill(&self.logs),
        };
        (links.trace.is_some() || links.logs.is_some()).then_some(links)
    }
}

/// A URL with at least one of `places` to fill.
fn template(
    env: &Env,
    name: &'static str,
    places: &[&str],
) -> Result<Option<String>, SettingError> {
    let Some(template) = env.optional::<String>(name)? else {
        return Ok(None);
    };
    let is_url = template.starts_with("http://") || template.starts_with("https://");
    if is_url && places.iter().any(|place| template.contains(place)) {
        return Ok(Some(template));
    }
    let places = places.join(" or ");
    Err(wrong(
        name,
        format!("give a URL that begins with http:// or https:// and holds {places}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn templates(trace: &str, logs: &str) -> Result<LinkTemplates, SettingError> {
        LinkTemplates::read(&Env::of([(TRACE_LINK, trace), (LOGS_LINK, logs)]))
    }

    #[test]
    fn a_link_is_its_template_filled_and_is_left_out_where_something_is_missing() {
        let templates = templates(
            "https://traces.example/trace/{traceId}",
            "http://logs.example/?query=order_id:={orderId}",
        );
        let (templates, order) = (templates.unwrap(), Uuid::nil());
        let logs = format!("http://logs.example/?query=order_id:={order}");
        let links = templates.of(order, Some(TRACE)).unwrap();
        assert_eq!(
            links.trace.as_deref(),
            Some("https://traces.example/trace/4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(links.logs.as_ref(), Some(&logs));
        let links = templates.of(order, None).unwrap();
        assert_eq!((links.trace, links.logs), (None, Some(logs)));
        assert_eq!(LinkTemplates::default().of(order, Some(TRACE)), None);
    }

    #[test]
    fn a_template_that_leads_nowhere_is_refused() {
        for (trace, logs) in [
            ("javascript:{traceId}", ""),
            ("https://traces.example/", ""),
            ("https://traces.example/{orderId}", ""),
            ("", "ftp://{orderId}"),
        ] {
            assert!(templates(trace, logs).is_err(), "{trace} {logs}");
        }
    }
}
