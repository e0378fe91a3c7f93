-- +goose Up
-- One row per incident; an update of it takes the next sequence number and replaces the row.
CREATE TABLE alerts (
  seq      INTEGER PRIMARY KEY,
  uid      TEXT NOT NULL UNIQUE,
  service  TEXT NOT NULL,
  kind     TEXT NOT NULL,
  severity INTEGER NOT NULL,
  time     INTEGER NOT NULL,
  finding  BLOB NOT NULL
);
