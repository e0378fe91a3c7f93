package agent

import (
	"github.com/gnomon-sensor/gnomon/agent/conn"
	"github.com/gnomon-sensor/gnomon/agent/fold"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Stats is the account of the Pipeline, summed over its shards.
type Stats struct {
	Fold        fold.Stats
	Open        int64 // connections in the tables
	Connections uint64
	Decoded     uint64
	TakenOver   uint64
	Evicted     uint64
	Unread      uint64            // calls whose bodies were not looked at, the budget being spent
	Memory      int64             // bytes that the connection tables account for
	Undecoded   map[string]uint64 // connections by what they seem to speak
	Bytes       map[string]uint64 // their bytes
}

// Stats returns the account as of now. Safe for concurrent use.
func (p *Pipeline) Stats() Stats {
	st := Stats{Undecoded: map[string]uint64{}, Bytes: map[string]uint64{}}
	for _, s := range p.shards {
		f := s.fold.Stats()
		st.Fold.Add(&f)
		st.Unread += s.redact.Unread()
		t := &s.table.Stats
		st.Open += t.Open.Load()
		st.Connections += t.Opened.Load()
		st.Decoded += t.Decoded.Load()
		st.TakenOver += t.TakenOver.Load()
		st.Evicted += t.Evicted.Load()
		st.Memory += t.Memory.Load()
		for i, g := range conn.Guesses() {
			if n := t.Undecoded[i].Load(); n > 0 {
				st.Undecoded[g.String()] += n
				st.Bytes[g.String()] += t.Bytes[i].Load()
			}
		}
	}
	return st
}

// BlindSpots lists what the Pipeline met that it did not decode or could not keep apart.
func (p *Pipeline) BlindSpots() []event.BlindSpot {
	st := p.Stats()
	spots := []event.BlindSpot{}
	for _, g := range conn.Guesses() {
		n := st.Undecoded[g.String()]
		if n == 0 || g == conn.Silent || g == conn.Tunnel {
			continue
		}
		s := event.BlindSpot{Kind: "not_decoded", Count: n, Bytes: st.Bytes[g.String()], Detail: g.String()}
		if g == conn.TLS {
			s.Kind = "tls"
		}
		spots = append(spots, s)
	}
	for _, s := range []event.BlindSpot{
		{Kind: "taken_over", Count: st.TakenOver, Detail: "connections older than the sensor: their first messages may be missing"},
		{Kind: "conn_budget", Count: st.Evicted, Detail: "connections dropped at the bound of memory"},
		{Kind: "fold_budget", Count: st.Fold.Coarse, Detail: "calls counted without caller, host and parameters"},
		{Kind: "fold_budget", Count: st.Fold.Other, Detail: "calls counted without their path"},
		{Kind: "body_budget", Count: st.Unread, Detail: "calls whose bodies were not looked at for fields and data classes"},
	} {
		if s.Count > 0 {
			spots = append(spots, s)
		}
	}
	return spots
}

// Sensor is the state of this sensor: its ledger and blind spots; who runs it fills in the rest.
func (p *Pipeline) Sensor() event.Sensor {
	return event.Sensor{State: "capturing", BlindSpots: p.BlindSpots(), Ledger: p.led.Event()}
}
