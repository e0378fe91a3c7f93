package event

// Call is one API call, or with Count > 1 a Tally: many alike calls of a few seconds, exact in its count. Its JSON is
// that of CLI.md; fields beyond CLI.md are additions that its readers ignore.
//
// A *Call that is handed to a function is borrowed: who keeps it past the return keeps Clone().
type Call struct {
	ID    string `json:"id"`    // deterministic: the same chunks give the same
	Rev   uint32 `json:"rev"`   // rises with each emission of a call that lasts
	State State  `json:"state"` //
	Time  Time   `json:"time"`  // first byte of the request

	Node     string   `json:"node,omitempty"`
	Side     Side     `json:"side,omitempty"`
	Service  string   `json:"service"` // the callee's stable id
	Protocol Protocol `json:"protocol,omitempty"`
	Client   Peer     `json:"client,omitzero"`
	Server   Peer     `json:"server,omitzero"`

	Encryption Encryption `json:"encryption"`
	TLS        *TLSFacts  `json:"tls,omitempty"`

	Method     string    `json:"method"`
	Host       string    `json:"host,omitempty"`     // as the client named it, lower case, without the port
	Template   string    `json:"template,omitempty"` // the best known when the Call left; the inventory may know better
	Path       []Segment `json:"path,omitempty"`     // what Template is made from; what the learner sees
	Operations []string  `json:"operations"`         // gRPC method, GraphQL operations, JSON-RPC and MCP methods
	Params     []Param   `json:"params"`

	Status        int   `json:"status,omitempty"` // 0: no response seen
	RequestBytes  int64 `json:"request_bytes"`    // body as sent, without headers and chunk framing, before decompression; a Tally's: sum
	ResponseBytes int64 `json:"response_bytes"`   // likewise
	FirstByteNS   int64 `json:"first_byte_ns,omitempty"`
	DurationNS    int64 `json:"duration_ns,omitempty"` // request's first byte to response's last; a Tally's: mean

	RequestType     string   `json:"request_type,omitempty"`  // media type without parameters, lower case
	ResponseType    string   `json:"response_type,omitempty"` // likewise
	RequestHeaders  []string `json:"request_headers,omitempty"`
	ResponseHeaders []string `json:"response_headers,omitempty"` // names, lower case, sorted, capped
	RequestBody     *Body    `json:"request_body,omitempty"`     // shape of a JSON or form body; nil: none, or not understood
	ResponseBody    *Body    `json:"response_body,omitempty"`    // likewise

	Auth  Auth     `json:"auth,omitzero"`
	Data  Data     `json:"data"`
	Signs []string `json:"signs"` // closed set: hostile content seen before redaction, smuggling shapes
	Probe Probe    `json:"probe,omitempty"`
	Hop   bool     `json:"hop,omitempty"` // made by a proxy that answers by making the same request

	Count uint64  `json:"count,omitempty"` // 0 and 1 mean one call
	Until Time    `json:"until,omitzero"`  // a Tally's last call
	Lost  *Lost   `json:"lost,omitempty"`  // what of this call was not seen
	Sums  *Sketch `json:"-"`               // a Tally's distributions
}

// Calls returns how many calls c stands for, at least 1.
func (c *Call) Calls() uint64 { return max(c.Count, 1) }

// Peer is one end of a call.
type Peer struct {
	Address  string `json:"address,omitempty"`
	Port     uint16 `json:"port,omitempty"`
	Workload string `json:"workload,omitempty"` // namespace/kind/name, or host/NODE/UNIT-or-executable
	Process  string `json:"process,omitempty"`  // the executable's base name
}

// TLSFacts says how a connection was encrypted.
type TLSFacts struct {
	Version    string `json:"version,omitempty"` // "1.3"
	SNI        string `json:"sni,omitempty"`
	ALPN       string `json:"alpn,omitempty"`
	Cipher     string `json:"cipher,omitempty"`
	ClientCert bool   `json:"client_cert,omitempty"`
}

// Param is a parameter without its value.
type Param struct {
	In   In     `json:"in"`
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	Hash string `json:"hash,omitempty"` // keyed, scoped to service and parameter
	Word string `json:"word,omitempty"` // the whole value, only when it is exactly a word of inventory/event/words ("asc"): what enums are made from
}

// Auth is who the caller said it is. Claims are those that are not personal, and nobody verified them here.
type Auth struct {
	Kind       AuthKind `json:"kind"`
	Credential string   `json:"credential,omitempty"` // keyed fingerprint
	Subject    string   `json:"subject,omitempty"`    // keyed hash
	Issuer     string   `json:"issuer,omitempty"`
	Audience   string   `json:"audience,omitempty"`
	Scopes     []string `json:"scopes,omitempty"`
	Algorithm  string   `json:"algorithm,omitempty"`
	Expires    Time     `json:"expires,omitzero"`
	Expired    *bool    `json:"expired,omitempty"`
}

// Data is what kinds of data the bodies carried.
type Data struct {
	Request  []DataClass `json:"request"`
	Response []DataClass `json:"response"`
}

// DataClass is one class of sensitive data at one place.
type DataClass struct {
	Class string `json:"class"`        // "email", "iban", …: closed set
	At    string `json:"at,omitempty"` // "$.items[].contact"
	Count int    `json:"count"`
}

// Lost is what of a call was not seen.
type Lost struct {
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"` // a ledger reason
}
