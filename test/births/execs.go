// SPDX-License-Identifier: Apache-2.0

package births

import (
	"os"
	"path/filepath"
	"strings"
)

// WatchExecs has programs recorded too, which those that are watched execute.
func (r *Record) WatchExecs() {
	r.t.Helper()
	const enable = "events/sched/sched_process_exec/enable"
	r.write(enable, "1")
	r.t.Cleanup(func() { r.write(enable, "0") })
}

// Execs returns the programs that were executed since WatchExecs or Forget, as they were named.
func (r *Record) Execs() []string {
	r.t.Helper()
	trace, err := os.ReadFile(filepath.Join(r.dir, "trace"))
	if err != nil {
		r.t.Fatal(err)
	}
	var programs []string
	for line := range strings.Lines(string(trace)) {
		if _, program, ok := strings.Cut(line, "sched_process_exec: filename="); ok {
			program, _, _ = strings.Cut(program, " pid=")
			programs = append(programs, program)
		}
	}
	return programs
}
