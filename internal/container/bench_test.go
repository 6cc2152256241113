// SPDX-License-Identifier: Apache-2.0

package container

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/stdio"
)

// BenchmarkLife is create, start, wait and delete of /bin/true.
func BenchmarkLife(b *testing.B) {
	n := newNode(b)
	spec := n.spec("")
	spec.Process.Args = []string{"/bin/true"}
	b.ReportAllocs()
	for b.Loop() {
		c := n.createSpec("one", spec)
		n.start(c)
		n.wait(c)
		n.delete(c)
	}
}

// BenchmarkExec is add, start, wait and delete of /bin/true in a running container.
func BenchmarkExec(b *testing.B) {
	n := newNode(b)
	c := n.run("one", "sleep 1000")
	b.ReportAllocs()
	for b.Loop() {
		e, err := c.Exec("e", &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}, stdio.Config{})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		n.wait(e)
		if _, err := e.Delete(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
