//! What is asked of a service about its dead letters.

use hyper::{Method, StatusCode};
use uuid::Uuid;

use super::Letter;
use crate::{administration::Administration, failure::Failure};

/// How many letters are asked for at once: as many as a service gives.
const PAGE: usize = 1000;

impl Administration<'_> {
    /// All letters of the service; none where it subscribes to nothing.
    pub(super) async fn letters(&self) -> Result<Vec<Letter>, Failure> {
        let mut all: Vec<Letter> = Vec::new();
        loop {
            let mut path = format!("/dead-letters?limit={PAGE}");
            if let Some(last) = all.last() {
                path += &format!("&after={}", last.id);
            }
            let answer = self.ask(Method::GET, &path).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok(all);
            }
            let page: Vec<Letter> = self.read(&answer)?;
            let is_last = page.len() < PAGE;
            all.extend(page.into_iter().map(|letter| self.own(letter)));
            if is_last {
                return Ok(all);
            }
        }
    }

    /// One letter with its payload, where the service has it.
    pub(super) async fn letter(&self, id: Uuid) -> Result<Option<Letter>, Failure> {
        let answer = self
            .ask(Method::GET, &format!("/dead-letters/{id}"))
            .await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => Ok(Some(self.own(self.read(&answer)?))),
        }
    }

    /// Applies an event now.
    pub(super) async fn retry(&self, id: Uuid) -> Result<(), Failure> {
        let answer = self
            .ask(Method::POST, &format!("/dead-letters/{id}/retry"))
            .await?;
        self.well(&answer)
    }

    /// Forgets an event for good.
    pub(super) async fn discard(&self, id: Uuid) -> Result<(), Failure> {
        let answer = self
            .ask(Method::DELETE, &format!("/dead-letters/{id}"))
            .await?;
        self.well(&answer)
    }

    fn own(&self, letter: Letter) -> Letter {
        Letter {
            service: self.place.service.clone(),
            ..letter
        }
    }
}
