package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/dchest/siphash"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/redact/body"
	"github.com/gnomon-sensor/gnomon/agent/redact/cache"
	"github.com/gnomon-sensor/gnomon/agent/redact/hostile"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Config configures a Redactor. The zero value of a bound takes its default.
type Config struct {
	// Key is the installation's secret, from which the keys of all tokens are derived. One per key epoch.
	Key [32]byte
	// Names says which names may leave as text.
	Names Names
	// Node goes into the ids of Calls, so that two nodes never give the same.
	Node string
	// Entries is how many paths, queries, header values and bodies' shapes are remembered each, so that what comes again costs a look-up.
	// Default 2,048: some 2 MiB together with ordinary traffic, 20 MiB when an attacker makes every entry as large as can be.
	Entries int
	// BodyBytes is how many bytes of bodies are read for shapes and data classes in one second of the chunks' time, with 256 added for each
	// call, and compressed ones counted 16 times. Beyond it one body in 32 is read. Default 2 MiB, 7,000 small bodies: half a percent of a core.
	BodyBytes int
}

func (c Config) withDefaults() Config {
	if c.Entries <= 0 {
		c.Entries = 2048
	}
	if c.BodyBytes <= 0 {
		c.BodyBytes = 2 << 20
	}
	return c
}

// Redactor turns Exchanges into Calls. It is not safe for concurrent use: each shard has one.
type Redactor struct {
	cfg      Config
	paths    *Paths
	mac      hash.Hash
	nameKey  sipKey
	valueKey sipKey
	idKey    sipKey

	pathCache  cache.Cache[pathInfo]
	queryCache cache.Cache[queryInfo]
	sets       cache.Cache[headerSet]
	values     cache.Cache[value]
	hosts      cache.Cache[hostNote]
	named      cache.Cache[string]
	scopeKeys  cache.Cache[sipKey]
	texts      names
	bodies     *body.Reader
	req, res   body.Message
	scoped     sipKey      // of the call under way
	dst        *event.Call // likewise
	bodyParams int
	client     bool // its body is that of an OAuth 2 client
	clientID   string
	scanner    hostile.Scanner

	oddPath  pathInfo
	oddSet   headerSet
	encoding [2]string // content coding of each direction's body, "" none
	lost     event.Lost
	tls      event.TLSFacts
	segs     []event.Segment
	key      []byte // scratch: cache keys
	small    []byte
	nameBuf  []byte
	valueBuf []byte
	jwtBuf   []byte
	idBuf    []byte
}

// New returns a Redactor.
func New(cfg Config) *Redactor {
	cfg = cfg.withDefaults()
	_, path := derive(cfg.Key[:], "path")
	_, cred := derive(cfg.Key[:], "credential")
	r := &Redactor{
		cfg:        cfg,
		paths:      NewPaths(PathConfig{Key: path, Names: cfg.Names}),
		mac:        hmac.New(sha256.New, cred[:]),
		pathCache:  cache.New[pathInfo](4 * cfg.Entries), // paths hold ids: what else is remembered varies far less
		queryCache: cache.New[queryInfo](cfg.Entries / 2),
		sets:       cache.New[headerSet](cfg.Entries / 4),
		values:     cache.New[value](cfg.Entries),
		hosts:      cache.New[hostNote](cfg.Entries / 4),
		named:      cache.New[string](cfg.Entries),
		scopeKeys:  cache.New[sipKey](cfg.Entries / 4),
		texts:      newNames(8192),
	}
	r.nameKey, _ = derive(cfg.Key[:], "name")
	r.valueKey, _ = derive(cfg.Key[:], "value")
	r.idKey, _ = derive(cfg.Key[:], "id")
	r.bodies = body.New(body.Config{Kind: bodyKind, Name: r.fieldName, Bytes: cfg.BodyBytes, Orders: cfg.Entries / 4})
	return r
}

// Reveal lets the words with these tokens leave as text from now on; see Paths.Reveal.
func (r *Redactor) Reveal(tokens ...uint64) (refused int) {
	refused = r.paths.Reveal(tokens...)
	r.pathCache.Clear()
	r.queryCache.Clear()
	r.values.Clear()
	r.hosts.Clear()
	r.named.Clear()
	r.sets.Clear()
	r.bodies.Clear()
	return refused
}

// ID is the id of x on c: a keyed hash of the connection's ends, the request's ordinal and its time, so that the same recording
// gives the same ids, also when its packets were shuffled a little.
func (r *Redactor) ID(c *proto.Conn, x *proto.Exchange) event.ID {
	b := append(r.idBuf[:0], r.cfg.Node...)
	b = append(b, 0, byte(c.Side))
	cl, sv := c.Client.Addr().As16(), c.Server.Addr().As16()
	b = append(append(b, cl[:]...), sv[:]...)
	b = binary.LittleEndian.AppendUint16(b, c.Client.Port())
	b = binary.LittleEndian.AppendUint16(b, c.Server.Port())
	b = binary.LittleEndian.AppendUint32(b, c.NetNS)
	b = binary.LittleEndian.AppendUint64(b, x.Seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(x.Start))
	r.idBuf = b
	hi, lo := siphash.Hash128(r.idKey.k0, r.idKey.k1, b)
	return event.ID{Hi: hi, Lo: uint16(lo)}
}

// Call fills dst from x; dst's Service, which values are scoped to, is set before. dst's slices
// and pointers are borrowed from r until its next call. No raw value is left in dst.
func (r *Redactor) Call(dst *event.Call, c *proto.Conn, x *proto.Exchange) {
	scope := r.scope(dst.Service)
	dst.Rev, dst.State, dst.Time, dst.Protocol = x.Rev, x.State, x.Start, x.Protocol
	dst.Method = r.method(x.Method)
	var hostOK bool
	dst.Host, hostOK = r.host(x.Host)
	dst.Status = x.Status
	dst.RequestBytes, dst.ResponseBytes = x.Req.Bytes, x.Res.Bytes
	if x.FirstByte > x.Start {
		dst.FirstByteNS = int64(x.FirstByte - x.Start)
	}
	if x.End > x.Start && (x.Status != 0 || x.State != event.Done) {
		dst.DurationNS = int64(x.End - x.Start)
	}
	if c.TLS != nil {
		r.tls = *c.TLS
		r.nameBuf = append(r.nameBuf[:0], c.TLS.SNI...)
		r.tls.SNI, _ = r.host(r.nameBuf)
		dst.TLS = &r.tls
	}

	connect := string(x.Method) == "CONNECT"
	path, query := r.split(x.Target, connect)
	p := r.path(path, connect)
	dst.Path, dst.Template = p.segs, p.template
	signs := p.signs
	dst.Params = dst.Params[:0]
	var queryAuth credential
	if len(query) > 0 {
		q := r.query(scope, dst.Service, query)
		dst.Params = append(dst.Params, q.params...)
		signs |= q.signs
		queryAuth = q.auth
	}

	r.encoding = [2]string{}
	h, auth := r.request(dst, scope, x)
	signs |= h
	if len(x.Res.Fields) > 0 {
		r.response(dst, x)
	}
	if auth.kind == event.AuthNone || auth.kind == event.AuthSessionCookie && queryAuth.kind != event.AuthNone {
		auth = queryAuth
	}
	if auth.kind == event.AuthNone && c.TLS != nil && c.TLS.ClientCert {
		auth.kind = event.AuthMTLS
	}
	signs |= r.readBodies(dst, scope, x, &auth)
	auth.fill(&dst.Auth, x.Start)
	if !hostOK {
		signs |= r.scanner.Scan(x.Host)
	}
	dst.Signs = appendSigns(signs.Append(dst.Signs[:0]), x.Signs)

	if lost := x.Req.Lost + x.Res.Lost; lost > 0 {
		why := x.Req.Why
		if x.Req.Lost == 0 {
			why = x.Res.Why
		}
		r.lost = event.Lost{Bytes: lost, Reason: why.String()}
		dst.Lost = &r.lost
	}
}

// scope is the key of the values of service.
func (r *Redactor) scope(service string) sipKey {
	r.key = append(r.key[:0], service...)
	k, known := r.scopeKeys.At(r.key)
	if !known {
		*k = r.valueKey.sub(r.key)
	}
	return *k
}

// method is b as it stands when it is a standard one (RFC 9110 section 9, RFC 5789) or reads like a name.
func (r *Redactor) method(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "HEAD":
		return "HEAD"
	case "PATCH":
		return "PATCH"
	case "OPTIONS":
		return "OPTIONS"
	case "CONNECT":
		return "CONNECT"
	case "TRACE":
		return "TRACE"
	case "QUERY", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE", "MERGE", "BIND", "ACL":
		return r.texts.get(b)
	}
	return r.name(b)
}

// Reset makes dst an empty Call that keeps its memory.
func (r *Redactor) Reset(dst *event.Call) {
	*dst = event.Call{Params: dst.Params[:0], Signs: dst.Signs[:0], Auth: event.Auth{Scopes: dst.Auth.Scopes[:0]}}
}

// SetNode changes Config.Node for the Calls from now on.
func (r *Redactor) SetNode(name string) { r.cfg.Node = name }

// SubKey is a key for another room, derived from the installation's.
func (r *Redactor) SubKey(purpose string) [16]byte {
	_, raw := derive(r.cfg.Key[:], purpose)
	return raw
}

// Seed is SubKey as a number.
func (r *Redactor) Seed(purpose string) uint64 {
	k, _ := derive(r.cfg.Key[:], purpose)
	return k.k0
}

// HostName is what of the host name b may leave; "" when it is none.
func (r *Redactor) HostName(b string) string {
	t, _ := r.host([]byte(b))
	return t
}

// Unread is how many calls had bodies that were not looked at, the budget being spent. Safe for concurrent use.
func (r *Redactor) Unread() uint64 { return r.bodies.Unread() }

// protoNames are the words of proto.Signs, by bit.
var protoNames = [...]string{"both_lengths", "length_conflict", "bad_chunk", "space_colon", "obs_fold", "bare_lf", "bare_cr", "nul_field",
	"bad_version", "host_conflict", "transfer_encoding", "body_on_get", "junk"}

func appendSigns(dst []string, p proto.Signs) []string {
	for i := 0; p != 0 && i < len(protoNames); i++ {
		if p&(1<<i) != 0 {
			dst = append(dst, protoNames[i])
			p &^= 1 << i
		}
	}
	return dst
}
