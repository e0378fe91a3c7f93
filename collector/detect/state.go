package detect

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// stateVersion rises when saved state can no longer be read as it was.
const stateVersion = 1

// ErrState says that saved state is of another version or belongs to another key. The detectors then begin anew.
var ErrState = errors.New("saved state of the detectors does not fit")

// state is all that an Engine remembers. Late, evidence and the like are in Stats.
type state struct {
	Version          int
	Check            uint64 // a hash under the key, which state must have been made with
	Start, Now, Beat event.Time
	Principals       saved[principal]
	Endpoints        saved[endpoint]
	Pairs            saved[pair]
	Services         saved[service]
	Workloads        saved[workload]
	Edges            saved[edge]
	Creds            saved[credential]
	Places           saved[place]
	Groups           saved[group]
	Incidents        saved[incident]
	Pending          []pending
	Signs            signRates
	Shared           shared
	Counts           Stats
}

// Save writes all that e remembers, open incidents too. About 1 KB for each principal, 3.5 for each endpoint and 0.3 for each pair.
func (e *Engine) Save(w io.Writer) error {
	b := bufio.NewWriter(w)
	err := gob.NewEncoder(b).Encode(&state{
		Version: stateVersion, Check: e.ref('!'), Start: e.start, Now: e.now, Beat: e.beat,
		Principals: e.principals.save(), Endpoints: e.endpoints.save(), Pairs: e.pairs.save(), Services: e.services.save(), Workloads: e.workloads.save(),
		Edges: e.edges.save(), Creds: e.creds.save(), Places: e.places.save(), Groups: e.groups.save(), Incidents: e.incidents.save(),
		Pending: e.pending, Signs: e.signs, Shared: e.shared, Counts: e.counts,
	})
	if err == nil {
		err = b.Flush()
	}
	if err != nil {
		return fmt.Errorf("save the state of the detectors: %w", err)
	}
	return nil
}

// Load makes e remember what Save wrote. On an error e is as it was. The source is trusted: it is gnomon's own store.
func (e *Engine) Load(r io.Reader) error {
	var s state
	if err := gob.NewDecoder(bufio.NewReader(r)).Decode(&s); err != nil {
		return fmt.Errorf("read the state of the detectors: %w", err)
	}
	if s.Version != stateVersion || s.Check != e.ref('!') {
		return ErrState
	}
	e.start, e.now, e.beat = s.Start, s.Now, s.Beat
	e.principals.load(s.Principals)
	e.endpoints.load(s.Endpoints)
	e.pairs.load(s.Pairs)
	e.services.load(s.Services)
	e.workloads.load(s.Workloads)
	e.edges.load(s.Edges)
	e.creds.load(s.Creds)
	e.places.load(s.Places)
	e.groups.load(s.Groups)
	e.incidents.load(s.Incidents)
	e.pending, e.signs, e.shared, e.counts = s.Pending, s.Signs, s.Shared, s.Counts
	return nil
}
