//! A port of a pod on a port of this machine, as `kubectl port-forward` does. For what is not exposed: the payments API,
//! the broker, administration ports.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::net::{TcpListener, TcpStream};

/// Forwards until the process ends; every connection opens a stream of its own. Returns the local port.
pub async fn forward(pods: Api<Pod>, pod: String, port: u16) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let local = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (pods, pod) = (pods.clone(), pod.clone());
            tokio::spawn(async move {
                // A pod that is gone ends the connection; whoever uses it sees that and asks again.
                let _ = pass(stream, &pods, &pod, port).await;
            });
        }
    });
    Ok(local)
}

async fn pass(mut stream: TcpStream, pods: &Api<Pod>, pod: &str, port: u16) -> Result<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await?;
    let mut upstream = forwarder
        .take_stream(port)
        .context("no stream for the port")?;
    tokio::io::copy_bidirectional(&mut stream, &mut upstream).await?;
    Ok(())
}
