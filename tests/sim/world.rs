//! One host and its remote: drop folders and a database in a temporary folder, the real intake and
//! delivery, and the stand-in behind a carrier that loses, delays and hangs as the stand-in says.
//! All of it on one thread and on simulated time. A kill drops all that is in memory; the next start
//! finds the database and the folders.

use std::fs;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use super::Breach;
use crate::config::{self, Bulk, Config};
use crate::delivery::tests::world::{SimCarrier, SimClock, api};
use crate::delivery::{self, Clock, End, Outcome, Reason, Wake, deliver};
use crate::intake::{self, Control, Intake, Site};
use crate::kind::Kind;
use crate::plant::{self, Killed};
use crate::preset::Presets;
use crate::standin::{self, Remote};
use crate::store::{self, Connection, Store};

/// The simulated present begins here; on a full hour.
const BEGIN_MS: i64 = 1_795_572_000_000;

/// A start comes so long after a death (systemd's `RestartSec`).
const RESTART_MS: u64 = 2_000;

const SETTLE: Duration = Duration::from_secs(1);

impl intake::Clock for SimClock {
    fn boot_ms(&self) -> i64 {
        self.steady()
    }

    fn utc_ms(&self) -> i64 {
        self.wall()
    }
}

/// Where files are dropped.
pub struct Place {
    pub name: &'static str,
    pub kind: Kind,
    /// A blank cell clears.
    pub clears: bool,
}

pub const FOLDERS: &[Place] = &[
    Place {
        name: "till",
        kind: Kind::Customers,
        clears: false,
    },
    Place {
        name: "crm",
        kind: Kind::Customers,
        clears: true,
    },
    Place {
        name: "products",
        kind: Kind::Products,
        clears: false,
    },
    Place {
        name: "skus",
        kind: Kind::Skus,
        clears: false,
    },
    Place {
        name: "orders",
        kind: Kind::Orders,
        clears: false,
    },
];

type Delivering = Pin<Box<dyn Future<Output = store::Result<Outcome>>>>;

/// What is in memory, and goes with a kill. The order of the fields is that of the dying.
struct Life {
    delivery: Delivering,
    wake: Arc<Wake>,
    intake: Intake,
    control: Control,
    store: Store,
}

pub struct World {
    life: Option<Life>,
    pub lives: u32,
    pub clock: Arc<SimClock>,
    pub remote: Arc<Mutex<Remote>>,
    pub config: Arc<Config>,
    settings: delivery::Settings,
    /// Pages that the database may still take; `None`: any.
    room: Option<i64>,
    pub reader: Connection,
    pub dir: tempfile::TempDir,
}

pub fn presets() -> Arc<Presets> {
    static PRESETS: OnceLock<Arc<Presets>> = OnceLock::new();
    let presets = PRESETS.get_or_init(|| Arc::new(Presets::load(&[]).unwrap()));
    presets.clone()
}

impl World {
    pub fn new(seed: u64, bulk: Bulk, settings: standin::Settings) -> Result<World, Breach> {
        World::with(seed, FOLDERS, settings, |config| config.api.bulk = bulk)
    }

    /// `adjust`: what is set beside the folders and how they are read.
    pub fn with(
        seed: u64,
        places: &[Place],
        settings: standin::Settings,
        adjust: impl FnOnce(&mut Config),
    ) -> Result<World, Breach> {
        // In memory where there is such a place: simulated weeks are thousands of commits.
        let dir = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        let mut config = Config::with_defaults("till", &dir.path().join("state"));
        config.retention.min_free = 0;
        config.api = api();
        for place in places {
            let path = dir.path().join(place.name);
            fs::create_dir(&path).unwrap();
            let mut folder = config::Folder::with_defaults(place.name, &path, place.kind);
            folder.settle = SETTLE;
            if place.clears {
                folder.blank = config::Blank::Clear;
            }
            config.folders.push(folder);
        }
        adjust(&mut config);
        // Made, so that the judge has something to look at before the first life.
        drop(Store::open(&config.state_dir).unwrap());
        let reader = Store::look(&config.state_dir).unwrap().unwrap();
        let mut world = World {
            life: None,
            lives: 0,
            clock: Arc::new(SimClock::new(BEGIN_MS)),
            remote: Arc::new(Mutex::new(Remote::new(seed, settings))),
            settings: delivery::Settings::new(&config.api, &config.folders),
            config: Arc::new(config),
            room: None,
            reader,
            dir,
        };
        world.begin()?;
        Ok(world)
    }

    pub fn now(&self) -> i64 {
        self.clock.steady()
    }

    /// Since the beginning.
    pub fn elapsed_ms(&self) -> i64 {
        self.now() - BEGIN_MS
    }

    /// A start, and what strikes during it.
    fn begin(&mut self) -> Result<bool, Breach> {
        self.lives += 1;
        match catch(|| self.start()) {
            Ok(Ok(life)) => {
                self.life = Some(life);
                Ok(true)
            }
            Ok(Err(Breach { promise: 0, .. })) | Err(Killed) => Ok(false),
            Ok(Err(breach)) => Err(breach),
        }
    }

    /// A breach of promise 0 is no room.
    fn start(&self) -> Result<Life, Breach> {
        let store = Store::open(&self.config.state_dir).map_err(from_store)?;
        set_room(&store, self.room)?;
        store.raise_generation().map_err(from_store)?;
        let site = Site::new(
            self.config.clone(),
            presets(),
            store.clone(),
            self.clock.clone(),
            "UTC",
        )
        .map_err(from_intake)?;
        let control = Control::new().unwrap();
        let wake = Arc::new(Wake::new());
        let stored = wake.clone();
        control.on_taken(Box::new(move || stored.wake(Reason::Stored)));
        let mut intake = Intake::new(site, control.clone(), true);
        intake.recover().map_err(from_intake)?;
        let timeout_ms = self.config.api.timeout.as_millis() as i64;
        let carrier = SimCarrier::new(self.remote.clone(), self.clock.clone(), timeout_ms);
        let delivery = Box::pin(deliver(
            store.clone(),
            self.settings.clone(),
            Arc::new(carrier),
            self.clock.clone(),
            wake.clone(),
            End::Never,
        ));
        Ok(Life {
            delivery,
            wake,
            intake,
            control,
            store,
        })
    }

    /// Lets so much time pass, whatever happens meanwhile; `each` looks after each file, and after
    /// all else that happened.
    pub async fn pass(
        &mut self,
        ms: u64,
        each: &mut dyn FnMut(&World) -> Result<(), Breach>,
    ) -> Result<(), Breach> {
        let until = self.now() + ms as i64;
        loop {
            let due = match &self.life {
                Some(_) => self.work(each)?,
                None => self.now() + RESTART_MS as i64,
            };
            let sleep_ms = (due.min(until) - self.now()).max(0) as u64;
            let sleep = tokio::time::sleep(Duration::from_millis(sleep_ms));
            match &mut self.life {
                None => sleep.await,
                Some(life) => {
                    let delivery = &mut life.delivery;
                    let ended = tokio::select! {
                        biased;
                        ended = watched(delivery) => Some(ended),
                        () = sleep => None,
                    };
                    match ended {
                        None => {}
                        // No room for an answer: the process ends, and is started again.
                        Some(Ok(Err(store::Error::Full)) | Err(Killed)) => {
                            self.kill();
                        }
                        Some(Ok(other)) => {
                            return Err(Breach::new(6, format!("delivery ended: {other:?}")));
                        }
                    }
                }
            }
            each(self)?;
            if self.now() >= until {
                return Ok(());
            }
            if self.life.is_none() {
                self.begin()?;
            }
        }
    }

    /// Intake until there is nothing to do at this moment; when there is again.
    fn work(&mut self, each: &mut dyn FnMut(&World) -> Result<(), Breach>) -> Result<i64, Breach> {
        loop {
            let Some(life) = &mut self.life else {
                return Ok(self.now() + RESTART_MS as i64);
            };
            match catch(|| life.intake.turn()) {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    let now = self.clock.steady();
                    return Ok(life.intake.due().max(now + 1));
                }
                Ok(Err(error)) => match from_intake(error) {
                    Breach { promise: 0, .. } => self.kill(),
                    breach => return Err(breach),
                },
                Err(Killed) => self.kill(),
            }
            each(self)?;
        }
    }

    /// All in memory is gone; what was not committed is not there.
    pub fn kill(&mut self) {
        if std::env::var_os("TILLSYNC_TRACE").is_some() {
            eprintln!("{:>10.3} killed", self.elapsed_ms() as f64 / 1000.0);
        }
        plant::light(None);
        self.life = None;
    }

    pub fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// What a person's command does, in another process: no kill strikes in it. `None`: no daemon.
    pub fn command<T>(&self, does: impl FnOnce(&Store) -> T) -> T {
        let fuse = plant::light(None);
        let done = match &self.life {
            Some(life) => {
                let done = does(&life.store);
                life.control.wake();
                life.wake.wake(Reason::Command);
                done
            }
            None => does(&Store::open(&self.config.state_dir).unwrap()),
        };
        plant::light(fuse);
        done
    }

    /// The disk of the database is full, but for so many pages; `None`: there is room again.
    pub fn set_room(&mut self, room: Option<i64>) {
        self.room = room;
        let fuse = plant::light(None);
        if let Some(life) = &self.life {
            let _ = set_room(&life.store, room);
        }
        plant::light(fuse);
    }

    pub fn set_clock(&self, by_ms: i64) {
        *self.clock.set_ms.lock().unwrap() += by_ms;
    }

    pub fn folder(&self, place: &Place) -> PathBuf {
        self.dir.path().join(place.name)
    }

    /// A complete file: renamed in, or written where it stands.
    pub fn put(&self, place: &Place, name: &str, bytes: &[u8], renamed: bool) {
        let there = match renamed {
            true => self.dir.path().join("elsewhere"),
            false => self.folder(place).join(name),
        };
        let file = fs::File::create(&there).unwrap();
        std::io::Write::write_all(&mut &file, bytes).unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(self.now() as u64);
        file.set_modified(modified).unwrap();
        drop(file);
        if renamed {
            fs::rename(there, self.folder(place).join(name)).unwrap();
        }
    }

    pub fn count(&self, sql: &str) -> i64 {
        let mut statement = self.reader.prepare_cached(sql).unwrap();
        let number: Option<i64> = statement.query_row([], |row| row.get(0)).unwrap();
        number.unwrap_or(0)
    }
}

fn set_room(store: &Store, room: Option<i64>) -> Result<(), Breach> {
    let set = store.write(move |c| {
        let used: i64 = c.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let most = room.map_or(i64::from(i32::MAX), |room| used + room);
        c.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(()))?;
        Ok(())
    });
    set.map_err(from_store)
}

fn from_store(error: store::Error) -> Breach {
    match error {
        store::Error::Full => Breach::new(0, "no room"),
        other => Breach::new(1, format!("the store failed: {other}")),
    }
}

fn from_intake(error: intake::Error) -> Breach {
    match error {
        intake::Error::Full(_) => Breach::new(0, "no room"),
        other => Breach::new(1, format!("intake failed: {other}")),
    }
}

/// A kill unwinds; anything else goes on.
fn catch<T>(does: impl FnOnce() -> T) -> Result<T, Killed> {
    catch_unwind(AssertUnwindSafe(does)).map_err(|what| match what.is::<Killed>() {
        true => Killed,
        false => resume_unwind(what),
    })
}

async fn watched(delivery: &mut Delivering) -> Result<store::Result<Outcome>, Killed> {
    poll_fn(|context| match catch(|| delivery.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(ended)) => Poll::Ready(Ok(ended)),
        Err(death) => Poll::Ready(Err(death)),
    })
    .await
}
