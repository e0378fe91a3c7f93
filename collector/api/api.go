// Package api serves the inventory over HTTP on one machine, and is the client of what it serves.
//
// In: requests with a bearer token, for a host name of this machine. Out: JSON as the OpenAPI document at /openapi.json describes, and a
// stream of calls. Declared documents can be added and removed, all else is only read. It never serves a page of another origin's making: a request whose Host is not a
// loopback name or the address listened on is refused, so that a web page cannot reach it by rebinding a DNS name.
package api

import (
	"context"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

// DefaultAddress is where `gnomon run` listens.
const DefaultAddress = "127.0.0.1:7466"

// Inventory is what is served: a collector.Collector, or through a Client that of another process.
type Inventory interface {
	Services(context.Context, inventory.Query) ([]inventory.Service, int, error)
	Endpoints(context.Context, inventory.Query) ([]inventory.Endpoint, int, error)
	Endpoint(ctx context.Context, name, service string) (inventory.Detail, error)
	Calls(ctx context.Context, q inventory.Query, after uint64, limit int) ([]store.Sequenced, uint64, error)
	Follow(ctx context.Context, q inventory.Query, after uint64, f func(store.Sequenced) error) error
	Alerts(ctx context.Context, q inventory.Query, after uint64, limit int) ([]store.Alert, uint64, error)
	FollowAlerts(ctx context.Context, q inventory.Query, after uint64, f func(store.Alert) error) error
	Sensors(context.Context) ([]event.Sensor, error)
	Status(context.Context) (inventory.Stats, error)
	Documents
}

// ServicesPage, EndpointsPage, CallsPage and SensorsPage are the bodies of lists.
type (
	// ServicesPage holds services; Next is the offset to go on from, absent on the last page.
	ServicesPage struct {
		Services []inventory.Service `json:"services"`
		Total    int                 `json:"total"`
		Next     int                 `json:"next,omitempty"`
	}
	// EndpointsPage holds endpoints likewise.
	EndpointsPage struct {
		Endpoints []inventory.Endpoint `json:"endpoints"`
		Total     int                  `json:"total"`
		Next      int                  `json:"next,omitempty"`
	}
	// CallsPage holds calls, oldest first. Last is the sequence number of the newest call that there is, to ask for
	// those after it.
	CallsPage struct {
		Calls []Sequenced `json:"calls"`
		Last  uint64      `json:"last"`
	}
	// AlertsPage holds alerts likewise. One that was updated since it was asked for comes again.
	AlertsPage struct {
		Alerts []Alert `json:"alerts"`
		Last   uint64  `json:"last"`
	}
	// SensorsPage holds the state of each node.
	SensorsPage struct {
		Sensors []event.Sensor `json:"sensors"`
	}
	// Failure is the body of an answer of 400 and above.
	Failure struct {
		Error string `json:"error"`
	}
)

// Sequenced is a call with its place in the order of arrival.
type Sequenced struct {
	Seq  uint64 `json:"seq"`
	Call raw    `json:"call"`
}

// Alert is an OCSF Detection Finding with its place in the order of arrival.
type Alert struct {
	Seq     uint64  `json:"seq"`
	Finding finding `json:"finding"`
}

// finding is raw; the OpenAPI document says of it only that it is an object, since OCSF describes it.
type finding struct{ raw }

// raw is JSON that is passed on as it is.
type raw []byte

// MarshalJSON returns r.
func (r raw) MarshalJSON() ([]byte, error) { return r, nil }

// UnmarshalJSON keeps b.
func (r *raw) UnmarshalJSON(b []byte) error { *r = append((*r)[:0], b...); return nil }

// pageLimit is the most rows of one page, and what is given where no limit is asked for.
const pageLimit = 1000
