// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
)

// line is a connection to a container's standard input and output.
type line struct {
	toContainer   *io.PipeWriter
	stdin         *io.PipeReader
	fromContainer *bufio.Reader
	answers       *io.PipeReader
	stdout        *io.PipeWriter
}

func newLine() *line {
	l := &line{}
	l.stdin, l.toContainer = io.Pipe()
	l.answers, l.stdout = io.Pipe()
	l.fromContainer = bufio.NewReader(l.answers)
	return l
}

// creator gives the task FIFOs, in a directory that goes with the daemon. The
// third is for runc's shim, which cannot do without a standard error.
func (l *line) creator(dir string) cio.Creator {
	return cio.NewCreator(cio.WithStreams(l.stdin, l.stdout, io.Discard), cio.WithFIFODir(dir+"/fifo"))
}

// ask writes a line and reads the answer to it.
func (l *line) ask(question string) (string, error) {
	if _, err := fmt.Fprintln(l.toContainer, question); err != nil {
		return "", fmt.Errorf("write to the container: %w", err)
	}
	answer, err := l.fromContainer.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read from the container: %w", err)
	}
	return strings.TrimSpace(answer), nil
}

// close ends both directions, and with them the copying goroutines of cio.
func (l *line) close() {
	_ = l.toContainer.Close()
	_ = l.answers.Close()
}

// answerTimeout is what a container has to answer one line.
const answerTimeout = 10 * time.Second

// talk asks the last container, and starts another process in it.
func (s *show) talk(ctx context.Context, f *fleet) error {
	m := f.members[len(f.members)-1]
	giveUp := time.AfterFunc(answerTimeout, m.line.close)
	defer giveUp.Stop()
	began := time.Now()
	answer, err := m.line.ask("hello")
	if err != nil {
		return fmt.Errorf("talk to %s: %w", m.container.ID(), err)
	}
	s.display.Line("said hello to %s; after %s it answered %q", m.container.ID(), ms(time.Since(began)), answer)
	took, err := execTrue(ctx, m)
	if err != nil {
		return fmt.Errorf("exec in %s: %w", m.container.ID(), err)
	}
	s.display.Line("executed /bin/true in it: %s", ms(took))
	return nil
}

func execTrue(ctx context.Context, m *member) (time.Duration, error) {
	spec, err := m.task.Spec(ctx)
	if err != nil {
		return 0, err
	}
	spec.Process.Args = []string{"/bin/true"}
	began := time.Now()
	process, err := m.task.Exec(ctx, "demo", spec.Process, cio.NullIO)
	if err != nil {
		return 0, err
	}
	exited, err := process.Wait(ctx)
	if err != nil {
		return 0, err
	}
	if err := process.Start(ctx); err != nil {
		return 0, err
	}
	if code, _, err := (<-exited).Result(); err != nil || code != 0 {
		return 0, fmt.Errorf("exit status %d: %w", code, err)
	}
	_, err = process.Delete(ctx)
	return time.Since(began), err
}
