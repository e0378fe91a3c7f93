package redact

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/event/words"
	"github.com/stretchr/testify/require"
)

func clearPaths() *Paths { return NewPaths(PathConfig{Names: NamesClear, Key: [16]byte{1}}) }

// show writes segments as kind:text, joined by slashes; parts in angle brackets.
func show(segs []event.Segment) string {
	var b strings.Builder
	for _, s := range segs {
		fmt.Fprintf(&b, "/%s", s.Kind)
		if s.Text != "" {
			fmt.Fprintf(&b, ":%s", s.Text)
		}
		if len(s.Parts) > 0 {
			b.WriteString("<")
			for _, p := range s.Parts {
				fmt.Fprintf(&b, "%s{%s:%s}", p.Sep, p.Kind, p.Text)
			}
			b.WriteString(">")
		}
	}
	return b.String()
}

func TestPathsAreSplitNormalisedAndTyped(t *testing.T) {
	for _, c := range []struct {
		raw, want string
		notes     PathNotes
	}{
		{"/", "", 0},
		{"/users/42?x=/y", "/word:users/integer", 0},
		{"/users/", "/word:users/empty", 0},
		{"//users///42", "/word:users/integer", NoteSlashes},
		{"/a/./b/../c", "/word:a/word:c", NoteDots},
		{"/a/%2e%2E/b", "/word:b", NoteDots},
		{"/../../etc/passwd", "/word:etc/word:passwd", NoteDots | NoteAboveRoot},
		{"/us%65rs", "/word:users", 0},
		{"/a%2Fb", "/word:a/b", NoteSlash},
		{"/100%/a%zz%4", "/string/word:a%zz%4", NoteBadEscape},
		{"/a%00b", "/string", NoteControl},
		{"/\xff\xfe", "/string", NoteNotUTF8},
		{"/caf%C3%A9", "/string", 0},
		{"/cars;color=red;year=2012/models", "/word:cars/word:models", NoteMatrix},
		{"/v1/v2beta1/2.0/1.1.3", "/version:v1/version:v2beta1/version:2.0/version:1.1.3", 0},
		{"/9b2f2c50-7d0a-7b4e-8a31-1f0c5d2e4b6a", "/uuid", 0},
		{"/01HXJR28HK4SKHD28JVDDZK132", "/ulid", 0},
		{"/507f1f77bcf86cd799439011", "/hex", 0},
		{"/cus_9s6XKzkNRiz8i3", "/prefixed", 0},
		{"/V1StGXR8_Z5jdHi6B-myT", "/base64", 0},
		{"/2026-11-24/2026-11-24T10:00:00Z", "/date/datetime", 0},
		{"/52.5201/-7", "/number/integer", 0},
		{"/a.b@example.org/10.0.0.1/api.example.org", "/email/ip/host:api.example.org<{word:api}.{word:example}.{word:org}>", 0},
		{"/17:cancel", "/mixed<{integer:}:{word:cancel}>", 0},
		{"/report-2026-11-24.pdf", "/mixed<{word:report}-{date:}.{word:pdf}>", 0},
		{"/12,34", "/mixed<{integer:},{integer:}>", 0},
		{"/main...topic", "/word:main...topic<{word:main}...{word:topic}>", 0},
		{"/items('17')", "/mixed<{word:items}('{integer:}'){empty:}>", 0},
		{"/507f1f77bcf86cd799439011.patch", "/mixed<{hex:}.{word:patch}>", 0},
		{"/logo.png", "/file:logo.png<{word:logo}.{word:png}>", 0},
		{"users", "", NoteRefused},
		{"", "", NoteRefused},
		{"*", "", NoteRefused},
	} {
		segs, notes := clearPaths().Path(nil, []byte(c.raw))
		require.Equal(t, c.want, show(segs), c.raw)
		require.Equal(t, c.notes, notes, c.raw)
	}
}

func TestLongPathsAreCutAndNoted(t *testing.T) {
	segs, notes := clearPaths().Path(nil, []byte(strings.Repeat("/a", 32<<10)))
	require.Len(t, segs, 64)
	require.Equal(t, NoteCut, notes)
	segs, notes = clearPaths().Path(nil, []byte("/"+strings.Repeat("a", 64<<10)))
	require.Len(t, segs, 1)
	require.Equal(t, NoteCut, notes)
	require.Equal(t, event.KindString, segs[0].Kind)
	require.Empty(t, segs[0].Text)
}

func TestNamesLateKeepsUnlistedWordsOnTheNodeUntilTheyAreRevealed(t *testing.T) {
	p := NewPaths(PathConfig{Key: [16]byte{1}})
	raw := []byte("/users/zorgblatt/17:frobnicate")
	late, _ := p.Path(nil, raw)
	require.Equal(t, "/word:users/word/mixed<{integer:}:{word:}>", show(late))
	clear, _ := clearPaths().Path(nil, raw)
	for i := range late {
		require.Equal(t, clear[i].Token, late[i].Token, "a token does not depend on the policy")
		require.Equal(t, clear[i].Shape, late[i].Shape)
		require.Equal(t, clear[i].Kind, late[i].Kind)
	}
	require.Zero(t, p.Reveal(late[1].Token))
	late, _ = p.Path(nil, raw)
	require.Equal(t, "zorgblatt", late[1].Text)
}

func TestATokenDependsOnTheKey(t *testing.T) {
	a, b := NewPaths(PathConfig{Key: [16]byte{1}}), NewPaths(PathConfig{Key: [16]byte{2}})
	require.NotEqual(t, a.Token([]byte("users")), b.Token([]byte("users")))
}

func TestNamesAreNotTakenForIDs(t *testing.T) {
	for _, w := range []string{"l7FirewallRules", "oauth2", "s3_urls", "getSocibWeatherStation", "boxscoretraditionalv2", "persistentvolumeclaims", "slph0",
		"HTTPServerErrors", "authn-k8s", "x509certificate", "base64url", "Base64Encode", "ipv4_addresses", "decade", "facade", "deadbeef", "OAuth2AccessTokens",
		"getAllUsersByIDs", "sha256", "utf8", "GetABTestV2", "lake-team-north", "frank75", "walter.emma"} {
		k, _ := Classify([]byte(w))
		require.Contains(t, []event.Kind{event.KindWord}, k, w)
	}
}

func TestNoAPIWordIsTakenForAValue(t *testing.T) {
	for i := 1; i <= words.Len(); i++ {
		k, s := Classify([]byte(words.Text(uint16(i))))
		require.True(t, textual(k), "%s is %s", words.Text(uint16(i)), k)
		require.Equal(t, uint16(i), s.Word)
	}
}

func TestKeysAfterAPrefixAreValues(t *testing.T) {
	for _, w := range []string{"ord_fh4nlsGkeoOhbB", "acct_XJb3lRjhkDtswR", "inv_gFinwau04BVYnT", "k_zX3VARh7xqzUSI", "cus_moITJSEYwUWAk4"} {
		k, _ := Classify([]byte(w))
		require.Equal(t, event.KindPrefixed, k, w)
	}
}

func TestASplitAllocatesNothingInSteadyState(t *testing.T) {
	for _, names := range []Names{NamesLate, NamesClear} {
		p := NewPaths(PathConfig{Names: names})
		var dst []event.Segment
		run := func() {
			dst, _ = p.Path(dst[:0], []byte("/v1/users/9b2f2c50-7d0a-7b4e-8a31-1f0c5d2e4b6a/orders/17:cancel/report-2026-11-24.pdf"))
		}
		run()
		require.Zero(t, testing.AllocsPerRun(200, run))
	}
}

func TestAFloodOfWordsKeepsTheTextTableBounded(t *testing.T) {
	p := NewPaths(PathConfig{Names: NamesClear, MaxTexts: 100})
	var dst []event.Segment
	for i := range 10_000 {
		dst, _ = p.Path(dst[:0], fmt.Appendf(nil, "/w%dx", i))
		require.LessOrEqual(t, len(p.texts), 100)
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/users/42", "/a//b/../c/;x=1/%2e%2e/%zz", "/\xff%00", "/a..b/('x')/17:go", "/report-2026-11-24.pdf", "/-1/+49301234567/1.2.3.4/[::1]"} {
		f.Add([]byte(s))
	}
	p, q := clearPaths(), NewPaths(PathConfig{Key: [16]byte{1}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, notes := p.Path(nil, raw)
		if notes&NoteRefused != 0 {
			if len(a) != 0 || len(raw) > 0 && raw[0] == '/' {
				t.Fatalf("refused %q", raw)
			}
			return
		}
		if len(a) > 65 {
			t.Fatalf("%d segments", len(a))
		}
		b, other := q.Path(nil, raw)
		if len(a) != len(b) || notes != other {
			t.Fatalf("policies differ: %d and %d segments, notes %b and %b", len(a), len(b), notes, other)
		}
		for i, s := range a {
			if s.Token != b[i].Token || s.Shape != b[i].Shape || s.Kind != b[i].Kind || len(s.Parts) != len(b[i].Parts) {
				t.Fatalf("segment %d: %+v and %+v", i, s, b[i])
			}
			if s.Kind == event.KindEmpty && i != len(a)-1 {
				t.Fatal("an empty segment that is not the last")
			}
			if !textual(s.Kind) && s.Text != "" {
				t.Fatalf("a typed segment has text: %+v", s)
			}
			if s.Text == "." || s.Text == ".." {
				t.Fatal("a dot segment is left")
			}
		}
		// Escaping every byte that separates nothing changes no segment.
		if len(raw) <= 2000 {
			enc, bad := make([]byte, 0, 3*len(raw)), notes&(NoteBadEscape|NoteCut) != 0
			for i := 0; i < len(raw) && !bad; i++ {
				switch c := raw[i]; c {
				case '/', '?', '#', ';', '%':
					enc = append(enc, c)
					if c == '%' && i+2 < len(raw) {
						enc = append(enc, raw[i+1], raw[i+2])
						i += 2
					}
				default:
					enc = fmt.Appendf(enc, "%%%02x", c)
				}
			}
			if !bad {
				c, _ := clearPaths().Path(nil, enc)
				if len(c) != len(b) {
					t.Fatalf("%q has %d segments, escaped %d", raw, len(b), len(c))
				}
				for i := range c {
					if c[i].Token != b[i].Token {
						t.Fatalf("segment %d of %q changes with escapes", i, raw)
					}
				}
			}
		}
	})
}

func BenchmarkPath(b *testing.B) {
	for _, names := range []Names{NamesLate, NamesClear} {
		b.Run(map[Names]string{NamesLate: "late", NamesClear: "clear"}[names], func(b *testing.B) {
			p := NewPaths(PathConfig{Names: names})
			paths := [][]byte{[]byte("/v1/users/8812/orders"), []byte("/api/networking.k8s.io/v1/namespaces/team-north/ingresses"), []byte("/orders/9b2f2c50-7d0a-7b4e-8a31-1f0c5d2e4b6a"), []byte("/health")}
			var dst []event.Segment
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				dst, _ = p.Path(dst[:0], paths[i&3])
			}
		})
	}
}
