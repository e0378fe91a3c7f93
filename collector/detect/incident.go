package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-sensor/gnomon/collector/alert"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// evidence is what a detector found in one sight.
type evidence struct {
	kind     string
	score    float64 // nats of surprise
	key      uint64  // what the incident is about; 0: the principal
	keyName  string
	everyone bool // the incident is about the endpoint rather than about a caller
	more     bool // only makes an open incident last

	first      event.Time
	parameter  string
	expected   string
	observed   string
	baseline   uint64
	peers      []string
	noTemplate bool
}

// incident is what is told under one uid.
type incident struct {
	Name              string
	Kind              string
	Also              []string
	Opened            event.Time
	First             event.Time
	Last              event.Time
	Calls             float64
	Updates           uint32
	Score             float64 // of the evidence that was last told
	IDs               [8]string
	At                uint8
	Service, Endpoint uint64 // where it was last told of
}

// weight orders kinds that one caller's deeds show at the same time: the more telling one names the incident. A scanner
// gets many errors, a thief calls services that he never called, and so on.
var weight = map[string]int{
	"token_theft": 9, "dormant_credential": 9, "injection": 8, "credential_stuffing": 8, "data_exposure": 8, "schema_probe": 7, "bfla": 7, "llm_abuse": 7, "scanning": 7,
	"exfiltration": 6, "enumeration": 6, "scraping": 6, "egress": 5, "lateral_movement": 5, "sequence_break": 5, "off_hours": 5, "error_burst": 4, "volume_surge": 3,
}

// suspected says whether an incident explains what p does now, so that nothing is learned from it.
func (e *Engine) suspected(p *principal) bool { return e.now < p.Suspect }

// raise takes evidence about the sight s.
func (e *Engine) raise(s *sight, ev evidence) {
	e.counts.Evidence++
	p := s.p
	if ev.key == 0 {
		ev.key, ev.keyName = s.who, p.Name
	}
	key := ev.key ^ 'i'
	in := e.incidents.get(key)
	open := in != nil && int64(s.t-in.Last) < int64(e.cfg.Quiet)
	if ev.more {
		if open {
			e.grow(in, s)
		}
		return
	}
	if t, ok := e.cfg.Services[s.c.Service]; ok && t.Sensitivity > 0 && t.Sensitivity < 1 && ev.score*t.Sensitivity < 6 {
		return
	}
	// what a server does while one of its callers is under suspicion is that caller's doing
	if s.w != nil && s.w.inTrouble(s.t) && !ev.everyone {
		switch ev.kind {
		case "token_theft", "dormant_credential":
		default:
			e.counts.Suppressed++
			return
		}
	}
	if s.sw != nil && !ev.everyone {
		s.sw.Trouble = s.t
	}
	if !ev.everyone {
		p.Suspect = s.t + event.Time(e.cfg.Quiet)
	}
	if open {
		e.grow(in, s)
		// what a workload does elsewhere besides is no consequence of what is known: the incident grew
		besides := p.Workload && in.Endpoint != s.epKey && ev.kind != in.Kind && ev.kind != "error_burst"
		grew := ev.everyone && ev.kind == in.Kind && ev.score > 3*in.Score && int64(s.t-in.Opened) > 30*minute
		if weight[ev.kind] <= weight[in.Kind] && !besides && !grew || slices.Contains(in.Also, ev.kind) || in.Updates >= 2 {
			if ev.kind != in.Kind && !slices.Contains(in.Also, ev.kind) && len(in.Also) < 8 {
				in.Also = append(in.Also, ev.kind)
			}
			return
		}
		if in.Kind != ev.kind {
			in.Also = append(in.Also, in.Kind)
		}
		in.Kind = ev.kind
		in.Endpoint, in.Score = s.epKey, ev.score
		in.Updates++
		e.tell(s, in, &ev)
		return
	}
	if in != nil && !ev.everyone && in.Kind == ev.kind && in.Endpoint == s.epKey && int64(s.t-in.Last) < day {
		e.grow(in, s) // the same again after a pause is the same incident
		return
	}
	in, _ = e.incidents.put(key)
	first := s.t
	if ev.first > 0 && ev.first < s.t {
		first = ev.first
	}
	*in = incident{Name: strings.Clone(ev.keyName), Kind: ev.kind, Opened: s.t, First: first, Service: s.svcKey, Endpoint: s.epKey, Score: ev.score}
	e.counts.Incidents++
	e.grow(in, s)
	e.tell(s, in, &ev)
}

// inTrouble says whether a caller of w was under suspicion just now: what w calls is then that caller's doing.
func (w *workload) inTrouble(t event.Time) bool {
	return w.Trouble > 0 && int64(t-w.Trouble) < 15*minute
}

func (e *Engine) grow(in *incident, s *sight) {
	in.Last = s.t
	in.Calls += s.n
	in.IDs[in.At%8] = strings.Clone(s.c.ID)
	in.At++
}

func (in *incident) ids() (list []string) {
	for _, id := range in.IDs {
		if id != "" {
			list = append(list, id)
		}
	}
	return list
}

func (e *Engine) tell(s *sight, in *incident, ev *evidence) {
	r := alert.Report{
		Kind: ev.kind, Also: in.Also, Update: in.Updates, Key: in.Name, Opened: in.Opened, First: in.First, Last: in.Last, Now: e.now, Calls: uint64(in.Calls), Surprise: ev.score,
		Service: s.c.Service, Method: s.c.Method, Template: s.c.Template, Peers: ev.peers, CallIDs: in.ids(),
		Parameter: ev.parameter, Expected: ev.expected, Observed: ev.observed, Baseline: ev.baseline,
	}
	if len(s.c.Operations) > 0 {
		r.Operation = s.c.Operations[0]
	}
	if ev.noTemplate {
		r.Method, r.Template = "", ""
	}
	if !ev.everyone {
		r.Caller, r.Credential = s.callerName, s.credName
	} else if len(r.Peers) == 0 {
		r.Peers = []string{s.callerName}
	}
	e.send(&r, s.svc)
}

// send emits r, as information where the service's budget is used up or the kind is muted.
func (e *Engine) send(r *alert.Report, svc *service) {
	if tune, ok := e.cfg.Services[r.Service]; ok && slices.Contains(tune.Mute, r.Kind) {
		r.Severity = alert.Informational
	}
	if svc != nil && r.Severity != alert.Informational {
		if d := int64(e.now) / day; d != svc.AlertDay {
			svc.AlertDay, svc.Alerts = d, 0
		}
		svc.Alerts++
		if svc.Alerts > e.cfg.Budget && alert.SeverityOf(r.Kind) < alert.High {
			r.Severity = alert.Informational
			r.Note = "the budget of alerts of this service for today is used up"
		}
	}
	if r.Severity == alert.Informational {
		e.counts.Informational++
	} else {
		e.counts.Findings++
	}
	e.cfg.Emit(alert.New(r))
}

// inform tells of an ordinary change that explains what would have been evidence.
func (e *Engine) inform(s *sight, why, expected, what string) {
	r := alert.Report{
		Kind: "change", Severity: alert.Informational, Key: "change " + s.p.Name + " " + s.c.Service + " " + what, Opened: s.t, First: s.t, Last: s.t, Now: e.now, Calls: 1,
		Service: s.c.Service, Method: s.c.Method, Template: s.c.Template, Caller: s.callerName, Credential: s.credName, CallIDs: []string{s.c.ID},
		Parameter: "what the caller does", Expected: expected, Observed: what, Note: why,
	}
	e.send(&r, nil)
}

func (e *Engine) informOf(p *pending, why string) {
	r := alert.Report{
		Kind: "change", Severity: alert.Informational, Key: "change " + p.Caller + " " + p.ServiceName + " " + p.Kind, Opened: p.First, First: p.First, Last: e.now, Now: e.now, Calls: uint64(p.N),
		Service: p.ServiceName, Method: p.Method, Template: p.Template, Operation: p.Operation, Caller: p.Caller, CallIDs: []string{p.Call},
		Parameter: "what the caller does", Expected: "no such call", Observed: p.Kind, Note: why,
	}
	e.send(&r, nil)
}

// tellNew opens the incident of something new that a workload does.
func (e *Engine) tellNew(p *pending, w *workload, services int) {
	key := p.Workload ^ 'i'
	in := e.incidents.get(key)
	e.counts.Evidence++
	observed := fmt.Sprintf("%.0f calls from %.0f of %.0f pods", p.N, max(1, p.Pods.count()), max(1, p.Live))
	if services > 1 {
		observed += fmt.Sprintf(", %d such services within an hour", services)
	}
	if p.Process {
		observed += ", by a program that it does not run otherwise"
	}
	update := uint32(0)
	if in != nil && int64(e.now-in.Last) < int64(e.cfg.Quiet) {
		in.Last = e.now
		in.Calls += p.N
		if p.Kind == in.Kind && p.Service == in.Service && p.Endpoint == in.Endpoint || int64(p.First-in.First) < 30*minute && weight[p.Kind] <= weight[in.Kind] || in.Updates >= 2 {
			if p.Kind != in.Kind && !slices.Contains(in.Also, p.Kind) {
				in.Also = append(in.Also, p.Kind)
			}
			return
		}
		if p.Kind != in.Kind {
			in.Also = append(in.Also, in.Kind)
		}
		in.Kind, in.Service, in.Endpoint = p.Kind, p.Service, p.Endpoint
		in.Updates++
		update = in.Updates
	} else {
		in, _ = e.incidents.put(key)
		*in = incident{Name: w.Name, Kind: p.Kind, Opened: e.now, First: p.First, Last: e.now, Calls: p.N, Service: p.Service, Endpoint: p.Endpoint}
		in.IDs[0], in.At = p.Call, 1
		e.counts.Incidents++
	}
	if pr := e.principals.peek(p.Workload); pr != nil {
		pr.Suspect = e.now + event.Time(e.cfg.Quiet)
	}
	score := 12.0 + 6*float64(services)
	if p.Process {
		score += 8
	}
	r := alert.Report{
		Kind: p.Kind, Also: in.Also, Update: update, Key: in.Name, Opened: in.Opened, First: in.First, Last: in.Last, Now: e.now, Calls: uint64(in.Calls), Surprise: score,
		Service: p.ServiceName, Method: p.Method, Template: p.Template, Operation: p.Operation, Caller: p.Caller, Credential: p.Credential, Peers: []string{p.Address}, CallIDs: in.ids(),
		Parameter: "services and operations that the workload calls", Expected: fmt.Sprintf("none but those of the last %s", time.Duration(e.now-w.First).Round(time.Hour)),
		Observed: observed, Baseline: uint64(w.N),
	}
	e.send(&r, e.services.peek(p.Service))
}

// settle runs every ten seconds of event time.
func (e *Engine) settle() {
	e.measureShared()
	if len(e.pending) > 0 {
		e.decide()
	}
}
