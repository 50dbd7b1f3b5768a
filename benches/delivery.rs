//! New customers from the store to the last job acknowledged, against an instant loopback server:
//! `cargo bench --bench delivery [-- RECORDS]`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tillsync::config::{Api, Bulk, Period};
use tillsync::delivery::{End, Outcome, Reason, Settings, SystemClock, Wake, run};
use tillsync::kind::Kind;
use tillsync::record::{Act, Batch, BatchRow, Content, Shape};
use tillsync::remote::{Credentials, Http, Way};
use tillsync::standin::{self, Options};
use tillsync::store::{Arrival, Begin, Finish, Store};

fn main() {
    let records = std::env::args().filter_map(|arg| arg.parse().ok()).next();
    let records: usize = records.unwrap_or(100_000);
    let dir = tempfile::tempdir().expect("a folder for the store");
    let store = Store::open(dir.path()).expect("a store");
    fill(&store, records);
    let standin = standin::start(
        TcpListener::bind("127.0.0.1:0").expect("a port"),
        Options {
            settings: standin::Settings {
                log_body_bytes_max: Some(1),
                ..standin::Settings::instant()
            },
            ..Options::default()
        },
    )
    .expect("a stand-in");
    let way = Way {
        url: standin.url(),
        timeout: Duration::from_secs(30),
        proxy: None,
        ca_file: None,
    };
    let credentials = || {
        Ok(Credentials {
            app_id: "app-id".to_owned().into(),
            app_token: "app-token".to_owned().into(),
        })
    };
    let http = Http::new(&way, Box::new(credentials)).expect("a client");
    let settings = Settings {
        api: api(standin.url()),
        history: std::collections::HashSet::new(),
    };
    let wake = Arc::new(Wake::new());
    wake.wake(Reason::AllTaken);
    let begun = Instant::now();
    let end = End::WhenDelivered {
        timeout: Some(Duration::from_secs(600)),
    };
    let outcome = run(
        store,
        settings,
        Arc::new(http),
        Arc::new(SystemClock),
        wake,
        end,
    );
    let took = begun.elapsed();
    assert_eq!(outcome.expect("the store works"), Outcome::Delivered);
    assert_eq!(standin.remote().count("customers"), records);
    println!(
        "{records} customers delivered in {:.2} s",
        took.as_secs_f64()
    );
}

fn fill(store: &Store, records: usize) {
    let arrival = Arrival {
        folder: "customers".into(),
        kind: Kind::Customers,
        name: b"c.csv".to_vec(),
        shown: "c.csv".into(),
        device: 1,
        inode: 1,
        size: 1,
        mtime_ns: 1,
        by_hand: false,
    };
    let file = store.arrive(&arrival, 1).expect("a file's number");
    let begin = Begin {
        file,
        preset: "plain".into(),
        reading: "{}".into(),
        now: 1,
    };
    let mut session = store.begin_intake(begin).expect("a session");
    let mut batch = Batch::default();
    for i in 0..records {
        push(&mut batch, i);
        if batch.rows.len() == 4_096 || i + 1 == records {
            batch = session.apply(batch, Vec::new(), "", 1).expect("room");
        }
    }
    let finish = Finish {
        rows: records as u64,
        skipped: 0,
        unchanged: 0,
        hash: [0; 32],
        notices: Vec::new(),
        after_leave: false,
        delete_missing: false,
        now: 1,
    };
    session.finish(finish).expect("an end");
}

fn push(batch: &mut Batch, i: usize) {
    let mut content = Content::default();
    for (field, value) in [
        ("name", format!("\"Prénom{i} Nom{i}\"")),
        ("email", format!("\"customer.{i}@example.com\"")),
        ("phone", format!("\"+336{i:08}\"")),
        ("address.city", format!("\"Ville-sur-{}\"", i % 977)),
        ("address.country", "\"France\"".to_owned()),
        ("address.postal_code", format!("\"{:05}\"", i % 95_000)),
        ("metadata.points", format!("{}", i % 10_000)),
        ("metadata.segment", "\"gold\"".to_owned()),
    ] {
        content.set(field, value);
    }
    let (shape, values) = content.encode();
    if batch.shapes.is_empty() {
        batch
            .shapes
            .push(Arc::new(Shape::new(shape.fields().to_vec())));
    }
    let start = batch.text.len();
    batch.text.push_str(&format!("C{i:08}"));
    let middle = batch.text.len();
    batch.text.push_str(&values);
    batch.rows.push(BatchRow {
        kind: Kind::Customers,
        line: i as u64 + 2,
        key: start..middle,
        values: middle..batch.text.len(),
        shape: 0,
        fingerprint: content.fingerprint(),
        row_hash: None,
        act: Act::Upsert,
    });
}

fn api(url: String) -> Api {
    Api {
        url,
        app_id_file: None::<PathBuf>,
        app_token_file: None,
        share: 1.0,
        stores: 1,
        period: Period::Minute,
        cycle_calls: None,
        cycle_day: 1,
        bulk: Bulk::Auto,
        timeout: Duration::from_secs(30),
        proxy: None,
        ca_file: None,
    }
}
