-- The store of tillsync. One file, WAL, pages of 16 KiB; times are UTC milliseconds.
-- What is compared (`record`, small, in the order of keys) is split from what is sent (`document`):
-- a run over an unchanged file touches `record` alone.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- Drop folders by name, so that rows need only a number.
CREATE TABLE folder (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  columns TEXT                      -- JSON list: the columns that its last good file had mapped
) STRICT;

-- One row a file that was seen, in the order of arrival (the id).
CREATE TABLE file (
  id        INTEGER PRIMARY KEY,
  folder    INTEGER NOT NULL REFERENCES folder(id),
  name      TEXT NOT NULL,          -- as shown: control characters and bytes that are no UTF-8 escaped
  raw_name  BLOB NOT NULL,          -- the name's own bytes
  device    INTEGER NOT NULL,
  inode     INTEGER NOT NULL,
  size      INTEGER NOT NULL,       -- bytes
  mtime     INTEGER NOT NULL,       -- nanoseconds
  by_hand   INTEGER NOT NULL DEFAULT 0,  -- 1: `tillsync import`; the file stays where it is
  state     TEXT NOT NULL,          -- waiting reading held stored unreadable discarded reverted
  reason    TEXT,
  kind      INTEGER NOT NULL,
  preset    TEXT,
  reading   TEXT,                   -- JSON: what was decided for it (preset, notation, zone, …), for its rejects
  rows      INTEGER NOT NULL DEFAULT 0,
  new       INTEGER NOT NULL DEFAULT 0,
  changed   INTEGER NOT NULL DEFAULT 0,
  unchanged INTEGER NOT NULL DEFAULT 0,
  deleted   INTEGER NOT NULL DEFAULT 0,
  rejected  INTEGER NOT NULL DEFAULT 0,
  skipped   INTEGER NOT NULL DEFAULT 0,
  notices   TEXT,                   -- JSON list of what a person may want to know of it
  hash      BLOB,                   -- blake3 of its bytes
  crashes   INTEGER NOT NULL DEFAULT 0,  -- how often the process died while reading it
  seen      INTEGER NOT NULL,
  stored    INTEGER,
  rejects_names TEXT,               -- names in rejects/, a JSON list, once written
  archive_name TEXT,                -- its name in archive/ or rejects/
  archived  INTEGER,                -- when it was moved away
  held_code TEXT,                   -- what a person has to see: deletes changes columns empty orders …
  held_number INTEGER,              -- and how many of it
  accepted  INTEGER,                -- the number that a person let pass
  first_seq INTEGER,                -- its changes and creations stand from here …
  last_seq  INTEGER                 -- … to here, among others'; NULL: not stored to its end
) STRICT;
CREATE INDEX file_open ON file(id) WHERE archived IS NULL;

-- Lists of fields, sorted; a document's values stand in this order.
CREATE TABLE shape (
  id     INTEGER PRIMARY KEY,
  fields TEXT NOT NULL UNIQUE       -- JSON list
) STRICT;

CREATE TABLE record (
  kind        INTEGER NOT NULL,     -- Kind::code
  source_id   TEXT NOT NULL,
  id          INTEGER NOT NULL,     -- = document.id = the seq of its creation
  seq         INTEGER NOT NULL,     -- its newest change
  file        INTEGER NOT NULL,     -- of its newest change; 0: none (a command, an order)
  folder      INTEGER NOT NULL,     -- whose files brought it; 0: none
  gone        INTEGER NOT NULL DEFAULT 0,  -- 1: deleted here
  fingerprint BLOB NOT NULL,        -- of the document (record::Fingerprint)
  acked       BLOB,                 -- fingerprint that the remote acknowledged; NULL: none, or unknown
  acked_seq   INTEGER,              -- the change that it acknowledged last; NULL: none ever
  row_hash    BLOB,                 -- of the file row that last said all of it; NULL: read it the long way
  PRIMARY KEY (kind, source_id)
) STRICT, WITHOUT ROWID;

-- How many records of a kind are not deleted, kept as they come and go.
CREATE TABLE tally (
  kind   INTEGER PRIMARY KEY,
  stored INTEGER NOT NULL
) STRICT;

-- By id, so by arrival. A new record has no row in `change`: file, line and at tell its creation.
CREATE TABLE document (
  id        INTEGER PRIMARY KEY,
  kind      INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  file      INTEGER NOT NULL,       -- that created it
  line      INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  shape     INTEGER NOT NULL,
  vals      TEXT NOT NULL,          -- JSON list in the order of the shape; null: absent
  remote_id TEXT                    -- the API's own id, where an answer told it
) STRICT;

-- Changes after the creation.
CREATE TABLE change (
  seq    INTEGER PRIMARY KEY,
  record INTEGER NOT NULL,
  prev   INTEGER NOT NULL,          -- the record's change before this one; its id: the creation
  op     INTEGER NOT NULL,          -- Op::code
  file   INTEGER NOT NULL,
  line   INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  patch  TEXT NOT NULL              -- JSON object: field -> [from, to]; null: absent
) STRICT;

-- Consents of a customer (its fields `consent.*`) are sent and acknowledged by themselves.
CREATE TABLE consent (
  id          INTEGER PRIMARY KEY,  -- of the record
  fingerprint BLOB NOT NULL,        -- of its consents
  acked       BLOB                  -- that the remote acknowledged; NULL: none, or unknown
) STRICT;

-- Customers by e-mail (lower case), SKUs by code; filled from when it is first needed
-- (meta `lookup.<kind>`), and kept from then on.
CREATE TABLE lookup (
  kind  INTEGER NOT NULL,
  value TEXT NOT NULL,
  id    INTEGER NOT NULL,
  PRIMARY KEY (kind, value, id)
) STRICT, WITHOUT ROWID;

-- What the remote has not acknowledged. Never a body: that is read when a flight is committed.
CREATE TABLE pending (
  kind       INTEGER NOT NULL,
  part       INTEGER NOT NULL,      -- 0: the record, 1: its consents
  id         INTEGER NOT NULL,
  file       INTEGER NOT NULL,      -- of the newest change: not sent while that file is being read
  since      INTEGER NOT NULL,
  flight     INTEGER,               -- that carries it now
  attempts   INTEGER NOT NULL DEFAULT 0,
  next_try   INTEGER NOT NULL DEFAULT 0,
  odd        INTEGER NOT NULL DEFAULT 0,  -- how often it was refused for a reason that nobody knows
  body       INTEGER,               -- records of one number go in one body: a half of one that was refused
  last_error TEXT,
  PRIMARY KEY (kind, part, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_body ON pending(kind, part, body) WHERE body IS NOT NULL;

-- Records that go (again) once their parent is at the remote: SKUs of a product that nobody knows,
-- orders that went without their parked customer.
CREATE TABLE waiting (
  parent_kind INTEGER NOT NULL,
  parent      TEXT NOT NULL,        -- its source_id
  kind        INTEGER NOT NULL,
  id          INTEGER NOT NULL,
  PRIMARY KEY (parent_kind, parent, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE parked (
  kind       INTEGER NOT NULL,
  part       INTEGER NOT NULL,
  id         INTEGER NOT NULL,
  since      INTEGER NOT NULL,
  fingerprint BLOB,                 -- of the content that was refused
  code       TEXT NOT NULL,
  message    TEXT,
  request_id TEXT,
  PRIMARY KEY (kind, part, id)
) STRICT, WITHOUT ROWID;

-- One attempt to tell the remote something, committed before its first byte leaves.
CREATE TABLE flight (
  id         INTEGER PRIMARY KEY,
  kind       INTEGER NOT NULL,
  part       INTEGER NOT NULL DEFAULT 0,
  channel    TEXT NOT NULL,         -- single bulk metadata csv import delete consent
  state      TEXT NOT NULL,         -- open (sent, no answer yet) job unknown done
  started    INTEGER NOT NULL,
  quiet      INTEGER NOT NULL DEFAULT 0,  -- unknown: other content does not go before
  ended      INTEGER
) STRICT;
CREATE INDEX flight_open ON flight(state) WHERE state <> 'done';

CREATE TABLE flight_item (
  flight      INTEGER NOT NULL,
  id          INTEGER NOT NULL,     -- of the record
  seq         INTEGER NOT NULL,
  fingerprint BLOB NOT NULL,
  acked       BLOB,                 -- the record's own before it; put back when nothing was done
  outcome     TEXT,                 -- acknowledged parked again unknown; NULL: open
  code        TEXT,                 -- of a refusal
  PRIMARY KEY (flight, id)
) STRICT, WITHOUT ROWID;
-- Was it ever sent, and what came of it: asked before a deletion, and by `trace`.
CREATE INDEX flight_item_record ON flight_item(id);

CREATE TABLE job (
  flight     INTEGER PRIMARY KEY,
  remote_id  TEXT NOT NULL,         -- async_action_id
  type       TEXT,
  status     TEXT,
  polls      INTEGER NOT NULL DEFAULT 0,
  since      INTEGER NOT NULL,
  next_poll  INTEGER NOT NULL
) STRICT;

-- The log of requests, and what our share of the rate limit was spent on.
CREATE TABLE request (
  id          INTEGER PRIMARY KEY,
  flight      INTEGER,
  at          INTEGER NOT NULL,
  method      TEXT NOT NULL,
  path        TEXT NOT NULL,        -- a template: never a key
  budget      TEXT NOT NULL,        -- api bulk
  records     INTEGER NOT NULL DEFAULT 0,
  status      INTEGER,              -- NULL: no answer (yet)
  verdict     TEXT,
  request_id  TEXT,
  duration_ms INTEGER
) STRICT;
CREATE INDEX request_at ON request(at);

CREATE TABLE reject (
  file   INTEGER NOT NULL,
  member TEXT NOT NULL DEFAULT '',
  line   INTEGER NOT NULL,
  n      INTEGER NOT NULL,          -- among those of one line
  column TEXT,
  code   TEXT NOT NULL,
  reason TEXT NOT NULL,
  cells  TEXT,                      -- JSON list, until the rejects file stands on disk
  keys   BLOB,                      -- keyed hashes (16 bytes each) of the keys that could be read of the row
  PRIMARY KEY (file, member, line, n)
) STRICT, WITHOUT ROWID;

-- Keys that were forgotten, as keyed hashes: rows that bring them again are skipped.
CREATE TABLE tombstone (
  kind INTEGER NOT NULL,
  hash BLOB NOT NULL,
  of   BLOB NOT NULL,               -- of the key that was named; its own, or for one of its e-mails
  PRIMARY KEY (kind, hash)
) STRICT, WITHOUT ROWID;

-- History for the page, one row an interval.
CREATE TABLE sample (
  at        INTEGER PRIMARY KEY,
  stored    INTEGER NOT NULL,
  pending   INTEGER NOT NULL,
  parked    INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  calls     INTEGER NOT NULL
) STRICT;
