//! Spans on their way out: from the threads of a service, through a bounded queue, to the collector. What is standard there is read
//! from the standard variables (OpenTelemetry, "OTLP Exporter Configuration"), some of them by the exporter itself.

use std::fs;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};
use percent_encoding::percent_decode_str;
use reqwest::Certificate;
use reqwest::blocking::Client;

use super::counts::SpanCounts;
use super::identity::{current, work_for};
use super::{Identity, LogLimit};
use crate::application::{CORRELATION, CORRELATION_ATTRIBUTE};
use crate::settings::{Env, SettingError, wrong};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";

/// Where spans go, as the environment says.
pub(super) struct Export {
    client: Option<Client>,
    /// Spans in the queue.
    most_waiting: usize,
}

impl Export {
    /// `None` without an endpoint.
    pub(super) fn read(env: &Env) -> Result<Option<Self>, SettingError> {
        let (all, traces) = (
            env.optional::<String>(ENDPOINT)?,
            env.optional::<String>(TRACES_ENDPOINT)?,
        );
        if all.or(traces).is_none() {
            return Ok(None);
        }
        check_headers(env)?;
        let most_waiting = env.or(QUEUE, 2048)?;
        if !(1..=100_000).contains(&most_waiting) {
            return Err(wrong(QUEUE, "give a number of spans from 1 to 100000"));
        }
        Ok(Some(Self {
            client: client(env)?,
            most_waiting,
        }))
    }

    /// Exports the spans of `service` under its name, on a thread of its own.
    pub(super) fn spans_of(&self, service: Identity) -> Result<SpansOf, SettingError> {
        let mut exporter = OtlpExporter::builder().with_http();
        if let Some(client) = &self.client {
            exporter = exporter.with_http_client(client.clone());
        }
        let counts = SpanCounts::of(service.name);
        let counted = Counted {
            service: service.name,
            inner: exporter.build().map_err(|e| wrong(ENDPOINT, e))?,
            counts: counts.clone(),
        };
        let queue = BatchConfigBuilder::default().with_max_queue_size(self.most_waiting);
        Ok(SpansOf {
            service: service.name,
            resource: service.resource(),
            counts,
            most_waiting: self.most_waiting,
            inner: BatchSpanProcessor::builder(counted)
                .with_batch_config(queue.build())
                .build(),
        })
    }
}

/// A client that trusts the authority of the collector alone, where that has one of its own. Otherwise the exporter makes its own.
fn client(env: &Env) -> Result<Option<Client>, SettingError> {
    let Some(path) = env.optional::<String>(CERTIFICATE)? else {
        return Ok(None);
    };
    let pem = fs::read(&path).map_err(|e| SettingError::Unreadable {
        name: CERTIFICATE.to_owned(),
        path: path.clone(),
        cause: e.to_string(),
    })?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        let hint = format!("{path} holds no certificate; give the authority's in PEM form");
        return Err(wrong(CERTIFICATE, hint));
    }
    let timeout = Duration::from_millis(env.or(TIMEOUT, 10_000)?);
    Client::builder()
        .timeout(timeout)
        .tls_certs_only(certificates)
        .build()
        .map(Some)
        .map_err(|e| wrong(CERTIFICATE, e))
}

/// The exporter reads them itself, passes over what it cannot read, and the collector would then refuse every span without a word of why.
fn check_headers(env: &Env) -> Result<(), SettingError> {
    let Some(headers) = env.optional::<String>(HEADERS)? else {
        return Ok(());
    };
    let is_header = |pair: &str| {
        pair.split_once('=').is_some_and(|(name, value)| {
            let value = percent_decode_str(value.trim()).decode_utf8();
            name.trim().parse::<HeaderName>().is_ok()
                && value.is_ok_and(|v| !v.is_empty() && HeaderValue::from_str(&v).is_ok())
        })
    };
    if headers.trim_end_matches(',').split(',').all(is_header) {
        Ok(())
    } else {
        Err(wrong(
            HEADERS,
            "give name=value,name=value; a value has no comma (%2C) and no line break",
        ))
    }
}

/// Takes the spans that end on threads of one service.
#[derive(Debug)]
pub(super) struct SpansOf {
    service: &'static str,
    resource: Resource,
    counts: SpanCounts,
    most_waiting: usize,
    inner: BatchSpanProcessor,
}

impl SpanProcessor for SpansOf {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        // What is not sampled is not exported either.
        if current() != Some(self.service) || !span.span_context.is_sampled() {
            return;
        }
        for attribute in &mut span.attributes {
            if attribute.key.as_str() == CORRELATION {
                attribute.key = CORRELATION_ATTRIBUTE.into();
            }
        }
        if self.counts.enter(self.most_waiting) {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    /// The process has one resource, a service its own.
    fn set_resource(&mut self, _: &Resource) {
        self.inner.set_resource(&self.resource);
    }
}

/// Counts what the collector takes, and says once in a while that it takes nothing.
#[derive(Debug)]
struct Counted {
    service: &'static str,
    inner: OtlpExporter,
    counts: SpanCounts,
}

impl Counted {
    fn tell(&self, spans: usize, error: &OTelSdkError) {
        static LIMIT: LogLimit = LogLimit::new();
        // The thread is one that the library has started.
        work_for(self.service);
        if let Some(left_out) = LIMIT.due() {
            tracing::warn!(%error, spans, left_out, "the collector has not taken spans");
        }
    }
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.counts.leave(spans);
        let outcome = self.inner.export(batch).await;
        self.counts.ended(spans, outcome.is_ok());
        if let Err(error) = &outcome {
            self.tell(spans, error);
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
