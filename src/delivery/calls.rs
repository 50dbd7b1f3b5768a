//! A record that is due → the call that carries it. Pure: which call is a rule, what it says is `wire`'s.

use crate::kind::Kind;
use crate::plan::Readiness;
use crate::store::flight::{Candidate, Choice, Launch, Named};
use crate::verdict::{Refusal, Wanted};
use crate::wire::{self, Call, Endpoint, OrderNames, PathKey, segment};

/// A call and what it wants done.
pub(super) type Carriage = (Call, Wanted);

/// The single call for a record.
pub(super) fn single(candidate: &Candidate) -> Choice<Carriage> {
    if candidate.consents {
        return consents(candidate);
    }
    if let Some(delete) = &candidate.delete {
        return deletion(candidate, delete.product.as_ref());
    }
    let Candidate {
        kind, key, content, ..
    } = candidate;
    let names = order_names(candidate);
    match kind {
        Kind::Customers => upsert(
            candidate,
            Endpoint::Customer,
            &[],
            wire::customer(key, content),
        ),
        Kind::Products => upsert(
            candidate,
            Endpoint::Product,
            &[],
            wire::product(key, content),
        ),
        Kind::Skus => match candidate.product.as_ref().and_then(place) {
            Some(product) => upsert(
                candidate,
                Endpoint::Sku,
                &[&product],
                wire::sku(key, content),
            ),
            None => unsendable("its product's key cannot stand in an address"),
        },
        Kind::Orders => {
            let body = wire::order(key, content, names);
            // Known by its own id; a key that cannot stand in an address goes by the call that makes.
            match (&candidate.remote_id, segment(key)) {
                (Some(_), PathKey::Segment(path)) => {
                    upsert(candidate, Endpoint::OrderUpdate, &[&path], body)
                }
                _ => upsert(candidate, Endpoint::OrderNew, &[], body),
            }
        }
    }
}

/// Whether an order's body names its customer.
pub(super) fn order_names(candidate: &Candidate) -> OrderNames {
    match candidate.readiness {
        Readiness::WithoutCustomer { .. } => OrderNames::Nobody,
        _ => OrderNames::Customer,
    }
}

/// A record's JSON in a body of many; a SKU's row of CSV.
pub(super) fn item(candidate: &Candidate) -> String {
    match candidate.kind {
        Kind::Skus => wire::sku_row(&candidate.key, &candidate.content)
            .expect("only those whom the columns carry go by CSV"),
        Kind::Orders => wire::order(&candidate.key, &candidate.content, order_names(candidate)),
        kind => wire::bulk_item(kind, &candidate.key, &candidate.content),
    }
}

fn upsert(
    candidate: &Candidate,
    endpoint: Endpoint,
    keys: &[&str],
    body: String,
) -> Choice<Carriage> {
    let wanted = Wanted::Upsert {
        kind: candidate.kind,
        key: candidate.key.clone(),
        update: endpoint == Endpoint::OrderUpdate,
    };
    launch(endpoint, keys, Some(body), wanted)
}

fn launch(
    endpoint: Endpoint,
    keys: &[&str],
    body: Option<String>,
    wanted: Wanted,
) -> Choice<Carriage> {
    let call = Call::new(endpoint, keys, body.map(String::into_bytes));
    Choice::Launch(Launch {
        endpoint,
        call: (call, wanted),
    })
}

fn consents(candidate: &Candidate) -> Choice<Carriage> {
    match place(&itself(candidate)) {
        Some(place) => {
            let body = wire::consents(&candidate.content);
            launch(Endpoint::Consents, &[&place], Some(body), Wanted::Consents)
        }
        None => unsendable("its key cannot stand in an address"),
    }
}

fn deletion(candidate: &Candidate, product: Option<&Named>) -> Choice<Carriage> {
    if candidate.kind == Kind::Orders {
        return Choice::Park(Refusal {
            code: "not_deletable".into(),
            message: "the remote API knows no deletion of an order".into(),
            request_id: None,
        });
    }
    let Some(key) = place(&itself(candidate)) else {
        return unsendable("its key cannot stand in an address");
    };
    match candidate.kind {
        Kind::Customers => launch(Endpoint::CustomerDelete, &[&key], None, Wanted::Delete),
        Kind::Products => launch(Endpoint::ProductDelete, &[&key], None, Wanted::Delete),
        _ => match product.and_then(place) {
            Some(product) => launch(Endpoint::SkuDelete, &[&product, &key], None, Wanted::Delete),
            None => unsendable("its product's key cannot stand in an address"),
        },
    }
}

fn itself(candidate: &Candidate) -> Named {
    Named {
        key: candidate.key.clone(),
        remote_id: candidate.remote_id.clone(),
        there: true,
    }
}

/// Where a record stands in a path: by its key, else by the API's own id.
fn place(named: &Named) -> Option<String> {
    match segment(&named.key) {
        PathKey::Segment(segment) => Some(segment),
        PathKey::Unsendable => match segment(named.remote_id.as_deref()?) {
            PathKey::Segment(segment) => Some(segment),
            PathKey::Unsendable => None,
        },
    }
}

fn unsendable(why: &str) -> Choice<Carriage> {
    Choice::Park(Refusal {
        code: "bad_key".into(),
        message: why.into(),
        request_id: None,
    })
}
