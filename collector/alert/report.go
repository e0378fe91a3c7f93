package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Report is what the detectors know of an incident at one moment.
type Report struct {
	Kind     string   // one of Kinds
	Also     []string // further kinds that the same incident showed
	Severity int      // 0 takes the kind's own
	Update   uint32   // 0 when the incident opens
	Key      string   // who or what the incident is about, in gnomon's own words; with Opened it makes the uid

	Opened, First, Last, Now event.Time
	Calls                    uint64  // how many calls stand behind it
	Surprise                 float64 // nats: -ln of the chance that ordinary traffic does this

	Service, Method, Template, Operation, Caller, Credential string
	Peers                                                    []string
	CallIDs                                                  []string

	Parameter string // what was watched: "distinct objects in 1 h"
	Expected  string // what was expected
	Baseline  uint64 // how many observations the expectation rests on
	Observed  string // what was observed
	Note      string // why it is taken for ordinary change, for information only
}

// MaxPeers and MaxCalls bound the lists of a Finding.
const (
	MaxPeers = 20
	MaxCalls = 20
)

// New gives r its standard form. The same Report gives the same bytes.
func New(r *Report) *Finding {
	k, ok := kinds[r.Kind]
	if !ok {
		k = kind{title: strings.ReplaceAll(r.Kind, "_", " "), severity: Low, why: "This is not what was learned as normal.", next: "Look at the calls named as evidence."}
	}
	severity := r.Severity
	if severity == 0 {
		severity = k.severity
	}
	confidence := confidence(r.Surprise)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", r.Key, r.Opened))
	where := r.Service
	if op := operation(r); op != "" {
		where = strings.TrimSpace(op + " at " + r.Service)
	}
	who := r.Caller
	if who == "" {
		who = r.Credential
	}
	if who == "" {
		who = "many callers"
	}
	message := fmt.Sprintf("%s: %s on %s. Expected %s; observed %s.", k.title, who, where, r.Expected, r.Observed)
	if r.Note != "" {
		message += " Taken for ordinary change: " + r.Note + "."
	}
	f := &Finding{
		ActivityID: activityCreate, ActivityName: "Create", CategoryUID: categoryUID, CategoryName: "Findings",
		ClassUID: classUID, ClassName: "Detection Finding", TypeUID: classUID*100 + activityCreate,
		Time: ms(r.Now), StartTime: ms(r.First), EndTime: ms(r.Last), SeverityID: severity, Severity: severityNames[severity],
		StatusID: statusNew, Status: "New", IsAlert: severity > Informational,
		ConfidenceScore: confidence, Message: message, Count: r.Calls, RiskDetails: k.why,
		Metadata: Metadata{Version: SchemaVersion, Product: Product{Name: "gnomon", VendorName: "gnomon"}, Sequence: r.Update},
		FindingInfo: FindingInfo{
			UID: hex.EncodeToString(sum[:12]), Title: k.title, Desc: k.why,
			Types:         append([]string{r.Kind}, r.Also...),
			FirstSeenTime: ms(r.First), LastSeenTime: ms(r.Last), CreatedTime: ms(r.Opened), ModifiedTime: ms(r.Now),
			Analytic: Analytic{Name: r.Kind, UID: "gnomon/" + r.Kind, TypeID: analyticBehaves, Type: "Behavioral"},
			Attacks:  k.attacks,
		},
		Remediation: Remediation{Desc: k.next},
		Observables: []Observable{},
	}
	if k.rule {
		f.FindingInfo.Analytic.TypeID, f.FindingInfo.Analytic.Type = analyticRule, "Rule"
	}
	if r.Update > 0 {
		f.ActivityID, f.ActivityName, f.TypeUID = activityUpdate, "Update", classUID*100+activityUpdate
		f.StatusID, f.Status = statusUpdated, "In Progress"
	}
	f.ConfidenceID, f.Confidence = confidenceID(confidence)
	for _, id := range k.owasp {
		f.FindingInfo.Tags = append(f.FindingInfo.Tags, Tag{Name: "owasp_api_2023", Value: id})
	}
	e := Evidence{Data: &EvidenceData{Calls: clip(r.CallIDs, MaxCalls)}}
	if r.Service != "" {
		op := operation(r)
		if op == "" {
			op = "any"
		}
		e.API = &API{Operation: op, Service: Service{Name: r.Service}}
	}
	if r.Caller != "" {
		e.SrcEndpoint = &Endpoint{Name: r.Caller}
		o := Observable{Name: "unmapped.gnomon.caller", TypeID: observableOther, Type: "Other", Value: r.Caller}
		if _, err := netip.ParseAddr(r.Caller); err == nil {
			e.SrcEndpoint = &Endpoint{IP: r.Caller}
			o.TypeID, o.Type = observableIP, "IP Address"
		}
		f.Observables = append(f.Observables, o)
	}
	if r.Credential != "" {
		e.Actor = &Actor{Session: Session{CredentialUID: r.Credential}}
		f.Observables = append(f.Observables, Observable{Name: "unmapped.gnomon.credential", TypeID: observableOther, Type: "Other", Value: r.Credential})
	}
	f.Evidences = []Evidence{e}
	f.AnomalyAnalyses = []AnomalyAnalysis{{
		AnalysisTargets: []Target{{Name: strings.TrimSpace(who + " → " + where), Type: "caller and endpoint"}},
		Anomalies:       []Pattern{{ObservationParameter: r.Parameter, ObservedPattern: r.Observed, Observations: []Observation{{Value: r.Observed, Count: r.Calls}}}},
		Baselines:       []Pattern{{ObservationParameter: r.Parameter, ObservedPattern: r.Expected, Observations: []Observation{{Value: r.Expected, Count: r.Baseline}}}},
	}}
	f.Unmapped.Gnomon = Gnomon{Service: r.Service, Method: r.Method, Template: r.Template, Operation: r.Operation, Caller: r.Caller,
		Credential: r.Credential, Peers: clip(r.Peers, MaxPeers), Calls: clip(r.CallIDs, MaxCalls)}
	return f
}

func operation(r *Report) string {
	if r.Operation != "" {
		return r.Operation
	}
	return strings.TrimSpace(r.Method + " " + r.Template)
}

func clip(list []string, most int) []string {
	return slices.Clone(append([]string{}, list[:min(len(list), most)]...))
}

func ms(t event.Time) int64 { return int64(t) / 1e6 }

// confidence maps surprise to 0…99. 10 nats (1 in 22,000) is what a detector that looks at thousands of callers sees by
// chance now and then, 40 never.
func confidence(nats float64) int {
	switch {
	case nats <= 0:
		return 50
	case nats >= 40:
		return 99
	}
	return 55 + int(nats*44/40)
}

func confidenceID(score int) (int, string) {
	switch {
	case score < 60:
		return 1, "Low"
	case score < 80:
		return 2, "Medium"
	}
	return 3, "High"
}

var severityNames = []string{"Unknown", "Informational", "Low", "Medium", "High", "Critical"}
