package detect

import (
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// sight is one call, read: the entities it touches and what they were before it. Valid during one Observe.
type sight struct {
	c      *event.Call
	t      event.Time
	n      float64 // calls it stands for
	failed bool    // 5xx or no answer
	denied bool    // 401, 403

	callerName string // workload, else address
	credName   string // subject, else credential; "" for none
	external   bool   // the caller is no known workload
	relay      bool   // a workload that passes on a credential which was delivered to it
	outside    bool   // the callee is outside of what is watched

	who             uint64 // key of p
	svcKey, epKey   uint64
	wKey            uint64 // key of w, 0 without
	credKey, placeK uint64
	groupKey        uint64
	pairKey         uint64

	p     *principal
	ep    *endpoint // nil: nothing of the kind ever answered
	pr    *pair     // nil like ep
	svc   *service
	w     *workload // calling workload
	sw    *workload // workload of the callee
	cred  *credential
	group *group
	place *place // network of an external caller

	rotated bool // a new credential of a known machine

	freshPair, freshEndpoint, freshPrincipal bool
	pairAge                                  int64
}

// principal is who acts: a workload, a person or machine outside known by subject or credential, or else an address.
type principal struct {
	Name       string // as alerts name it
	Caller     string // the last address, or the workload
	Credential string
	Workload   bool
	Anonymous  bool // known by address only
	Machine    bool // outside, with a credential that lasts
	First      event.Time
	Last       event.Time
	N          float64
	Suspect    event.Time // until when an incident explains it: not learned from

	Hours  hourProfile
	Errors cusum
	Scan   scanState
	Inject injectState
	Schema schemaState
	Func   functionState
	Trail  trail
}

// endpoint is an operation of a service that answered like one at least once.
type endpoint struct {
	Service, Method, Template, Operation string
	First, Last                          event.Time
	N, OK                                float64
	WithAuth                             float64
	Groups                               [6]groupUse
	IDs                                  idSource

	Peers    tail // distinct objects per principal and hour, of those without a habit of many
	Response normal
	Request  normal
	Large    rate                 // answers far above the mean
	Fails    struct{ Share rate } // refused or not there
	Errors   rate
	Signin   signinState
	Classes  [12]classUse
	Params   [32]paramUse
	Before   [10]before
	Missing  rate    // calls of people without any of the usual steps before
	Model    float64 // calls that led to a language model
}

// pair is a principal on an endpoint.
type pair struct {
	First, Last event.Time
	N           float64
	Volume      volumeState
	Walk        walkState
	Size        sizeState
}

// service is a callee.
type service struct {
	Name     string
	Outside  bool
	First    event.Time
	N        float64
	Win      [2]window  // calls in 2 and 10 minutes
	Most     [2]float64 // most calls in them, slowly forgotten
	Down     rateWindow
	Alerts   int
	AlertDay int64
}

// workload is a set of pods with one program.
type workload struct {
	Name              string
	First             event.Time
	N                 float64
	Served            float64 // calls that it answered
	Relayed           float64
	Last              event.Time
	Process           string
	Pods              [12]pod
	Born              float64 // new pods since it was first seen, those of the first hour aside
	Newest            event.Time
	Outside           float64 // outside hosts it calls
	Later             float64 // of those, first called after its first day
	NewEP             event.Time
	Inbound           window
	InMost            float64
	LastIn, LastInWho uint64 // endpoint and credential of the last call it answered
	LastInAt          event.Time
	Trouble           event.Time // when evidence was last raised against a caller of it
}

type pod struct {
	Key         uint64
	First, Last event.Time
}

// place is an address outside, with the machine that uses it.
type place struct {
	Machine   uint64 // principal with a lasting credential last seen here
	Principal int    // distinct ones so far, capped
	Last      event.Time
}

// group is callers of one kind at one service: same kind of credential, same issuer.
type group struct {
	First   event.Time
	Members float64
	Calls   float64
	Hours   [24]float64 // active hours of members
	Nets    [32]netUse
}

type groupUse struct {
	Group uint64
	N     float64
	First event.Time // 0: known; else since when it is looked at with suspicion
	OK    float64    // principals of the group since then
	By    uint64     // the last of them
}

type netUse struct {
	Net uint64
	N   float64
}

// look reads c into s.
func (e *Engine) look(s *sight, c *event.Call) {
	*s = sight{c: c, t: c.Time, n: float64(c.Calls())}
	s.failed = c.Status == 0 || c.Status >= 500
	s.denied = c.Status == 401 || c.Status == 403
	s.external = c.Client.Workload == ""
	s.outside = c.Side == event.SideClient
	s.callerName = c.Client.Workload
	if s.external {
		s.callerName = c.Client.Address
	}
	op := ""
	if len(c.Operations) > 0 {
		op = c.Operations[0]
	}

	s.svcKey = e.ref('s', c.Service)
	svc, fresh := e.services.put(s.svcKey)
	if fresh {
		svc.Name, svc.First, svc.Outside = strings.Clone(c.Service), s.t, s.outside
	}
	s.svc = svc

	if !s.external {
		s.wKey = e.ref('w', c.Client.Workload)
		s.w = e.workload(s.wKey, c.Client.Workload, s.t)
		e.podSeen(s.w, c.Client.Address, s.t)
	}
	if c.Server.Workload != "" {
		s.sw = e.workload(e.ref('w', c.Server.Workload), c.Server.Workload, s.t)
		e.podSeen(s.sw, c.Server.Address, s.t)
		if s.sw.Process == "" && c.Server.Process != "" {
			s.sw.Process = strings.Clone(c.Server.Process)
		}
	}

	// the credential, under the name that lasts; a password that was refused is nobody's
	if refused := c.Status == 401 && c.Auth.Kind == event.AuthBasic; !refused && c.Auth.Kind != event.AuthNone && (c.Auth.Subject != "" || c.Auth.Credential != "") {
		s.credName = c.Auth.Subject
		if s.credName == "" {
			s.credName = c.Auth.Credential
			s.credKey = e.ref('c', c.Auth.Credential)
		} else {
			s.credKey = e.ref('j', c.Auth.Issuer, c.Auth.Subject)
		}
		cr, fresh := e.creds.put(s.credKey)
		if fresh {
			cr.First = s.t
			cr.Kind = c.Auth.Kind
			cr.Principal = s.credKey
		}
		s.cred = cr
		if s.w != nil && cr.deliveredTo(s.wKey, s.t) {
			s.relay = true
		}
		if s.sw != nil {
			cr.deliver(e.ref('w', c.Server.Workload), s.t)
		}
	}

	// the principal
	switch {
	case !s.external:
		s.who = s.wKey
	case s.cred != nil:
		if s.cred.First == s.t && s.cred.N == 0 {
			e.adopt(s)
		}
		s.who = s.cred.Principal
	default:
		s.who = e.ref('a', c.Client.Address)
	}
	p, fresh := e.principals.put(s.who)
	s.freshPrincipal = fresh
	if fresh {
		p.First = s.t
		p.Workload, p.Anonymous = !s.external, s.external && s.cred == nil
		p.Name = strings.Clone(s.callerName)
		if s.external && s.cred != nil {
			p.Name = strings.Clone(s.credName)
		}
	}
	if p.Caller != s.callerName {
		p.Caller = strings.Clone(s.callerName)
	}
	if s.credName != "" && p.Credential != s.credName && !s.relay {
		p.Credential = strings.Clone(s.credName)
	}
	s.p = p
	if s.rotated {
		e.inform(s, "a new credential at the address of a known machine: rotated", "one credential", "another one")
	}

	if s.external {
		s.placeK = e.ref('p', c.Client.Address)
		pl, _ := e.places.put(s.placeK)
		s.place = pl
		s.groupKey = e.ref('g', c.Service, c.Auth.Kind.String(), c.Auth.Issuer)
	} else {
		s.groupKey = e.ref('g', c.Client.Workload)
	}
	g, fresh := e.groups.put(s.groupKey)
	if fresh {
		g.First = s.t
	}
	s.group = g

	s.epKey = e.ref('e', c.Service, c.Method, c.Template, op)
	s.ep = e.endpoints.get(s.epKey)
	if s.ep == nil && (answered(c.Status) || s.guarded()) {
		ep, _ := e.endpoints.put(s.epKey)
		ep.Service, ep.Method, ep.Template, ep.Operation = svc.Name, strings.Clone(c.Method), strings.Clone(c.Template), strings.Clone(op)
		ep.First = s.t
		s.ep, s.freshEndpoint = ep, true
		if s.sw != nil {
			s.sw.NewEP = s.t
		}
	}
	if s.ep != nil {
		s.pairKey = s.who ^ (s.epKey<<1 | s.epKey>>63)
		pr, fresh := e.pairs.put(s.pairKey)
		s.freshPair = fresh
		if fresh {
			pr.First = s.t
		}
		s.pr, s.pairAge = pr, int64(s.t-pr.First)
	}
}

// answered says whether a status shows that there is such an operation: a stranger's guess gets 404 or 405, or a proxy's
// 401, 403, 429 or 5xx.
func answered(status int) bool {
	switch {
	case status >= 200 && status < 400:
		return true
	case status == 400, status == 402, status == 409, status == 412, status == 415, status == 422:
		return true
	}
	return false
}

// guarded says whether a refusal shows an operation all the same: a password was judged, or one caller is refused there again
// and again without trying other paths.
func (s *sight) guarded() bool {
	return s.c.Status == 401 && (s.c.Auth.Kind == event.AuthBasic || s.p.Scan.Key == s.epKey && s.p.Scan.Same >= 4)
}

// adopt finds the machine that a new credential belongs to: one that calls from an address where so far one machine with
// a lasting credential called. That is a rotation, and the machine keeps its past.
func (e *Engine) adopt(s *sight) {
	switch s.c.Auth.Kind {
	case event.AuthSessionCookie, event.AuthBearerJWT:
		return
	}
	pl := e.places.peek(e.ref('p', s.c.Client.Address))
	if pl == nil || pl.Machine == 0 || pl.Principal > 1 {
		return
	}
	if old := e.principals.peek(pl.Machine); old != nil && !e.suspected(old) {
		s.cred.Principal = pl.Machine
		s.rotated = true
	}
}

// learn updates what all detectors share, after they saw what was before.
func (e *Engine) learn(s *sight) {
	c := s.c
	p := s.p
	p.N += s.n
	p.Last = s.t
	s.svc.N += s.n
	s.group.Calls += s.n
	if s.freshPrincipal {
		s.group.Members++
	}
	if s.cred != nil {
		s.cred.N += s.n
		s.cred.Last = s.t
		if s.external && !p.Machine && lasting(s.cred, s.t) {
			p.Machine = true
		}
	}
	if s.place != nil {
		if s.cred != nil || int64(s.t-s.p.First) > hour { // not the addresses that guess passwords
			e.shared.seen(s.who, s.t, int64(s.t-e.start))
		}
		s.place.Last = s.t
		if p.Machine && s.place.Machine != s.who {
			s.place.Machine = s.who
			s.place.Principal++
		}
	}
	if s.w != nil {
		s.w.N += s.n
		s.w.Last = s.t
		if s.relay {
			s.w.Relayed += s.n
		}
	}
	if s.sw != nil && s.sw != s.w {
		s.sw.Served += s.n
		if ended, had := s.sw.Inbound.roll(s.t, 10*minute); ended > 0 {
			s.sw.InMost = slowMost(s.sw.InMost, had, ended, 10*minute, int64(s.t-s.sw.First))
		}
		s.sw.Inbound.N += s.n
	}
	if s.sw != nil && s.ep != nil {
		s.sw.LastIn, s.sw.LastInWho, s.sw.LastInAt = s.epKey, s.credKey, s.t
	}
	s.svc.Down.add(s.t, s.n, c.Status >= 500 || c.Status == 0)
	for i, length := range sharedWindows {
		if ended, had := s.svc.Win[i].roll(s.t, length); ended > 0 {
			s.svc.Most[i] = slowMost(s.svc.Most[i], had, ended, length, int64(s.t-s.svc.First))
		}
		s.svc.Win[i].N += s.n
	}
	if s.ep == nil {
		return
	}
	ep := s.ep
	ep.N += s.n
	ep.Last = s.t
	if c.Status >= 200 && c.Status < 400 {
		ep.OK += s.n
	}
	if c.Auth.Kind != event.AuthNone {
		ep.WithAuth += s.n
	}
	s.pr.N += s.n
	s.pr.Last = s.t
}

// slowMost is the most calls in a window, which after two days gives way to more only slowly: what it is asked for is
// whether now is busier than ever, so a campaign must not become the measure at once.
func slowMost(most, had float64, ended, length, age int64) float64 {
	most *= decay(ended, length)
	switch {
	case had <= most:
		return most
	case age < 2*day:
		return had
	}
	return most + 0.02*float64(length)/float64(10*minute)*(had-most)
}

// decay is how much of a maximum is left after n windows: half in two weeks, so that a monthly peak is not forgotten at once.
func decay(n, length int64) float64 {
	x := float64(n) * float64(length) / float64(14*day)
	return 1 / (1 + x)
}

// lasting says whether a credential outlives a session: in use for two days under one fingerprint.
func lasting(c *credential, t event.Time) bool {
	switch c.Kind {
	case event.AuthAPIKey, event.AuthBasic, event.AuthMTLS, event.AuthHMAC, event.AuthSigV4, event.AuthOAuth2Client:
		return true
	case event.AuthBearerOpaque, event.AuthCustom:
		return int64(t-c.First) > 2*day
	}
	return false
}

func (e *Engine) workload(key uint64, name string, t event.Time) *workload {
	w, fresh := e.workloads.put(key)
	if fresh {
		w.Name, w.First = strings.Clone(name), t
	}
	return w
}

// podSeen keeps the newest pods of a workload.
func (e *Engine) podSeen(w *workload, address string, t event.Time) {
	k := hash(address)
	oldest := 0
	for i := range w.Pods {
		if w.Pods[i].Key == k {
			if t > w.Pods[i].Last {
				w.Pods[i].Last = t
			}
			return
		}
		if w.Pods[i].Last < w.Pods[oldest].Last {
			oldest = i
		}
	}
	w.Pods[oldest] = pod{Key: k, First: t, Last: t}
	if int64(t-w.First) > hour {
		w.Born++
		w.Newest = t
	}
}

// deployed says whether the pod at address is one of a new set: it is younger than three hours and no pod older than that
// has been active since. Workloads that get a new pod for each run (jobs) tell nothing by it.
func (w *workload) deployed(address string, t event.Time) bool {
	const young = 3 * hour
	age := max(int64(t-w.First), hour)
	if w.Born > 6 && w.Born/(float64(age)/float64(day)) > 3 {
		return false
	}
	k := hash(address)
	var me *pod
	for i := range w.Pods {
		if w.Pods[i].Key == k {
			me = &w.Pods[i]
		}
	}
	if me == nil || int64(t-me.First) > young || int64(me.First-w.First) < hour {
		return false
	}
	for i := range w.Pods {
		o := &w.Pods[i]
		if o.Key != 0 && o.Key != k && int64(me.First-o.First) > hour && int64(o.Last-me.First) > 10*minute {
			return false
		}
	}
	return true
}

// driven says whether w mainly answers calls, so that what it calls follows what others ask of it.
func (w *workload) driven() bool { return w.Served > 0.2*w.N }

// livePods is how many pods were active in the last hour.
func (w *workload) livePods(t event.Time) (n int) {
	for i := range w.Pods {
		if w.Pods[i].Key != 0 && int64(t-w.Pods[i].Last) < hour {
			n++
		}
	}
	return n
}

// rate is a share learned over all time, with a prior.
type rate struct{ Hit, All float64 }

func (r *rate) add(n float64, hit bool) {
	if r.All > 20_000 {
		r.All /= 2
		r.Hit /= 2
	}
	r.All += n
	if hit {
		r.Hit += n
	}
}

// at is the share, as if prior calls of the share p had been seen before.
func (r *rate) at(p, prior float64) float64 { return (r.Hit + p*prior) / (r.All + prior) }

// rateWindow is a share over the last 5 to 10 minutes.
type rateWindow struct {
	At                         int64
	Hit, All, PrevHit, PrevAll float64
}

func (r *rateWindow) add(t event.Time, n float64, hit bool) {
	at := int64(t) / (5 * minute)
	if at > r.At {
		if at == r.At+1 {
			r.PrevHit, r.PrevAll = r.Hit, r.All
		} else {
			r.PrevHit, r.PrevAll = 0, 0
		}
		r.At, r.Hit, r.All = at, 0, 0
	}
	r.All += n
	if hit {
		r.Hit += n
	}
}

func (r *rateWindow) share() (share, all float64) {
	all = r.All + r.PrevAll
	if all == 0 {
		return 0, 0
	}
	return (r.Hit + r.PrevHit) / all, all
}
