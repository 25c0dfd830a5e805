//! `shopctl open`: ports of this machine that lead to the services.

use std::time::Duration;

use serde::Serialize;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::{
    cluster::Cluster,
    failure::{Failure, Outcome},
    forward,
    output::{self, Output},
    place::{Place, Port},
};

/// How long nobody is let in after a connection that could not be taken.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a service is reached.
#[derive(Serialize)]
struct Door {
    service: String,
    url: String,
}

/// Opens ports and prints their URLs; ends with Ctrl-C.
///
/// # Errors
/// When there is nothing to lead to.
pub async fn run(
    cluster: &Cluster,
    service: Option<&str>,
    output: Output,
) -> Result<Outcome, Failure> {
    let places = Place::chosen(&cluster.shop().await?, service)?;
    let mut doors = Vec::new();
    for place in places {
        let pods = cluster.pods(&place).await?;
        match forward::target(&place, &pods, Port::Api) {
            Ok(_) => doors.push(open(cluster, place).await?),
            Err(failure) if service.is_some() => return Err(failure),
            Err(failure) => output::complain(failure),
        }
    }
    if doors.is_empty() {
        return Err(Failure::Absent("no service can be reached".into()));
    }
    match output {
        Output::Text => output::print(&text(&doors))?,
        Output::Json => output::print_json(&doors)?,
    }
    output::complain("Ctrl-C ends it.");
    let ended = tokio::signal::ctrl_c().await;
    ended.map_err(|error| Failure::Refused(format!("Ctrl-C cannot be heard: {error}")))?;
    Ok(Outcome::Good)
}

fn text(doors: &[Door]) -> String {
    let width = doors
        .iter()
        .map(|door| door.service.len())
        .max()
        .unwrap_or_default();
    let lines = doors.iter();
    lines
        .map(|door| format!("{:<width$}  {}\n", door.service, door.url))
        .collect()
}

/// Leads every connection to a pod that is ready when it comes.
async fn open(cluster: &Cluster, place: Place) -> Result<Door, Failure> {
    let no_port = |error| Failure::Refused(format!("no port of this machine is free: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(no_port)?;
    let door = Door {
        url: format!("http://{}", listener.local_addr().map_err(no_port)?),
        service: place.service.clone(),
    };
    let cluster = cluster.clone();
    tokio::spawn(async move {
        loop {
            let connection = match listener.accept().await {
                Ok((connection, _)) => connection,
                // Of this one connection, or for want of files: the next may come through.
                Err(error) => {
                    output::complain(format!("{}: {error}", place.service));
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let (cluster, service) = (cluster.clone(), place.service.clone());
            tokio::spawn(async move {
                if let Err(failure) = lead(&cluster, &service, connection).await {
                    output::complain(format!("{service}: {failure}"));
                }
            });
        }
    });
    Ok(door)
}

/// The service is looked for anew: it may have other pods by now, or be in those of the host.
async fn lead(cluster: &Cluster, service: &str, mut here: TcpStream) -> Result<(), Failure> {
    let place = Place::named(&cluster.shop().await?, service)?;
    let mut there = forward::stream(cluster, &place, Port::Api).await?;
    // A pod that goes ends the connection; whoever uses it sees that and comes again.
    let _ = copy_bidirectional(&mut here, &mut there).await;
    Ok(())
}
