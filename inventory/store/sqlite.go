package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver, in pure Go

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

//go:embed migrations/*.sql
var migrations embed.FS

// KeepCalls and KeepAlerts are how many recent calls and alerts the store keeps.
const (
	KeepCalls  = 10_000
	KeepAlerts = 10_000
)

// SQLite is a Store in one file, with write-ahead logging so that it can be read while it is written.
type SQLite struct {
	db   *sql.DB
	path string
	lock *os.File // nil when read only
}

// Open opens the file for writing, creating it with mode 0600 or bringing its tables up to date. One process at a time may.
func Open(ctx context.Context, path string) (*SQLite, error) {
	dir := filepath.Dir(path)
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return nil, fmt.Errorf("open the store: %s is a directory: name a file with --store", path)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w: give a file in a directory that exists and can be written with --store (not %s)", err, dir)
	}
	if err := exclusive(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open the store %s: %w by another gnomon: stop that one, or give this one its own file with --store", path, ErrInUse)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("open the store: %w: give a file that can be written with --store", err)
	}
	f.Close() // SQLite's own descriptor comes later, so closing this one drops no lock of it
	s, err := open(ctx, path, "rwc")
	if err != nil {
		lock.Close()
		return nil, err
	}
	s.lock = lock
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// OpenReader opens the file for reading, which may be while another process writes it.
func OpenReader(ctx context.Context, path string) (*SQLite, error) {
	if _, err := os.Stat(path); err != nil {
		next := "check the name, or let `gnomon run --store` or `gnomon replay --store` make it"
		if errors.Is(err, fs.ErrPermission) {
			next = "run as the user that it belongs to, for example with sudo"
		}
		return nil, fmt.Errorf("read the store: %w: %s", err, next)
	}
	s, err := open(ctx, path, "ro")
	if err != nil {
		return nil, err
	}
	have, err := s.version(ctx)
	if err != nil {
		s.Close()
		return nil, err
	}
	switch want := latest(); {
	case have > want:
		err = fmt.Errorf("read the store %s: %w (tables of version %d, this gnomon knows %d): use the newer gnomon", path, ErrNewer, have, want)
	case have < want:
		err = fmt.Errorf("read the store %s: %w (tables of version %d, this gnomon has %d): start `gnomon run --store %s` once to bring it up to date", path, ErrOlder, have, want, path)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, path, mode string) (*SQLite, error) {
	q := url.Values{"mode": {mode}, "_pragma": {"busy_timeout(5000)", "synchronous(normal)", "cache_size(-4096)", "journal_size_limit(8388608)"}}
	if mode != "ro" {
		q["_pragma"] = append(q["_pragma"], "journal_mode(wal)")
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, explain(path, "open", err)
	}
	return &SQLite{db: db, path: path}, nil
}

// explain adds to an error of SQLite's what to do about it.
func explain(path, doing string, err error) error {
	next := "give another file with --store"
	switch msg := err.Error(); {
	case strings.Contains(msg, "not a database"), strings.Contains(msg, "malformed"):
		next = "it is no gnomon store, or damaged: move it away or give another file with --store"
	case strings.Contains(msg, "readonly"), strings.Contains(msg, "unable to open"):
		next = "its directory and its -wal and -shm files must be open to this user: use sudo, or give another file with --store"
	case strings.Contains(msg, "full"):
		next = "free some space on its disk"
	}
	return fmt.Errorf("%s the store %s: %w: %s", doing, path, err, next)
}

func latest() (v int64) {
	files, _ := fs.Glob(migrations, "migrations/*.sql")
	return int64(len(files))
}

// version is that of the tables, 0 for an empty file.
func (s *SQLite) version(ctx context.Context) (v int64, err error) {
	var tables int
	if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`).Scan(&tables); err != nil {
		return 0, explain(s.path, "read", err)
	}
	if tables == 0 {
		return 0, nil
	}
	err = s.db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	if err != nil {
		return 0, explain(s.path, "read", err)
	}
	return v, nil
}

func (s *SQLite) migrate(ctx context.Context) error {
	have, err := s.version(ctx)
	if err != nil {
		return err
	}
	if have > latest() {
		return fmt.Errorf("open the store %s: %w (tables of version %d, this gnomon knows %d): use the newer gnomon, or another file with --store", s.path, ErrNewer, have, latest())
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.db, dir)
	if err != nil {
		return fmt.Errorf("prepare the tables of %s: %w", s.path, err)
	}
	if _, err := p.Up(ctx); err != nil {
		return explain(s.path, "make the tables of", err)
	}
	return nil
}

// Close closes the file. What Save returned for is safe.
func (s *SQLite) Close() error {
	err := s.db.Close()
	if s.lock != nil {
		s.lock.Close() // gives the lock up
	}
	return err
}

// Save writes b in one transaction.
func (s *SQLite) Save(ctx context.Context, b *Batch) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return explain(s.path, "write", err)
	}
	defer tx.Rollback() // does nothing after Commit
	if err := s.save(ctx, tx, b); err != nil {
		return explain(s.path, "write", err)
	}
	if err := tx.Commit(); err != nil {
		return explain(s.path, "write", err)
	}
	return nil
}

func (s *SQLite) save(ctx context.Context, tx *sql.Tx, b *Batch) error {
	for _, r := range b.Services {
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO services VALUES (?, ?, ?, ?, ?, ?)`, r.Name, r.Node, r.Workload, r.Process, r.Address, r.Port); err != nil {
			return err
		}
	}
	if len(b.Leaves) > 0 {
		put, err := tx.PrepareContext(ctx, `INSERT INTO leaves (service, key, method, template, operation, probe, tier, calls, first_seen, last_seen, path, fixed, evidence)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (service, key) DO UPDATE SET template = excluded.template, tier = excluded.tier,
			calls = excluded.calls, first_seen = excluded.first_seen, last_seen = excluded.last_seen, evidence = excluded.evidence`)
		if err != nil {
			return err
		}
		defer put.Close()
		for i := range b.Leaves {
			r := &b.Leaves[i]
			if r.Gone {
				_, err = tx.ExecContext(ctx, `DELETE FROM leaves WHERE service = ? AND key = ?`, r.Service, int64(r.Key))
			} else {
				_, err = put.ExecContext(ctx, r.Service, int64(r.Key), r.Method, r.Template, r.Operation, r.Probe.String(), r.Tier.String(),
					int64(r.Calls), int64(r.First), int64(r.Last), r.Path, r.Fixed, r.Evidence)
			}
			if err != nil {
				return err
			}
		}
	}
	if n := len(b.Calls); n > 0 {
		for i := range b.Calls {
			c := &b.Calls[i]
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?)`, int64(c.Seq), c.Service, int64(c.Time), c.JSON); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM calls WHERE seq <= ?`, int64(b.Calls[n-1].Seq)-KeepCalls); err != nil {
			return err
		}
	}
	if n := len(b.Alerts); n > 0 {
		for i := range b.Alerts {
			a := &b.Alerts[i]
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?)`, int64(a.Seq), a.UID, a.Service, a.Kind, a.Severity, int64(a.Time), a.JSON); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM alerts WHERE seq <= ?`, int64(b.Alerts[n-1].Seq)-KeepAlerts); err != nil {
			return err
		}
	}
	for i := range b.Sensors {
		j, err := json.Marshal(&b.Sensors[i])
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO sensors VALUES (?, ?)`, b.Sensors[i].Node, j); err != nil {
			return err
		}
	}
	return nil
}

// Load hands every service and leaf to c, and the seed that they were hashed with.
func (s *SQLite) Load(ctx context.Context, c *inventory.Catalog) error {
	seed, err := s.Secret(ctx, "catalog seed", 8)
	if err != nil {
		return err
	}
	c.Reseed(binary.LittleEndian.Uint64(seed))
	rows, err := s.db.QueryContext(ctx, `SELECT name, node, workload, process, address, port FROM services ORDER BY name`)
	if err != nil {
		return explain(s.path, "read", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r inventory.ServiceRecord
		if err := rows.Scan(&r.Name, &r.Node, &r.Workload, &r.Process, &r.Address, &r.Port); err != nil {
			return explain(s.path, "read", err)
		}
		c.LoadService(r)
	}
	if err := rows.Err(); err != nil {
		return explain(s.path, "read", err)
	}
	leaves, err := s.db.QueryContext(ctx, `SELECT service, key, method, template, operation, probe, tier, calls, first_seen, last_seen, path, fixed, evidence FROM leaves ORDER BY service, key`)
	if err != nil {
		return explain(s.path, "read", err)
	}
	defer leaves.Close()
	for leaves.Next() {
		var r inventory.LeafRecord
		var key, calls, first, last int64
		var probe, tier string
		if err := leaves.Scan(&r.Service, &key, &r.Method, &r.Template, &r.Operation, &probe, &tier, &calls, &first, &last, &r.Path, &r.Fixed, &r.Evidence); err != nil {
			return explain(s.path, "read", err)
		}
		r.Key, r.Calls, r.First, r.Last = uint64(key), uint64(calls), event.Time(first), event.Time(last)
		if err := errors.Join(r.Probe.UnmarshalText([]byte(probe)), r.Tier.UnmarshalText([]byte(tier))); err != nil {
			return explain(s.path, "read", err)
		}
		if err := c.LoadLeaf(r); err != nil {
			return explain(s.path, "read", err)
		}
	}
	if err := leaves.Err(); err != nil {
		return explain(s.path, "read", err)
	}
	return nil
}

// Calls returns recent calls, oldest first.
func (s *SQLite) Calls(ctx context.Context, q inventory.Query, after uint64, limit int) ([]Sequenced, uint64, error) {
	list := []Sequenced{}
	last, err := s.newest(ctx, "calls", "seq, service, time, call", q, after, limit, func(rows *sql.Rows) error {
		var c Sequenced
		var seq, at int64
		err := rows.Scan(&seq, &c.Service, &at, &c.JSON)
		c.Seq, c.Time = uint64(seq), event.Time(at)
		list = append(list, c)
		return err
	})
	return list, last, err
}

// Alerts returns recent alerts, oldest first.
func (s *SQLite) Alerts(ctx context.Context, q inventory.Query, after uint64, limit int) ([]Alert, uint64, error) {
	list := []Alert{}
	last, err := s.newest(ctx, "alerts", "seq, uid, service, kind, severity, time, finding", q, after, limit, func(rows *sql.Rows) error {
		var a Alert
		var seq, at int64
		err := rows.Scan(&seq, &a.UID, &a.Service, &a.Kind, &a.Severity, &at, &a.JSON)
		a.Seq, a.Time = uint64(seq), event.Time(at)
		list = append(list, a)
		return err
	})
	return list, last, err
}

// newest reads the newest limit rows of a table that has seq, service and time, oldest first, and says the highest seq.
func (s *SQLite) newest(ctx context.Context, table, columns string, q inventory.Query, after uint64, limit int, scan func(*sql.Rows) error) (uint64, error) {
	var top int64
	if err := s.db.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM `+table).Scan(&top); err != nil {
		return 0, explain(s.path, "read", err)
	}
	where, args := `seq > ? AND time >= ?`, []any{int64(min(after, math.MaxInt64)), int64(q.Since)}
	if prefix, ok := strings.CutSuffix(q.Service, "*"); ok {
		where, args = where+` AND substr(service, 1, length(?)) = ?`, append(args, prefix, prefix)
	} else if q.Service != "" {
		where, args = where+` AND service = ?`, append(args, q.Service)
	}
	rows, err := s.db.QueryContext(ctx, `SELECT * FROM (SELECT `+columns+` FROM `+table+` WHERE `+where+` ORDER BY seq DESC LIMIT ?) ORDER BY seq`, append(args, limit)...)
	if err != nil {
		return 0, explain(s.path, "read", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return 0, explain(s.path, "read", err)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, explain(s.path, "read", err)
	}
	return uint64(top), nil
}

// Sensors returns the last known state of each node.
func (s *SQLite) Sensors(ctx context.Context) ([]event.Sensor, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT sensor FROM sensors ORDER BY node`)
	if err != nil {
		return nil, explain(s.path, "read", err)
	}
	defer rows.Close()
	list := []event.Sensor{}
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, explain(s.path, "read", err)
		}
		var x event.Sensor
		if err := json.Unmarshal(b, &x); err != nil {
			return nil, explain(s.path, "read", err)
		}
		list = append(list, x)
	}
	return list, rows.Err()
}

// Secret returns the random bytes kept under name, made at the first asking.
func (s *SQLite) Secret(ctx context.Context, name string, n int) ([]byte, error) {
	var b []byte
	err := s.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = ?`, name).Scan(&b)
	if err == nil && len(b) == n {
		return b, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, explain(s.path, "read", err)
	}
	if s.lock == nil {
		return make([]byte, n), nil // a reader of a store without one has nothing that depends on it
	}
	b = make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make a key for the store: %w", err)
	}
	if _, err := s.db.ExecContext(ctx, `INSERT OR REPLACE INTO meta VALUES (?, ?)`, name, b); err != nil {
		return nil, explain(s.path, "write", err)
	}
	return b, nil
}
