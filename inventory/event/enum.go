package event

import "fmt"

// State says how far a Call has come.
type State uint8

// A call that lasts is emitted when it opens, as progress, and when it ends: same ID, rising Rev, cumulative numbers.
const (
	Done State = iota
	Open
	Progress
)

// Side is the socket that a Call was captured at.
type Side uint8

// The server's side counts wherever an agent covers the server.
const (
	SideUnknown Side = iota
	SideServer
	SideClient
)

// Encryption is what protected the connection on the wire.
type Encryption uint8

// TLS means that the plaintext was seen inside TLS; unknown, that the source cannot tell (an access log).
const (
	EncryptionUnknown Encryption = iota
	Plaintext
	TLS
)

// Protocol is the application protocol of a Call.
type Protocol uint8

// The protocols that CLI.md names. What bodies speak (GraphQL, MCP) is in Call.Operations.
const (
	ProtocolUnknown Protocol = iota
	HTTP09
	HTTP10
	HTTP11
	HTTP2
	GRPC
	WebSocket
)

// AuthKind is how a caller said who it is.
type AuthKind uint8

// The kinds that CLI.md names.
const (
	AuthNone AuthKind = iota
	AuthBasic
	AuthBearerJWT
	AuthBearerOpaque
	AuthAPIKey
	AuthSessionCookie
	AuthSigV4
	AuthHMAC
	AuthMTLS
	AuthOAuth2Client
	AuthCustom
)

// In is where a parameter stands in a request.
type In uint8

// The places that CLI.md names.
const (
	InPath In = iota
	InQuery
	InHeader
	InCookie
	InBody
)

// Probe classes traffic that machines make to watch a service rather than to use it.
type Probe uint8

// Probes are counted but hidden unless asked for.
const (
	NoProbe Probe = iota
	HealthProbe
	MetricsProbe
)

var (
	stateNames      = []string{"done", "open", "progress"}
	sideNames       = []string{"", "server", "client"}
	encryptionNames = []string{"unknown", "plaintext", "tls"}
	protocolNames   = []string{"", "http/0.9", "http/1.0", "http/1.1", "http/2", "grpc", "websocket"}
	authNames       = []string{"none", "basic", "bearer_jwt", "bearer_opaque", "api_key", "session_cookie", "sigv4", "hmac", "mtls", "oauth2_client", "custom"}
	inNames         = []string{"path", "query", "header", "cookie", "body"}
	probeNames      = []string{"", "health", "metrics"}
)

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("invalid(%d)", uint8(v))
}

func parse[T ~uint8](what string, names []string, b []byte, v *T) error {
	for i, n := range names {
		if n == string(b) {
			*v = T(i)
			return nil
		}
	}
	return fmt.Errorf("%s %.40q: want one of %q", what, b, names)
}

func (v State) String() string      { return name(stateNames, v) }
func (v Side) String() string       { return name(sideNames, v) }
func (v Encryption) String() string { return name(encryptionNames, v) }
func (v Protocol) String() string   { return name(protocolNames, v) }
func (v AuthKind) String() string   { return name(authNames, v) }
func (v In) String() string         { return name(inNames, v) }
func (v Probe) String() string      { return name(probeNames, v) }

// MarshalText and UnmarshalText give the enums the words of CLI.md; a word that is not in it is an error.

func (v State) MarshalText() ([]byte, error)      { return []byte(v.String()), nil }
func (v Side) MarshalText() ([]byte, error)       { return []byte(v.String()), nil }
func (v Encryption) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
func (v Protocol) MarshalText() ([]byte, error)   { return []byte(v.String()), nil }
func (v AuthKind) MarshalText() ([]byte, error)   { return []byte(v.String()), nil }
func (v In) MarshalText() ([]byte, error)         { return []byte(v.String()), nil }
func (v Probe) MarshalText() ([]byte, error)      { return []byte(v.String()), nil }

func (v *State) UnmarshalText(b []byte) error      { return parse("state", stateNames, b, v) }
func (v *Side) UnmarshalText(b []byte) error       { return parse("side", sideNames, b, v) }
func (v *Encryption) UnmarshalText(b []byte) error { return parse("encryption", encryptionNames, b, v) }
func (v *Protocol) UnmarshalText(b []byte) error   { return parse("protocol", protocolNames, b, v) }
func (v *AuthKind) UnmarshalText(b []byte) error   { return parse("auth kind", authNames, b, v) }
func (v *In) UnmarshalText(b []byte) error         { return parse("parameter place", inNames, b, v) }
func (v *Probe) UnmarshalText(b []byte) error      { return parse("probe", probeNames, b, v) }
