-- +goose Up
-- Declared APIs, as they were imported; raw is the whole text, self-contained. Times are nanoseconds since the Unix epoch.
CREATE TABLE documents (
  id       TEXT PRIMARY KEY,
  service  TEXT NOT NULL,
  format   TEXT NOT NULL,
  title    TEXT NOT NULL,
  version  TEXT NOT NULL,
  source   TEXT NOT NULL,
  imported INTEGER NOT NULL,
  raw      BLOB NOT NULL
) WITHOUT ROWID;
