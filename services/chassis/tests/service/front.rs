//! What stands in front of a real database and refuses connections as PostgreSQL does in states that a test cannot bring it
//! into.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a new connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// The database behind has it.
    Pass,
    /// It is refused with this SQLSTATE.
    Refuse(&'static str),
    /// It is closed without a word.
    Close,
}

pub(crate) struct Front {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    taken: usize,
    once: VecDeque<Manner>,
    usual: Manner,
}

impl Front {
    /// Listens on a free port of this machine, in front of another one.
    pub(crate) async fn start(behind: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            taken: 0,
            once: VecDeque::new(),
            usual: Manner::Pass,
        }));
        tokio::spawn({
            let state = state.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let manner = {
                        let mut state = state.lock().unwrap();
                        state.taken += 1;
                        let usual = state.usual;
                        state.once.pop_front().unwrap_or(usual)
                    };
                    tokio::spawn(treat(client, manner, behind));
                }
            }
        });
        Self { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were so far.
    pub(crate) fn taken(&self) -> usize {
        self.state.lock().unwrap().taken
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.state.lock().unwrap().usual = manner;
    }

    /// For the next connection alone.
    pub(crate) fn once(&self, manner: Manner) {
        self.state.lock().unwrap().once.push_back(manner);
    }
}

async fn treat(mut client: TcpStream, manner: Manner, behind: u16) {
    match manner {
        Manner::Close => {}
        Manner::Pass => {
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", behind)).await {
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        }
        Manner::Refuse(code) => {
            // The first message is its length, that included, and the rest.
            let Ok(length) = client.read_u32().await else {
                return;
            };
            let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
            let _ = client.read_exact(&mut rest).await;
            let fields = format!("SFATAL\0VFATAL\0C{code}\0Mnot now\0\0");
            let _ = client.write_u8(b'E').await;
            let length = u32::try_from(fields.len() + 4).unwrap();
            let _ = client.write_u32(length).await;
            let _ = client.write_all(fields.as_bytes()).await;
        }
    }
}
