// Package alert gives what the detectors found its standard form: an OCSF 1.8 Detection Finding (class 2004) that explains
// itself.
//
// In: a Report, which is what a detector knows (who, where, what was expected, what was observed, which calls). Out: a
// Finding, whose JSON is what `gnomon alerts -o jsonl`, `gnomon replay --alerts` and the topic gnomon.alerts.v1 carry. It
// never decides what is an alert, reads a clock or holds a raw value.
package alert

import "encoding/json"

// The numbers of OCSF 1.8 that a Finding uses. https://schema.ocsf.io/1.8.0/classes/detection_finding
const (
	SchemaVersion   = "1.8.0"
	categoryUID     = 2    // Findings
	classUID        = 2004 // Detection Finding
	activityCreate  = 1
	activityUpdate  = 2
	analyticBehaves = 3  // analytic.type_id: Behavioral
	analyticRule    = 1  // Rule
	statusNew       = 1  // status_id
	statusUpdated   = 2  // In Progress
	observableOther = 99 // observable.type_id
	observableIP    = 2
)

// Severities of OCSF, severity_id.
const (
	Informational = 1
	Low           = 2
	Medium        = 3
	High          = 4
	Critical      = 5
)

// Finding is an OCSF Detection Finding. Times are milliseconds since 1970 in UTC.
type Finding struct {
	ActivityID      int               `json:"activity_id"`
	ActivityName    string            `json:"activity_name"`
	CategoryUID     int               `json:"category_uid"`
	CategoryName    string            `json:"category_name"`
	ClassUID        int               `json:"class_uid"`
	ClassName       string            `json:"class_name"`
	TypeUID         int               `json:"type_uid"`
	Time            int64             `json:"time"`
	StartTime       int64             `json:"start_time"`
	EndTime         int64             `json:"end_time"`
	SeverityID      int               `json:"severity_id"`
	Severity        string            `json:"severity"`
	StatusID        int               `json:"status_id"`
	Status          string            `json:"status"`
	IsAlert         bool              `json:"is_alert"`
	ConfidenceID    int               `json:"confidence_id"`
	Confidence      string            `json:"confidence"`
	ConfidenceScore int               `json:"confidence_score"`
	Message         string            `json:"message"`
	Count           uint64            `json:"count"`
	RiskDetails     string            `json:"risk_details"`
	Metadata        Metadata          `json:"metadata"`
	FindingInfo     FindingInfo       `json:"finding_info"`
	Evidences       []Evidence        `json:"evidences"`
	AnomalyAnalyses []AnomalyAnalysis `json:"anomaly_analyses"`
	Observables     []Observable      `json:"observables"`
	Remediation     Remediation       `json:"remediation"`
	Unmapped        Unmapped          `json:"unmapped"`
}

// Metadata says who made the finding.
type Metadata struct {
	Version  string  `json:"version"`
	Product  Product `json:"product"`
	Sequence uint32  `json:"sequence"` // 0 when the incident opened, rising with each update
}

// Product is gnomon.
type Product struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

// FindingInfo is the incident: one UID from its opening through all updates.
type FindingInfo struct {
	UID           string   `json:"uid"`
	Title         string   `json:"title"`
	Desc          string   `json:"desc"`
	Types         []string `json:"types"` // the detector's kind first, then what else was noticed
	FirstSeenTime int64    `json:"first_seen_time"`
	LastSeenTime  int64    `json:"last_seen_time"`
	CreatedTime   int64    `json:"created_time"`
	ModifiedTime  int64    `json:"modified_time"`
	Analytic      Analytic `json:"analytic"`
	Attacks       []Attack `json:"attacks,omitempty"`
	Tags          []Tag    `json:"tags,omitempty"` // OWASP API Security Top 10 2023
}

// Analytic is the detector.
type Analytic struct {
	Name   string `json:"name"`
	UID    string `json:"uid"`
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
}

// Attack is a tactic and technique of MITRE ATT&CK.
type Attack struct {
	Version   string `json:"version"`
	Tactic    Named  `json:"tactic"`
	Technique Named  `json:"technique"`
}

// Named is a name with its id.
type Named struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// Tag is a key with a value.
type Tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Evidence is the operation that was called and by whom.
type Evidence struct {
	API         *API          `json:"api,omitempty"`
	SrcEndpoint *Endpoint     `json:"src_endpoint,omitempty"`
	Actor       *Actor        `json:"actor,omitempty"`
	Data        *EvidenceData `json:"data,omitempty"`
}

// API is the operation that was called.
type API struct {
	Operation string  `json:"operation"`
	Service   Service `json:"service"`
}

// Service is the callee.
type Service struct {
	Name string `json:"name"`
}

// Endpoint is a workload or an address.
type Endpoint struct {
	IP   string `json:"ip,omitempty"`
	Name string `json:"name,omitempty"`
}

// Actor carries the credential's fingerprint, never the credential.
type Actor struct {
	Session Session `json:"session"`
}

// Session is named by the keyed fingerprint of its credential or the keyed hash of its subject.
type Session struct {
	CredentialUID string `json:"credential_uid"`
}

// EvidenceData lists Calls.
type EvidenceData struct {
	Calls []string `json:"calls"`
}

// AnomalyAnalysis sets what was observed against what was expected.
type AnomalyAnalysis struct {
	AnalysisTargets []Target  `json:"analysis_targets"`
	Anomalies       []Pattern `json:"anomalies"`
	Baselines       []Pattern `json:"baselines,omitempty"`
}

// Target is what was watched.
type Target struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Pattern is a parameter with what was seen of it.
type Pattern struct {
	ObservationParameter string        `json:"observation_parameter"`
	ObservedPattern      string        `json:"observed_pattern"`
	Observations         []Observation `json:"observations"`
}

// Observation is a value and how many observations stand behind it.
type Observation struct {
	Value string `json:"value"`
	Count uint64 `json:"count,omitempty"`
}

// Observable is a name to search for.
type Observable struct {
	Name   string `json:"name"`
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
	Value  string `json:"value"`
}

// Remediation is the likely next step.
type Remediation struct {
	Desc string `json:"desc"`
}

// Unmapped holds what CLI.md promises to scripts.
type Unmapped struct {
	Gnomon Gnomon `json:"gnomon"`
}

// Gnomon says who did what where, in gnomon's own names. Absent means absent.
type Gnomon struct {
	Service    string   `json:"service,omitempty"`
	Method     string   `json:"method,omitempty"`
	Template   string   `json:"template,omitempty"`
	Operation  string   `json:"operation,omitempty"`
	Caller     string   `json:"caller,omitempty"`     // workload, else address
	Credential string   `json:"credential,omitempty"` // subject, else credential fingerprint
	Peers      []string `json:"peers"`
	Calls      []string `json:"calls"`
}

// AppendJSON appends f as one JSON object without a line end.
func (f *Finding) AppendJSON(b []byte) ([]byte, error) {
	out, err := json.Marshal(f)
	return append(b, out...), err
}

// Kind is the detector's kind, FindingInfo.Types[0].
func (f *Finding) Kind() string { return f.FindingInfo.Types[0] }
