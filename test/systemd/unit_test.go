// SPDX-License-Identifier: Apache-2.0

//go:build vm

package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

const (
	name      = "sardined-test.service"
	namespace = "systemd-test"
	// home has the daemon's programs and images, run what ends with the machine.
	home = "/var/lib/sardined-test"
	run  = "/run/sardined-test"
	// hold keeps systemd from starting the daemon while it is there.
	hold = run + "/hold"
	// installed is the unit file that make install has put there.
	installed = "/usr/local/lib/systemd/system/sardined.service"
)

// TestMain refuses to run on a machine that is not ours to change.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(serviceVariable) != "":
		serve()
	case os.Getenv("SARDINE_VM") == "":
		println("these tests change the machine; run them with test/vm/run test/systemd")
		os.Exit(1)
	default:
		os.Exit(m.Run())
	}
}

// unit is the daemon as systemd runs it.
type unit struct {
	t       *testing.T
	service string // its name
	since   time.Time
	ctx     context.Context
	client  *containerd.Client
	conn    *grpc.ClientConn
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
}

// startUnit installs and starts the unit. At the end of the test its store must be empty, and the
// node as before.
func startUnit(t *testing.T) *unit {
	t.Helper()
	t.Cleanup(func() { os.RemoveAll(home); os.RemoveAll(run) })
	testnode.CheckClean(t, testnode.Options{
		Dirs: []string{home, run}, Cgroups: []string{"/" + namespace},
		Ignore: func(l testnode.Leak) bool { return l.Name == "/sys/fs/cgroup/"+namespace },
	})
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), namespace), 8*time.Minute)
	t.Cleanup(cancel)
	u := &unit{t: t, service: name, since: time.Now(), ctx: ctx}
	u.install()
	t.Cleanup(u.disconnect)
	t.Cleanup(func() { u.systemctl("stop", name) })
	t.Cleanup(u.showLog)
	u.start()
	t.Cleanup(u.wantEmptyStore)
	return u
}

func (u *unit) install() {
	u.t.Helper()
	for _, dir := range []string{home + "/bin", run} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			u.t.Fatal(err)
		}
	}
	for _, program := range []string{"sardined", "sardine-init"} {
		u.replace(program, nil)
	}
	config := fmt.Sprintf(`version = 4
root = "%[1]s/root"
state = "%[2]s/state"
imports = []
[plugins."io.containerd.server.v1.grpc"]
address = "%[2]s/sardined.sock"
[plugins."io.containerd.server.v1.ttrpc"]
address = "%[2]s/sardined.ttrpc"
[plugins."io.containerd.nri.v1.nri"]
disable = true
[plugins."io.containerd.cri.v1.runtime".cni]
conf_dir = "%[1]s/cni"
[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
stream_server_port = "0"
`, home, run)
	file, err := os.ReadFile(installed)
	if err != nil {
		u.t.Fatal(err)
	}
	// A daemon beside the installed one, which can be kept from starting.
	start := "ExecStart=/usr/local/bin/sardined"
	if strings.Count(string(file), start) != 1 {
		u.t.Fatalf("%s does not start the daemon as expected", installed)
	}
	service := strings.Replace(string(file), start, fmt.Sprintf("ExecStartPre=/bin/sh -c 'while [ -e %s ]; do sleep 0.1; done'\nExecStart=%s/bin/sardined --config %s/config.toml", hold, home, home), 1)
	for path, text := range map[string]string{home + "/config.toml": config, "/run/systemd/system/" + name: service} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			u.t.Fatal(err)
		}
	}
	u.systemctl("daemon-reload")
}

// replace installs a program atomically, as a package manager does. change may be nil.
func (u *unit) replace(program string, change func([]byte) []byte) {
	u.t.Helper()
	content, err := os.ReadFile(e2e.Program(u.t, program))
	if err != nil {
		u.t.Fatal(err)
	}
	if change != nil {
		content = change(content)
	}
	path := filepath.Join(home, "bin", program)
	if err := errors.Join(os.WriteFile(path+".new", content, 0o755), os.Rename(path+".new", path)); err != nil {
		u.t.Fatal(err)
	}
}

func (u *unit) systemctl(args ...string) {
	u.t.Helper()
	if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
		u.t.Errorf("systemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// log returns what the daemon and systemd have logged of the unit.
func (u *unit) log() string {
	out, _ := exec.Command("journalctl", "-u", u.service, "--since", u.since.Format(time.DateTime), "--no-pager", "-o", "cat").CombinedOutput()
	var log strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "loading plugin") {
			log.WriteString(line)
		}
	}
	return log.String()
}

func (u *unit) showLog() {
	if u.t.Failed() {
		log := u.log()
		u.t.Logf("log of the unit:\n%s", log[max(0, len(log)-16<<10):])
	}
}

// property reads what systemd says of the unit.
func (u *unit) property(property string) string {
	u.t.Helper()
	out, err := exec.Command("systemctl", "show", "--value", "-p", property, u.service).Output()
	if err != nil {
		u.t.Fatalf("systemctl show -p %s: %v", property, err)
	}
	return strings.TrimSpace(string(out))
}

func (u *unit) number(property string) int {
	u.t.Helper()
	n, err := strconv.Atoi(u.property(property))
	if err != nil {
		u.t.Fatal(err)
	}
	return n
}

// stored is the number of descriptors in the unit's store.
func (u *unit) stored() int { return u.number("NFileDescriptorStore") }

// wantEmptyStore: a daemon without containers has nothing kept. systemd drops descriptors when it gets round to it.
func (u *unit) wantEmptyStore() {
	if u.t.Failed() {
		return
	}
	u.eventually("the store is empty", func() bool { return u.stored() == 0 })
}

func (u *unit) eventually(what string, holds func() bool) {
	u.t.Helper()
	testnode.Eventually(u.t, what, holds)
}

func (u *unit) start() {
	u.t.Helper()
	u.systemctl("start", name)
	u.connect()
}

// connect replaces the connections: old ones may wait, backing off.
func (u *unit) connect() {
	u.t.Helper()
	u.disconnect()
	socket := run + "/sardined.sock"
	var err error
	if u.client, err = containerd.New(socket, containerd.WithTimeout(testnode.Patience)); err != nil {
		u.t.Fatal(err)
	}
	if u.conn, err = grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		u.t.Fatal(err)
	}
	u.runtime, u.images = cri.NewRuntimeServiceClient(u.conn), cri.NewImageServiceClient(u.conn)
}

func (u *unit) disconnect() {
	if u.client != nil {
		u.client.Close()
		u.conn.Close()
		u.client, u.conn = nil, nil
	}
}

// way is one in which a daemon ends and another one starts.
type way struct {
	name string
	// end returns when the old daemon is about to end. The new one waits for hold to be removed.
	end func(u *unit)
}

var ways = []way{
	{"restart", func(u *unit) { u.systemctl("--no-block", "restart", name) }},
	{"kill9", func(u *unit) {
		if err := unix.Kill(u.number("MainPID"), unix.SIGKILL); err != nil {
			u.t.Error(err)
		}
	}},
	{"upgrade", func(u *unit) {
		u.replace("sardined", upgraded)
		u.replace("sardine-init", nil)
		u.systemctl("--no-block", "restart", name)
	}},
}

// between ends the daemon, calls f while there is none, and lets the next one start.
func (u *unit) between(way *way, f func()) {
	u.t.Helper()
	old := u.number("MainPID")
	u.disconnect()
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		u.t.Fatal(err)
	}
	defer os.Remove(hold)
	way.end(u)
	u.eventually("the old daemon has ended", func() bool { return !testnode.Alive(old) })
	f()
	if pid := u.number("MainPID"); pid != 0 {
		u.t.Fatalf("a daemon runs already, %d", pid)
	}
	if err := os.Remove(hold); err != nil {
		u.t.Fatal(err)
	}
	u.eventually("the next daemon serves", func() bool { return u.property("ActiveState") == "active" && u.number("MainPID") != 0 })
	u.connect()
	version, err := u.client.Version(u.ctx)
	if is := strings.Contains(version.Version, upgradedMark); err != nil || is != (way.name == "upgrade") {
		u.t.Errorf("version %s, %v", version.Version, err)
	}
}

// Both have the same length: there is no compiler in this machine.
const (
	versionMark  = "+sardine."
	upgradedMark = "+upgrade."
)

// upgraded makes a program another version.
func upgraded(program []byte) []byte {
	return bytes.ReplaceAll(program, []byte(versionMark), []byte(upgradedMark))
}
