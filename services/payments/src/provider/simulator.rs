//! The built-in provider: the token decides the outcome. It keeps its own books in the schema `simulator`, so that "what
//! became of key X" has an answer after a restart, as it would have at a real provider.
//!
//! | token | answer |
//! |---|---|
//! | `tok_approved` | approved at once |
//! | `tok_declined` | declined at once: `card_declined` |
//! | `tok_slow` | approved after two seconds |
//! | `tok_unknown` | no clear answer at first, approved when asked again |
//! | `tok_unknown_declined` | no clear answer at first, declined when asked again |
//!
//! Captures, voids and refunds are approved at once.

use std::time::Duration;

use chassis::CancellationToken;
use chassis::db::{self, Db};

use super::{Instruction, Token, Unclear};
use crate::payment::Outcome;

/// How long the books remember a key, as providers do: who asks later than that has it done anew. The service asks at least
/// every five minutes, and ends only with an answer.
const KEEP_DAYS: i32 = 14;
/// Between two looks for what is to be forgotten, and rows that are forgotten at once.
const INTERVAL: Duration = Duration::from_secs(600);
const BATCH: i64 = 2_000;

#[derive(Clone)]
pub(crate) struct Simulator {
    db: Db,
}

/// How an instruction will be answered; decided when it is first heard.
#[derive(Debug, PartialEq)]
struct Plan {
    refusal: Option<&'static str>,
    silent_first: bool,
    after: Duration,
}

impl Simulator {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Whether `token` is one of the provider's.
    pub(crate) fn knows(&self, token: &Token) -> bool {
        plan(token).is_some()
    }

    /// Carries an instruction out, or says what became of it.
    pub(crate) async fn submit(&self, instruction: &Instruction) -> Result<Outcome, Unclear> {
        let heard = self
            .hear(instruction)
            .await
            .map_err(|e| Unclear(format!("the simulator cannot be reached: {e}")))?;
        if heard.silent {
            return Err(Unclear("the simulator gives no answer yet".to_owned()));
        }
        tokio::time::sleep(heard.wait).await;
        Ok(match heard.refusal {
            None => Outcome::Approved,
            Some(reason) => Outcome::Refused { reason },
        })
    }

    /// Deletes what is too old to be asked for, until `stop`.
    pub(crate) async fn forget_old(self, stop: CancellationToken) -> anyhow::Result<()> {
        const SQL: &str = "
            delete from simulator.requests where key in (
                select key from simulator.requests where received_at < now() - make_interval(days => $1) limit $2)";
        while !stop.is_cancelled() {
            let forgotten = db::execute(&self.db.get().await?, SQL, &[&KEEP_DAYS, &BATCH]).await?;
            if forgotten == 0 {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(INTERVAL) => {}
                }
            }
        }
        Ok(())
    }

    /// Writes the instruction down, or finds what was written down under its key.
    async fn hear(&self, instruction: &Instruction) -> Result<Heard, db::Error> {
        const SQL: &str = "
            insert into simulator.requests as r (key, operation, amount, currency, refusal, silent_first, answers_at)
            values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
            on conflict (key) do update set asked = r.asked + 1
            returning refusal, silent_first and asked = 1 as silent,
                      greatest(0, extract(epoch from answers_at - now()))::float8 as wait";
        let plan = match &instruction.token {
            Some(token) => plan(token).unwrap_or(at_once(Some("unknown_token"))),
            None => at_once(None),
        };
        let row = db::query_one(
            &self.db.get().await?,
            SQL,
            &[
                &instruction.key,
                &instruction.operation.into_str(),
                &instruction.amount.amount,
                &instruction.amount.currency.code(),
                &plan.refusal,
                &plan.silent_first,
                &plan.after.as_secs_f64(),
            ],
        )
        .await?;
        Ok(Heard {
            refusal: row.try_get("refusal")?,
            silent: row.try_get("silent")?,
            wait: Duration::from_secs_f64(row.try_get("wait")?),
        })
    }
}

/// What the books say about an instruction now.
struct Heard {
    refusal: Option<String>,
    silent: bool,
    wait: Duration,
}

fn at_once(refusal: Option<&'static str>) -> Plan {
    Plan {
        refusal,
        silent_first: false,
        after: Duration::ZERO,
    }
}

fn plan(token: &Token) -> Option<Plan> {
    const DECLINED: Option<&str> = Some("card_declined");
    let silent = |refusal| Plan {
        silent_first: true,
        ..at_once(refusal)
    };
    Some(match token.expose() {
        "tok_approved" => at_once(None),
        "tok_declined" => at_once(DECLINED),
        "tok_slow" => Plan {
            after: Duration::from_secs(2),
            ..at_once(None)
        },
        "tok_unknown" => silent(None),
        "tok_unknown_declined" => silent(DECLINED),
        _ => return None,
    })
}
