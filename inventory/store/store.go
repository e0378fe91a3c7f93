// Package store keeps the inventory across restarts.
//
// In: records of the Catalog in batches, one transaction each. Out: the same records. It never decides anything about
// them. The embedded SQLite file is the default; PostgreSQL follows behind the same interface and the same conformance
// test.
package store

import (
	"context"
	"errors"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Store keeps what the Catalog hands over. Save is one transaction: all of a batch or nothing.
type Store interface {
	Save(context.Context, *Batch) error
	// Load hands every service and leaf to c, which is empty, and the seed that they were hashed with.
	Load(ctx context.Context, c *inventory.Catalog) error
	// Calls returns the newest limit calls with a sequence number above after and what q selects by service and time, oldest first,
	// and the highest sequence number there is.
	Calls(ctx context.Context, q inventory.Query, after uint64, limit int) ([]Sequenced, uint64, error)
	// Alerts returns the newest limit alerts likewise. An alert that was updated since comes again, with a new sequence number.
	Alerts(ctx context.Context, q inventory.Query, after uint64, limit int) ([]Alert, uint64, error)
	Sensors(context.Context) ([]event.Sensor, error)
	// Secret returns the random bytes kept under name, made at the first asking.
	Secret(ctx context.Context, name string, n int) ([]byte, error)
	Documents
	Close() error
}

// Batch is what one Save writes.
type Batch struct {
	Services []inventory.ServiceRecord
	Leaves   []inventory.LeafRecord
	Calls    []Sequenced
	Alerts   []Alert
	Sensors  []event.Sensor
}

// Sequenced is a recent call with its place in the order of arrival.
type Sequenced struct {
	Seq     uint64
	Service string
	Time    event.Time
	JSON    []byte
}

// Alert is a finding of a detector, or its update, with its place in the order of arrival.
type Alert struct {
	Seq           uint64
	UID           string // of the incident
	Service, Kind string
	Severity      int // OCSF severity_id
	Time          event.Time
	JSON          []byte
}

// What can be wrong with a store. The error that wraps them says what to do.
var (
	ErrNewer = errors.New("the store was written by a newer gnomon")
	ErrOlder = errors.New("the store was written by an older gnomon")
	ErrInUse = errors.New("the store is in use")
)
