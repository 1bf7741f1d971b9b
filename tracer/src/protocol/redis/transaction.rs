//! `MULTI` … `EXEC`: the replies inside `EXEC`'s belong to the commands that were queued.

use super::command::{Outcome, UNKNOWN_NAME};
use super::outstanding::{Outstanding, Pending};
use super::reply::Reply;
use super::session::{Expect, Queued, Session, Transaction};

/// Follows what an answered command means for the transaction. False: what comes next cannot be told.
pub(super) fn follow(
    session: &mut Session,
    outstanding: &mut Outstanding,
    answered: Pending,
    outcome: &Outcome,
    reply: &Reply,
) -> bool {
    match (outcome, answered.expect) {
        (Outcome::Queued, _) => {
            queue(session, outstanding, answered);
            true
        }
        (Outcome::Ok, Expect::Exec) => {
            let Some(transaction) = session.transaction.take() else { return true };
            if transaction.opaque {
                return false;
            }
            execute(session, outstanding, &transaction, reply);
            true
        }
        (_, Expect::Exec) | (Outcome::Ok, Expect::Discard | Expect::Reset) => {
            for queued in session.transaction.take().iter().flat_map(|transaction| &transaction.queued) {
                outstanding.amend(queued.exchange, queued.place, &Outcome::NotExecuted);
            }
            true
        }
        _ => true,
    }
}

fn queue(session: &mut Session, outstanding: &mut Outstanding, answered: Pending) {
    let Some(transaction) = &mut session.transaction else { return };
    let exchange = answered.exchange.unwrap_or(u64::MAX);
    transaction.push(Queued {
        exchange,
        place: answered.place,
        name: outstanding.name(exchange, answered.place).unwrap_or(UNKNOWN_NAME.into()),
        expect: answered.expect,
    });
}

fn execute(session: &mut Session, outstanding: &mut Outstanding, transaction: &Transaction, reply: &Reply) {
    if reply.count != transaction.total {
        // Not the transaction that was followed: what it did to the connection is unknown.
        session.database = None;
        return;
    }
    let mut elsewhere = Vec::new();
    for (queued, outcome) in transaction.queued.iter().zip(&reply.outcomes) {
        session.apply(queued.expect, outcome);
        if !outstanding.amend(queued.exchange, queued.place, outcome) {
            elsewhere.push((queued.name.clone(), outcome.clone()));
        }
    }
    if transaction.total > transaction.queued.len() as u64 {
        session.database = None;
    }
    outstanding.attach(elsewhere);
}
