package process

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const second = event.Time(1e9)

// proc is a procfs of the test's own.
type proc struct {
	t    *testing.T
	root string
}

func newProc(t *testing.T) *proc { return &proc{t, t.TempDir()} }

func (p *proc) add(pid int, comm, exe, cgroup string, started int) {
	p.t.Helper()
	dir := filepath.Join(p.root, fmt.Sprint(pid))
	require.NoError(p.t, os.RemoveAll(dir))
	require.NoError(p.t, os.Mkdir(dir, 0o755))
	stat := fmt.Sprintf("%d (%s) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 0 %d 20 21 22\n", pid, comm, started)
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o644))
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, "cgroup"), []byte(cgroup), 0o644))
	if exe != "" {
		require.NoError(p.t, os.Symlink(exe, filepath.Join(dir, "exe")))
	}
}

func (p *proc) remove(pid int) {
	require.NoError(p.t, os.RemoveAll(filepath.Join(p.root, fmt.Sprint(pid))))
}

func TestAProcessIsNamedByItsExecutableAndUnit(t *testing.T) {
	p := newProc(t)
	p.add(7, "nginx", "/usr/sbin/nginx", "0::/system.slice/nginx.service\n", 100)
	got := New(Config{Proc: p.root}).Lookup(7, second)
	require.Equal(t, Info{Name: "nginx", Unit: "nginx", Cgroup: "/system.slice/nginx.service", Started: 100}, got)
	require.Equal(t, "nginx", got.Workload())
}

func TestAReusedProcessIdIsAnotherProcess(t *testing.T) {
	p := newProc(t)
	p.add(7, "old", "/bin/old", "", 100)
	tab := New(Config{Proc: p.root})
	require.Equal(t, "old", tab.Lookup(7, second).Name)
	p.add(7, "new", "/bin/new", "", 200)
	require.Equal(t, "new", tab.Lookup(7, 3*second).Name)
}

func TestAProcessThatExecutesAnotherFileChangesItsName(t *testing.T) {
	p := newProc(t)
	p.add(7, "sh", "/bin/sh", "", 100)
	tab := New(Config{Proc: p.root})
	tab.Lookup(7, second)
	p.add(7, "curl", "/usr/bin/curl", "", 100)
	require.Equal(t, "curl", tab.Lookup(7, 3*second).Name)
}

func TestAProcessThatEndedKeepsItsName(t *testing.T) {
	p := newProc(t)
	p.add(7, "job", "/bin/job", "", 100)
	tab := New(Config{Proc: p.root})
	tab.Lookup(7, second)
	p.remove(7)
	require.Equal(t, "job", tab.Lookup(7, 100*second).Name)
}

func TestAProcessThatIsGoneBeforeItIsLookedUpIsNamedByWhatItExecuted(t *testing.T) {
	tab := New(Config{Proc: t.TempDir(), Executed: func(pid uint32) (string, bool) { return "curl", pid == 9 }})
	require.Equal(t, Info{Name: "curl"}, tab.Lookup(9, second))
	require.Zero(t, tab.Lookup(10, second))
	require.Zero(t, tab.Lookup(0, second))
}

func TestAKernelThreadIsNamedByItsCommand(t *testing.T) {
	p := newProc(t)
	p.add(2, "kworker/0:1 (odd) x", "", "0::/\n", 1)
	require.Equal(t, "kworker/0:1 (odd) x", New(Config{Proc: p.root}).Lookup(2, second).Name)
}

func TestADeletedExecutableKeepsItsName(t *testing.T) {
	p := newProc(t)
	p.add(7, "app", "/opt/app/server (deleted)", "", 1)
	require.Equal(t, "server", New(Config{Proc: p.root}).Lookup(7, second).Name)
}

func TestTheTableIsBoundedAndKeepsWhatIsInUse(t *testing.T) {
	p := newProc(t)
	p.add(1, "busy", "/bin/busy", "", 1)
	tab := New(Config{Proc: p.root, Max: 16})
	tab.Lookup(1, second)
	p.remove(1) // so that only the table knows it
	for pid := uint32(100); pid < 1100; pid++ {
		tab.Lookup(pid, second)
		require.Equal(t, "busy", tab.Lookup(1, second).Name)
		require.LessOrEqual(t, len(tab.young)+len(tab.old), 32)
	}
}

func TestAKnownProcessCostsNoAllocation(t *testing.T) {
	p := newProc(t)
	p.add(7, "nginx", "/usr/sbin/nginx", "", 1)
	tab := New(Config{Proc: p.root})
	tab.Lookup(7, second)
	require.Zero(t, testing.AllocsPerRun(100, func() { tab.Lookup(7, second) }))
}

func TestCgroupPathsOfTheKnownRuntimes(t *testing.T) {
	const id = "4b1d2f3a4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566"
	const uid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
	for _, c := range []struct{ path, unit, container, pod string }{
		{"/system.slice/nginx.service", "nginx", "", ""},
		{"/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main", "", ""},
		{"/system.slice/delegating.service/worker-1", "delegating", "", ""},
		{"/user.slice/user-1000.slice/session-3.scope", "", "", ""},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-terminal.scope", "", "", ""},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/api.service", "api", "", ""},
		{"/init.scope", "", "", ""},
		{"/", "", "", ""},
		{"", "", "", ""},
		{"/system.slice/docker-" + id + ".scope", "", id, ""},
		{"/docker/" + id, "", id, ""},
		{"/machine.slice/libpod-" + id + ".scope/container", "", id, ""},
		{"/kubepods/burstable/pod" + uid + "/" + id, "", id, uid},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/cri-containerd-" + id + ".scope", "", id, uid},
		{"/system.slice/containerd.service/kubepods-besteffort-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice:cri-containerd:" + id, "", id, ""},
		{"/docker/" + id[:63], "", "", ""},
		{"/docker/" + strings.ToUpper(id), "", "", ""},
	} {
		unit, container, pod := parseCgroup(c.path)
		require.Equal(t, []string{c.unit, c.container, c.pod}, []string{unit, container, pod}, c.path)
	}
}

func TestTheCgroupFileOfEitherHierarchyIsRead(t *testing.T) {
	for in, want := range map[string]string{
		"0::/system.slice/a.service\n":                                "/system.slice/a.service",
		"9:name=systemd:/system.slice/a.service\n4:memory:/x\n0::/\n": "/system.slice/a.service",
		"4:memory:/docker/x\n0::/\n":                                  "/docker/x",
		"12:cpu,cpuacct:/a:b\n":                                       "/a:b",
		"0::/\n":                                                      "",
		"":                                                            "",
		"nonsense\n1:\n":                                              "",
	} {
		require.Equal(t, want, cgroupPath([]byte(in)), in)
	}
}

func TestInterpretersKeepTheirNameWithoutTheMinorVersion(t *testing.T) {
	for in, want := range map[string]string{
		"python3.11": "python3", "php8.2": "php8", "ruby3.1": "ruby3", "perl5.36.0": "perl5",
		"java": "java", "node": "node", "nginx": "nginx", "run.sh": "run.sh", "app-1.2.3.jar": "app-1.2.3.jar",
		"a3.": "a3.", ".x": ".x", "3.1": "3.1", "libfoo2.so": "libfoo2.so",
	} {
		require.Equal(t, want, plainName(in), in)
	}
}

func TestALiveProcessIsReadFromTheRealProcfs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no procfs on " + runtime.GOOS)
	}
	cmd := exec.Command("sleep", "60")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	_ = bufio.NewReader(out)
	got := New(Config{}).Lookup(uint32(cmd.Process.Pid), second)
	require.Equal(t, "sleep", got.Name)
	require.NotZero(t, got.Started)
}

func FuzzProcessFilesAreReadWithinTheirBounds(f *testing.F) {
	f.Add([]byte("1 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 0 5 20"))
	f.Add([]byte("0::/system.slice/a.service\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		comm, _, err := parseStat(b)
		if err == nil && len(comm) > len(b) {
			t.Fatalf("name longer than the file")
		}
		p := cgroupPath(b)
		unit, container, _ := parseCgroup(p)
		if !strings.Contains(p, unit) || !strings.Contains(p, container) {
			t.Fatalf("%q: %q or %q is not in the path", p, unit, container)
		}
		if n := plainName(string(b)); !strings.HasPrefix(string(b), n) {
			t.Fatalf("%q became %q", b, n)
		}
	})
}
