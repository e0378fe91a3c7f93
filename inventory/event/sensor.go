package event

// Sensor is the state of one agent: what it runs on, what it can see, what it cannot, and its loss ledger.
type Sensor struct {
	Node       string      `json:"node"`
	Agent      string      `json:"agent"` // random id of one life of the agent
	State      string      `json:"state"` // capturing, degraded, stopped
	Started    Time        `json:"started"`
	Updated    Time        `json:"updated"`
	Version    string      `json:"version"`
	Kernel     string      `json:"kernel,omitempty"`
	Arch       string      `json:"arch,omitempty"`
	Backend    string      `json:"backend,omitempty"`
	BlindSpots []BlindSpot `json:"blind_spots"`
	Ledger     Ledger      `json:"ledger"`
}

// BlindSpot is something that the sensor knows it cannot see.
type BlindSpot struct {
	Kind   string `json:"kind"`            // closed set: io_uring, tls, quic, 32bit, sendfile, taken_over, …
	Count  uint64 `json:"count,omitempty"` // connections, or events where there are none
	Bytes  uint64 `json:"bytes,omitempty"`
	Detail string `json:"detail,omitempty"`
	Next   string `json:"next,omitempty"` // what to do about it
}

// Ledger is the account of what was captured. In each unit Captured = Delivered + the sum of Lost; each number is
// counted where it happens and none is computed from the others, so a difference shows a fault of the sensor's own.
type Ledger struct {
	Chunks Account `json:"chunks"` // socket calls that carried bytes
	Bytes  Account `json:"bytes"`
	Calls  Account `json:"calls"` // parsed by a parser; delivered = applied to the store
}

// Account is the ledger in one unit.
type Account struct {
	Captured  uint64            `json:"captured"`
	Delivered uint64            `json:"delivered"`
	Lost      map[string]uint64 `json:"lost"`
}

// Balance returns Captured - Delivered - the sum of Lost: 0 unless the sensor miscounted or data is still in flight.
func (a Account) Balance() int64 {
	b := int64(a.Captured) - int64(a.Delivered)
	for _, n := range a.Lost {
		b -= int64(n)
	}
	return b
}
