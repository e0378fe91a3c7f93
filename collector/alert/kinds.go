package alert

// kind is what is known of a kind of incident before it happens.
type kind struct {
	title    string
	severity int
	rule     bool // found by a rule rather than by comparing with learned behaviour
	owasp    []string
	attacks  []Attack
	why      string
	next     string
}

func mitre(tacticUID, tactic, uid, name string) Attack {
	return Attack{Version: "17.1", Tactic: Named{Name: tactic, UID: tacticUID}, Technique: Named{Name: name, UID: uid}}
}

// kinds are the closed set of what FindingInfo.Types may hold, with the ids of OWASP API Security Top 10 2023 and MITRE
// ATT&CK v17.
var kinds = map[string]kind{
	"volume_surge": {title: "Many more calls than ever", severity: Medium, owasp: []string{"API4:2023"},
		attacks: []Attack{mitre("TA0040", "Impact", "T1499", "Endpoint Denial of Service")},
		why:     "A machine that calls far more often than it ever did is broken, misused or taken over, and can exhaust what it calls.",
		next:    "Ask the owner of the caller whether it was changed; if not, limit its rate and look at what started it."},
	"enumeration": {title: "Objects enumerated", severity: High, owasp: []string{"API1:2023"},
		attacks: []Attack{mitre("TA0009", "Collection", "T1213", "Data from Information Repositories")},
		why:     "One principal reads more objects than its peers and than ever before, as someone does who walks through other people's data (BOLA).",
		next:    "Check whether the objects belong to the principal; revoke its credential and add an ownership check if not."},
	"scraping": {title: "Catalogue scraped", severity: Medium, owasp: []string{"API6:2023", "API4:2023"},
		attacks: []Attack{mitre("TA0009", "Collection", "T1119", "Automated Collection")},
		why:     "One caller reads the shared catalogue far faster and wider than people do.",
		next:    "Decide whether the caller is welcome; limit its rate or offer it an export."},
	"bfla": {title: "Operation of another role used", severity: High, owasp: []string{"API5:2023"},
		attacks: []Attack{mitre("TA0004", "Privilege Escalation", "T1078", "Valid Accounts")},
		why:     "The caller uses an operation that so far only another group of callers used: the authorisation of the function may be missing.",
		next:    "Check whether the calls were answered with success; if so, add the missing role check and review what was done."},
	"credential_stuffing": {title: "Many failed sign-ins", severity: High, owasp: []string{"API2:2023"},
		attacks: []Attack{mitre("TA0006", "Credential Access", "T1110.004", "Credential Stuffing")},
		why:     "Far more sign-ins fail than usual: passwords are being guessed or tried from a list.",
		next:    "Throttle the sign-in, and reset the accounts for which one of these callers succeeded."},
	"token_theft": {title: "Credential used in two places", severity: Critical, owasp: []string{"API2:2023"},
		attacks: []Attack{mitre("TA0006", "Credential Access", "T1528", "Steal Application Access Token")},
		why:     "A credential is used from a place where it never was, beside its owner who goes on using it: it has probably been stolen.",
		next:    "Revoke the credential, ask its owner, and review all calls made from the new place."},
	"scanning": {title: "Endpoints searched for", severity: Medium, rule: true, owasp: []string{"API9:2023", "API8:2023"},
		attacks: []Attack{mitre("TA0043", "Reconnaissance", "T1595.003", "Wordlist Scanning")},
		why:     "A caller tries many paths that do not exist, to find forgotten or unprotected ones.",
		next:    "Check the few of its calls that were not refused; block the source, or look into the workload if it is one of yours."},
	"exfiltration": {title: "Answers far larger than usual", severity: High, owasp: []string{"API3:2023", "API4:2023"},
		attacks: []Attack{mitre("TA0010", "Exfiltration", "T1567", "Exfiltration Over Web Service")},
		why:     "The caller receives many times the data that it and its peers ever received from this operation.",
		next:    "Find which parameter made the answers grow, and whether the caller should see what they hold."},
	"data_exposure": {title: "Sensitive data in answers that never held it", severity: High, owasp: []string{"API3:2023"},
		attacks: []Attack{mitre("TA0009", "Collection", "T1213", "Data from Information Repositories")},
		why:     "An operation answers with a class of sensitive data that it never gave before: every caller now sees it.",
		next:    "Compare with the last deploy of the service; take the field out, or declare that it belongs there."},
	"lateral_movement": {title: "Workload calls a service it never called", severity: High, owasp: []string{"API8:2023"},
		attacks: []Attack{mitre("TA0008", "Lateral Movement", "T1210", "Exploitation of Remote Services")},
		why:     "A workload whose program did not change calls a service that it never called, as an intruder does who looks around.",
		next:    "Ask the owner of the workload; if nobody knows the call, isolate the pod and look at its processes."},
	"dormant_credential": {title: "Credential used again after long silence", severity: High, owasp: []string{"API2:2023", "API9:2023"},
		attacks: []Attack{mitre("TA0001", "Initial Access", "T1078", "Valid Accounts")},
		why:     "A machine credential that was in steady use and then silent for days is used again: forgotten credentials are found by others.",
		next:    "Ask its owner; revoke it if it was meant to be retired."},
	"off_hours": {title: "Used at an hour when its owner never works", severity: Medium, owasp: []string{"API2:2023"},
		attacks: []Attack{mitre("TA0001", "Initial Access", "T1078", "Valid Accounts")},
		why:     "A person who keeps regular hours is active far outside of them: the account may be in other hands.",
		next:    "Ask the person by another channel; if it was not them, end the session and review what was read."},
	"error_burst": {title: "Most calls of one caller fail", severity: Medium, owasp: []string{"API8:2023"},
		attacks: []Attack{mitre("TA0043", "Reconnaissance", "T1595.002", "Vulnerability Scanning")},
		why:     "Nearly all that this caller sends is refused or breaks something: it is probing how the API handles bad input, or is badly broken.",
		next:    "Look at the server errors among them first, then limit the caller."},
	"schema_probe": {title: "Body fields that nobody else sends", severity: High, owasp: []string{"API3:2023"},
		attacks: []Attack{mitre("TA0043", "Reconnaissance", "T1595.002", "Vulnerability Scanning")},
		why:     "One caller adds fields that no other sends, to see whether the server takes them (mass assignment).",
		next:    "Check whether the fields had an effect; reject unknown fields."},
	"injection": {title: "Hostile content sent", severity: High, rule: true, owasp: []string{"API8:2023", "API10:2023"},
		attacks: []Attack{mitre("TA0001", "Initial Access", "T1190", "Exploit Public-Facing Application")},
		why:     "Parameters of real operations hold the shapes of attacks on interpreters, again and again from one caller.",
		next:    "Check the calls that were answered with success or with a server error, then block the caller."},
	"sequence_break": {title: "Step of a flow without the steps before it", severity: Medium, owasp: []string{"API6:2023"},
		attacks: []Attack{mitre("TA0040", "Impact", "T1565", "Data Manipulation")},
		why:     "The caller takes the last step of a flow again and again without those that everyone takes before it.",
		next:    "Check whether the server enforces the order, and what these calls brought about."},
	"egress": {title: "Workload calls an outside host it never called", severity: High, owasp: []string{"API10:2023"},
		attacks: []Attack{mitre("TA0010", "Exfiltration", "T1567", "Exfiltration Over Web Service")},
		why:     "A workload whose program did not change sends data to a host outside that it never called.",
		next:    "Ask the owner of the workload; block the host if nobody knows it."},
	"llm_abuse": {title: "Model or tool misused", severity: Medium, owasp: []string{"API4:2023", "API6:2023"},
		attacks: []Attack{mitre("TA0040", "Impact", "T1496.004", "Cloud Service Hijacking")},
		why:     "A tool is called that this caller never used, or far more tokens are sent than anyone sends: a model is misled, or paid for by the wrong party.",
		next:    "Read the conversation where policy allows; limit the tools and tokens of the caller."},
	"availability": {title: "Service answers with errors to all", severity: Informational,
		why:  "Many callers see server errors at once. This is an outage rather than an attack.",
		next: "Look at the service's own health."},
	"change": {title: "Ordinary change", severity: Informational,
		why:  "Behaviour changed in a way that a deploy, a rotation, a move or growth explains.",
		next: "Nothing, unless nobody expected it."},
}

// SeverityOf is the severity of a kind by itself, Low for one that is not known.
func SeverityOf(name string) int {
	if k, ok := kinds[name]; ok {
		return k.severity
	}
	return Low
}

// Kinds lists the kinds that a Report may have.
func Kinds() []string {
	list := make([]string, 0, len(kinds))
	for k := range kinds {
		list = append(list, k)
	}
	return list
}
