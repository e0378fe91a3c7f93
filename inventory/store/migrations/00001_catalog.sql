-- +goose Up
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE services (
  name     TEXT PRIMARY KEY,
  node     TEXT NOT NULL,
  workload TEXT NOT NULL,
  process  TEXT NOT NULL,
  address  TEXT NOT NULL,
  port     INTEGER NOT NULL
) WITHOUT ROWID;

-- One row per method and path whose typed segments are kinds; endpoints are these grouped by template. Times are
-- nanoseconds since the Unix epoch.
CREATE TABLE leaves (
  id         INTEGER PRIMARY KEY,
  service    TEXT NOT NULL,
  key        INTEGER NOT NULL,
  method     TEXT NOT NULL,
  template   TEXT NOT NULL,
  operation  TEXT NOT NULL,
  probe      TEXT NOT NULL,
  tier       TEXT NOT NULL,
  calls      INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  path       BLOB,
  fixed      TEXT NOT NULL,
  evidence   BLOB NOT NULL,
  UNIQUE (service, key)
);

-- For people with a SQL prompt; gnomon itself reads the leaves.
CREATE VIEW endpoints AS
  SELECT service, method, template, operation, sum(calls) AS calls, count(*) AS paths,
         min(first_seen) AS first_seen, max(last_seen) AS last_seen
  FROM leaves WHERE probe = '' GROUP BY service, method, template, operation;

CREATE TABLE calls (
  seq     INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  time    INTEGER NOT NULL,
  call    BLOB NOT NULL
);

CREATE TABLE sensors (
  node   TEXT PRIMARY KEY,
  sensor BLOB NOT NULL
) WITHOUT ROWID;
