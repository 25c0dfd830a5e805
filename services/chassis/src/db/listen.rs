//! Hearing `NOTIFY` on a connection outside of the pool.

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_postgres::AsyncMessage;

use super::patience::patience;
use super::{Db, Error, config};

impl Db {
    /// A connection of its own that hears `NOTIFY` on `channel`. The receiver ends when the connection is lost.
    ///
    /// # Errors
    /// Also when [`crate::Service::LISTENERS`] connections are open already: they count towards the bound of the process.
    pub async fn listen(&self, channel: &'static str) -> Result<mpsc::Receiver<()>, Error> {
        let place = self.listeners.clone().try_acquire_owned().map_err(|_| {
            Error::Unavailable("all connections set aside for listening are open".to_owned())
        })?;
        let (mut config, scram_only) =
            config(&self.url).map_err(|e| Error::Unavailable(e.to_string()))?;
        config.application_name("listen");
        let (client, mut connection) = tokio::time::timeout(patience(), config.connect(scram_only))
            .await
            .map_err(|_| Error::Unavailable("no connection in time".to_owned()))??;
        // A full channel means that a wake-up is waiting already: one is enough.
        let (wake, woken) = mpsc::channel(1);
        tokio::spawn(async move {
            // The place is free again when the connection has ended, not before.
            let _place = place;
            loop {
                let message = std::future::poll_fn(|cx| connection.poll_message(cx)).await;
                match message {
                    Some(Ok(AsyncMessage::Notification(_))) => {
                        if let Err(TrySendError::Closed(())) = wake.try_send(()) {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
        });
        client.batch_execute(&format!("listen {channel}")).await?;
        // The connection lives as long as its client; the task above ends with it.
        let (guarded, receiver) = mpsc::channel(1);
        tokio::spawn(forward(client, woken, guarded));
        Ok(receiver)
    }
}

/// Passes wake-ups on and keeps the client alive until the receiver is gone or the connection is lost.
async fn forward(
    client: tokio_postgres::Client,
    mut woken: mpsc::Receiver<()>,
    to: mpsc::Sender<()>,
) {
    loop {
        tokio::select! {
            () = to.closed() => break,
            wake = woken.recv() => {
                if wake.is_none() || to.send(()).await.is_err() {
                    break;
                }
            }
        }
    }
    drop(client);
}
