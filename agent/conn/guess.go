package conn

import (
	"encoding/binary"
	"sync/atomic"
)

// Guess is what an undecoded connection seems to speak. The set is closed.
type Guess uint8

// The guesses.
const (
	Unknown Guess = iota
	TLS
	HTTP2
	SSH
	Postgres
	MySQL
	Redis
	Kafka
	DNS
	SMTP
	FTP
	MongoDB
	MQTT
	AMQP
	Tunnel // after CONNECT or 101
	Silent // carried no bytes
	guesses
)

var guessNames = [guesses]string{"unknown", "tls", "http/2", "ssh", "postgres", "mysql", "redis", "kafka", "dns", "smtp", "ftp", "mongodb", "mqtt", "amqp", "tunnel", "silent"}

func (g Guess) String() string { return guessNames[g] }

// Stats count what a Table has seen. Safe for concurrent reading.
type Stats struct {
	Opened    atomic.Uint64          // connections
	Open      atomic.Int64           // of them still in the table
	Decoded   atomic.Uint64          // recognised
	TakenOver atomic.Uint64          // joined in mid-stream
	Evicted   atomic.Uint64          // dropped at the bound of memory
	Memory    atomic.Int64           // bytes accounted for, of Config.Memory
	Undecoded [guesses]atomic.Uint64 // connections by what they seem to speak
	Bytes     [guesses]atomic.Uint64 // their bytes as far as handed to the table
}

// Guesses returns all guesses, in the order of Stats.Undecoded.
func Guesses() []Guess {
	all := make([]Guess, guesses)
	for i := range all {
		all[i] = Guess(i)
	}
	return all
}

func has(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// guess tells by the first bytes of both directions, of which the client's comes first, what a connection may speak.
// Ports are not asked: the report is about what is spoken, wherever.
func guess(client, server []byte) Guess {
	if len(client) == 0 && len(server) == 0 {
		return Silent
	}
	for _, b := range [...][]byte{client, server} {
		switch {
		case len(b) >= 3 && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 3 && b[2] <= 4:
			return TLS
		case has(b, "PRI * HTTP/2.0"):
			return HTTP2
		case has(b, "SSH-"):
			return SSH
		case has(b, "AMQP"):
			return AMQP
		case len(b) >= 16 && le32(b) >= 16 && le32(b) < 48<<20 && (le32(b[12:]) == 2013 || le32(b[12:]) == 2004 || le32(b[12:]) == 1):
			return MongoDB
		}
	}
	switch b := client; {
	case len(b) >= 8 && (be32(b[4:]) == 196608 || be32(b[4:]) == 196610 || be32(b[4:]) == 80877103 || be32(b[4:]) == 80877104 || be32(b[4:]) == 80877102) && be32(b) < 1<<16:
		return Postgres
	case len(b) >= 4 && b[0] == '*' && b[1]-'1' <= 8 && (b[2] == '\r' || b[2]-'0' <= 9):
		return Redis
	case len(b) >= 14 && be32(b) >= 10 && be32(b) < 100<<20 && binary.BigEndian.Uint16(b[4:]) < 100 && binary.BigEndian.Uint16(b[6:]) < 20 && binary.BigEndian.Uint16(b[12:]) < 256:
		return Kafka
	case len(b) >= 14 && int(binary.BigEndian.Uint16(b)) >= 12 && int(binary.BigEndian.Uint16(b)) <= len(b)-2 && b[4]&0x78 == 0 && binary.BigEndian.Uint16(b[6:]) == 1:
		return DNS
	case len(b) >= 8 && b[0] == 0x10 && (has(b[min(4, len(b)):], "MQTT") || has(b[min(4, len(b)):], "MQIs")):
		return MQTT
	case has(b, "EHLO "), has(b, "HELO "):
		return SMTP
	}
	switch b := server; {
	case len(b) >= 16 && b[1] == 0 && b[2] == 0 && b[3] == 0 && b[4] == 10 && isDigit(b[5]):
		return MySQL
	case has(b, "220 "), has(b, "220-"):
		if has(client, "USER ") || has(client, "AUTH TLS") {
			return FTP
		}
		return SMTP
	case has(b, "-ERR"), has(b, "+PONG"):
		return Redis
	}
	return Unknown
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

func isDigit(c byte) bool { return c-'0' <= 9 }
