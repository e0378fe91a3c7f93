// Package enrich says whose call it is: service, processes and workloads of both ends, side, encryption, and whether a
// machine made the call to watch the service rather than to use it.
//
// In: a connection, and an Exchange's request line and user agent. Out: fields of the event.Call. What it works out of a
// connection it keeps with the connection (proto.Conn.Ext), so that a call costs a few assignments. It never opens a
// process's memory, never resolves a name, and trusts no header about who the caller is.
package enrich

import (
	"net/netip"
	"strconv"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Process is what is known of a process.
type Process struct {
	Name     string // base name of the executable
	Workload string // systemd unit, else the executable
}

// Processes names processes as of a time; the zero Process for one that is not known. A method call on it for a known process
// costs a map look-up.
type Processes interface {
	Process(pid uint32, at event.Time) Process
}

// Config configures an Enricher.
type Config struct {
	// Node is this host's name.
	Node string
	// Processes names local processes; nil for recordings.
	Processes Processes
	// HostName is what of a host name that TLS named may leave the node; nil: nothing.
	HostName func(string) string
	// Seed keys the table of regular requests, so that nobody can choose who shares a slot.
	Seed uint64
}

// Enricher fills in the identities. It is not safe for concurrent use: each shard has one.
type Enricher struct {
	cfg     Config
	regular regular
	addrs   map[netip.Addr]string
}

// maxAddrs bounds the addresses kept as text (100 bytes each).
const maxAddrs = 16384

// New returns an Enricher.
func New(cfg Config) *Enricher {
	return &Enricher{cfg: cfg, addrs: map[netip.Addr]string{}}
}

// SetNode changes Config.Node for the connections from now on.
func (e *Enricher) SetNode(name string) { e.cfg.Node = name }

// identity is what is known of a connection's ends.
type identity struct {
	service        string
	client, server event.Peer
	pid, peer      uint32
	asked          event.Time
	complete       bool
}

// recheck is how long a process that had no name yet is left alone.
const recheck = event.Time(1e9)

// Call fills dst's identities from c; at is the time of the request.
func (e *Enricher) Call(dst *event.Call, c *proto.Conn, at event.Time) {
	id, _ := c.Ext.(*identity)
	if id == nil {
		id = new(identity)
		c.Ext = id
		e.identify(id, c, at)
	} else if id.pid != c.PID || id.peer != c.PeerPID || !id.complete && at-id.asked > recheck {
		e.identify(id, c, at)
	}
	dst.Node, dst.Side, dst.Service = e.cfg.Node, c.Side, id.service
	dst.Client, dst.Server = id.client, id.server
	switch {
	case c.TLS != nil:
		dst.Encryption = event.TLS
	case c.Told:
		dst.Encryption = event.EncryptionUnknown
	default:
		dst.Encryption = event.Plaintext
	}
}

func (e *Enricher) identify(id *identity, c *proto.Conn, at event.Time) {
	*id = identity{pid: c.PID, peer: c.PeerPID, asked: at, complete: true}
	e.peer(&id.client, c.Client)
	e.peer(&id.server, c.Server)
	switch c.Side {
	case event.SideServer:
		e.process(id, &id.server, c.PID, at)
		e.process(id, &id.client, c.PeerPID, at)
	case event.SideClient:
		e.process(id, &id.client, c.PID, at)
		e.process(id, &id.server, c.PeerPID, at)
	}
	id.service = e.service(id, c)
}

// service is the callee's stable id: the name that the source knows, the local unit or executable with its port, for a callee elsewhere the name that TLS
// verified, else address and port.
func (e *Enricher) service(id *identity, c *proto.Conn) string {
	if c.Service != "" {
		return c.Service
	}
	port := strconv.Itoa(int(c.Server.Port()))
	if w := id.server.Workload; w != "" {
		return w[len("host/")+len(e.cfg.Node)+1:] + ":" + port
	}
	if c.TLS != nil && c.TLS.SNI != "" && c.Side == event.SideClient && e.cfg.HostName != nil {
		if name := e.cfg.HostName(c.TLS.SNI); name != "" {
			return name + ":" + port
		}
	}
	if !c.Server.IsValid() {
		return "unknown"
	}
	if c.Server.Addr().Unmap().Is6() {
		return "[" + id.server.Address + "]:" + port
	}
	return id.server.Address + ":" + port
}

func (e *Enricher) peer(p *event.Peer, a netip.AddrPort) {
	if !a.IsValid() {
		return
	}
	s, ok := e.addrs[a.Addr()]
	if !ok {
		if len(e.addrs) >= maxAddrs {
			clear(e.addrs)
		}
		s = a.Addr().Unmap().WithZone("").String()
		e.addrs[a.Addr()] = s
	}
	p.Address, p.Port = s, a.Port()
}

func (e *Enricher) process(id *identity, p *event.Peer, pid uint32, at event.Time) {
	if pid == 0 || e.cfg.Processes == nil {
		return
	}
	q := e.cfg.Processes.Process(pid, at)
	if q.Name == "" {
		id.complete = false
	}
	p.Process = q.Name
	if q.Workload != "" {
		p.Workload = "host/" + e.cfg.Node + "/" + q.Workload
	}
}
