//! Streams to a port of a pod, as `kubectl port-forward` has them.

use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    cluster::Cluster,
    failure::{Failure, asking},
    place::{self, Place, Port},
};

/// A stream to a port of a service, at the first of its pods that is ready.
///
/// # Errors
/// When none is ready, or it cannot be reached.
pub async fn stream(
    cluster: &Cluster,
    place: &Place,
    port: Port,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Failure> {
    let pods = cluster.pods(place).await?;
    let (pod, port) = target(place, &pods, port)?;
    let asked = asking(format!("port {port} of pod {pod}"));
    let mut forwarder = cluster
        .api::<Pod>()
        .portforward(pod, &[port])
        .await
        .map_err(asked)?;
    let stream = forwarder.take_stream(port);
    stream.ok_or_else(|| Failure::Absent(format!("pod {pod} gives no stream for its port {port}")))
}

/// The pod to go to, and the number of its port.
pub fn target<'a>(place: &Place, pods: &'a [Pod], port: Port) -> Result<(&'a str, u16), Failure> {
    let service = &place.service;
    let pod = place::ready(pods).ok_or_else(|| {
        Failure::Absent(format!(
            "no pod of service {service} is ready; `shopctl why {service}` says why"
        ))
    })?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let number = place.port(pod, port);
    let number = number.ok_or_else(|| {
        Failure::Absent(format!(
            "pod {name} names no such port of service {service}"
        ))
    })?;
    Ok((name, number))
}
