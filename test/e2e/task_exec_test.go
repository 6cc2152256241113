// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestExecProcess gives an executed process everything of its own and looks from inside,
// with both runtimes.
func TestExecProcess(t *testing.T) {
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		task := runTask(t, d, ref, "one", oci.WithProcessArgs("sleep", "600"))
		capabilities := []string{"CAP_NET_BIND_SERVICE"}
		umask := uint32(0o27)
		p := shell(`echo $WORD; pwd; umask; grep -E '^(Uid|Gid|Groups|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; ulimit -n`)
		p.Cwd = "/tmp"
		p.Env = append(p.Env, "WORD=word")
		p.User = specs.User{UID: 1000, GID: 2000, AdditionalGids: []uint32{3000, 4000}, Umask: &umask}
		p.NoNewPrivileges = true
		p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 99, Hard: 100}}
		p.Capabilities = &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities, Inheritable: capabilities, Ambient: capabilities}
		exec, out := addExec(t, d, task, "e", p)
		startProcess(t, d, exec)
		if code := waitProcess(t, d, exec); code != 0 {
			t.Errorf("exit status %d: %s", code, out)
		}
		exec.IO().Wait() // Delete stops reading
		if _, err := exec.Delete(d.Context()); err != nil {
			t.Error(err)
		}
		text := strings.Join(strings.Fields(out.String()), " ")
		if runtime == Sardine { // runc has the container's
			wantAll(t, text, " 0027 ")
		}
		wantAll(t, text, "word /tmp ", "Uid: 1000 1000 1000 1000", "Gid: 2000 2000 2000 2000", "Groups: 3000 4000",
			"CapEff: 0000000000000400", "CapBnd: 0000000000000400", "NoNewPrivs: 1", " 99")
	})
}

// TestManyExecs at once, each with its own input, output and exit status.
func TestManyExecs(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	task := runTask(t, d, ref, "one", oci.WithProcessArgs("sleep", "600"))
	const many = 20
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			var out bytes.Buffer
			word := fmt.Sprint("word", i)
			streams := cio.WithStreams(strings.NewReader(word), &out, io.Discard)
			p, err := task.Exec(d.Context(), fmt.Sprint("e", i), shell(fmt.Sprint("head -c ", len(word), "; exit ", i)),
				cio.NewCreator(streams, cio.WithFIFODir(d.Dir+"/fifo")))
			if err != nil {
				t.Error(err)
				return
			}
			exits, err := p.Wait(d.Context())
			if err == nil {
				err = p.Start(d.Context())
			}
			if err != nil {
				t.Error(err)
				return
			}
			exit := <-exits
			p.IO().Wait() // Delete stops reading
			_, err = p.Delete(d.Context())
			if err != nil || exit.ExitCode() != uint32(i) || out.String() != word {
				t.Errorf("exec %d: exit status %d, output %q, %v", i, exit.ExitCode(), out.String(), err)
			}
		})
	}
	all.Wait()
}
