// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// report fails the test for every violation, with what it takes to understand it.
func (r *run) report() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.violated {
		r.t.Errorf("%s: %s", v.who, v.what)
		if v.who != "" && v.who != daemon {
			r.t.Logf("what happened to %s:\n%s", v.who, r.notes.of(v.who))
		}
	}
}

// keepTraces keeps what a failed round has left: the timeline, the log of the daemons with the stacks of the last
// one, the containers' logs, the state directory.
func (r *run) keepTraces() {
	if !r.t.Failed() {
		return
	}
	dir := filepath.Join(r.keep, fmt.Sprintf("seed-%d", r.seed))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Log(err)
		return
	}
	r.dumpStacks()
	_ = os.WriteFile(filepath.Join(dir, "timeline"), []byte(r.notes.of("")), 0o644)
	_ = os.WriteFile(filepath.Join(dir, "daemon.log"), []byte(r.Log()), 0o644)
	_ = os.WriteFile(filepath.Join(dir, "node"), []byte(lookAround()), 0o644)
	for _, from := range []string{r.Logs, r.pages} {
		_ = os.CopyFS(filepath.Join(dir, filepath.Base(from)), os.DirFS(from))
	}
	if out, err := exec.Command("tar", "--ignore-failed-read", "-cf", filepath.Join(dir, "state.tar"), "-C", r.Dir, "state").CombinedOutput(); err != nil {
		r.t.Logf("keep the state directory: %v: %s", err, out)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, v := range r.violated {
		text := v.who + ": " + v.what + "\n\n" + r.notes.of(v.who)
		_ = os.WriteFile(filepath.Join(dir, fmt.Sprintf("violation-%d", i+1)), []byte(text), 0o644)
	}
	r.t.Logf("everything is kept in %s", dir)
}

// dumpStacks has the daemon print its stacks into its log, which ends it, and starts it again for the clean-up.
func (r *run) dumpStacks() {
	pid := r.PID()
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGQUIT)
	for begin := time.Now(); r.Running() && time.Since(begin) < 5*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	if !r.Running() {
		r.Kill9()
		r.Start()
	}
}

// lookAround is the node at the end.
func lookAround() string {
	var text strings.Builder
	for _, command := range []string{"ps axfo pid,ppid,stat,start,cgroup,args", "cat /proc/self/mountinfo"} {
		out, err := exec.Command("sh", "-c", command).CombinedOutput()
		fmt.Fprintf(&text, "$ %s\n%s%v\n\n", command, out, err)
	}
	return text.String()
}
