package store

import (
	"context"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// Documents keeps declared APIs. Of a Document it keeps ID, Service, Format, Title, Version, Source, Imported and Raw, from which the
// rest is made again.
type Documents interface {
	// PutDocument keeps d in place of the one with its service, title and version.
	PutDocument(ctx context.Context, d *spec.Document) error
	// DropDocument forgets the document with the id; that there is none is no error.
	DropDocument(ctx context.Context, id string) error
	// Documents returns all, in order of id.
	Documents(ctx context.Context) ([]spec.Document, error)
}

// PutDocument keeps d in place of the one with its service, title and version.
func (s *SQLite) PutDocument(ctx context.Context, d *spec.Document) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return explain(s.path, "write", err)
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, `DELETE FROM documents WHERE service = ? AND title = ? AND version = ?`, d.Service, d.Title, d.Version); err != nil {
		return explain(s.path, "write", err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, d.ID, d.Service, string(d.Format), d.Title, d.Version,
		d.Source, int64(d.Imported), d.Raw); err != nil {
		return explain(s.path, "write", err)
	}
	if err := tx.Commit(); err != nil {
		return explain(s.path, "write", err)
	}
	return nil
}

// DropDocument forgets the document with the id.
func (s *SQLite) DropDocument(ctx context.Context, id string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM documents WHERE id = ?`, id); err != nil {
		return explain(s.path, "write", err)
	}
	return nil
}

// Documents returns all, in order of id.
func (s *SQLite) Documents(ctx context.Context) ([]spec.Document, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, service, format, title, version, source, imported, raw FROM documents ORDER BY id`)
	if err != nil {
		return nil, explain(s.path, "read", err)
	}
	defer rows.Close()
	list := []spec.Document{}
	for rows.Next() {
		var d spec.Document
		if err := rows.Scan(&d.ID, &d.Service, (*string)(&d.Format), &d.Title, &d.Version, &d.Source, (*int64)(&d.Imported), &d.Raw); err != nil {
			return nil, explain(s.path, "read", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, explain(s.path, "read", err)
	}
	return list, nil
}
